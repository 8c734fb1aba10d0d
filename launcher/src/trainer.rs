//! The trainers of the workspace, found by `[package.metadata.trainer]`, and their binaries on this machine.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cargo_metadata::{Message, Metadata, MetadataCommand, Package};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStderr, Command};

use crate::variable::set;
use diagnostics::{Error, Result, eprint_line};
use image::Link;

/// What a trainer's manifest says under `[package.metadata.trainer]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TrainerMetadata {
    /// Cargo features that its image has.
    pub(crate) image_features: Vec<String>,
    /// How its binary in the image holds the libraries that it needs.
    pub(crate) link: Link,
    /// File names, `*` standing for anything, of libraries that it opens at run time: taken into the image from the
    /// folders of those that it is linked with, if they are there.
    pub(crate) opened_libraries: Vec<String>,
}

/// What cargo made.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) binary: PathBuf,
    /// Where its build scripts found libraries to link with.
    pub(crate) folders: Vec<PathBuf>,
}

/// A trainer: its name is its package, its binary, its image's repository.
#[derive(Debug, Clone)]
pub(crate) struct Trainer {
    pub(crate) name: String,
    /// Absent where there is no workspace, as on a machine that has just the binaries.
    pub(crate) source: Option<Source>,
    /// There is a workspace, and no cargo to ask about it: why it does not start.
    no_cargo: Option<String>,
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
        if !in_workspace()? {
            return Ok(Self::without_source(name));
        }
        match metadata_command().exec() {
            Ok(metadata) => Self::among(&metadata, name),
            // A binary or an image that is there needs no cargo.
            Err(cargo_metadata::Error::Io(error)) => Ok(Self {
                no_cargo: Some(error.to_string()),
                ..Self::without_source(name)
            }),
            Err(error) => Err(no_metadata(error)),
        }
    }

    /// The same for a check, which nothing may hold up: it can be given up, and rustup downloads nothing. None if
    /// cargo does not start.
    pub(crate) async fn look(name: &str) -> Result<Option<Self>> {
        if !in_workspace()? {
            return Ok(Some(Self::without_source(name)));
        }
        let mut command = Command::from(metadata_command().cargo_command());
        let asked = command
            .env("RUSTUP_AUTO_INSTALL", "0")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        let Ok(output) = asked else { return Ok(None) };
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().next().unwrap_or_default();
            return Err(no_metadata(diagnostics::sanitize(line.trim())));
        }
        let metadata =
            MetadataCommand::parse(String::from_utf8_lossy(&output.stdout)).map_err(no_metadata)?;
        Self::among(&metadata, name).map(Some)
    }

    fn without_source(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            source: None,
            no_cargo: None,
        }
    }

    fn among(metadata: &Metadata, name: &str) -> Result<Self> {
        let mut names = Vec::new();
        for package in metadata.workspace_packages() {
            let Some(own) = package.metadata.get("trainer") else {
                continue;
            };
            if package.name == name {
                return Ok(Self {
                    name: name.to_owned(),
                    source: Some(source(metadata, package, own)?),
                    no_cargo: None,
                });
            }
            names.push(package.name.to_string());
        }
        if names.is_empty() {
            // Somebody else's workspace.
            return Ok(Self::without_source(name));
        }
        Err(unknown(name, &names))
    }

    /// Why nothing is built in a workspace that is there.
    pub(crate) fn no_cargo(&self) -> Option<&str> {
        self.no_cargo.as_deref()
    }

    /// The source, for commands that compile.
    pub(crate) fn source(&self) -> Result<&Source> {
        if let Some(error) = &self.no_cargo {
            return Err(cannot_start(error));
        }
        self.source.as_ref().ok_or_else(|| {
            Error::usage(format!(
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
            let failure = Error::usage(format!("no binary `{}` on this machine", self.name));
            match &self.no_cargo {
                Some(error) => {
                    let (reason, help) = cannot_start(error).into_parts();
                    let failure = failure
                        .because(&format!("{reason}, which would build it from here"))
                        .help("pass `--trainer-binary FILE`, or put it on the PATH");
                    help.into_iter().fold(failure, Error::help)
                }
                None => failure.help("put it on the PATH, or run this in Trainyard's repository"),
            }
        })
    }

    /// The binary that is there already, if any; nothing is compiled.
    pub(crate) fn existing_binary(&self) -> Option<PathBuf> {
        if let Some(source) = &self.source {
            // With CARGO_BUILD_TARGET cargo has a folder for that target.
            let target = std::env::var_os("CARGO_BUILD_TARGET").unwrap_or_default();
            let folder = source.target.join(target).join("release");
            let built = folder.join(&self.name);
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
        self.run_cargo(source, Command::new(cargo()), &arguments.map(str::to_owned))
            .await
            .map(|compiled| compiled.binary)
    }

    /// Runs cargo, and gives the path that it says it wrote the trainer's binary to: where that is depends on its
    /// configuration too.
    pub(crate) async fn run_cargo(
        &self,
        source: &Source,
        mut cargo: Command,
        arguments: &[String],
    ) -> Result<Compiled> {
        let line = format!("cargo {}", arguments.join(" "));
        let (subcommand, rest) = arguments.split_at(1);
        if io::stderr().is_terminal() && set("CARGO_TERM_COLOR").is_none() {
            // It writes into a pipe.
            cargo.env("CARGO_TERM_COLOR", "always");
        }
        let mut child = cargo
            .args(subcommand)
            // For us; what it says to people goes to them as always.
            .arg("--message-format=json-render-diagnostics")
            .args(rest)
            .current_dir(&source.workspace)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| no_cargo(&error))?;
        let words = child.stderr.take();
        let (output, ()) = tokio::join!(child.wait_with_output(), pass_on(words, &line));
        let output = output.map_err(|error| no_cargo(&error))?;
        if !output.status.success() {
            return Err(Error::new(format!("`{line}` failed: {}", output.status))
                .help("its own messages are above"));
        }
        self.compiled(&output.stdout).ok_or_else(|| {
            Error::new(format!("`{line}` made no program `{}`", self.name))
                .help("a trainer's package has a binary of the same name")
        })
    }

    fn compiled(&self, messages: &[u8]) -> Option<Compiled> {
        let (mut binary, mut folders) = (None, Vec::new());
        for message in Message::parse_stream(messages).flatten() {
            match message {
                Message::CompilerArtifact(artifact) if artifact.target.name == self.name => {
                    binary = artifact.executable.or(binary);
                }
                Message::BuildScriptExecuted(script) => {
                    // `native=/some/folder`, as in `cargo::rustc-link-search`.
                    let paths = script.linked_paths.into_iter().map(String::from);
                    folders.extend(paths.map(|path| match path.split_once('=') {
                        Some((_, folder)) => PathBuf::from(folder),
                        None => PathBuf::from(path),
                    }));
                }
                _ => {}
            }
        }
        Some(Compiled {
            binary: binary?.into(),
            folders,
        })
    }
}

/// What cargo says to people, behind its command line; nothing, if nothing is to be done.
async fn pass_on(words: Option<ChildStderr>, command: &str) {
    let Some(words) = words else { return };
    let mut words = BufReader::new(words);
    let mut told = false;
    let mut line = Vec::new();
    while let Ok(1..) = words.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line);
        if told || !is_idle(&text) {
            if !told {
                eprint_line(command);
                told = true;
            }
            eprint_line(text.trim_end());
        }
        line.clear();
    }
}

