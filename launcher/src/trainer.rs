//! Finds the trainers of the workspace by `[package.metadata.trainer]`, and their binaries.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cargo_metadata::{Message, Metadata, MetadataCommand, Package};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStderr, Command};

use crate::util::env_var;
use diagnostics::{Error, Result, eprint_line};
use image::Link;

/// `[package.metadata.trainer]` of a trainer's manifest.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct TrainerMetadata {
    /// Cargo features of the binary in the image.
    image_features: Vec<String>,
    /// Linkage of the binary in the image.
    link: Link,
    /// Patterns of file names, with `*`, of libraries that it opens at run time. They are copied
    /// into the image from the folders of the linked libraries, if they exist.
    opened_libraries: Vec<String>,
}

/// Result of a build.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) binary: PathBuf,
    /// Library folders that its build scripts reported.
    pub(crate) folders: Vec<PathBuf>,
}

/// A trainer. Its package, its binary and its image's repository have its name.
#[derive(Debug, Clone)]
pub(crate) struct TrainerPackage {
    pub(crate) name: String,
    /// Absent outside of a workspace, as on a machine with the binaries only.
    pub(crate) source: Option<Source>,
    /// In a workspace, the reason why cargo does not start.
    no_cargo: Option<String>,
}

/// Source of a trainer.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) package: image::Package,
    /// Cargo features of the binary in the image.
    pub(crate) image_features: Vec<String>,
}

impl TrainerPackage {
    /// Finds the trainer in the workspace around the working directory. Outside of a workspace any
    /// name is accepted, since an image may be given.
    pub(crate) fn find(name: &str) -> Result<Self> {
        if !in_workspace()? {
            return Ok(Self::without_source(name));
        }
        match metadata_command().exec() {
            Ok(metadata) => Self::find_in(&metadata, name),
            // An existing binary or image needs no cargo.
            Err(cargo_metadata::Error::Io(error)) => Ok(Self {
                no_cargo: Some(error.to_string()),
                ..Self::without_source(name)
            }),
            Err(error) => Err(no_metadata(error)),
        }
    }

    /// Finds all trainers of the workspace around the working directory; none outside of one.
    pub(crate) fn all() -> Result<Vec<Self>> {
        if !in_workspace()? {
            return Ok(Vec::new());
        }
        let metadata = metadata_command().exec().map_err(no_metadata)?;
        let packages = metadata.workspace_packages().into_iter();
        packages
            .filter_map(|package| Some((package, package.metadata.get("trainer")?)))
            .map(|(package, own)| Self::of(&metadata, package, own))
            .collect()
    }

