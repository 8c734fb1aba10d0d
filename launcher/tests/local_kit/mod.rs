//! What the tests of local jobs share: images of static binaries, jobs in folders of their own, and a look at what is left.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses a part of it; tests report by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Outcome, Running, movie_csv, run, start};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What the launcher gets as its secret key, and nothing may show.
const CANARY: &str = "canary-of-a-secret";

/// Waiting for something that takes a second or two on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Compiles once, then it is a look at the clock of some files.
fn compiled(mut command: Command, file: &str) -> PathBuf {
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    testkit::run_within(command, Duration::from_secs(900)).expect_code(0);
    let profile = Path::new(env!("CARGO_BIN_EXE_trainyard")).parent();
    let target = profile.and_then(Path::parent).expect("a target folder");
    target.join(TARGET).join("release").join(file)
}

/// The trainer, static: what `trainyard build` puts into its image.
pub fn svm() -> PathBuf {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command.args(["build", "svm", "--output"]);
    command.arg(folder.path().join("svm.tar"));
    compiled(command, "svm")
}

/// A trainer that does what it is asked to: `tests/examples/toy_trainer.rs`.
pub fn toy() -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .args(["build", "--quiet", "--release", "--target", TARGET])
        .args(["-p", "testkit", "--example", "toy_trainer"]);
    compiled(command, "examples/toy_trainer")
}

/// Runs `docker`, which must succeed, and gives its output.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    let mut command = Command::new("docker");
    command.args(arguments);
    run(command).expect_code(0).stdout.trim().to_owned()
}

/// An image, gone at the end of the test.
pub struct Image(pub String);

impl Image {
    /// Nothing but the binary.
    pub fn of(binary: &Path) -> Self {
        Self::with(binary, &["ENTRYPOINT [\"/trainer\"]", "CMD [\"train\"]"])
    }

    /// The binary as `/trainer`, and a Dockerfile's lines.
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

/// What runs the trainer.
pub enum Where {
    /// With the binary that checks hyperparameters.
    Docker(Image, PathBuf),
    Process(PathBuf),
}

/// The toy, in an image or as it is.
pub fn toy_in(docker: bool) -> Where {
    in_docker(docker, toy())
}

/// The svm, in an image or as it is.
pub fn svm_in(docker: bool) -> Where {
    in_docker(docker, svm())
}

fn in_docker(docker: bool, binary: PathBuf) -> Where {
    if docker {
        Where::Docker(Image::of(&binary), binary)
    } else {
        Where::Process(binary)
    }
}

/// A folder for the jobs of one test, and their prefix.
pub struct Jobs {
    pub folder: tempfile::TempDir,
    pub prefix: String,
    pub place: Where,
}

impl Jobs {
    /// `test` names the jobs, so it must be unique and short.
    pub fn new(test: &str, place: Where) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("tmp")).expect("it is empty");
        fs::create_dir(folder.path().join("home")).expect("it is empty");
        Self {
            folder,
            prefix: format!("t-{test}-{}", std::process::id()),
            place,
        }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Data that nobody reads.
    pub fn data(&self) -> PathBuf {
        let path = self.path("data.csv");
        fs::write(&path, "text,label\na,b\n").expect("a file");
        path
    }

    /// `trainyard train` on this data.
    pub fn train_on(&self, data: &Path, more: &[&str]) -> Command {
        self.train_with(Path::new(env!("CARGO_BIN_EXE_trainyard")), data, more)
    }

    /// The same by a copy of the launcher.
    pub fn train_with(&self, launcher: &Path, data: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(launcher);
        self.environment(&mut command);
        command
            .args(["train", "svm", "--json", "--job-name-prefix", &self.prefix])
            .arg("--data")
            .arg(format!("file://{}", data.display()))
            .arg("--output")
            .arg(format!("file://{}", self.path("out").display()));
        match &self.place {
            Where::Docker(image, checks) => {
                command.args(["--instance-type", "local", "--image", &image.0]);
                command.arg("--trainer-binary").arg(checks);
            }
            Where::Process(binary) => {
                command.args(["--instance-type", "local-process", "--trainer-binary"]);
                command.arg(binary);
            }
        }
        command.args(more);
        command
    }

