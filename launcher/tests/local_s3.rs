//! Local jobs whose data, model or checkpoints are in S3.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

mod local_kit;
#[path = "local_s3/public_reports.rs"]
mod public_reports;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use local_kit::*;
use serde_json::{Value, json};
use testkit::{Moto, run};

fn toys(test: &str) -> Jobs {
    Jobs::new(test, toy_in(false))
}

/// `trainyard train` with all outputs in S3.
fn train_in_s3(moto: &Moto, jobs: &Jobs, mode: &str, more: &[&str]) -> Command {
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    command
        .env("TMPDIR", jobs.path("tmp"))
        .current_dir(jobs.folder.path())
        .args(["train", "svm", "--json", "--instance-type", "local-process"])
        .args(["--output", "s3://bucket/out", "--data"])
        .arg(jobs.data())
        .arg("--trainer-binary")
        .arg(toy())
        .args(more)
        .args(["--", "--mode", mode]);
    command
}

/// The command that uploads `what`, from the error's help.
#[track_caller]
fn upload_command(error: &Value, what: &str) -> Vec<String> {
    let help = error["error"]["help"].as_array().expect("a list");
    let line = help
        .iter()
        .filter_map(Value::as_str)
        .find(|line| line.contains(what));
    let command = line.and_then(|line| line.split('`').nth(3));
    let arguments = command.expect("a command").split(' ').skip(1);
    arguments.map(str::to_owned).collect()
}

/// If the upload is denied, the command in the message uploads the model.
#[test]
fn denied_upload_keeps_the_model() {
    let moto = testkit::moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let jobs = toys("p-denied");
    moto.fault("PutObject", "denied", 50);
    let command = train_in_s3(
        &moto,
        &jobs,
        "quick",
        &["--checkpoints", "s3://bucket/kept"],
    );
    let error = run(command).expect_code(1).json();
    assert!(error.to_string().contains("access denied"), "{error:#}");
    moto.forget();
    for what in ["the results are kept", "the checkpoints are kept"] {
        let arguments = upload_command(&error, what);
        let mut upload = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        upload.args(&arguments);
        run(upload).expect_code(0);
    }
    remove_kept(&jobs);
    let job = job(&keys(&moto));
    assert_eq!(
        keys(&moto),
        ["kept/new", &format!("out/{job}/output/model.tar.gz")]
    );
    jobs.assert_clean();
}

/// The model is uploaded even if the upload of checkpoints is denied.
#[test]
fn model_is_uploaded_before_checkpoints() {
    let moto = testkit::moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let jobs = toys("p-first");
    moto.fault_with(
        &json!({"operation": "PutObject", "kind": "denied", "times": 50, "match": "kept/"}),
    );
    let command = train_in_s3(
        &moto,
        &jobs,
        "quick",
        &["--checkpoints", "s3://bucket/kept"],
    );
    let error = run(command).expect_code(1).json();
    let arguments = upload_command(&error, "the checkpoints are kept");
    let found = keys(&moto);
    assert_eq!(found, [format!("out/{}/output/model.tar.gz", job(&found))]);
    assert_eq!(files(Path::new(&arguments[1])), ["new"]);
    remove_kept(&jobs);
    jobs.assert_clean();
}

