//! Checks of the toolchain for `trainyard build`: cargo in the version of the workspace, the target
//! of images, a linker with a static C library.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::check::{Check, with_timeout};
use crate::build::Target;
use crate::trainer::{cargo, cargo_home};

pub(super) async fn checks(workspace: Option<&Path>) -> [Check; 3] {
    let folder = workspace.unwrap_or(Path::new("."));
    // The default target of `build`.
    let triple = Target::default().triple();
    let (toolchain, target, linker) = tokio::join!(
        with_timeout("toolchain", "cargo", toolchain(folder)),
        with_timeout("target", "rustc", target(folder, triple)),
        with_timeout("linker", "the linker", linker(folder, triple)),
    );
    [toolchain, target, linker]
}

async fn toolchain(folder: &Path) -> Check {
    let name = "toolchain";
    let found = match first_output_line(cargo().as_ref(), &["--version"], folder).await {
        Ok(version) => version,
        Err(ProgramError::NotFound(error)) => {
            return Check::warning(
                name,
                format!("cannot start `cargo`: {error}; only `build` needs it"),
            )
            .help("install Rust from https://rustup.rs");
        }
        Err(ProgramError::Failed(message)) => {
            return Check::problem(name, format!("`cargo --version`: {message}"))
                .help("`rustup toolchain install` in the repository installs the version of rust-toolchain.toml");
        }
    };
    // `cargo 1.95.0 (a1b2c3 2026-03-21)`
    let version = found
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    match pinned_channel(folder) {
        Some(wanted) if !matches_channel(&version, &wanted) => Check::warning(
            name,
            format!("cargo {version}, rust-toolchain.toml has `{wanted}`"),
        )
        .help(format!(
            "`rustup toolchain install {wanted}`, and remove `+toolchain` or RUSTUP_TOOLCHAIN"
        )),
        Some(_) => Check::ok(name, format!("cargo {version}, as in rust-toolchain.toml")),
        None => Check::ok(name, format!("cargo {version}")),
    }
}

/// Returns the channel of rust-toolchain.toml: one line, not worth a TOML parser.
fn pinned_channel(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("rust-toolchain.toml")).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let channel = value.split('#').next()?.trim().trim_matches(['"', '\'']);
        (key.trim() == "channel").then(|| diagnostics::sanitize(channel).into_owned())
    })
}

/// True if a version belongs to a channel: `1.95.0` to `1.95.0` and `1.95`, and any to `stable`.
fn matches_channel(version: &str, channel: &str) -> bool {
    let numbered = channel.starts_with(|c: char| c.is_ascii_digit());
    !numbered
        || version == channel
        || version
            .strip_prefix(channel)
            .is_some_and(|rest| rest.starts_with('.'))
}

async fn target(folder: &Path, triple: &str) -> Check {
    let name = "target";
    let arguments = ["--print", "target-libdir", "--target", triple];
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let found = match first_output_line(&rustc, &arguments, folder).await {
        Ok(library) if Path::new(&library).is_dir() => {
            return Check::ok(name, format!("`{triple}` is installed"));
        }
        Ok(_) => format!("`{triple}` is not installed; only `build` needs it"),
        Err(ProgramError::NotFound(_)) => return Check::skipped(name, "no `rustc`"),
        Err(ProgramError::Failed(message)) => format!("`rustc` failed: {message}"),
    };
    Check::warning(name, found).help(format!("`rustup target add {triple}`"))
}

/// Checks that the linker supports the target and finds a static C library.
async fn linker(folder: &Path, triple: &str) -> Check {
    let name = "linker";
    let (program, source) = linker_of(folder, triple);
    let shown = diagnostics::sanitize(&program).into_owned();
    let machine = match first_output_line(program.as_ref(), &["-dumpmachine"], folder).await {
        Ok(machine) => machine,
        Err(ProgramError::NotFound(_)) => {
            return Check::warning(name, format!("no linker `{shown}`{source}; only `build` needs it"))
                .help("install one (Debian, Ubuntu: `apt-get install gcc libc6-dev`; macOS: `xcode-select --install`)");
        }
        // Neither gcc nor clang: cannot be checked.
        Err(ProgramError::Failed(_)) => {
            return Check::ok(name, format!("`{shown}`{source} exists"));
        }
    };
    if !(machine.starts_with("x86_64") && machine.contains("linux")) {
        return Check::warning(
            name,
            format!("`{shown}`{source} is for {machine}, expected {triple}; only `build` needs it"),
        )
        .help(format!(
            "set {} to a cross compiler, or `trainyard build --docker`",
            linker_variable(triple)
        ));
    }
    // Prints a path if found, else only the name.
    match first_output_line(program.as_ref(), &["-print-file-name=libc.a"], folder).await {
        Ok(library) if Path::new(&library).is_file() => Check::ok(
            name,
            format!("`{shown}`{source} has a static C library, `{library}`"),
        ),
        _ => Check::warning(
            name,
            format!("`{shown}`{source} finds no static C library (`libc.a`); only `build` needs it"),
        )
        .help("install it (Debian, Ubuntu: `apt-get install libc6-dev`; Fedora: `dnf install glibc-static`), or `trainyard build --target x86_64-unknown-linux-musl`"),
    }
}

