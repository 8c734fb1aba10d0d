//! A workspace with one small trainer, so that each test has its own image.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testkit::{Engine, Outcome, run, run_within};

/// Time limit for a build from scratch on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(1500);

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A git repository with a Cargo workspace and the trainer `name`; removed when dropped.
pub(crate) struct Workspace {
    pub(crate) name: String,
    root: TempDir,
}

impl Workspace {
    pub(crate) fn new(name: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let workspace = Self {
            name: name.to_owned(),
            root,
        };
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2024\"\n\n\
             [package.metadata.trainer]\n\n[workspace]\n"
        );
        workspace.write("Cargo.toml", manifest.as_bytes());
        workspace.write(
            "Cargo.lock",
            format!("version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"1.2.3\"\n")
                .as_bytes(),
        );
        workspace.write("src/main.rs", MAIN.as_bytes());
        workspace.write(".gitignore", b"/target/\n/out/\n");
        workspace.git(&["init", "--quiet"]);
        workspace.git(&["add", "."]);
        workspace.git(&["commit", "--quiet", "--message", "a toy"]);
        workspace
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, bytes: &[u8]) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Adds a crate that the trainer uses.
    #[allow(dead_code, reason = "not every test has one")]
    pub(crate) fn add_library(&self, name: &str, source: &str) {
        let package = |name: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2024\"\n")
        };
        self.write(&format!("{name}/Cargo.toml"), package(name).as_bytes());
        self.write(&format!("{name}/src/lib.rs"), source.as_bytes());
        let manifest = format!(
            "{}\n[package.metadata.trainer]\n\n[dependencies]\n{name} = {{ path = \"{name}\" }}\n\n[workspace]\n",
            package(&self.name)
        );
        self.write("Cargo.toml", manifest.as_bytes());
        let own = &self.name;
        let lock = format!(
            "version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"{own}\"\nversion = \"1.2.3\"\ndependencies = [\n \"{name}\",\n]\n"
        );
        self.write("Cargo.lock", lock.as_bytes());
    }

    /// The repository's Dockerfile. Its build stage has the label by which the engine's images are
    /// removed after the test.
    #[allow(dead_code, reason = "not every test has one")]
    pub(crate) fn add_dockerfile(&self) {
        let dockerfile = std::fs::read_to_string(repository().join("docker/Dockerfile")).unwrap();
        let label = format!(" AS build\nLABEL trainyard-test={}\n", self.name);
        let labelled = dockerfile.replace(" AS build\n", &label);
        assert_ne!(dockerfile, labelled);
        self.write("docker/Dockerfile", labelled.as_bytes());
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        let author = ["-c", "user.name=toy", "-c", "user.email=toy@example.org"];
        command
            .args(author)
            .args(arguments)
            .current_dir(self.root.path())
            .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
            .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z");
        run(command).expect_code(0);
    }

    /// `trainyard ARGUMENTS` in the workspace, with an empty home and none of the test's
    /// credentials.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
        command.args(arguments).current_dir(self.root.path());
        for name in [
            "AWS_PROFILE",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "DOCKER_CONFIG",
            "DOCKER_CONTEXT",
            "RUSTFLAGS",
            "SOURCE_DATE_EPOCH",
            "TRAINYARD_REGISTRY_USER",
            "TRAINYARD_REGISTRY_PASSWORD",
        ] {
            command.env_remove(name);
        }
        command
    }

    #[track_caller]
    pub(crate) fn trainyard(&self, arguments: &[&str]) -> Outcome {
        run_within(self.command(arguments), LONG)
    }

    /// Runs `build NAME --json` with `more` and returns its output.
    #[track_caller]
    pub(crate) fn build(&self, more: &[&str]) -> Value {
        let mut arguments = vec!["build", &self.name, "--json"];
        arguments.extend(more);
        let outcome = self.trainyard(&arguments);
        outcome.expect_code(0);
        outcome.json()
    }

    #[allow(dead_code, reason = "not every test has one")]
    /// The toy, compiled: a static program that prints `toy` and its arguments.
    pub(crate) fn binary(&self) -> String {
        let answer = self.build(&[]);
        answer["binary"].as_str().unwrap().to_owned()
    }
}

const MAIN: &str = "fn main() {\n    let arguments: Vec<String> = std::env::args().skip(1).collect();\n    println!(\"toy {arguments:?}\");\n}\n";

/// The unpacked files of an archive that `build --output` wrote: the tars of all layers,
/// concatenated.
pub(crate) fn unpacked(archive: &Path) -> Vec<u8> {
    let script = "import sys, tarfile, gzip\n\
        archive = tarfile.open(sys.argv[1])\n\
        for member in archive.getmembers():\n\
        \x20   data = archive.extractfile(member).read()\n\
        \x20   sys.stdout.buffer.write(gzip.decompress(data) if member.name.endswith('.gz') else data)\n";
    let output = Command::new(testkit_python())
        .args(["-c", script])
        .arg(archive)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn testkit_python() -> std::ffi::OsString {
    std::env::var_os("TRAINYARD_PYTHON").unwrap_or_else(|| "python3".into())
}

/// True if the bytes contain the text.
pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Paths, kinds and modes of a container's files, as the engine exports them.
#[allow(dead_code, reason = "not every test has one")]
pub(crate) fn files(engine: &Engine, image: &str) -> Vec<String> {
    let script = "set -e; id=$(docker create --label \"$2\" \"$1\"); docker export \"$id\" | tar -tv --numeric-owner; docker rm \"$id\" >/dev/null";
    let mut command = Command::new("sh");
    let label = format!("trainyard-test={}", engine.unique());
    command.args(["-c", script, "sh", image, &label]);
    let outcome = run(command);
    outcome.expect_code(0);
    let mut files: Vec<String> = outcome
        .stdout
        .lines()
        .map(|line| {
            // Mode, owner, size, date, time, path.
            let fields: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", fields[0], fields[1], fields[5..].join(" "))
        })
        .collect();
    files.sort();
    files
}

/// Returns the settings with which the engine runs the image.
#[allow(dead_code, reason = "not every test has one")]
pub(crate) fn settings(engine: &Engine, image: &str) -> String {
    let format = "{{json .Config.Labels}} {{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Config.WorkingDir}} {{json .Config.Env}}";
    engine
        .docker(&["image", "inspect", "--format", format, image])
        .stdout
}

/// An image with this machine's Rust: a base for docker/Dockerfile.
#[allow(dead_code, reason = "not every test has one")]
pub(crate) fn rust_base(engine: &Engine) -> String {
    let name = format!("{}-base", engine.unique());
    let mut command = Command::new(repository().join("tests/rust_image.sh"));
    command.arg(&name);
    engine.remove_later(&name);
    run_within(command, LONG).expect_code(0);
    name
}
