//! Time and memory of this process.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::memory;

/// Start of the run; time and memory since then.
pub struct ResourceUsage {
    /// RFC 3339, UTC.
    pub started: String,
    clock: Instant,
}

impl ResourceUsage {
    /// Starts measuring.
    pub fn start() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        Self {
            started: rfc3339(since_1970),
            clock: Instant::now(),
        }
    }

    /// Wall time since the start, in seconds.
    pub fn seconds(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    /// CPU time of all threads, in seconds.
    pub fn cpu_seconds() -> f64 {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }

    /// Returns `seconds`, `cpu_seconds` and `peak_rss_bytes` for a JSON object.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        let values = [
            ("seconds", json!(self.seconds())),
            ("cpu_seconds", json!(Self::cpu_seconds())),
            ("peak_rss_bytes", json!(Self::peak_rss_bytes())),
        ];
        values
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }

    /// Peak resident memory in bytes; Linux only.
    pub fn peak_rss_bytes() -> Option<u64> {
        let kib = memory::entry(Path::new("/proc/self/status"), "VmHWM:")?;
        Some(kib * 1024)
    }
}

/// Formats seconds since 1970 as RFC 3339 in UTC (Howard Hinnant's `civil_from_days`).
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_dates_as_rfc3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_735_689_599), "2024-12-31T23:59:59Z");
    }
}
