//! `trainyard doctor` with moto, whose IAM checks signatures and policies, and without any server.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test report by panicking"
)]

#[path = "doctor/public_reports.rs"]
mod public_reports;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::{CANARY_SECRET, Moto, Outcome, moto, run, run_within};

fn trainyard(moto: &Moto) -> Command {
    moto.command(env!("CARGO_BIN_EXE_trainyard"))
}

fn doctor(moto: &Moto, arguments: &[&str]) -> Outcome {
    let mut command = trainyard(moto);
    command.args(["doctor", "--json"]).args(arguments);
    let outcome = run(command);
    assert!(!outcome.output().contains(CANARY_SECRET));
    outcome
}

/// One check of a report, as `(state, found, help)`.
#[track_caller]
fn check(report: &Value, name: &str) -> (String, String, String) {
    let checks = report["checks"].as_array().expect("checks");
    let check = checks
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no check `{name}` in {report:#}"));
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    // Warnings and problems have help.
    let fine = matches!(text("state").as_str(), "ok" | "skipped");
    assert!(fine || !text("help").is_empty(), "{check}");
    (text("state"), text("found"), text("help"))
}

#[track_caller]
fn expect(report: &Value, name: &str, state: &str, found: &str) {
    let check = check(report, name);
    assert!(
        check.0 == state && check.1.contains(found),
        "{name}: {check:?}"
    );
}

/// Creates a role as in the Terraform files, a bucket, and a repository with an image.
fn set_up(moto: &Moto) {
    let mut command = trainyard(moto);
    command.args([
        "infra",
        "policies",
        "--only",
        "trust",
        "--region",
        "us-east-1",
    ]);
    command.args(["--account", "123456789012", "--bucket", "jobs"]);
    let trust = run(command).expect_code(0).json().to_string();
    moto.boto(&format!(
        r#"
client("iam").create_role(RoleName="trainer", Path="/team/", AssumeRolePolicyDocument={trust:?})
client("s3").create_bucket(Bucket="jobs")
ecr = client("ecr")
ecr.create_repository(repositoryName="trainyard/svm")
manifest = {{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {{"mediaType": "application/vnd.docker.container.image.v1+json", "size": 7, "digest": "sha256:" + "0" * 64}},
    "layers": [{{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 12345678, "digest": "sha256:" + "1" * 64}}]}}
ecr.put_image(repositoryName="trainyard/svm", imageManifest=json.dumps(manifest), imageTag="latest")
"#
    ));
}

#[test]
fn reports_ok_for_a_complete_setup() {
    let moto = moto();
    set_up(&moto);
    let outcome = doctor(
        &moto,
        &["svm", "--role", "trainer", "--output", "s3://jobs/models"],
    );
    let report = outcome.expect_code(0).json();
    assert_eq!(report["ok"], true);
    expect(&report, "region", "ok", "`us-east-1` from AWS_REGION");
    expect(&report, "endpoint", "ok", "from AWS_ENDPOINT_URL");
    expect(
        &report,
        "credentials",
        "ok",
        "from the environment (AWS_ACCESS_KEY_ID)",
    );
    expect(&report, "clock", "ok", "agrees with AWS");
    expect(
        &report,
        "role",
        "ok",
        "role/team/trainer`; SageMaker may assume it under the conditions",
    );
    expect(
        &report,
        "bucket",
        "ok",
        "`s3://jobs/models` in `us-east-1` can be listed",
    );
    expect(&report, "repository", "ok", "`trainyard/svm:latest`");
    expect(&report, "docker", "ok", "on linux/");
    expect(&report, "toolchain", "ok", "cargo 1.");
    // The default target of `build`.
    expect(
        &report,
        "target",
        "ok",
        "`x86_64-unknown-linux-gnu` is installed",
    );
    expect(&report, "linker", "ok", "has a static C library, `/");
    // Outside of the repository no binary is found; every check has the same four fields.
    for check in report["checks"].as_array().expect("checks") {
        let keys: Vec<_> = check.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["found", "help", "name", "state"]);
    }
    // Sends only requests that read.
    for request in moto.requests("*") {
        let operation = request["operation"].as_str().unwrap_or_default();
        let changes = ["Create", "Put", "Delete"];
        let before = operation == "CreateRole" || operation == "CreateBucket";
        let seen = changes.iter().any(|word| operation.starts_with(word));
        assert!(
            !seen || before || operation == "CreateRepository" || operation == "PutImage",
            "{operation}"
        );
    }
}

