//! The log: JSON lines on standard error. No text of a request is ever in it.
//!
//! A thread writes them: requests must not wait for a reader of standard error.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use diagnostics::eprint_json;
use serde_json::{Value, json};

/// Maximum number of lines that wait; further ones are dropped.
const MAX_WAITING: usize = 1024;
/// Time in which waiting lines are written at the end, at most.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Lines that were dropped since the last one that was not.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Lines that are not written yet.
static WAITING: AtomicU64 = AtomicU64::new(0);
/// The way to the thread; `None` if there is none.
static LINES: LazyLock<Option<SyncSender<Value>>> = LazyLock::new(|| {
    let (sender, lines) = sync_channel::<Value>(MAX_WAITING);
    let write = move || {
        for line in lines {
            eprint_json(&line);
            WAITING.fetch_sub(1, Ordering::AcqRel);
        }
    };
    let thread = std::thread::Builder::new().name("log".to_owned());
    thread.spawn(write).ok().map(|_| sender)
});

/// Writes an event with its members.
pub(crate) fn event(name: &str, members: Value) {
    if !report_dropped() || !send(name, members) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes how many lines were dropped, if any; false if that is dropped too.
fn report_dropped() -> bool {
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    let is_told = dropped == 0 || send("log_lines_dropped", json!({ "lines": dropped }));
    if !is_told {
        DROPPED.fetch_add(dropped, Ordering::Relaxed);
    }
    is_told
}

/// Hands a line to the thread; false if too many wait.
fn send(name: &str, members: Value) -> bool {
    let mut line = json!({ "time": seconds(), "event": name });
    if let (Value::Object(line), Value::Object(members)) = (&mut line, members) {
        line.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
    }
    let Some(lines) = &*LINES else {
        eprint_json(&line);
        return true;
    };
    WAITING.fetch_add(1, Ordering::AcqRel);
    let is_sent = lines.try_send(line).is_ok();
    if !is_sent {
        WAITING.fetch_sub(1, Ordering::AcqRel);
    }
    is_sent
}

/// Waits until all lines are written, for a second at most.
pub(crate) fn flush() {
    let until = Instant::now() + FLUSH_TIMEOUT;
    let wait = || {
        while WAITING.load(Ordering::Acquire) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    wait();
    report_dropped();
    wait();
}

/// Returns the seconds since 1970, with milliseconds.
fn seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    (since.unwrap_or_default().as_secs_f64() * 1e3).round() / 1e3
}

/// Returns the id of a request without one: the start of the process, and a number.
pub(crate) fn new_id() -> String {
    static START: LazyLock<u64> = LazyLock::new(|| (seconds() * 1e3) as u64);
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:x}-{:x}", *START, NEXT.fetch_add(1, Ordering::Relaxed))
}
