//! How many training rows a kernel may have.

use std::fs;
use std::path::Path;

use harness::Failure;

/// linfa-kernel fills an n x n table, one entry after the other, in about 1 ns x n² x components, and its solver reads
/// a whole column of it in each of many steps. measured: 4,000 rows of 100 components take seconds, 8,000 a minute.
const MOST_ROWS: usize = 8000;
/// Bytes of an entry of the table.
const ENTRY: u64 = 8;

/// What the tables of the kernel may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Room {
    /// Half of the memory that is left; none where the system does not say.
    bytes: Option<u64>,
}

impl Room {
    /// What this machine, or the container's limit, leaves. `root` is `/` but in tests.
    pub(crate) fn look(root: &Path) -> Self {
        let free = [machine(root), control_group(root), old_control_group(root)];
        Self { bytes: free.into_iter().flatten().min().map(|bytes| bytes / 2) }
    }

    /// The most rows whose table has room.
    fn rows(self) -> usize {
        let fitting = self.bytes.map_or(MOST_ROWS, |bytes| (bytes / ENTRY).isqrt() as usize);
        fitting.min(MOST_ROWS)
    }

    /// How many tables of so many rows have room at the same time; at least 1.
    pub(super) fn tables(self, rows: usize) -> usize {
        let table = ENTRY * (rows * rows).max(1) as u64;
        self.bytes.map_or(usize::MAX, |bytes| (bytes / table) as usize).max(1)
    }

    /// Refuses more rows than there is room for.
    pub(crate) fn admit(self, rows: usize, kernel: &str) -> Result<(), Failure> {
        let most = self.rows();
        if rows <= most {
            return Ok(());
        }
        let reason = if most < MOST_ROWS {
            format!("a table of 8 bytes x rows² has to fit into half of the free memory, {} MB", 2 * (ENTRY * (most * most) as u64) / 2_000_000)
        } else {
            "its time grows with the square of the rows".to_owned()
        };
        let message = format!("expected at most `{most}` training rows for --kernel {kernel}, found `{rows}`: {reason}");
        Err(Failure::other(message, format!("use --kernel linear, which takes any number, or give at most {most} rows")))
    }
}

/// `MemAvailable` of `/proc/meminfo`, which is in kB.
fn machine(root: &Path) -> Option<u64> {
    entry(&root.join("proc/meminfo"), "MemAvailable:").map(|kilobytes| kilobytes * 1024)
}

/// What version 2 of Linux's control groups leaves: the page cache gives way, so only anonymous memory counts as used.
fn control_group(root: &Path) -> Option<u64> {
    let group = root.join("sys/fs/cgroup");
    // `max` where there is no limit: not a number.
    let limit = number(&group.join("memory.max"))?;
    Some(limit.saturating_sub(entry(&group.join("memory.stat"), "anon").unwrap_or(0)))
}

/// The same of version 1; without a limit it says a number near 2^63.
fn old_control_group(root: &Path) -> Option<u64> {
    let group = root.join("sys/fs/cgroup/memory");
    let limit = number(&group.join("memory.limit_in_bytes"))?;
    Some(limit.saturating_sub(entry(&group.join("memory.stat"), "total_rss").unwrap_or(0)))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number beside `name`.
fn entry(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()?.parse().ok())?)
}
