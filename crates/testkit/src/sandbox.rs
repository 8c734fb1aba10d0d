//! Full or read-only disks and a new process table, by Linux namespaces that end with the test. A
//! test is skipped, with a message, only if the kernel forbids namespaces.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::process::{Outcome, run};

/// The result of a command on a small disk.
pub struct SmallDisk {
    /// Result of the command.
    pub outcome: Outcome,
    /// Relative paths that it left on the disk.
    pub left: Vec<String>,
}

/// Reports that a test cannot run on this machine. `./test` prints it at its end and counts the
/// test as skipped. The name must be unique.
pub fn skip(test: &str, reason: &str) {
    let mut line = String::new();
    let _ = writeln!(line, "{test}: {reason}");
    eprint!("skipped: {line}");
    append_line("TRAINYARD_SKIPS", &line);
}

/// Appends a line to the file that the variable names, if `./test` has set it.
pub(crate) fn append_line(variable: &str, line: &str) {
    if let Some(path) = std::env::var_os(variable) {
        let file = std::fs::OpenOptions::new().append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap_or_else(|error| panic!("cannot append to the file in `{variable}`: {error}"));
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns `unshare` with the flags, in a user namespace unless the user is root.
fn unshare(flags: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command.args(flags);
    command
}

fn allowed(mut command: Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// True if [`on_small_disk`] works here.
pub fn small_disk_allowed() -> bool {
    let mut probe = unshare(&["--mount"]);
    probe.args(["sh", "-c", "mount -t tmpfs -o size=64k tmpfs /tmp"]);
    allowed(probe)
}

/// True if [`on_read_only_folder`] works here.
pub fn read_only_allowed() -> bool {
    !is_root() || small_disk_allowed()
}

/// True if [`as_pid_1`] works here.
pub fn pid_1_allowed() -> bool {
    let mut probe = unshare(&["--pid", "--fork"]);
    probe.arg("true");
    allowed(probe)
}

/// True if [`without_network`] works here, and a user namespace in it.
pub fn no_network_allowed() -> bool {
    let mut probe = unshare(&["--net"]);
    probe.args(["unshare", "--user", "--map-user=65534", "--map-group=65534"]);
    probe.arg("true");
    allowed(probe)
}

/// Appends `command` to `outer`. The environment is the command's plus the system's PATH for the
/// tools of `outer`.
fn wrap(mut outer: Command, command: &Command) -> Command {
    outer
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            outer.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// Runs the command while `folder` is an empty disk of `kib` KiB, visible only to the command.
///
/// # Panics
/// If the disk cannot be created: check [`small_disk_allowed`] first.
pub fn on_small_disk(command: &Command, folder: &Path, kib: u32) -> SmallDisk {
    let listing = tempfile::NamedTempFile::new().expect("a temporary file can be created");
    let mut outer = unshare(&["--mount"]);
    outer
        .args([
            "sh",
            "-c",
            "mount -t tmpfs -o size=\"$1\"k tmpfs \"$2\" || exit 99\n\
             disk=$2 listing=$3; shift 3\n\
             \"$@\"; code=$?\n\
             (cd \"$disk\" && find . -mindepth 1) >\"$listing\"\n\
             exit $code",
            "sh",
        ])
        .arg(kib.to_string())
        .args([folder, listing.path()]);
    let outcome = run(wrap(outer, command));
    assert!(outcome.code() != Some(99), "no tmpfs: {}", outcome.stderr);
    let left = std::fs::read_to_string(listing.path()).expect("the wrapper writes it");
    SmallDisk {
        outcome,
        left: left.lines().map(str::to_owned).collect(),
    }
}

/// Runs the command while `folder` cannot be written.
///
/// # Panics
/// If it cannot be made read-only: check [`read_only_allowed`] first.
pub fn on_read_only_folder(command: Command, folder: &Path) -> Outcome {
    if !is_root() {
        // Permissions do not bind root.
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |bits| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(bits));
        mode(0o555).expect("the folder belongs to the test");
        let outcome = run(command);
        mode(0o755).expect("the folder belongs to the test");
        return outcome;
    }
    let outcome = run(with_read_only_mount(&command, folder));
    assert!(
        outcome.code() != Some(99),
        "no read-only mount: {}",
        outcome.stderr
    );
    outcome
}

/// Returns the command with `folder` mounted so that it cannot be written; it exits with 99 if that
/// fails. Needs [`small_disk_allowed`].
pub fn with_read_only_mount(command: &Command, folder: &Path) -> Command {
    let mut outer = unshare(&["--mount"]);
    outer
        .args([
            "sh",
            "-c",
            "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" || exit 99; shift; exec \"$@\"",
            "sh",
        ])
        .arg(folder);
    wrap(outer, command)
}

/// Returns the command without network. Also loopback is down, which the command may start.
pub fn without_network(command: &Command) -> Command {
    wrap(unshare(&["--net"]), command)
}

/// Returns the command as process 1 of a new process table, as in a container: the kernel ignores
/// signals without a handler there. Send signals to the child of the started process.
pub fn as_pid_1(command: &Command) -> Command {
    wrap(
        unshare(&["--pid", "--fork", "--mount-proc", "--kill-child"]),
        command,
    )
}