#[test]
fn unusable_roles_are_problems() {
    let moto = moto();
    moto.boto(
        r#"
def role(name, effect, service):
    client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": effect, "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}))
role("for-ec2", "Allow", "ec2.amazonaws.com")
role("denied", "Deny", "sagemaker.amazonaws.com")
role("odd+=,.@_-name", "Allow", ["ec2.amazonaws.com", "sagemaker.amazonaws.com"])
"#,
    );
    for (role, state, found) in [
        ("for-ec2", "problem", "SageMaker may not assume it"),
        (
            "arn:aws:iam::123456789012:role/for-ec2",
            "problem",
            "SageMaker may not assume it",
        ),
        ("denied", "problem", "its trust policy denies SageMaker"),
        (
            "odd+=,.@_-name",
            "ok",
            "role/odd+=,.@_-name`; SageMaker may assume it",
        ),
        ("missing", "problem", "this account has no role `missing`"),
        (
            "arn:aws:iam::210987654321:role/for-ec2",
            "problem",
            "is not in this account",
        ),
        ("a&Action=DeleteRole", "problem", "is not a role"),
        ("\u{1b}[31mred", "problem", "`\\u{1b}[31mred` is not a role"),
    ] {
        let outcome = doctor(&moto, &["--role", role]);
        expect(&outcome.json(), "role", state, found);
        outcome.expect_code(if state == "ok" { 0 } else { 1 });
    }
    // The environment variable, and request errors.
    for (kind, state, found) in [
        (
            "denied",
            "warning",
            "no permission to read `for-ec2` (iam:GetRole)",
        ),
        ("expired", "skipped", "see `credentials`"),
        ("throttle", "problem", "throttles requests"),
        ("503", "problem", "cannot read the role `for-ec2`"),
        ("drop_before", "problem", "cannot read the role `for-ec2`"),
        ("cut", "problem", "cannot read the role `for-ec2`"),
    ] {
        moto.forget();
        moto.fault("GetRole", kind, 5);
        let mut command = trainyard(&moto);
        command
            .args(["doctor", "--json"])
            .env("AWS_SAGEMAKER_ROLE", "for-ec2");
        let outcome = run(command);
        expect(&outcome.json(), "role", state, found);
        expect(&outcome.json(), "credentials", "ok", "arn:aws:");
    }
}

#[test]
fn expired_credentials_are_one_problem() {
    let moto = moto();
    set_up(&moto);
    for operation in ["GetCallerIdentity", "GetRole", "DescribeImages"] {
        moto.fault(operation, "expired", 9);
    }
    let outcome = doctor(&moto, &["svm", "--role", "trainer", "--bucket", "jobs"]);
    let report = outcome.expect_code(1).json();
    expect(
        &report,
        "credentials",
        "problem",
        "the credentials have expired",
    );
    expect(&report, "role", "skipped", "see `credentials`");
    expect(&report, "repository", "skipped", "see `credentials`");
    // An error does not affect other checks.
    expect(&report, "bucket", "ok", "can be listed");
    expect(&report, "clock", "ok", "agrees with AWS");
}

#[test]
fn missing_buckets_and_repositories_are_reported() {
    let moto = moto();
    moto.boto(
        r#"
client("s3", region_name="eu-west-1").create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
client("ecr").create_repository(repositoryName="trainyard/svm")
"#,
    );
    let report = doctor(&moto, &["svm", "--bucket", "missing"]).json();
    expect(&report, "bucket", "problem", "there is no bucket `missing`");
    expect(
        &report,
        "repository",
        "warning",
        "`trainyard/svm` has no image `latest`",
    );
    let report = doctor(&moto, &["bilstm", "--bucket", "far-away"]).json();
    expect(
        &report,
        "bucket",
        "problem",
        "is in `eu-west-1`, jobs would run in `us-east-1`",
    );
    expect(
        &report,
        "repository",
        "warning",
        "there is no repository `trainyard/bilstm`",
    );
    moto.fault("HeadBucket", "denied", 5);
    let report = doctor(&moto, &["--bucket", "far-away"]).json();
    expect(
        &report,
        "bucket",
        "problem",
        "no permission to list `far-away` (s3:ListBucket)",
    );
    let outcome = doctor(&moto, &["--bucket", "No_Bucket"]);
    outcome.expect_code(2);
}

