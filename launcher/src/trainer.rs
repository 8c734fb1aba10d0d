//! The trainers of the workspace, found by `[package.metadata.trainer]`, and their binaries on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cargo_metadata::{Metadata, MetadataCommand, Package};
use serde::Deserialize;
use tokio::process::Command;

use crate::failure::{Failure, Result};
use crate::say::say;

/// What a trainer's manifest says under `[package.metadata.trainer]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TrainerMetadata {
    /// Cargo features that its image has.
    pub(crate) image_features: Vec<String>,
}

/// A trainer: its name is its package, its binary, its image's repository.
#[derive(Debug, Clone)]
pub(crate) struct Trainer {
    pub(crate) name: String,
    /// Absent where there is no workspace, as on a machine that has just the binaries.
    pub(crate) source: Option<Source>,
}

/// A trainer's source.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) workspace: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) version: String,
    pub(crate) metadata: TrainerMetadata,
}

impl Trainer {
    /// Looks in the workspace around the working directory. Outside of one any name will do: an image may be given.
    pub(crate) fn find(name: &str) -> Result<Self> {
        let Some(metadata) = workspace()? else {
            return Ok(Self {
                name: name.to_owned(),
                source: None,
            });
        };
        let mut names = Vec::new();
        for package in metadata.workspace_packages() {
            let Some(own) = package.metadata.get("trainer") else {
                continue;
            };
            if package.name == name {
                return Ok(Self {
                    name: name.to_owned(),
                    source: Some(source(&metadata, package, own)?),
                });
            }
            names.push(package.name.to_string());
        }
        if names.is_empty() {
            // Somebody else's workspace.
            return Ok(Self {
                name: name.to_owned(),
                source: None,
            });
        }
        Err(unknown(name, &names))
    }

    /// The source, for commands that compile.
    pub(crate) fn source(&self) -> Result<&Source> {
        self.source.as_ref().ok_or_else(|| {
            Failure::usage(format!(
                "no workspace with a trainer `{}` around the working directory",
                self.name
            ))
            .help("run this in Trainyard's repository, or pass `--image` where the command has it")
        })
    }

    /// The binary for this machine: beside `trainyard`, on the PATH, or compiled by cargo.
    pub(crate) async fn host_binary(&self) -> Result<PathBuf> {
        if let Some(source) = &self.source {
            return self.compile(source).await;
        }
        self.existing_binary().ok_or_else(|| {
            Failure::usage(format!("no binary `{}` on this machine", self.name))
                .help("put it on the PATH, or run this in Trainyard's repository")
        })
    }

    /// The binary that is there already, if any; nothing is compiled.
    pub(crate) fn existing_binary(&self) -> Option<PathBuf> {
        if let Some(source) = &self.source {
            let built = source.target.join("release").join(&self.name);
            return built.is_file().then_some(built);
        }
        self.beside_us().or_else(|| on_path(&self.name))
    }

    fn beside_us(&self) -> Option<PathBuf> {
        let own = std::env::current_exe().ok()?;
        let binary = own.parent()?.join(&self.name);
        binary.is_file().then_some(binary)
    }

    async fn compile(&self, source: &Source) -> Result<PathBuf> {
        let arguments = ["build", "--release", "--locked", "-p", &self.name];
        say(format!("cargo {}", arguments.join(" ")));
        let status = Command::new(cargo())
            .args(arguments)
            .current_dir(&source.workspace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .await
            .map_err(|error| no_cargo(&error))?;
        if !status.success() {
            return Err(
                Failure::new(format!("`cargo {}` failed: {status}", arguments.join(" ")))
                    .help("its own messages are above"),
            );
        }
        Ok(source.target.join("release").join(&self.name))
    }
}

/// The cargo that runs us, if one does, else the one on the PATH.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// What to say when cargo does not start.
pub(crate) fn no_cargo(error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot start `cargo`: {error}"))
        .help("install Rust from https://rustup.rs")
}

/// The folder of the workspace around the working directory: the outermost one with a lock file. Found without
/// cargo, which may be what is missing.
pub(crate) fn workspace_folder() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors()
        .filter(|folder| folder.join("Cargo.lock").is_file())
        .last()
        .map(Path::to_owned)
}

fn workspace() -> Result<Option<Metadata>> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::new(format!("cannot read the working directory: {error}")))?;
    if !here
        .ancestors()
        .any(|folder| folder.join("Cargo.toml").is_file())
    {
        return Ok(None);
    }
    MetadataCommand::new()
        .cargo_path(PathBuf::from(cargo()))
        .no_deps()
        .exec()
        .map(Some)
        .map_err(|error| {
            Failure::new(format!("`cargo metadata` failed: {error}"))
                .help("`cargo metadata --no-deps` shows it in full")
        })
}

fn source(metadata: &Metadata, package: &Package, own: &serde_json::Value) -> Result<Source> {
    let parsed = TrainerMetadata::deserialize(own).map_err(|error| {
        Failure::usage(format!(
            "{}: [package.metadata.trainer]: {error}",
            package.manifest_path
        ))
    })?;
    Ok(Source {
        workspace: metadata.workspace_root.clone().into(),
        target: metadata.target_directory.clone().into(),
        version: package.version.to_string(),
        metadata: parsed,
    })
}

fn unknown(name: &str, names: &[String]) -> Failure {
    let near = names.iter().max_by(|a, b| {
        let likeness = |other: &str| strsim::jaro_winkler(name, other);
        likeness(a).total_cmp(&likeness(b))
    });
    let near = near.filter(|near| strsim::jaro_winkler(name, near) > 0.7);
    let help = match near {
        Some(near) => format!("did you mean `{near}`? There are: {}", names.join(", ")),
        None => format!("there are: {}", names.join(", ")),
    };
    Failure::usage(format!("no trainer `{name}`")).help(help)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder: PathBuf| folder.join(name))
        .find(|file: &PathBuf| Path::is_file(file))
}
