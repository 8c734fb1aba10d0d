//! Shared by the tests of local jobs: images of static binaries, jobs in temporary folders, and
//! checks that nothing is left behind.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses a part of it; tests report by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use testkit::{Outcome, run};

mod files;
mod scenarios;
mod started;

pub use files::*;
pub use scenarios::*;
pub use started::Started;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Secret key of the launcher, which must not appear anywhere.
const CANARY: &str = "canary-of-a-secret";

/// Builds with cargo, which compiles once.
fn compiled(mut command: Command, file: &str) -> PathBuf {
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    testkit::run_within(command, Duration::from_secs(900)).expect_code(0);
    let profile = Path::new(env!("CARGO_BIN_EXE_trainyard")).parent();
    let target = profile.and_then(Path::parent).expect("a target folder");
    target.join(TARGET).join("release").join(file)
}

/// The static trainer that `trainyard build` puts into its image.
pub fn svm() -> PathBuf {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command.args(["build", "svm", "--output"]);
    command.arg(folder.path().join("svm.tar"));
    compiled(command, "svm")
}

/// A trainer with test modes: `crates/testkit/examples/toy_trainer.rs`.
pub fn toy() -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .args(["build", "--quiet", "--release", "--target", TARGET])
        .args(["-p", "testkit", "--example", "toy_trainer"]);
    compiled(command, "examples/toy_trainer")
}

/// Runs `docker`, which must succeed, and returns its output.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    let mut command = Command::new("docker");
    command.args(arguments);
    run(command).expect_code(0).stdout.trim().to_owned()
}

/// An image, removed at the end of the test.
pub struct Image(pub String);

impl Image {
    /// An image with the binary only.
    pub fn of(binary: &Path) -> Self {
        Self::with(binary, &["ENTRYPOINT [\"/trainer\"]", "CMD [\"train\"]"])
    }

    /// An image with the binary as `/trainer` and lines of a Dockerfile.
    pub fn with(binary: &Path, changes: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("trainyard-test:{}-{number}", std::process::id());
        let folder = tempfile::tempdir().expect("a folder");
        fs::copy(binary, folder.path().join("trainer")).expect("the binary is there");
        let tar = folder.path().join("image.tar");
        let mut pack = Command::new("tar");
        pack.arg("-cf")
            .arg(&tar)
            .arg("-C")
            .arg(folder.path())
            .arg("trainer");
        run(pack).expect_code(0);
        let mut import = Command::new("docker");
        import.arg("import");
        for change in changes {
            import.args(["--change", change]);
        }
        import.arg(&tar).arg(&name);
        run(import).expect_code(0);
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["image", "rm", "--force", &self.0])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Backend that runs the trainer.
pub enum Backend {
    /// An image, and the binary that checks hyperparameters.
    Docker(Image, PathBuf),
    Process(PathBuf),
}

/// The toy, in an image or as a process.
pub fn toy_in(docker: bool) -> Backend {
    in_docker(docker, toy())
}

/// The svm, in an image or as a process.
pub fn svm_in(docker: bool) -> Backend {
    in_docker(docker, svm())
}

fn in_docker(docker: bool, binary: PathBuf) -> Backend {
    if docker {
        Backend::Docker(Image::of(&binary), binary)
    } else {
        Backend::Process(binary)
    }
}

/// A folder for the jobs of one test, and their prefix.
pub struct Jobs {
    pub folder: tempfile::TempDir,
    pub prefix: String,
    pub backend: Backend,
}

impl Jobs {
    /// `test` names the jobs, so it must be unique and short.
    pub fn new(test: &str, backend: Backend) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("tmp")).expect("it is empty");
        fs::create_dir(folder.path().join("home")).expect("it is empty");
        Self {
            folder,
            prefix: format!("t-{test}-{}", std::process::id()),
            backend,
        }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Data that the toy ignores.
    pub fn data(&self) -> PathBuf {
        let path = self.path("data.csv");
        fs::write(&path, "text,label\na,b\n").expect("a file");
        path
    }

    /// `trainyard train` on this data.
    pub fn train_on(&self, data: &Path, more: &[&str]) -> Command {
        self.train_with(Path::new(env!("CARGO_BIN_EXE_trainyard")), data, more)
    }