/// The IAM of moto checks signatures with the signer of botocore, and requests against policies.
/// Only STS and IAM: for S3 and ECR moto refuses requests that AWS allows.
#[test]
fn iam_accepts_signature_and_launcher_policy() {
    let moto = moto();
    set_up(&moto);
    let mut command = trainyard(&moto);
    command.args([
        "infra",
        "policies",
        "--only",
        "launcher",
        "--region",
        "us-east-1",
        "--role",
        "trainer",
    ]);
    command.args(["--account", "123456789012", "--bucket", "jobs"]);
    // The role of `set_up` has a path, which the ARN in the policy does not have.
    let policy = run(command).expect_code(0).json().to_string();
    let keys = moto.boto(&format!(
        r#"
iam = client("iam")
trust = iam.get_role(RoleName="trainer")["Role"]["AssumeRolePolicyDocument"]
iam.delete_role(RoleName="trainer")
iam.create_role(RoleName="trainer", AssumeRolePolicyDocument=json.dumps(trust))
arn = iam.create_policy(PolicyName="launcher", PolicyDocument={policy:?})["Policy"]["Arn"]
keys = {{}}
for name in "may", "may-not":
    iam.create_user(UserName=name)
    keys[name] = iam.create_access_key(UserName=name)["AccessKey"]
iam.attach_user_policy(UserName="may", PolicyArn=arn)
import os, urllib.request
reset = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/moto-api/reset-auth", data=b"0", headers={{"Content-Type": "text/plain"}})
urllib.request.urlopen(reset).read()
show(keys)
"#
    ));
    let as_user = |name: &str, secret: Option<&str>| {
        let key = |field: &str| keys[name][field].as_str().expect("a key").to_owned();
        let mut command = trainyard(&moto);
        command
            .args([
                "doctor", "svm", "--json", "--role", "trainer", "--bucket", "jobs",
            ])
            .env("AWS_ACCESS_KEY_ID", key("AccessKeyId"))
            .env(
                "AWS_SECRET_ACCESS_KEY",
                secret.map_or_else(|| key("SecretAccessKey"), str::to_owned),
            );
        run(command)
    };
    let report = as_user("may", None).json();
    expect(&report, "credentials", "ok", "user/may");
    expect(&report, "role", "ok", "SageMaker may assume it");
    let report = as_user("may-not", None).expect_code(1).json();
    expect(&report, "role", "warning", "iam:GetRole");
    // moto rejects a wrong signature without the error codes of AWS.
    let report = as_user("may", Some("wrong")).expect_code(1).json();
    expect(&report, "credentials", "problem", "");
    assert_ne!(check(&report, "role").0, "ok");
}

