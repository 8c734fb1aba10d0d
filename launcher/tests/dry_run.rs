//! `trainyard train --dry-run` sends nothing, and its requests are valid for AWS's API model.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod cloud;

use cloud::{command, train, train_with};
use serde_json::{Value, json};
use testkit::{Moto, judge, moto, run};

/// All options of a job.
const ALL_OPTIONS: &[&str] = &[
    "--channel",
    "validation=s3://bucket/validation",
    "--channel",
    "test=s3://bucket/test/",
    "--instance-count",
    "2",
    "--job-name-prefix",
    "every-thing",
    "--env",
    "A=1",
    "--env",
    "B=x=y",
    "--checkpoints",
    "s3://bucket/checkpoints",
    "--max-run",
    "2h",
    "--spot",
    "--max-wait",
    "3h",
    "--volume-size",
    "50",
    "--subnet",
    "subnet-0a",
    "--subnet",
    "subnet-0b",
    "--security-group",
    "sg-0a",
    "--volume-kms-key",
    "alias/disk",
    "--output-kms-key",
    "arn:aws:kms:us-east-1:123456789012:key/0a-1b",
    "--tag",
    "team=text mining",
    "--tag",
    "cost:center=4711",
    "--network-isolation",
    "--encrypt-traffic",
    "--input-mode",
    "FastFile",
    "--",
    "--min-df=5",
    "--tune",
    "--list=a",
    "--list=b",
    "--text=ä \u{2028}",
];

/// The only request of a plan.
#[track_caller]
fn request(plan: &Value) -> &Value {
    let steps = plan["steps"].as_array().expect("steps");
    let with: Vec<&Value> = steps
        .iter()
        .map(|step| &step["request"])
        .filter(|request| request.is_object())
        .collect();
    assert_eq!(with.len(), 1, "{plan:#}");
    with[0]
}

/// Violations of AWS's API model in a request.
#[track_caller]
fn violations(moto: &Moto, request: &Value) -> Vec<Value> {
    let file = moto.home().join("request.json");
    std::fs::write(&file, request.to_string()).expect("written");
    judge("aws_request", &[file])["violations"]
        .as_array()
        .expect("a list")
        .clone()
}