    /// Like [`Self::find`], for checks: can be cancelled, and rustup downloads nothing. None if
    /// cargo does not start.
    pub(crate) async fn find_cancellable(name: &str) -> Result<Option<Self>> {
        if !in_workspace()? {
            return Ok(Some(Self::without_source(name)));
        }
        let mut command = Command::from(metadata_command().cargo_command());
        let output = command
            .env("RUSTUP_AUTO_INSTALL", "0")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        let Ok(output) = output else { return Ok(None) };
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().next().unwrap_or_default();
            return Err(no_metadata(diagnostics::sanitize(line.trim())));
        }
        let metadata =
            MetadataCommand::parse(String::from_utf8_lossy(&output.stdout)).map_err(no_metadata)?;
        Self::find_in(&metadata, name).map(Some)
    }

    fn without_source(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            source: None,
            no_cargo: None,
        }
    }

    fn of(metadata: &Metadata, package: &Package, own: &serde_json::Value) -> Result<Self> {
        Ok(Self {
            name: package.name.to_string(),
            source: Some(source(metadata, package, own)?),
            no_cargo: None,
        })
    }

    fn find_in(metadata: &Metadata, name: &str) -> Result<Self> {
        let mut names = Vec::new();
        for package in metadata.workspace_packages() {
            let Some(own) = package.metadata.get("trainer") else {
                continue;
            };
            if package.name == name {
                return Self::of(metadata, package, own);
            }
            names.push(package.name.to_string());
        }
        if names.is_empty() {
            // A workspace of another project.
            return Ok(Self::without_source(name));
        }
        Err(unknown(name, &names))
    }

    /// Reason why cargo does not start in a workspace.
    pub(crate) fn no_cargo(&self) -> Option<&str> {
        self.no_cargo.as_deref()
    }

    /// Returns the source, for commands that compile.
    pub(crate) fn source(&self) -> Result<&Source> {
        if let Some(error) = &self.no_cargo {
            return Err(cannot_start(error));
        }
        self.source.as_ref().ok_or_else(|| {
            Error::usage(format!(
                "the working directory is not in a workspace with a trainer `{}`",
                self.name
            ))
            .help("run this in Trainyard's repository, or pass `--image` where the command has it")
        })
    }

    /// Returns the binary for this machine: next to `trainyard`, on the PATH, or compiled by cargo.
    pub(crate) async fn host_binary(&self) -> Result<PathBuf> {
        self.host_binary_with(&[]).await
    }

    /// Returns the binary for this machine with the command `serve`.
    pub(crate) async fn serving_binary(&self) -> Result<PathBuf> {
        self.host_binary_with(&["serve"]).await
    }

    /// Compiles with those of the features that the images have.
    async fn host_binary_with(&self, features: &[&str]) -> Result<PathBuf> {
        if let Some(source) = &self.source {
            return self.compile(source, features).await;
        }
        self.existing_binary().ok_or_else(|| {
            let error = Error::usage(format!("no binary `{}` on this machine", self.name));
            match &self.no_cargo {
                Some(cause) => {
                    let (reason, help) = cannot_start(cause).into_parts();
                    let error = error
                        .because(&format!("{reason}, which would build it here"))
                        .help("pass `--trainer-binary FILE`, or put it on the PATH");
                    help.into_iter().fold(error, Error::help)
                }
                None => error.help("put it on the PATH, or run this in Trainyard's repository"),
            }
        })
    }

    /// Returns the existing binary, without compiling.
    pub(crate) fn existing_binary(&self) -> Option<PathBuf> {
        if let Some(source) = &self.source {
            // With CARGO_BUILD_TARGET cargo writes to a folder for that target.
            let target = std::env::var_os("CARGO_BUILD_TARGET").unwrap_or_default();
            let folder = source.package.target_dir.join(target).join("release");
            let built = folder.join(&self.name);
            return built.is_file().then_some(built);
        }
        self.next_to_launcher().or_else(|| on_path(&self.name))
    }

    fn next_to_launcher(&self) -> Option<PathBuf> {
        let own = std::env::current_exe().ok()?;
        let binary = own.parent()?.join(&self.name);
        binary.is_file().then_some(binary)
    }

    async fn compile(&self, source: &Source, features: &[&str]) -> Result<PathBuf> {
        let arguments = ["build", "--release", "--locked", "-p", &self.name];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        let known = |feature: &&&str| source.image_features.iter().any(|own| own == **feature);
        for feature in features.iter().filter(known) {
            arguments.extend(["--features".to_owned(), (*feature).to_owned()]);
        }
        self.run_cargo(source, Command::new(cargo()), &arguments)
            .await
            .map(|compiled| compiled.binary)
    }

    /// Runs cargo and returns the path of the trainer's binary from cargo's messages, since it
    /// depends on cargo's configuration.
    pub(crate) async fn run_cargo(
        &self,
        source: &Source,
        mut cargo: Command,
        arguments: &[String],
    ) -> Result<Compiled> {
        let line = format!("cargo {}", arguments.join(" "));
        let (subcommand, rest) = arguments.split_at(1);
        if io::stderr().is_terminal() && env_var("CARGO_TERM_COLOR").is_none() {
            // Its standard error is a pipe.
            cargo.env("CARGO_TERM_COLOR", "always");
        }
        let mut child = cargo
            .args(subcommand)
            // JSON for this program on standard output, messages for people on standard error.
            .arg("--message-format=json-render-diagnostics")
            .args(rest)
            .current_dir(&source.package.workspace)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| no_cargo(&error))?;
        let stderr = child.stderr.take();
        let (output, ()) = tokio::join!(child.wait_with_output(), print_messages(stderr, &line));
        let output = output.map_err(|error| no_cargo(&error))?;
        if !output.status.success() {
            return Err(Error::new(format!("`{line}` failed: {}", output.status))
                .help("see cargo's messages above"));
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

/// Prints cargo's command line and its messages, unless there is nothing to compile.
async fn print_messages(stderr: Option<ChildStderr>, command: &str) {
    let Some(stderr) = stderr else { return };
    let mut stderr = BufReader::new(stderr);
    let mut printed = false;
    let mut line = Vec::new();
    while let Ok(1..) = stderr.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line);
        if printed || !is_idle(&text) {
            if !printed {
                eprint_line(command);
                printed = true;
            }
            eprint_line(text.trim_end());
        }
        line.clear();
    }
}

