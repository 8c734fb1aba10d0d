//! Shared code of tests of jobs in the cloud.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{CANARY_KEY_ID, CANARY_SECRET, Moto, Outcome, Running, run, start};

pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/trainer";
pub(crate) const IMAGE: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com/trainyard/svm:1";

/// Returns a server with the bucket and data of [`train`], without recorded requests.
#[track_caller]
pub(crate) fn moto() -> Moto {
    let moto = testkit::moto();
    put(&moto, "/bucket", "");
    put(&moto, "/bucket/data/rows.csv", "label,text\na,b\n");
    moto.forget();
    moto
}

/// Sends `PUT PATH` directly: boto takes a second to start.
#[track_caller]
pub(crate) fn put(moto: &Moto, path: &str, body: &str) {
    let host = moto.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("moto listens");
    let scope = "Credential=AKIA/20260101/us-east-1/s3/aws4_request";
    write!(
        stream,
        "PUT {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n\
         Authorization: AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0\r\n\r\n{body}",
        body.len()
    )
    .expect("moto reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("moto answers");
    let status = answer.lines().next().unwrap_or_default();
    assert!(status.contains(" 200 "), "{answer}");
}

/// Returns `trainyard` with arguments and a short poll interval.
pub(crate) fn command(moto: &Moto, arguments: &[&str]) -> Command {
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    command.args(arguments).env("TRAINYARD_POLL_MS", "100");
    command
}

/// Runs `trainyard` and checks that no credentials are printed.
#[track_caller]
pub(crate) fn trainyard(moto: &Moto, arguments: &[&str]) -> Outcome {
    safe(run(command(moto, arguments)))
}

/// Checks that the output contains no credentials.
#[track_caller]
pub(crate) fn safe(outcome: Outcome) -> Outcome {
    for canary in [CANARY_KEY_ID, CANARY_SECRET] {
        assert!(
            !outcome.output().contains(canary),
            "credentials in the output"
        );
    }
    outcome
}

/// Returns arguments of `trainyard train svm` on SageMaker, followed by `more`.
pub(crate) fn train(moto: &Moto, more: &[&str]) -> Vec<String> {
    let trainer = lenient_trainer(moto);
    let fixed = [
        "train",
        "svm",
        "--data",
        "s3://bucket/data",
        "--output",
        "s3://bucket/models",
        "--instance-type",
        "ml.m5.large",
        "--role",
        ROLE,
        "--image",
        IMAGE,
        "--trainer-binary",
    ];
    let mut arguments: Vec<String> = fixed.iter().map(|&word| word.to_owned()).collect();
    arguments.push(trainer.to_str().expect("UTF-8").to_owned());
    arguments.extend(more.iter().map(|&word| word.to_owned()));
    arguments
}

/// Runs [`train`].
#[track_caller]
pub(crate) fn train_with(moto: &Moto, more: &[&str]) -> Outcome {
    let arguments = train(moto, more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    trainyard(moto, &arguments)
}

/// Starts [`train`].
pub(crate) fn start_train(moto: &Moto, more: &[&str]) -> Running {
    let arguments = train(moto, more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    start(command(moto, &arguments))
}

/// Creates a trainer that accepts everything and saves its hyperparameters to `seen.json`.
pub(crate) fn lenient_trainer(moto: &Moto) -> PathBuf {
    let seen = moto.home().join("seen.json");
    script(
        &moto.home().join("lenient"),
        &format!(
            "cp \"$SAGEMAKER_BASE_DIR/input/config/hyperparameters.json\" '{}'",
            seen.display()
        ),
    )
}

/// Creates a shell script.
pub(crate) fn script(path: &Path, lines: &str) -> PathBuf {
    // Renamed: a script that is open for writing cannot be started.
    let fresh = path.with_extension(format!("{}", std::process::id()));
    std::fs::write(&fresh, format!("#!/bin/sh\n{lines}\n")).expect("written");
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).expect("allowed");
    std::fs::rename(&fresh, path).expect("renamed");
    path.to_owned()
}

/// Returns the real trainer next to the launcher; builds it if it is missing.
pub(crate) fn svm() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_trainyard")).with_file_name("svm");
    if !binary.is_file() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--release", "--locked", "-p", "svm"])
            .current_dir(workspace);
        testkit::run_within(cargo, Duration::from_secs(900)).expect_code(0);
    }
    binary
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < until, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns names and states of all jobs.
pub(crate) fn jobs(moto: &Moto) -> Vec<(String, String)> {
    let listed = moto.boto(
        "show(client('sagemaker').list_training_jobs(MaxResults=100)['TrainingJobSummaries'])",
    );
    let entry = |job: &Value| {
        let text = |field: &str| job[field].as_str().expect("text").to_owned();
        (text("TrainingJobName"), text("TrainingJobStatus"))
    };
    listed
        .as_array()
        .expect("a list")
        .iter()
        .map(entry)
        .collect()
}