    /// Only what the launcher needs, a temporary folder of its own, and a canary.
    pub fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_SECRET_ACCESS_KEY", CANARY)
            // No workspace around it: no cargo.
            .current_dir(self.folder.path());
    }

    /// `trainyard train -- --mode MODE` to its end.
    pub fn toy(&self, mode: &str, more: &[&str]) -> Outcome {
        run(self.toy_command(mode, more))
    }

    pub fn toy_command(&self, mode: &str, more: &[&str]) -> Command {
        let mut arguments = more.to_vec();
        arguments.extend(["--", "--mode", mode]);
        self.train_on(&self.data(), &arguments)
    }

    /// Starts it and waits until the job's trainer says `line`.
    pub fn start_toy(&self, mode: &str, more: &[&str]) -> Started {
        Started::new(self.toy_command(mode, more), "toy: mode", self)
    }

    /// Names of this test's containers.
    pub fn containers(&self) -> Vec<String> {
        let filter = format!("name={}", self.prefix);
        let found = docker(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
        found.lines().map(str::to_owned).collect()
    }

    /// The only container, which must run by now.
    #[track_caller]
    pub fn container(&self) -> String {
        let containers = self.containers();
        assert_eq!(containers.len(), 1, "{containers:?}");
        containers.into_iter().next().expect("just counted")
    }

    /// No file of the test holds the credentials that the launcher was given, not even in an archive.
    #[track_caller]
    fn assert_no_secret(&self) {
        for name in files(self.folder.path()) {
            let path = self.path(&name);
            // What a test has put in, such as a copy of the launcher or its large data, is not looked through.
            if !path.is_file() || name.starts_with("many") {
                continue;
            }
            let bytes = fs::read(&path).expect("it is ours");
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

    /// No container, volume, temporary file, half archive or secret is left.
    #[track_caller]
    pub fn assert_clean(&self) {
        self.assert_no_secret();
        if matches!(self.place, Where::Docker(..)) {
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

/// Ends what a failed test has left.
impl Drop for Jobs {
    fn drop(&mut self) {
        if matches!(self.place, Where::Docker(..)) && std::thread::panicking() {
            for container in self.containers() {
                docker(&["rm", "--force", "--volumes", &container]);
            }
        }
    }
}

/// A launcher whose trainer runs.
pub struct Started {
    pub running: Running,
    log: PathBuf,
}

impl Started {
    /// Starts the command and waits until `line` is on its standard error.
    #[track_caller]
    pub fn new(command: Command, line: &str, jobs: &Jobs) -> Self {
        let log = jobs.path("log");
        // The shell becomes the launcher, so signals reach it.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "log=$1; shift; exec \"$@\" 2>\"$log\"", "sh"])
            .arg(&log)
            .arg(command.get_program())
            .args(command.get_args());
        jobs.environment(&mut shell);
        let mut started = Self {
            running: start(shell),
            log,
        };
        started.wait_for(line);
        started
    }

    #[track_caller]
    pub fn wait_for(&mut self, line: &str) {
        let log = self.log.clone();
        self.wait_until(|| {
            let bytes = fs::read(&log).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(line)
        });
    }

    /// Waits for something that happens while it runs.
    #[track_caller]
    pub fn wait_until(&mut self, happened: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !happened() {
            assert!(
                Instant::now() < until && !self.running.ended(),
                "it did not come; the log is:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a signal by name, such as `INT`.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}"))
            .arg(self.running.pid().to_string());
        run(kill).expect_code(0);
    }

    /// Waits for the end; standard error is in the outcome.
    #[track_caller]
    pub fn finish(self) -> Outcome {
        let log = self.log.clone();
        let mut outcome = self.running.finish(Duration::from_secs(180));
        outcome.stderr = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
        outcome
    }
}

/// All files below a folder, by name; directories end in `/`.
pub fn files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path
                .strip_prefix(root)
                .expect("below")
                .display()
                .to_string();
            if path.is_dir() && !path.is_symlink() {
                found.push(format!("{name}/"));
                walk(root, &path, found);
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// The entries of a `.tar.gz`: name to bytes; folders and links have none.
pub fn unpacked(archive: impl AsRef<Path>) -> BTreeMap<String, Vec<u8>> {
    let file = fs::File::open(archive).expect("an archive");
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let entries = tar.entries().expect("a tar");
    entries
        .map(|entry| {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a name").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("bytes");
            (name, bytes)
        })
        .collect()
}

/// The archive that an answer names.
#[track_caller]
pub fn archive(answer: &Value, name: &str) -> PathBuf {
    match answer[name].as_str() {
        Some(path) => PathBuf::from(path),
        None => panic!("no {name} in {answer:#}"),
    }
}

/// The results of the toy's mode `look`.
#[track_caller]
pub fn seen(answer: &Value) -> Value {
    let output = unpacked(archive(answer, "output"));
    serde_json::from_slice(&output["seen.json"]).expect("JSON")
}

/// Trains the svm on real reviews: the model's archive.
#[track_caller]
pub fn trains_svm(jobs: &Jobs, hyperparameters: &[&str]) -> PathBuf {
    let mut more = vec!["--"];
    more.extend(hyperparameters);
    let outcome = run(jobs.train_on(&movie_csv(), &more));
    let answer = outcome.expect_code(0).json();
    assert_eq!(answer["status"], "Completed");
    assert!(
        outcome.stderr.contains("validation:accuracy="),
        "{}",
        outcome.stderr
    );
    let model = archive(&answer, "model");
    let job = answer["job"].as_str().expect("a name");
    assert_eq!(
        model,
        jobs.path("out").join(job).join("output/model.tar.gz")
    );
    let names: Vec<_> = unpacked(&model).into_keys().collect();
    assert_eq!(
        names,
        ["config.json", "model.safetensors", "vocabulary.txt"]
    );
    assert!(unpacked(archive(&answer, "output")).contains_key("report.html"));
    model
}

/// More reviews than can be searched for a good setting in a second.
pub fn many_reviews(jobs: &Jobs) -> PathBuf {
    let rows = testkit::movie_rows();
    let many: Vec<_> = (0..60)
        .flat_map(|copy| {
            rows.iter().map(move |row| testkit::Row {
                // Equal texts would be one text.
                text: format!("{} copy{copy}", row.text),
                label: row.label.clone(),
            })
        })
        .collect();
    let path = jobs.path("many.csv");
    fs::write(&path, testkit::to_csv(&many)).expect("a file");
    path
}

/// A trainer without checkpoints saves what it has and is started again from the beginning.
#[track_caller]
pub fn svm_starts_again(jobs: &Jobs) {
    let data = many_reviews(jobs);
    // Long enough to have begun, too short to have ended.
    let more = ["--simulate-interruption", "3s", "--", "--tune"];
    let outcome = run(jobs.train_on(&data, &more));
    let answer = outcome.expect_code(0).json();
    assert_eq!(answer["interruptions"], 1, "{}", outcome.stderr);
    assert_eq!(
        outcome.stderr.matches("reading the data").count(),
        2,
        "{}",
        outcome.stderr
    );
    assert!(
        outcome
            .stderr
            .contains("the trainer ended with exit code 0"),
        "{}",
        outcome.stderr
    );
    assert!(unpacked(archive(&answer, "model")).contains_key("model.safetensors"));
    jobs.assert_clean();
}

/// As a spot instance that is taken away: the job is started again and goes on after its checkpoints.
#[track_caller]
pub fn resumes_after_an_interruption(jobs: &Jobs) {
    let checkpoints = jobs.path("kept");
    let flag = format!("file://{}", checkpoints.display());
    let command = jobs.toy_command(
        "steps",
        &["--simulate-interruption", "5s", "--checkpoints", &flag],
    );
    // Far more steps than are done by then on any machine.
    let mut command = command;
    command.args(["--steps", "40"]);
    let outcome = run(command);
    let answer = outcome.expect_code(0).json();
    assert_eq!(answer["interruptions"], 1, "{answer:#}");
    let model = unpacked(archive(&answer, "model"));
    let text = String::from_utf8_lossy(&model["steps"]).into_owned();
    let from: u32 = text
        .strip_prefix("40, from ")
        .and_then(|from| from.parse().ok())
        .expect("the toy's words");
    assert!((1..40).contains(&from), "{text}");
    for line in [
        "simulated interruption: SIGTERM",
        "toy: stopped before step",
        "starting the job again",
        &format!("toy: begins after step {from}"),
    ] {
        assert!(
            outcome.stderr.contains(line),
            "no `{line}`:\n{}",
            outcome.stderr
        );
    }
    assert_eq!(files(&checkpoints), ["more/", "more/state", "step-40"]);

    // And a later job goes on there, too.
    let again = jobs.toy("steps", &["--checkpoints", &flag]);
    let model = unpacked(archive(&again.expect_code(0).json(), "model"));
    assert_eq!(model["steps"], b"20, from 40");
    jobs.assert_clean();
}

/// A failing job shows why, and leaves what it has.
#[track_caller]
pub fn shows_the_failure(jobs: &Jobs) {
    let outcome = jobs.toy("fail", &[]);
    let answer = outcome.expect_code(3).json();
    let reason = "AlgorithmError: the toy broke\nwhile: playing\\u{1b}[31m, exit code: 1";
    assert_eq!(answer["failure"], reason);
    assert_eq!(answer["status"], "Failed");
    assert!(outcome.stderr.contains(reason), "{}", outcome.stderr);
    assert_eq!(
        unpacked(archive(&answer, "model"))["half"],
        b"a part of a model"
    );
    assert_eq!(answer["output"], Value::Null);
    jobs.assert_clean();

    let outcome = jobs.toy("unknown", &[]);
    outcome.expect_code(3);
    assert!(
        outcome.stderr.contains("help: ") && outcome.stderr.contains("trainyard describe svm"),
        "{}",
        outcome.stderr
    );
}

/// Every byte of the log arrives, in whole lines.
#[track_caller]
pub fn passes_the_log_on(jobs: &Jobs) {
    let mut command = jobs.toy_command("noise", &[]);
    command.stdin(Stdio::null());
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<&[u8]> = output.stderr.split(|byte| *byte == b'\n').collect();
    let count = |wanted: Vec<u8>| lines.iter().filter(|line| **line == wanted).count();
    for number in 0..200 {
        assert_eq!(count(format!("out {number} {}", "o".repeat(300)).into()), 1);
        assert_eq!(count(format!("err {number} {}", "e".repeat(300)).into()), 1);
    }
    assert_eq!(count(b"\xff\xfe binary \x00\x01".to_vec()), 1);
    assert_eq!(count(vec![b'l'; 200_000]), 1);
    assert_eq!(count(b"partial, no end".to_vec()), 1);
    jobs.assert_clean();
}

/// Ctrl-C and its like: the trainer may save, then all is over.
#[track_caller]
pub fn stops(jobs: &Jobs, signal: &str, code: i32) {
    let started = jobs.start_toy("until_stopped", &[]);
    started.signal(signal);
    let outcome = started.finish();
    let answer = outcome.expect_code(code).json();
    assert_eq!(answer["status"], "Stopped");
    assert_eq!(answer["exit_code"], 0);
    assert_eq!(
        unpacked(archive(&answer, "model"))["stopped"],
        b"saved after SIGTERM"
    );
    assert!(
        outcome.stderr.contains("stopping the job"),
        "{}",
        outcome.stderr
    );
    jobs.assert_clean();
}

/// A trainer that does not care about SIGTERM dies at the second Ctrl-C.
#[track_caller]
pub fn kills_at_the_second(jobs: &Jobs) {
    let mut started = jobs.start_toy("stubborn", &[]);
    started.signal("INT");
    started.wait_for("stopping the job");
    started.signal("INT");
    let outcome = started.finish();
    let answer = outcome.expect_code(130).json();
    assert_eq!(answer["exit_code"], 137);
    assert!(
        outcome.stderr.contains("killing the trainer"),
        "{}",
        outcome.stderr
    );
    jobs.assert_clean();
    // No empty folders are left of it.
    assert_eq!(files(&jobs.path("out")), [""; 0]);
}
