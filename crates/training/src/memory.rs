//! Available memory of this machine or container.

use std::fs;
use std::path::Path;

/// Returns the bytes that are available under the limits of the machine and the container; `None`
/// if unknown. `root` is `/` except in tests.
pub fn available(root: &Path) -> Option<u64> {
    let limits = [machine(root), cgroup_v2(root), cgroup_v1(root)];
    limits.into_iter().flatten().min()
}

/// Reads `MemAvailable` of `/proc/meminfo`, which is in KiB.
fn machine(root: &Path) -> Option<u64> {
    entry(&root.join("proc/meminfo"), "MemAvailable:").map(|kilobytes| kilobytes * 1024)
}

/// Memory left by cgroup v2. The page cache can be reclaimed, so only anonymous memory counts as
/// used.
fn cgroup_v2(root: &Path) -> Option<u64> {
    let group = root.join("sys/fs/cgroup");
    // Without a limit the file contains `max`.
    let limit = number(&group.join("memory.max"))?;
    Some(limit.saturating_sub(entry(&group.join("memory.stat"), "anon").unwrap_or(0)))
}

/// Memory left by cgroup v1; without a limit the number is near 2^63.
fn cgroup_v1(root: &Path) -> Option<u64> {
    let group = root.join("sys/fs/cgroup/memory");
    let limit = number(&group.join("memory.limit_in_bytes"))?;
    Some(limit.saturating_sub(entry(&group.join("memory.stat"), "total_rss").unwrap_or(0)))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Returns the number after `name`.
pub(crate) fn entry(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a folder with these files, to be used as `/`.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal: 9000000 kB\nMemFree:  10 kB\nMemAvailable:    1000000 kB\n",
    );

    #[test]
    fn smallest_limit_wins() {
        let bytes = |files: &[(&str, &str)]| available(root(files).path());
        assert_eq!(bytes(&[]), None);
        assert_eq!(bytes(&[MEMINFO]), Some(1_024_000_000));
        let unlimited = ("sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(bytes(&[MEMINFO, unlimited]), Some(1_024_000_000));
        let limited = ("sys/fs/cgroup/memory.max", "400000000\n");
        let used = (
            "sys/fs/cgroup/memory.stat",
            "anon 100000000\nfile 290000000\nanon_thp 7\n",
        );
        assert_eq!(bytes(&[MEMINFO, limited, used]), Some(300_000_000));
        let old = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "300000000\n");
        let old_used = (
            "sys/fs/cgroup/memory/memory.stat",
            "rss 1\ntotal_rss 100000000\n",
        );
        assert_eq!(bytes(&[MEMINFO, old, old_used]), Some(200_000_000));
        assert_eq!(bytes(&[limited, used, old]), Some(300_000_000));
    }
}