#[test]
fn request_matches_the_api_model() {
    let moto = moto();
    for more in [vec![], ALL_OPTIONS.to_vec(), vec!["--keep-alive", "6h"]] {
        let mut arguments = vec!["--dry-run", "--json"];
        arguments.extend(&more);
        let plan = train_with(&moto, &arguments).expect_code(0).json();
        assert_eq!(plan["dry_run"], true);
        let request = request(&plan);
        assert_eq!(request["operation"], "SageMaker.CreateTrainingJob");
        assert_eq!(violations(&moto, request), Vec::<Value>::new(), "{more:?}");
    }
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

#[test]
fn judge_finds_mistakes() {
    let moto = moto();
    let plan = train_with(&moto, &["--dry-run", "--json"])
        .expect_code(0)
        .json();
    let good = request(&plan);
    for (pointer, value, part) in [
        ("/body/TrainingJobName", json!("a_b"), "does not match"),
        (
            "/body/RoleArn",
            json!("arn:aws:iam::1:role/x-and-some-more"),
            "does not match",
        ),
        (
            "/body/ResourceConfig/InstanceType",
            json!("ml.nothing.large"),
            "is none of",
        ),
        (
            "/body/ResourceConfig/KeepAlivePeriodInSeconds",
            json!(21_601),
            "is more than 21600",
        ),
        (
            "/body/ResourceConfig/VolumeSizeInGB",
            json!("30"),
            "Invalid type",
        ),
        ("/body/InputDataConfig", json!([]), "min length: 1"),
        ("/body/Surprise", json!(1), "Unknown parameter"),
        ("/body/Tags/0/Value", json!("a;b"), "does not match"),
    ] {
        let mut bad = good.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        bad.pointer_mut(parent).expect("it is there")[name] = value;
        let found = violations(&moto, &bad);
        assert!(
            found
                .iter()
                .any(|text| text.as_str().is_some_and(|text| text.contains(part))),
            "{pointer}: {found:?}"
        );
    }
    let mut bad = good.clone();
    bad["body"]
        .as_object_mut()
        .expect("an object")
        .remove("OutputDataConfig");
    assert!(
        violations(&moto, &bad)[0]
            .as_str()
            .is_some_and(|text| text.contains("OutputDataConfig"))
    );
}

#[test]
fn plan_equals_the_request() {
    let moto = cloud::moto();
    for key in ["validation/x", "test/x"] {
        cloud::put(&moto, &format!("/bucket/{key}"), "x");
    }
    let mut arguments = vec!["--dry-run", "--json"];
    arguments.extend(ALL_OPTIONS);
    let plan = train_with(&moto, &arguments).expect_code(0).json();
    let mut arguments = vec!["--no-wait"];
    arguments.extend(ALL_OPTIONS);
    train_with(&moto, &arguments).expect_code(0);
    let mut shown = request(&plan)["body"].clone();
    let mut sent = moto.requests("CreateTrainingJob")[0]["body"].clone();
    assert_ne!(shown["TrainingJobName"], sent["TrainingJobName"]);
    for body in [&mut shown, &mut sent] {
        body.as_object_mut()
            .expect("an object")
            .remove("TrainingJobName");
    }
    assert_eq!(shown, sent);
    let expected = json!({
        "ResourceConfig": {
            "InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 50, "VolumeKmsKeyId": "alias/disk",
        },
        "VpcConfig": {"Subnets": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-0a"]},
        "StoppingCondition": {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 10_800},
        "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"},
        "OutputDataConfig": {
            "S3OutputPath": "s3://bucket/models", "KmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/0a-1b",
        },
        "Environment": {"A": "1", "B": "x=y"},
        "EnableNetworkIsolation": true,
        "EnableInterContainerTrafficEncryption": true,
        "EnableManagedSpotTraining": true,
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&sent[name], value, "{name}");
    }
    assert_eq!(
        sent["AlgorithmSpecification"]["TrainingInputMode"],
        "FastFile"
    );
    let definitions = sent["AlgorithmSpecification"]["MetricDefinitions"]
        .as_array()
        .expect("a list");
    assert_eq!(definitions.len(), sagemaker::metrics::definitions().len());
    let channels: Vec<&Value> = sent["InputDataConfig"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|channel| &channel["ChannelName"])
        .collect();
    assert_eq!(channels, ["train", "validation", "test"]);
    assert!(
        sent["Tags"]
            .as_array()
            .expect("a list")
            .contains(&json!({"Key": "team", "Value": "text mining"}))
    );
    assert!(
        sent["Tags"]
            .as_array()
            .expect("a list")
            .contains(&json!({"Key": "trainyard:version", "Value": env!("CARGO_PKG_VERSION")}))
    );
}

#[test]
fn dry_run_needs_no_credentials() {
    let moto = moto();
    let arguments = train(&moto, &["--dry-run"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = command(&moto, &arguments);
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
    ] {
        command.env_remove(name);
    }
    let outcome = run(command);
    let text = &outcome.expect_code(0).stdout;
    assert!(
        text.starts_with("dry run: nothing is sent or changed\n")
            && text.contains("https://api.sagemaker.us-east-1.amazonaws.com"),
        "{text}"
    );
}

#[test]
fn dry_run_works_before_the_first_push() {
    let moto = moto();
    let arguments = [
        "train",
        "unheard-of",
        "--data",
        "s3://bucket/data",
        "--output",
        "s3://bucket/models",
        "--instance-type",
        "ml.m5.large",
        "--role",
        "trainer",
        "--dry-run",
        "--json",
    ];
    let outcome = cloud::trainyard(&moto, &arguments);
    let plan = outcome.expect_code(0).json();
    let body = &request(&plan)["body"];
    assert_eq!(body["RoleArn"], "<role: unknown>");
    assert_eq!(
        body["AlgorithmSpecification"]["TrainingImage"],
        "<image: unknown>"
    );
    for part in [
        "`unheard-of` is not built, and a dry run builds nothing",
        "this account has no role `trainer`",
        "no ECR repository `trainyard/unheard-of`",
        "the plan shows `<image: unknown>`",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
    // A dry run refuses invalid options, too.
    let wrong = arguments.map(|word| if word == "trainer" { "a b" } else { word });
    cloud::trainyard(&moto, &wrong).expect_code(2);
}

#[test]
fn plan_lists_uploads() {
    let moto = moto();
    std::fs::write(moto.home().join("rows.csv"), "label,text\n").expect("written");
    let outcome = train_with(
        &moto,
        &["--dry-run", "--json", "--channel", "test=rows.csv"],
    );
    let plan = outcome.expect_code(0).json();
    let first = plan["steps"][0]["what"].as_str().expect("text");
    assert!(
        first.starts_with("upload `rows.csv` (channel `test`) to `s3://bucket/models/svm-"),
        "{first}"
    );
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}
