//! Identity of a launcher's process, written where a later launcher finds it.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Returns this process's id, start time, boot and PID namespace. None without /proc.
pub(super) fn current() -> Option<String> {
    let pid = std::process::id();
    Some(format!("{pid} {} {}", start_time(pid)?, namespace()?))
}

/// True if the process has ended. None if that is not known on this machine.
pub(super) fn has_ended(launcher: &str) -> Option<bool> {
    let mut fields = launcher.splitn(3, ' ');
    let pid = fields.next()?.parse().ok()?;
    let start = fields.next()?;
    if fields.next()? != namespace()? {
        return None;
    }
    // A process id is used again, but not with the same start time.
    match start_time(pid) {
        Some(found) => Some(found != start),
        // /proc may hide other users' processes; the kernel still reports that they exist.
        None => match Pid::from_raw(pid.try_into().ok()?).map(test_kill_process)? {
            Err(Errno::SRCH) => Some(true),
            Ok(()) if is_zombie(pid) => Some(true),
            _ => None,
        },
    }
}

/// True for a process that has ended and was not waited for.
fn is_zombie(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields.trim_start().starts_with('Z'))
}

/// Returns the fields of `/proc/PID/stat` from the state on.
fn stat(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    stat.rsplit_once(')').map(|(_, rest)| rest.to_owned())
}

/// Returns the start time in ticks since boot.
fn start_time(pid: u32) -> Option<String> {
    let stat = stat(pid)?;
    let mut fields = stat.split_whitespace();
    if fields.next() == Some("Z") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

/// Returns the boot id and the PID namespace, within which a process id has a meaning.
fn namespace() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_launcher_has_not_ended() {
        let own = current().expect("Linux");
        assert_eq!(has_ended(&own), Some(false));
        let mut fields: Vec<_> = own.split(' ').collect();
        fields[1] = "1";
        assert_eq!(
            has_ended(&fields.join(" ")),
            Some(true),
            "another process with that id"
        );
        let mut child = std::process::Command::new("true")
            .spawn()
            .expect("it starts");
        let pid = child.id();
        let later = own.replacen(&std::process::id().to_string(), &pid.to_string(), 1);
        child.wait().expect("it ends");
        assert_eq!(has_ended(&later), Some(true));
        let elsewhere = format!("{own}0");
        assert_eq!(has_ended(&elsewhere), None);
        assert_eq!(has_ended("nonsense"), None);
    }
}