/// Ctrl-C during the upload keeps the model on this machine.
#[test]
fn ctrl_c_during_upload_keeps_the_model() {
    let moto = testkit::moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let jobs = toys("p-csend");
    moto.fault_with(
        &json!({"operation": "PutObject", "kind": "stall", "times": 50, "seconds": 60}),
    );
    let command = train_in_s3(&moto, &jobs, "quick", &[]);
    let mut running = testkit::start(command);
    let until = Instant::now() + Duration::from_secs(60);
    while moto.requests("PutObject").is_empty() {
        assert!(
            Instant::now() < until && !running.ended(),
            "nothing is uploaded"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut kill = Command::new("kill");
    run({
        kill.arg("-INT").arg(running.pid().to_string());
        kill
    })
    .expect_code(0);
    let error = running
        .finish(Duration::from_secs(20))
        .expect_code(130)
        .json();
    let arguments = upload_command(&error, "the results are kept");
    let kept = PathBuf::from(&arguments[1]);
    assert_eq!(files(&kept), ["model.tar.gz"]);
    assert!(unpacked(kept.join("model.tar.gz")).contains_key("model"));
    fs::remove_dir_all(kept).expect("it was kept");
    jobs.assert_clean();
}

/// Checkpoints that the trainer deletes are deleted in S3; other objects are not.
#[test]
fn deleted_checkpoints_are_deleted_in_s3() {
    let moto = testkit::moto();
    moto.boto(
        "s3 = client('s3'); s3.create_bucket(Bucket='bucket'); \
         s3.put_object(Bucket='bucket', Key='kept/old', Body=b''); \
         s3.put_object(Bucket='bucket', Key='kept-too/old', Body=b'')",
    );
    let jobs = toys("p-follow");
    let more = ["--checkpoints", "s3://bucket/kept"];
    let outcome = run(train_in_s3(&moto, &jobs, "forget", &more));
    outcome.expect_code(0);
    // There is nothing to upload, and no file of the launcher is uploaded.
    assert_eq!(keys(&moto), ["kept-too/old"]);
    assert!(
        !outcome.stderr.contains("uploading the checkpoints"),
        "{}",
        outcome.stderr
    );

    let more = [
        "--checkpoints",
        "s3://bucket/kept",
        "--simulate-interruption",
        "3s",
    ];
    let mut command = train_in_s3(&moto, &jobs, "steps", &more);
    command.args(["--steps", "40"]);
    let outcome = run(command);
    assert_eq!(outcome.expect_code(0).json()["interruptions"], 1);
    let (before, after) = outcome
        .stderr
        .split_once("starting the job again")
        .expect("it was");
    for part in [before, after] {
        assert!(
            part.contains("uploading the checkpoints"),
            "{}",
            outcome.stderr
        );
    }
    let found = keys(&moto);
    let model = format!("out/{}/output/model.tar.gz", job(&found));
    assert_eq!(
        found,
        ["kept-too/old", "kept/more/state", "kept/step-40", &model]
    );
    jobs.assert_clean();
}

/// A failed delete is repeated with the next upload.
#[test]
fn failed_delete_is_repeated() {
    let moto = testkit::moto();
    moto.boto(
        "s3 = client('s3'); s3.create_bucket(Bucket='bucket'); \
         s3.put_object(Bucket='bucket', Key='kept/step-1', Body=b'')",
    );
    let jobs = toys("p-delete");
    // At the interruption `step-1` is deleted on this machine, and stays in S3.
    moto.fault("DeleteObject", "denied", 1);
    let more = [
        "--checkpoints",
        "s3://bucket/kept",
        "--simulate-interruption",
        "2s",
    ];
    let mut command = train_in_s3(&moto, &jobs, "steps", &more);
    command.args(["--steps", "20"]);
    let outcome = run(command);
    outcome.expect_code(0);
    assert!(
        outcome
            .stderr
            .contains("warning: cannot delete the old checkpoint"),
        "{}",
        outcome.stderr
    );
    let found = keys(&moto);
    let model = format!("out/{}/output/model.tar.gz", job(&found));
    assert_eq!(found, ["kept/more/state", "kept/step-20", &model]);
    jobs.assert_clean();
}

/// Name of the job from the key of its model.
#[track_caller]
fn job(keys: &[String]) -> String {
    let mut jobs = keys.iter().filter_map(|key| key.strip_prefix("out/"));
    let job = jobs.next().and_then(|rest| rest.split('/').next());
    job.expect("a result of the job").to_owned()
}

/// Deletes the kept folders. There must be at least one.
#[track_caller]
fn remove_kept(jobs: &Jobs) {
    let found: Vec<_> = fs::read_dir(jobs.path("tmp")).expect("own file").collect();
    assert!(!found.is_empty(), "nothing was kept");
    for entry in found {
        let entry = entry.expect("own file");
        let name = entry.file_name();
        assert!(name.to_string_lossy().starts_with("kept-"), "{name:?}");
        fs::remove_dir_all(entry.path()).expect("own file");
    }
}

/// Sorted keys of the bucket.
#[track_caller]
fn keys(moto: &Moto) -> Vec<String> {
    let lines = "show([o['Key'] for o in client('s3').list_objects_v2(Bucket='bucket').get('Contents', [])])";
    let keys = moto.boto(lines);
    let mut keys: Vec<_> = keys
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn data_model_and_checkpoints_in_s3() {
    let moto = testkit::moto();
    moto.boto(
        "s3 = client('s3'); s3.create_bucket(Bucket='bucket'); \
         s3.put_object(Bucket='bucket', Key='data/a.csv', Body=b'text,label\\n'); \
         s3.put_object(Bucket='bucket', Key='data/sub/b.csv', Body=b'text,label\\n'); \
         s3.put_object(Bucket='bucket', Key='kept/step-18', Body=b'')",
    );
    let jobs = toys("p-s3");
    let train = |mode: &str, more: &[&str]| {
        let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command
            .env("TMPDIR", jobs.path("tmp"))
            .current_dir(jobs.folder.path())
            .args(["train", "svm", "--json", "--instance-type", "local-process"])
            .args(["--data", "s3://bucket/data", "--output", "s3://bucket/out"])
            .arg("--trainer-binary")
            .arg(toy())
            .args(more)
            .args(["--", "--mode", mode]);
        run(command)
    };
    let outcome = train("steps", &["--checkpoints", "s3://bucket/kept"]);
    let answer = outcome.expect_code(0).json();
    let job = answer["name"].as_str().expect("a name");
    let model = format!("s3://bucket/out/{job}/output/model.tar.gz");
    assert_eq!(answer["model"], model.as_str());
    for line in [
        "downloading channel `train`",
        "toy: begins after step 18",
        "uploading",
    ] {
        assert!(
            outcome.stderr.contains(line),
            "no `{line}`:\n{}",
            outcome.stderr
        );
    }
    assert_eq!(
        keys(&moto),
        [
            "data/a.csv",
            "data/sub/b.csv",
            "kept/more/state",
            "kept/step-20",
            &format!("out/{job}/output/model.tar.gz")
        ]
    );
    jobs.assert_clean();
}

/// A missing bucket fails before the training.
#[test]
fn missing_bucket_starts_nothing() {
    let moto = testkit::moto();
    let jobs = toys("p-nobucket");
    let outcome = run(train_in_s3(&moto, &jobs, "quick", &[]));
    outcome.expect_code(1);
    let log = &outcome.stderr;
    assert!(
        log.contains("there is no bucket `bucket`") && !log.contains("toy:"),
        "{log}"
    );
    // Credentials without ListBucket may have PutObject.
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    moto.fault("HeadBucket", "denied", 50);
    let outcome = run(train_in_s3(&moto, &jobs, "quick", &[]));
    outcome.expect_code(0);
    let log = &outcome.stderr;
    assert!(
        log.contains("not checked: these credentials may not list the bucket `bucket`"),
        "{log}"
    );
    jobs.assert_clean();
}

#[test]
fn missing_region_starts_nothing() {
    let moto = testkit::moto();
    let jobs = toys("p-noregion");
    let mut command = train_in_s3(&moto, &jobs, "quick", &[]);
    command.env_remove("AWS_REGION");
    let outcome = run(command);
    outcome.expect_code(2);
    let log = &outcome.stderr;
    assert!(
        log.contains("no AWS region") && !log.contains("toy:"),
        "{log}"
    );
    jobs.assert_clean();
}

/// The suggested command has the options of this one.
#[test]
fn next_command_has_the_same_options() {
    let moto = testkit::moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let jobs = toys("p-next");
    let mut command = train_in_s3(&moto, &jobs, "quick", &["--region", "us-east-1"]);
    command.env_remove("AWS_REGION");
    let outcome = run(command);
    let model = outcome.expect_code(0).json()["model"].clone();
    let model = model.as_str().expect("a URL");
    let next = format!("next: `trainyard download {model} model.tar.gz --region us-east-1`");
    assert!(outcome.stderr.contains(&next), "{}", outcome.stderr);
    jobs.assert_clean();
}
