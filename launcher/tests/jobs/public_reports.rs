//! Jobs in the cloud: public reports.

use serde_json::{Value, json};
use testkit::{Moto, run};

use crate::cloud::{command, moto, put, svm, train, train_with, trainyard};
use crate::submitted;

/// LAUNCHER 02: SDK PR#4600. A new job is not visible to each request at once.
#[test]
fn follow_up_calls_endure_what_passes() {
    let moto = moto();
    let slow = |arguments: &[&str]| {
        let mut command = command(&moto, arguments);
        // Errors about a new job are endured for twelve times as long.
        command.env("TRAINYARD_POLL_MS", "1000");
        run(command)
    };
    for operation in ["DescribeTrainingJob", "DescribeLogStreams"] {
        moto.fault(operation, "denied", 2);
    }
    let arguments = train(&moto, &[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = slow(&arguments);
    outcome.expect_code(0);
    let log = &outcome.stderr;
    assert!(log.contains("validation:accuracy=0.9000;"), "{log}");
    assert!(log.contains("nothing to do, retrying"), "{log}");

    let name = submitted(&moto, "fresh", json!({}));
    for command in ["status", "describe", "logs", "stop"] {
        moto.fault("DescribeTrainingJob", "denied", 1);
        let outcome = slow(&[command, &name]);
        assert_ne!(outcome.code(), Some(1), "{command}: {}", outcome.stderr);
    }
    // What does not pass is an error; an old name is an error at once.
    moto.fault("DescribeTrainingJob", "denied", 99);
    trainyard(&moto, &["status", &name]).expect_code(1);
    let before = moto.requests("DescribeTrainingJob").len();
    trainyard(&moto, &["status", "svm-2020-01-01-00-00-00-000"]).expect_code(1);
    assert_eq!(moto.requests("DescribeTrainingJob").len(), before + 1);
}

/// Puts objects below `s3://bucket/PREFIX`.
fn objects(moto: &Moto, lines: &str) {
    moto.boto(&format!(
        "s3 = client('s3')\ndef put(key, body=b'x', **more): s3.put_object(Bucket='bucket', Key=key, Body=body, **more)\n{lines}"
    ));
    moto.forget();
}

/// Asserts that the job is refused before it is submitted.
#[track_caller]
fn refused(moto: &Moto, url: &str, expected: &[&str]) {
    let outcome = train_with(moto, &["--channel", &format!("validation={url}")]);
    assert_ne!(outcome.code(), Some(0), "{url}");
    for text in expected {
        assert!(outcome.stderr.contains(text), "{text}: {}", outcome.stderr);
    }
    assert_eq!(moto.requests("CreateTrainingJob"), Vec::<Value>::new());
}

/// LAUNCHER, jobs that cannot work: aws-cli#2385.
#[test]
fn archived_data_are_refused() {
    let moto = moto();
    objects(
        &moto,
        "put('cold/a.csv')\nput('cold/b.csv', StorageClass='GLACIER')\nput('deep/a.csv', StorageClass='DEEP_ARCHIVE')\nput('warm/a.csv', StorageClass='GLACIER_IR')",
    );
    refused(
        &moto,
        "s3://bucket/cold",
        &[
            "`s3://bucket/cold/b.csv` is archived in the storage class GLACIER",
            "restore-object --bucket bucket --key cold/b.csv",
        ],
    );
    refused(&moto, "s3://bucket/deep/", &["DEEP_ARCHIVE"]);
    let warm = ["--no-wait", "--channel", "validation=s3://bucket/warm"];
    train_with(&moto, &warm).expect_code(0);
}

/// LAUNCHER, jobs that cannot work: sagemaker-feedback#201.
#[test]
fn manifest_is_refused() {
    let moto = moto();
    let manifest = r#"[{"prefix": "s3://bucket/data/"}, "rows.csv"]"#;
    for key in [
        "lists/train.manifest",
        "lists-2/train.json",
        "lists-3/train",
    ] {
        put(&moto, &format!("/bucket/{key}"), manifest);
        moto.forget();
        refused(
            &moto,
            &format!("s3://bucket/{key}"),
            &[
                "is a manifest",
                "pass the prefix of its objects: `s3://bucket/data/`",
            ],
        );
    }
}

/// LAUNCHER, jobs that cannot work: only files without rows.
#[test]
fn data_without_data_files_are_refused() {
    let moto = moto();
    objects(
        &moto,
        "put('texts/a.md')\nput('texts/b.XLSX')\nput('mixed/a.txt')\nput('mixed/b.csv.gz')",
    );
    refused(
        &moto,
        "s3://bucket/texts",
        &["there are no data files at `s3://bucket/texts`"],
    );
    let mixed = ["--no-wait", "--channel", "validation=s3://bucket/mixed"];
    train_with(&moto, &mixed).expect_code(0);
    // Other channels have other files, such as a tokenizer.
    let other = ["--no-wait", "--channel", "vocabulary=s3://bucket/texts"];
    train_with(&moto, &other).expect_code(0);
}

/// LAUNCHER 09: `--max-wait` was not given.
#[test]
fn longest_spot_job_is_allowed() {
    let moto = moto();
    let longest = [
        "--spot",
        "--max-run",
        "28d",
        "--checkpoints",
        "s3://bucket/c",
    ];
    train_with(&moto, &[&longest[..], &["--no-wait"]].concat()).expect_code(0);
    let stopping = &moto.requests("CreateTrainingJob")[0]["body"]["StoppingCondition"];
    let seconds = 28 * 24 * 3600;
    assert_eq!(stopping["MaxRuntimeInSeconds"], seconds);
    assert_eq!(stopping["MaxWaitTimeInSeconds"], seconds);
    let text = train_with(&moto, &["--spot", "--max-run", "29d"]).stderr;
    assert!(
        text.contains("`--max-run` is longer than 28 days"),
        "{text}"
    );
}

/// LAUNCHER 10: a list with one value.
#[test]
fn list_of_one_value_is_called_a_list() {
    let moto = moto();
    let file = moto.home().join("hyperparameters.json");
    std::fs::write(&file, r#"{"min_df": [5]}"#).expect("written");
    let mut arguments = train(&moto, &["--hyperparameters", "hyperparameters.json"]);
    let at = arguments.iter().position(|word| word == "--trainer-binary");
    svm()
        .to_str()
        .expect("UTF-8")
        .clone_into(&mut arguments[at.expect("it is there") + 1]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let text = trainyard(&moto, &arguments).expect_code(2).stderr.clone();
    assert!(
        text.contains("found a list with 1") && text.contains("without `[` and `]`"),
        "{text}"
    );
}
