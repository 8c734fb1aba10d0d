//! The steps of a first job: push the image, upload the data, train, follow, download the model.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking, and uses a part of what tests share"
)]

mod cloud;
mod common;

use std::process::Command;

use cloud::{ROLE, lenient_trainer, safe};
use common::{LONG, Workspace};
use testkit::{Moto, Outcome, moto, movie_csv, registry, run_within};

/// `trainyard` in the toy's repository, with the build tools.
#[track_caller]
fn trainyard(moto: &Moto, toy: &Workspace, arguments: &[&str]) -> Outcome {
    let mut command: Command = cloud::command(moto, arguments);
    command.current_dir(toy.path(""));
    safe(run_within(command, LONG))
}

#[test]
fn push_upload_train_follow_download() {
    let (moto, registry) = (moto(), registry());
    moto.registry(&format!("http://{}", registry.address()));
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let toy = Workspace::new("toy");
    let go = |arguments: &[&str]| trainyard(&moto, &toy, arguments);

    let pushed = go(&["push", "toy", "--create-repository", "--json"]);
    let digest = pushed.expect_code(0).json()["digest"].clone();
    let digest = digest.as_str().expect("text");
    let data = movie_csv();
    let data = data.to_str().expect("UTF-8");
    go(&["upload", data, "s3://bucket/data/"]).expect_code(0);

    let trainer = lenient_trainer(&moto);
    let trainer = trainer.to_str().expect("UTF-8");
    let train = ["train", "toy", "--data", "s3://bucket/data", "--output"];
    let mut arguments = train.to_vec();
    arguments.extend(["s3://bucket/models", "--instance-type", "ml.m5.large"]);
    arguments.extend(["--role", ROLE, "--trainer-binary", trainer, "--no-wait"]);
    let job = go(&arguments).expect_code(0).stdout.trim().to_owned();
    let requests = moto.requests("CreateTrainingJob");
    let image = requests[0]["body"]["AlgorithmSpecification"]["TrainingImage"].clone();
    let image = image.as_str().expect("text");
    assert!(
        image.ends_with(&format!("/trainyard/toy@{digest}")),
        "{image}"
    );

    let log = go(&["logs", &job]);
    assert!(
        log.expect_code(0)
            .stdout
            .contains("validation:accuracy=0.9000;"),
        "{}",
        log.stdout
    );
    go(&[
        "download",
        "s3://bucket/models",
        "model",
        "--job-name",
        &job,
    ])
    .expect_code(0);
    let model = std::fs::read_to_string(toy.path("model/model.json"));
    assert_eq!(model.expect("the model is unpacked"), "{}");
}
