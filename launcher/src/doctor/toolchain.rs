//! What `trainyard build` needs: cargo, the version that the workspace asks for, the target of images, a linker.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::check::{Check, within};
use crate::trainer::cargo;

/// Images hold static binaries for SageMaker's machines.
const TARGET: &str = "x86_64-unknown-linux-musl";
const LINKER_VARIABLE: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER";

pub(super) async fn checks(workspace: Option<&Path>) -> [Check; 3] {
    let folder = workspace.unwrap_or(Path::new("."));
    let (toolchain, target) = tokio::join!(
        within("toolchain", "cargo", toolchain(folder)),
        within("target", "rustc", target(folder)),
    );
    [toolchain, target, linker()]
}

async fn toolchain(folder: &Path) -> Check {
    let name = "toolchain";
    let found = match ask(cargo().as_ref(), &["--version"], folder).await {
        Ok(version) => version,
        Err(Silence::Absent(error)) => {
            return Check::warning(
                name,
                format!("cannot start `cargo`: {error}; only `build` needs it"),
            )
            .help("install Rust from https://rustup.rs");
        }
        Err(Silence::Refused(said)) => {
            return Check::problem(name, format!("`cargo --version`: {said}"))
                .help("`rustup toolchain install` in the repository installs what rust-toolchain.toml asks for");
        }
    };
    // `cargo 1.95.0 (a1b2c3 2026-03-21)`
    let version = found
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    match wanted(folder) {
        Some(wanted) if !is_of(&version, &wanted) => Check::warning(
            name,
            format!("cargo {version}, rust-toolchain.toml asks for `{wanted}`"),
        )
        .help(format!(
            "`rustup toolchain install {wanted}`, and no `+toolchain` or RUSTUP_TOOLCHAIN beside it"
        )),
        Some(_) => Check::ok(
            name,
            format!("cargo {version}, as rust-toolchain.toml asks for"),
        ),
        None => Check::ok(name, format!("cargo {version}")),
    }
}

/// The channel of rust-toolchain.toml: one line of it, so no TOML reader is brought in for that.
fn wanted(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("rust-toolchain.toml")).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let channel = value.split('#').next()?.trim().trim_matches(['"', '\'']);
        (key.trim() == "channel").then(|| contract::shown(channel).into_owned())
    })
}

/// `1.95.0` is of the channels `1.95.0` and `1.95`; what `stable` is, nobody knows here.
fn is_of(version: &str, channel: &str) -> bool {
    let numbered = channel.starts_with(|c: char| c.is_ascii_digit());
    !numbered
        || version == channel
        || version
            .strip_prefix(channel)
            .is_some_and(|rest| rest.starts_with('.'))
}

async fn target(folder: &Path) -> Check {
    let name = "target";
    let arguments = ["--print", "target-libdir", "--target", TARGET];
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    match ask(&rustc, &arguments, folder).await {
        Ok(library) if Path::new(&library).is_dir() => {
            Check::ok(name, format!("`{TARGET}` is installed"))
        }
        Ok(_) => Check::warning(
            name,
            format!("`{TARGET}` is not installed; only `build` needs it"),
        )
        .help(format!("`rustup target add {TARGET}`")),
        Err(Silence::Absent(_)) => Check::skipped(name, "no `rustc`"),
        Err(Silence::Refused(said)) => {
            Check::warning(name, format!("`rustc` does not say: {said}"))
                .help(format!("`rustup target add {TARGET}`"))
        }
    }
}

fn linker() -> Check {
    let name = "linker";
    let set = std::env::var_os(LINKER_VARIABLE).filter(|value| !value.is_empty());
    let (program, whence) = match set {
        Some(program) => (PathBuf::from(program), format!(" of {LINKER_VARIABLE}")),
        None => (PathBuf::from("cc"), String::new()),
    };
    let shown = contract::shown(&program.display().to_string()).into_owned();
    match is_there(&program) {
        true => Check::ok(name, format!("`{shown}`{whence} is there")),
        false => Check::warning(name, format!("no linker `{shown}`{whence}; only `build` needs it"))
            .help("install one (Debian, Ubuntu: `apt-get install gcc libc6-dev`; macOS: `xcode-select --install`)"),
    }
}

/// As a shell looks: a path as it is, a name on the PATH.
fn is_there(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

enum Silence {
    Absent(std::io::Error),
    Refused(String),
}

/// The first line that a program prints.
async fn ask(program: &OsStr, arguments: &[&str], folder: &Path) -> Result<String, Silence> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        // rustup would download a missing toolchain; a check changes nothing.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Silence::Absent)?;
    let line = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        contract::shown(text.lines().next().unwrap_or_default().trim()).into_owned()
    };
    match output.status.success() {
        true => Ok(line(&output.stdout)),
        false => Err(Silence::Refused(line(&output.stderr))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels() {
        for (version, channel, fits) in [
            ("1.95.0", "1.95.0", true),
            ("1.95.0", "1.95", true),
            ("1.95.0", "stable", true),
            ("1.95.0", "1.9", false),
            ("1.94.1", "1.95.0", false),
            ("", "1.95.0", false),
        ] {
            assert_eq!(is_of(version, channel), fits, "{version} {channel}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(wanted(folder.path()), None);
        std::fs::write(
            folder.path().join("rust-toolchain.toml"),
            "[toolchain]\nprofile = \"minimal\"\nchannel = \"1.95.0\" # why\n",
        )
        .expect("it can be written");
        assert_eq!(wanted(folder.path()).as_deref(), Some("1.95.0"));
    }
}
