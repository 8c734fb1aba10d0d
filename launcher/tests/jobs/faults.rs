//! Errors, timeouts and throttling of AWS.

use serde_json::json;
use testkit::run;

use crate::cloud::{command, jobs, moto, safe, train_with};

#[test]
fn submission_is_idempotent() {
    let moto = moto();
    for lost in [1, 5] {
        moto.forget();
        let before = jobs(&moto).len();
        moto.fault("CreateTrainingJob", "drop_after", lost);
        let outcome = train_with(&moto, &["--json"]);
        assert_eq!(outcome.expect_code(0).json()["status"], "Completed");
        assert!(
            outcome.stderr.contains("a response was lost"),
            "{}",
            outcome.stderr
        );
        assert_eq!(jobs(&moto).len(), before + 1);
        let requests = moto.requests("CreateTrainingJob");
        assert!(requests.len() > 1);
        let names: std::collections::BTreeSet<String> = requests
            .iter()
            .map(|request| request["body"]["TrainingJobName"].to_string())
            .collect();
        assert_eq!(names.len(), 1);
    }
}

#[test]
fn another_job_with_the_name_is_not_taken() {
    let moto = moto();
    moto.fault("CreateTrainingJob", "in_use", 1);
    let outcome = train_with(&moto, &[]);
    assert!(
        outcome.expect_code(1).stderr.contains("exists already"),
        "{}",
        outcome.stderr
    );
    // The connection broke before the request was handled, and the name is taken: the job is
    // absent.
    moto.fault("CreateTrainingJob", "drop_before", 1);
    moto.fault("CreateTrainingJob", "in_use", 1);
    let outcome = train_with(&moto, &[]);
    assert!(
        outcome
            .expect_code(1)
            .stderr
            .contains("cannot check if the existing"),
        "{}",
        outcome.stderr
    );
    assert_eq!(jobs(&moto), []);
}

#[test]
fn throttling_and_server_errors_are_retried() {
    let moto = moto();
    moto.fault("CreateTrainingJob", "throttle", 2);
    moto.fault("CreateTrainingJob", "503", 1);
    moto.fault("DescribeTrainingJob", "throttle", 1);
    moto.fault("GetLogEvents", "500", 1);
    moto.fault("DescribeLogStreams", "drop_before", 1);
    let outcome = train_with(&moto, &[]);
    outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("validation:accuracy=0.9000;"),
        "{}",
        outcome.stderr
    );
    assert_eq!(jobs(&moto).len(), 1);
}

#[test]
fn errors_of_aws_have_help() {
    let moto = moto();
    for (kind, expected) in [
        (
            "expired",
            vec!["the credentials have expired", "aws sso login"],
        ),
        (
            "invalid_token",
            vec!["access key is not valid in AWS", "AWS_PROFILE"],
        ),
        (
            "signature",
            vec!["secret key does not match", "AWS_SECRET_ACCESS_KEY"],
        ),
        ("skew", vec!["clock is wrong", "timedatectl"]),
        (
            "denied",
            vec![
                "`sagemaker:CreateTrainingJob` on `arn:aws:sagemaker:",
                "trainyard infra policies",
            ],
        ),
        (
            "validation",
            vec!["AWS rejects the request: 1 validation error", "--dry-run"],
        ),
        ("limit", vec!["is 0 Instances", "Service Quotas"]),
    ] {
        moto.fault("CreateTrainingJob", kind, 1);
        let outcome = train_with(&moto, &["--json"]);
        let text = outcome.expect_code(1).stderr.clone();
        for part in expected {
            assert!(text.contains(part), "{kind}: {part}: {text}");
        }
        assert_eq!(outcome.json()["error"]["exit_code"], 1);
    }
    assert_eq!(jobs(&moto), []);

    moto.fault_with(&json!({"operation": "DescribeTrainingJob", "kind": "expired", "times": 99}));
    let outcome = train_with(&moto, &[]);
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("have expired")
            && text.contains("the job keeps running: `trainyard logs svm-"),
        "{text}"
    );
    assert_eq!(jobs(&moto).len(), 1);
}

#[test]
fn missing_credentials_or_endpoint_have_help() {
    let moto = moto();
    let mut no_credentials = command(&moto, &["list"]);
    no_credentials
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let outcome = run(no_credentials);
    assert!(
        outcome
            .expect_code(1)
            .stderr
            .contains("no AWS credentials\n"),
        "{}",
        outcome.stderr
    );
    let mut nowhere = command(&moto, &["list"]);
    nowhere.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let outcome = safe(run(nowhere));
    assert!(
        outcome
            .expect_code(1)
            .stderr
            .contains("no response from `http://127.0.0.1:9`"),
        "{}",
        outcome.stderr
    );
    let mut unresolved = command(&moto, &["list"]);
    unresolved.env("AWS_ENDPOINT_URL", "http://nobody.invalid");
    let outcome = safe(run(unresolved));
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("no response from `http://nobody.invalid`")
            && text.contains("check the network")
            && !text.contains("credentials:"),
        "{text}"
    );
    let mut homeless = command(&moto, &["list"]);
    homeless.env_remove("AWS_REGION");
    let outcome = run(homeless);
    assert!(
        outcome.expect_code(2).stderr.contains("no AWS region"),
        "{}",
        outcome.stderr
    );
}
