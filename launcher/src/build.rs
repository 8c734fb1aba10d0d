//! Compiles trainers for images: linux/amd64, stripped, reproducible in any folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use tokio::process::Command;

use crate::trainer::{Compiled, Source, TrainerPackage, cargo, cargo_home, no_cargo};
use crate::util::env_var;
use diagnostics::{Error, Result, eprint_line};
use image::{Image, Link};

/// C library of the binary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// glibc linked statically: as fast as the dynamic one, with less memory
    /// (bench/runs/2026-11-23-intel-xeon-static)
    #[default]
    #[value(name = "x86_64-unknown-linux-gnu")]
    Gnu,
    /// musl: for machines without a static glibc; 14 % more CPU time in the same measurement
    #[value(name = "x86_64-unknown-linux-musl")]
    Musl,
}

impl Target {
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::Gnu => "x86_64-unknown-linux-gnu",
            Self::Musl => "x86_64-unknown-linux-musl",
        }
    }

    /// Returns what the linker or the C compiler probably missed.
    fn help(self) -> &'static str {
        match self {
            Self::Gnu => {
                "a static glibc is needed (Debian: `apt-get install libc6-dev`; Fedora: `dnf install glibc-static`); without one pass `--target x86_64-unknown-linux-musl`, or `--docker`"
            }
            Self::Musl => {
                "C code needs `musl-gcc` (Debian: `apt-get install musl-tools`; Fedora: `dnf install musl-gcc`); without it pass `--docker`"
            }
        }
    }
}

/// Options of a build, shared by `build` and `push`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct BuildOptions {
    /// Target to compile for
    #[arg(long, value_name = "TRIPLE", value_enum, default_value_t)]
    pub(crate) target: Target,
    /// Use this linux/amd64 binary instead of compiling
    ///
    /// It must be static, unless the trainer needs shared libraries.
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    pub(crate) binary: Option<PathBuf>,
}

/// Compiles the trainer, unless there is a binary, and builds the image.
pub(crate) async fn build(trainer: &TrainerPackage, options: &BuildOptions) -> Result<Image> {
    let source = trainer.source()?;
    // Checked before minutes of compiling.
    let created = image::creation_time()?;
    let start = Instant::now();
    let Compiled { binary, folders } = match &options.binary {
        Some(binary) => Compiled {
            binary: binary.clone(),
            folders: Vec::new(),
        },
        None => compile(trainer, source, options.target).await?,
    };
    let compile_seconds = start.elapsed().as_secs_f64();
    image::build(&source.package, binary, &folders, &created, compile_seconds).await
}

/// Returns the `cargo ...` command that [`build`] runs.
pub(crate) fn compile_command(trainer: &TrainerPackage, options: &BuildOptions) -> Result<String> {
    let arguments = arguments(trainer, trainer.source()?, options.target);
    Ok(format!("cargo {}", arguments.join(" ")))
}

/// Returns cargo's arguments.
fn arguments(trainer: &TrainerPackage, source: &Source, target: Target) -> Vec<String> {
    let name = trainer.name.as_str();
    let mut arguments = [
        "rustc",
        "--release",
        "--locked",
        "--package",
        name,
        "--bin",
        name,
    ]
    .map(str::to_owned)
    .to_vec();
    let features = &source.image_features;
    if !features.is_empty() {
        arguments.extend(["--features".to_owned(), features.join(",")]);
    }
    // For the last step only, so that dependencies are not compiled again.
    let last = ["--target", target.triple(), "--", "-Cstrip=symbols"];
    arguments.extend(last.map(str::to_owned));
    arguments
}

/// Run path of the libraries in the image. The trainer's build script passes it to the linker.
const RPATH: (&str, &str) = ("TRAINYARD_RPATH", "$ORIGIN/../lib");

