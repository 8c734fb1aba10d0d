//! A trainer whose hyperparameter `mode` selects its behaviour, such as writing checkpoints or
//! ignoring SIGTERM. It has no model. Linked statically, it runs in an empty image.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == "--check" || argument == "describe") {
        return Ok(());
    }
    let base = PathBuf::from(std::env::var_os("SAGEMAKER_BASE_DIR").unwrap_or("/opt/ml".into()));
    let text = fs::read_to_string(base.join("input/config/hyperparameters.json"))?;
    let hyperparameters: serde_json::Value = serde_json::from_str(&text)?;
    let get = |name: &str| {
        hyperparameters[name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let stop = Arc::new(AtomicBool::new(false));
    // 15 is SIGTERM.
    signal_hook::flag::register(15, Arc::clone(&stop))?;
    eprintln!("toy: mode {}", get("mode"));
    match get("mode").as_str() {
        "look" => look(&base)?,
        "steps" => steps(&base, &stop, get("steps").parse().unwrap_or(20))?,
        "stubborn" => loop {
            pause();
        },
        "until_stopped" => {
            while !stop.load(Ordering::Relaxed) {
                pause();
            }
            fs::write(base.join("model/stopped"), "saved after SIGTERM")?;
            eprintln!("toy: saved");
        }
        "memory" => memory(&stop),
        "quick" => {
            fs::write(base.join("model/model"), "a model")?;
            fs::write(base.join("checkpoints/new"), "a checkpoint")?;
        }
        "forget" => {
            for entry in fs::read_dir(base.join("checkpoints"))? {
                fs::remove_file(entry?.path())?;
            }
        }
        // A model that takes long to pack.
        "large" => {
            let mut noise = 1_u64;
            let mut bytes = Vec::new();
            while bytes.len() < 400 << 20 {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                bytes.extend_from_slice(&noise.to_le_bytes());
            }
            fs::write(base.join("model/noise"), bytes)?;
            eprintln!("toy: wrote");
        }
        "noise" => noise()?,
        "fail" => {
            fs::write(base.join("model/half"), "a part of a model")?;
            fs::write(
                base.join("output/failure"),
                "the toy broke\nwhile: playing\u{1b}[31m",
            )?;
            exit(1);
        }
        "links" => links(&base.join("model"))?,
        "orphan" => {
            // A child that keeps the log open.
            std::process::Command::new("sleep").arg("1000").spawn()?;
            fs::write(base.join("model/done"), "")?;
        }
        other => {
            eprintln!("toy: no mode `{other}`");
            exit(2);
        }
    }
    Ok(())
}

fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Counts to `last` with a file per step; continues from the checkpoints.
fn steps(base: &Path, stop: &AtomicBool, last: u32) -> std::io::Result<()> {
    let folder = base.join("checkpoints");
    let done = fs::read_dir(&folder)?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.strip_prefix("step-")?.parse::<u32>().ok()
    });
    let done = done.max().unwrap_or(0);
    eprintln!("toy: begins after step {done}");
    for step in done + 1..=last {
        if stop.load(Ordering::Relaxed) {
            eprintln!("toy: stopped before step {step}");
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
        fs::create_dir_all(folder.join("more"))?;
        fs::write(folder.join("more/state"), format!("{step}"))?;
        fs::write(folder.join(format!("step-{step}")), "")?;
        if step == done + 1 {
            eprintln!("toy: made step {step}");
        }
        // Only the newest is kept.
        let _ = fs::remove_file(folder.join(format!("step-{}", step - 1)));
    }
    fs::write(base.join("model/steps"), format!("{last}, from {done}"))
}

/// Writes environment, files and configuration as results.
fn look(base: &Path) -> std::io::Result<()> {
    let variables: std::collections::BTreeMap<_, _> = std::env::vars().collect();
    let mut files = Vec::new();
    walk(base, base, &mut files)?;
    let mut config = serde_json::Map::new();
    for entry in fs::read_dir(base.join("input/config"))? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        config.insert(name, serde_json::from_str(&text)?);
    }
    let data_is_writable = fs::write(base.join("input/data/train/new"), "").is_ok();
    let interfaces = fs::read_dir("/sys/class/net").map_or(0, Iterator::count);
    let root_is_writable = fs::write("/new", "").is_ok();
    let seen = serde_json::json!({
        "variables": variables,
        "files": files,
        "config": config,
        "data_is_writable": data_is_writable,
        "root_is_writable": root_is_writable,
        "interfaces": interfaces,
        "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
        "folder": std::env::current_dir()?,
        "pid": std::process::id(),
    });
    fs::write(base.join("output/data/seen.json"), seen.to_string())?;
    fs::write(base.join("model/model"), "a model")
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, files)?;
        } else if let Ok(below) = path.strip_prefix(root) {
            files.push(below.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Allocates more and more memory after SIGTERM.
fn memory(stop: &AtomicBool) {
    eprintln!("toy: ready");
    while !stop.load(Ordering::Relaxed) {
        pause();
    }
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; 1 << 20]);
        std::thread::sleep(Duration::from_millis(2));
        if hoard.len() > 1024 {
            eprintln!("toy: a GiB and still alive");
            exit(0);
        }
    }
}

/// Prints long lines, invalid UTF-8 and a line in two parts.
fn noise() -> std::io::Result<()> {
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    for line in 0..200 {
        writeln!(out, "out {line} {}", "o".repeat(300))?;
        writeln!(err, "err {line} {}", "e".repeat(300))?;
    }
    out.write_all(b"\xff\xfe binary \x00\x01\n")?;
    out.write_all(&vec![b'l'; 200_000])?;
    out.write_all(b"\npart")?;
    out.flush()?;
    std::thread::sleep(Duration::from_millis(50));
    out.write_all(b"ial, no end")?;
    out.flush()
}

fn links(model: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::symlink;
    fs::create_dir(model.join("sub"))?;
    fs::write(model.join("weights"), "w")?;
    fs::hard_link(model.join("weights"), model.join("sub/same"))?;
    symlink("weights", model.join("latest"))?;
    symlink("/etc/passwd", model.join("passwd"))?;
    symlink("../../etc/passwd", model.join("up"))
}