/// Returns a command without account and network, as in a first run.
fn first_run(endpoint: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command
        .env_clear()
        .current_dir("/")
        .env("HOME", "/nowhere")
        // Ignores folders of other runs in /tmp.
        .env("TMPDIR", "/nowhere");
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    for name in ["PATH", "RUSTUP_HOME", "CARGO_HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

#[test]
fn first_run_without_setup_matches_snapshot() {
    let mut command = first_run("http://127.0.0.1:1");
    command.args(["doctor", "svm", "--json", "--role", "x", "--bucket", "jobs"]);
    let outcome = run_within(command, Duration::from_secs(30));
    let report = outcome.expect_code(1).json();
    assert_eq!(report["ok"], false);
    expect(&report, "region", "problem", "no AWS region");
    expect(
        &report,
        "credentials",
        "problem",
        "no AWS credentials: none in the environment",
    );
    expect(
        &report,
        "clock",
        "problem",
        "no response from `http://127.0.0.1:1`",
    );
    for name in ["role", "bucket", "repository"] {
        expect(&report, name, "skipped", "no credentials");
    }
    expect(&report, "linker", "ok", "has a static C library");
    let mut command = first_run("http://127.0.0.1:1");
    command
        .args(["doctor", "--region", "eu-west-1"])
        .env("PATH", "/nowhere")
        .env("DOCKER_HOST", "unix:///nowhere");
    let outcome = run_within(command, Duration::from_secs(30));
    outcome.expect_code(1);
    insta::assert_snapshot!(outcome.stdout);
    assert_eq!(outcome.stderr, "");
}

/// In the repository `cargo metadata` locates the trainer.
#[test]
fn missing_slow_or_failing_cargo_is_reported() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir().expect("a folder");
    let ask = |script: &str| {
        let cargo = folder.path().join("cargo");
        std::fs::write(&cargo, script).expect("it can be written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&cargo, mode).expect("own file");
        let mut command = first_run("http://127.0.0.1:1");
        command
            .args(["doctor", "svm", "--json", "--region", "eu-west-1"])
            .current_dir(&repository)
            .env("CARGO", &cargo);
        let outcome = run_within(command, Duration::from_secs(30));
        outcome.expect_code(1).json()
    };
    let slow = ask("#!/bin/sh\nexec sleep 60\n");
    expect(
        &slow,
        "trainer",
        "problem",
        "cargo did not respond within 5 s",
    );
    let broken = ask("#!/bin/sh\necho \"auto-install is $RUSTUP_AUTO_INSTALL\" >&2\nexit 1\n");
    expect(
        &broken,
        "trainer",
        "problem",
        "`cargo metadata` failed: auto-install is 0",
    );
    let missing = ask("#!/nowhere/sh\n");
    expect(&missing, "trainer", "skipped", "see `toolchain`");
    expect(&missing, "toolchain", "warning", "cannot start `cargo`");
}

/// A server accepts connections and never responds.
#[test]
fn checks_time_out_without_response() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it has one"));
    let mut command = first_run(&url);
    command
        .args([
            "doctor",
            "svm",
            "--json",
            "--role",
            "x",
            "--bucket",
            "jobs",
            "--region",
            "eu-west-1",
        ])
        .env("AWS_ACCESS_KEY_ID", "AKIA0")
        .env("AWS_SECRET_ACCESS_KEY", CANARY_SECRET);
    let outcome = run_within(command, Duration::from_secs(30));
    let report = outcome.expect_code(1).json();
    for (name, service) in [
        ("credentials", "STS"),
        ("clock", "AWS"),
        ("role", "IAM"),
        ("bucket", "S3"),
        ("repository", "ECR"),
    ] {
        expect(
            &report,
            name,
            "problem",
            &format!("{service} did not respond within 5 s"),
        );
    }
    // All checks wait concurrently.
    assert!(outcome.seconds < 10.0, "{} s", outcome.seconds);
    assert!(!outcome.output().contains(CANARY_SECRET));
}

/// IAM has one endpoint and one signing region in each partition.
#[test]
fn signature_uses_the_iam_region_of_the_partition() {
    let moto = moto();
    for (region, signed) in [
        ("eu-west-1", "us-east-1"),
        ("cn-northwest-1", "cn-north-1"),
        ("us-gov-east-1", "us-gov-west-1"),
    ] {
        moto.forget();
        let mut command = trainyard(&moto);
        command.args(["doctor", "--json", "--role", "x", "--region", region]);
        command.env("AWS_SESSION_TOKEN", "canary-token");
        let outcome = run(command);
        assert!(!outcome.output().contains("canary-token"));
        let requests = moto.requests("GetRole");
        let headers = requests[0]["headers"].to_string();
        assert!(
            headers.contains(&format!("/{signed}/iam/aws4_request")),
            "{headers}"
        );
        assert!(headers.contains("canary-token"), "{headers}");
    }
    assert_eq!(moto.requests("GetRole").len(), 1);
}
