//! Measures the speed of reading a channel: rows, bytes per second, and CPU time of reading,
//! hashing, splitting and checking. The encoder only adds up lengths.
//!
//!     cargo run --release -p harness --example read_speed -- PATH [THREADS]

use dataset::{Encode, ReadOptions, read, sources};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

struct Lengths(u64);

impl Encode for Lengths {
    fn encode(&mut self, text: &str) {
        self.0 += text.len() as u64;
    }
}

/// CPU time of the running threads in milliseconds; Linux only.
fn cpu_ms() -> Option<f64> {
    let nanoseconds = std::fs::read_dir("/proc/self/task")
        .ok()?
        .flatten()
        .filter_map(|task| {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<f64>().ok()
        });
    Some(nanoseconds.sum::<f64>() / 1e6)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: read_speed PATH [THREADS] [hash=false]")?;
    let mut options = ReadOptions::default();
    if let Some(threads) = arguments.next() {
        options.threads = threads.parse()?;
    }
    options.hash = arguments.next().as_deref() != Some("hash=false");
    let start = Instant::now();
    let rows = read(
        &sources(Path::new(&path))?,
        &options,
        || Lengths(0),
        &AtomicBool::new(false),
    )?;
    let seconds = start.elapsed().as_secs_f64();
    let bytes: u64 = rows.counts.files.iter().map(|file| file.bytes).sum();
    let letters: u64 = rows.encoders.iter().map(|lengths| lengths.0).sum();
    println!(
        "{} rows, {} labels, {letters} bytes of text",
        rows.counts.used,
        rows.label_names.len()
    );
    println!(
        "{:.1} ms wall, {:.0} MB/s",
        seconds * 1e3,
        bytes as f64 / seconds / 1e6
    );
    // Threads that have ended are not in this list, so it is complete only with one thread.
    if let Some(ms) = cpu_ms().filter(|_| options.threads.get() == 1) {
        println!("{ms:.1} ms of CPU time since the start of the process");
    }
    for finding in rows.findings.iter() {
        println!("{finding}");
    }
    Ok(())
}