/// True for cargo's only message if there is nothing to compile, with or without colours.
fn is_idle(line: &str) -> bool {
    line.trim().is_empty()
        || line.contains("Finished `release`")
        || line.contains("Finished\u{1b}[0m `release`")
}

/// Returns the cargo that runs this program, else the one on the PATH.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Folder of cargo's registry and configuration.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let user = || Some(PathBuf::from(env_var("HOME")?).join(".cargo"));
    env_var("CARGO_HOME").map(PathBuf::from).or_else(user)
}

/// Error for a cargo that does not start.
pub(crate) fn no_cargo(error: &std::io::Error) -> Error {
    cannot_start(&error.to_string())
}

fn cannot_start(error: &str) -> Error {
    Error::new(format!("cannot start `cargo`: {error}")).help("install Rust from https://rustup.rs")
}

/// Returns the workspace around the working directory: the outermost folder with a lock file. Works
/// without cargo, which may be missing.
pub(crate) fn workspace_folder() -> Option<PathBuf> {
    let current = std::env::current_dir().ok()?;
    current
        .ancestors()
        .filter(|folder| folder.join("Cargo.lock").is_file())
        .last()
        .map(Path::to_owned)
}

fn in_workspace() -> Result<bool> {
    let current = std::env::current_dir().map_err(|error| {
        Error::new(format!("cannot read the working directory: {error}"))
            .help("go to a folder that exists")
    })?;
    let mut folders = current.ancestors();
    Ok(folders.any(|folder| folder.join("Cargo.toml").is_file()))
}

fn metadata_command() -> MetadataCommand {
    let mut command = MetadataCommand::new();
    command.cargo_path(PathBuf::from(cargo())).no_deps();
    command
}

fn no_metadata(error: impl std::fmt::Display) -> Error {
    Error::new(format!("`cargo metadata` failed: {error}"))
        .help("`cargo metadata --no-deps` shows the full error")
}

fn source(metadata: &Metadata, package: &Package, own: &serde_json::Value) -> Result<Source> {
    let parsed = TrainerMetadata::deserialize(own).map_err(|error| {
        Error::usage(format!(
            "{}: [package.metadata.trainer]: {error}",
            package.manifest_path
        ))
        .help("see the section in trainers/svm/Cargo.toml of Trainyard's source")
    })?;
    let package = image::Package {
        name: package.name.to_string(),
        version: package.version.to_string(),
        workspace: metadata.workspace_root.clone().into(),
        target_dir: metadata.target_directory.clone().into(),
        link: parsed.link,
        opened_libraries: parsed.opened_libraries,
    };
    Ok(Source {
        package,
        image_features: parsed.image_features,
    })
}

fn unknown(name: &str, names: &[String]) -> Error {
    let near = names
        .iter()
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.7);
    let help = match near {
        Some((_, near)) => format!("did you mean `{near}`? there are: {}", names.join(", ")),
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

/// Returns a command of a trainer's binary on this machine. Folders and channels of a surrounding
/// container do not belong to it.
pub(crate) fn host_command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SM_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}
