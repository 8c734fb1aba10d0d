//! The log: JSON lines on standard error. No text of a request is ever in it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use diagnostics::eprint_json;
use serde_json::{Value, json};

/// Writes an event with its members.
pub(crate) fn event(name: &str, members: Value) {
    let mut line = json!({ "time": seconds(), "event": name });
    if let (Value::Object(line), Value::Object(members)) = (&mut line, members) {
        line.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
    }
    eprint_json(&line);
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