/// Whether it is all that cargo says when there is nothing to compile, colours or not.
fn is_idle(line: &str) -> bool {
    line.trim().is_empty()
        || line.contains("Finished `release`")
        || line.contains("Finished\u{1b}[0m `release`")
}

/// The cargo that runs us, if one does, else the one on the PATH.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Where cargo keeps its registry and its configuration.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let user = || Some(PathBuf::from(set("HOME")?).join(".cargo"));
    set("CARGO_HOME").map(PathBuf::from).or_else(user)
}

/// What to say when cargo does not start.
pub(crate) fn no_cargo(error: &std::io::Error) -> Error {
    cannot_start(&error.to_string())
}

fn cannot_start(error: &str) -> Error {
    Error::new(format!("cannot start `cargo`: {error}")).help("install Rust from https://rustup.rs")
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

fn in_workspace() -> Result<bool> {
    let here = std::env::current_dir().map_err(|error| {
        Error::new(format!("cannot read the working directory: {error}"))
            .help("go to a folder that exists")
    })?;
    let mut folders = here.ancestors();
    Ok(folders.any(|folder| folder.join("Cargo.toml").is_file()))
}

fn metadata_command() -> MetadataCommand {
    let mut command = MetadataCommand::new();
    command.cargo_path(PathBuf::from(cargo())).no_deps();
    command
}

fn no_metadata(error: impl std::fmt::Display) -> Error {
    Error::new(format!("`cargo metadata` failed: {error}"))
        .help("`cargo metadata --no-deps` shows it in full")
}

fn source(metadata: &Metadata, package: &Package, own: &serde_json::Value) -> Result<Source> {
    let parsed = TrainerMetadata::deserialize(own).map_err(|error| {
        Error::usage(format!(
            "{}: [package.metadata.trainer]: {error}",
            package.manifest_path
        ))
        .help("trainers/svm/Cargo.toml in Trainyard's source has one that is sound")
    })?;
    Ok(Source {
        workspace: metadata.workspace_root.clone().into(),
        target: metadata.target_directory.clone().into(),
        version: package.version.to_string(),
        metadata: parsed,
    })
}

fn unknown(name: &str, names: &[String]) -> Error {
    let near = names.iter().max_by(|a, b| {
        let likeness = |other: &str| strsim::jaro_winkler(name, other);
        likeness(a).total_cmp(&likeness(b))
    });
    let near = near.filter(|near| strsim::jaro_winkler(name, near) > 0.7);
    let help = match near {
        Some(near) => format!("did you mean `{near}`? there are: {}", names.join(", ")),
        None => format!("there are: {}", names.join(", ")),
    };
    Error::usage(format!("no trainer `{name}`")).help(help)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder: PathBuf| folder.join(name))
        .find(|file: &PathBuf| Path::is_file(file))
}