/// Compiles the trainer.
async fn compile(trainer: &TrainerPackage, source: &Source, target: Target) -> Result<Compiled> {
    let link = source.package.link;
    if link == Link::Dynamic && target != Target::Gnu {
        return Err(Error::usage(format!(
            "`{}` is linked with shared libraries, which are made for glibc",
            trainer.name
        ))
        .help("leave `--target` out"));
    }
    add_target(source, target).await?;
    let arguments = arguments(trainer, source, target);
    clean_other_clone(source, target).await?;
    let mut cargo = Command::new(cargo());
    cargo.env(
        "CARGO_ENCODED_RUSTFLAGS",
        rustflags(&source.package.target_dir, link),
    );
    match link {
        Link::Static => trainer
            .run_cargo(source, cargo, &arguments)
            .await
            .map_err(|error| error.help(target.help())),
        Link::Dynamic => {
            cargo.env(RPATH.0, RPATH.1);
            trainer.run_cargo(source, cargo, &arguments).await
        }
    }
}

/// Returns the user's flags, those for a static C library, and those that remove local folders from
/// panic messages. Files of the workspace are compiled by relative paths: remapping its folder
/// would compile every dependency again in every clone, even where clones share a target folder.
/// Outputs of build scripts are below the target folder.
fn rustflags(target: &Path, link: Link) -> OsString {
    let mut flags: Vec<OsString> = match (env_var("CARGO_ENCODED_RUSTFLAGS"), env_var("RUSTFLAGS"))
    {
        (Some(encoded), _) => vec![encoded],
        (None, Some(plain)) => plain
            .to_string_lossy()
            .split_whitespace()
            .map(OsString::from)
            .collect(),
        (None, None) => Vec::new(),
    };
    if link == Link::Static {
        // musl binaries are static by default.
        flags.push("-Ctarget-feature=+crt-static".into());
    }
    let places = [
        (Some(target.to_owned()), "/target"),
        (cargo_home(), "/cargo"),
    ];
    for (folder, stands_for) in places {
        let Some(folder) = folder else { continue };
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder);
        flag.push("=");
        flag.push(stands_for);
        flags.push(flag);
    }
    flags.join(std::ffi::OsStr::new("\x1f"))
}

/// Cleans the workspace's crates if another clone used this target folder: cargo distinguishes the
/// crates of clones by file times only. Dependencies can be shared.
async fn clean_other_clone(source: &Source, target: Target) -> Result<()> {
    let triple = target.triple();
    let marker = source
        .package
        .target_dir
        .join("trainyard")
        .join(format!("compiled-{triple}"));
    let own = source.package.workspace.as_os_str().as_encoded_bytes();
    let write_error = |error: std::io::Error| {
        Error::new(format!("cannot write `{}`: {error}", marker.display()))
            .help("set CARGO_TARGET_DIR to a folder that you may write to")
    };
    match std::fs::read(&marker) {
        Ok(last) if last == own => return Ok(()),
        Ok(_) => {
            let arguments = ["clean", "--workspace", "--release", "--target", triple];
            let status = Command::new(cargo())
                .args(arguments)
                .current_dir(&source.package.workspace)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .await
                .map_err(|error| no_cargo(&error))?;
            if !status.success() {
                let line = format!("cargo {}", arguments.join(" "));
                return Err(Error::new(format!("`{line}` failed: {status}"))
                    .help("its own messages are above; or set CARGO_TARGET_DIR to a folder of this clone alone"));
            }
        }
        // First build in this target folder.
        Err(_) => {}
    }
    let folder = marker.parent().unwrap_or(&source.package.target_dir);
    std::fs::create_dir_all(folder).map_err(write_error)?;
    std::fs::write(&marker, own).map_err(write_error)
}

/// Installs the target's standard library if it is missing.
async fn add_target(source: &Source, target: Target) -> Result<()> {
    let triple = target.triple();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", triple])
        .current_dir(&source.package.workspace)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| no_cargo(&error))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if folder.is_dir() {
        return Ok(());
    }
    eprint_line(format!(
        "this toolchain does not have the target: rustup target add {triple}"
    ));
    let added = Command::new("rustup")
        .args(["target", "add", triple])
        .current_dir(&source.package.workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await;
    let reason = match added {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("`rustup target add {triple}` failed: {status}"),
        Err(error) => {
            format!("the target `{triple}` is not installed, and `rustup` does not start: {error}")
        }
    };
    Err(Error::new(reason).help(format!(
        "install the standard library of `{triple}` as you installed Rust, or pass `--docker`"
    )))
}