/// Returns `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER` for that triple.
fn linker_variable(triple: &str) -> String {
    let name = triple.to_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{name}_LINKER")
}

/// Returns the linker of cargo and its source: environment, configuration of cargo, or default.
fn linker_of(folder: &Path, triple: &str) -> (String, String) {
    let variable = linker_variable(triple);
    let set = std::env::var(&variable).ok();
    if let Some(program) = set.filter(|value| !value.is_empty()) {
        return (program, format!(" of {variable}"));
    }
    let home = cargo_home();
    let files = folder
        .ancestors()
        .map(|folder| folder.join(".cargo"))
        .chain(home)
        .map(|folder| folder.join("config.toml"));
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some(program) = configured(&text, triple) {
            return (program, format!(" of `{}`", file.display()));
        }
    }
    ("cc".to_owned(), String::new())
}

/// Returns `linker` of `[target.TRIPLE]`: two lines, not worth a TOML parser.
fn configured(text: &str, triple: &str) -> Option<String> {
    let header = |line: &str| line.replace(['"', '\'', ' '], "") == format!("[target.{triple}]");
    let lines = text.lines().map(str::trim);
    lines
        .skip_while(|line| !header(line))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| {
            let (key, value) = line.split_once('=')?;
            let value = value.split('#').next()?.trim().trim_matches(['"', '\'']);
            (key.trim() == "linker").then(|| value.to_owned())
        })
}

enum ProgramError {
    NotFound(std::io::Error),
    Failed(String),
}

/// Runs a program and returns its first line of output.
async fn first_output_line(
    program: &OsStr,
    arguments: &[&str],
    folder: &Path,
) -> Result<String, ProgramError> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        // Keeps rustup from downloading a missing toolchain.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(ProgramError::NotFound)?;
    let line = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        diagnostics::sanitize(text.lines().next().unwrap_or_default().trim()).into_owned()
    };
    match output.status.success() {
        true => Ok(line(&output.stdout)),
        false => Err(ProgramError::Failed(line(&output.stderr))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_matches_channels() {
        for (version, channel, fits) in [
            ("1.95.0", "1.95.0", true),
            ("1.95.0", "1.95", true),
            ("1.95.0", "stable", true),
            ("1.95.0", "1.9", false),
            ("1.94.1", "1.95.0", false),
            ("", "1.95.0", false),
        ] {
            assert_eq!(
                matches_channel(version, channel),
                fits,
                "{version} {channel}"
            );
        }
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(pinned_channel(folder.path()), None);
        std::fs::write(
            folder.path().join("rust-toolchain.toml"),
            "[toolchain]\nprofile = \"minimal\"\nchannel = \"1.95.0\" # why\n",
        )
        .expect("it can be written");
        assert_eq!(pinned_channel(folder.path()).as_deref(), Some("1.95.0"));
    }

    #[test]
    fn reads_linker_of_cargo_configuration() {
        let triple = "x86_64-unknown-linux-gnu";
        assert_eq!(
            linker_variable(triple),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER"
        );
        let text = "[target.aarch64-apple-darwin]\nlinker = \"a\"\n[target.x86_64-unknown-linux-gnu]\nrustflags = []\nlinker = \"x-gcc\" # why\n[build]\nlinker = \"b\"\n";
        assert_eq!(configured(text, triple).as_deref(), Some("x-gcc"));
        assert_eq!(configured(text, "x86_64-unknown-linux-musl"), None);
        assert_eq!(configured("", triple), None);
    }

    /// `cc` with a static C library, one without, one for another machine.
    #[tokio::test]
    async fn reports_missing_static_library_and_wrong_target() {
        use std::os::unix::fs::PermissionsExt as _;
        let triple = "x86_64-unknown-linux-gnu";
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("x-gcc");
        std::fs::create_dir(folder.path().join(".cargo")).expect("a folder");
        std::fs::write(
            folder.path().join(".cargo/config.toml"),
            format!(
                "[target.{triple}]\nlinker = {:?}\n",
                program.display().to_string()
            ),
        )
        .expect("it can be written");
        for (machine, library, expected) in [
            (
                "x86_64-linux-gnu",
                program.display().to_string(),
                "has a static C library",
            ),
            (
                "x86_64-linux-gnu",
                "libc.a".to_owned(),
                "finds no static C library",
            ),
            (
                "aarch64-linux-gnu",
                "libc.a".to_owned(),
                "is for aarch64-linux-gnu",
            ),
        ] {
            let script = format!(
                "#!/bin/sh\ncase $1 in -dumpmachine) echo {machine};; *) echo {library};; esac\n"
            );
            std::fs::write(&program, script).expect("it can be written");
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))
                .expect("own file");
            let check = linker(folder.path(), triple).await;
            assert!(format!("{check:?}").contains(expected), "{check:?}");
        }
    }
}