    /// `train_on` with a copy of the launcher.
    pub fn train_with(&self, launcher: &Path, data: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(launcher);
        self.environment(&mut command);
        command
            .args(["train", "svm", "--json", "--job-name-prefix", &self.prefix])
            .arg("--data")
            .arg(format!("file://{}", data.display()))
            .arg("--output")
            .arg(format!("file://{}", self.path("out").display()));
        match &self.backend {
            Backend::Docker(image, checks) => {
                command.args(["--instance-type", "local", "--image", &image.0]);
                command.arg("--trainer-binary").arg(checks);
            }
            Backend::Process(binary) => {
                command.args(["--instance-type", "local-process", "--trainer-binary"]);
                command.arg(binary);
            }
        }
        command.args(more);
        command
    }

    /// Sets only what the launcher needs, a temporary folder, and the canary.
    pub fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_SECRET_ACCESS_KEY", CANARY)
            // Not in a workspace: cargo is not used.
            .current_dir(self.folder.path());
    }

    /// Runs `trainyard train -- --mode MODE`.
    pub fn toy(&self, mode: &str, more: &[&str]) -> Outcome {
        run(self.toy_command(mode, more))
    }

    pub fn toy_command(&self, mode: &str, more: &[&str]) -> Command {
        let mut arguments = more.to_vec();
        arguments.extend(["--", "--mode", mode]);
        self.train_on(&self.data(), &arguments)
    }

    /// Starts `trainyard train` and waits until the toy runs.
    pub fn start_toy(&self, mode: &str, more: &[&str]) -> Started {
        Started::new(self.toy_command(mode, more), "toy: mode", self)
    }

    /// Names of this test's containers.
    pub fn containers(&self) -> Vec<String> {
        let filter = format!("name={}", self.prefix);
        let found = docker(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
        found.lines().map(str::to_owned).collect()
    }

    /// Ids of all containers of the image.
    pub fn containers_of_image(&self) -> Vec<String> {
        let Backend::Docker(image, _) = &self.backend else {
            return Vec::new();
        };
        let filter = format!("ancestor={}", image.0);
        let found = docker(&["ps", "--all", "--quiet", "--filter", &filter]);
        found.lines().map(str::to_owned).collect()
    }

    /// The only container, which must be running.
    #[track_caller]
    pub fn container(&self) -> String {
        let containers = self.containers();
        assert_eq!(containers.len(), 1, "{containers:?}");
        containers.into_iter().next().expect("just counted")
    }

    /// Asserts that no file, and no file in an archive, has the launcher's credentials.
    #[track_caller]
    fn assert_no_secret(&self) {
        for name in files(self.folder.path()) {
            let path = self.path(&name);
            // Skips large data of the test.
            if !path.is_file() || name.starts_with("many") {
                continue;
            }
            let bytes = fs::read(&path).expect("own file");
            let mut texts = vec![bytes];
            if name.ends_with(".tar.gz") {
                texts.extend(unpacked(&path).into_values());
            }
            for text in texts {
                let found = text
                    .windows(CANARY.len())
                    .any(|part| part == CANARY.as_bytes());
                assert!(!found, "the secret is in `{name}`");
            }
        }
    }

    /// Asserts that no container, volume, temporary file, partial archive or secret is left.
    #[track_caller]
    pub fn assert_clean(&self) {
        self.assert_no_secret();
        if matches!(self.backend, Backend::Docker(..)) {
            assert_eq!(self.containers(), [""; 0]);
            let volumes = docker(&[
                "volume",
                "ls",
                "--filter",
                "label=trainyard.job",
                "--format",
                "{{.Label \"trainyard.job\"}}",
            ]);
            let own: Vec<_> = volumes
                .lines()
                .filter(|job| job.starts_with(&self.prefix))
                .collect();
            assert!(own.is_empty(), "volumes are left: {own:?}");
        }
        assert_eq!(files(&self.path("tmp")), [""; 0]);
        let partial: Vec<_> = files(self.folder.path())
            .into_iter()
            .filter(|name| name.contains("partial"))
            .collect();
        assert!(partial.is_empty(), "{partial:?}");
    }
}

/// Removes the containers of a failed test.
impl Drop for Jobs {
    fn drop(&mut self) {
        if matches!(self.backend, Backend::Docker(..)) && std::thread::panicking() {
            for containers in [Self::containers, Self::containers_of_image] {
                for container in containers(self) {
                    docker(&["rm", "--force", "--volumes", &container]);
                }
            }
        }
    }
}
