//! `trainyard infra`: policies are checked by the IAM of moto and by a linter, Terraform by an HCL
//! parser.
#![expect(
    clippy::expect_used,
    reason = "the helpers of a test report by panicking"
)]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Outcome, moto, run};

const FULL: [&str; 14] = [
    "--account",
    "123456789012",
    "--bucket",
    "my-bucket",
    "--region",
    "eu-west-1",
    "--also-region",
    "us-east-1",
    "--trainer",
    "svm",
    "--trainer",
    "bilstm",
    "--vpc",
    "vpc-0abc123",
];
const KEY: [&str; 2] = [
    "--kms-key",
    "arn:aws:kms:eu-west-1:123456789012:key/1234-abcd",
];

fn infra(arguments: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command.env_clear().arg("infra").args(arguments);
    run(command)
}

fn with<'a>(start: &[&'a str], arguments: &[&[&'a str]]) -> Vec<&'a str> {
    [start, &arguments.concat()].concat()
}

fn policies() -> Value {
    infra(&with(&["policies"], &[&FULL, &KEY]))
        .expect_code(0)
        .json()
}

#[test]
fn policies_match_snapshot() {
    insta::assert_snapshot!(infra(&with(&["policies"], &[&FULL, &KEY])).stdout);
    let least = [
        "policies",
        "--account",
        "123456789012",
        "--bucket",
        "b-1",
        "--region",
        "cn-north-1",
    ];
    let least = infra(&least).expect_code(0).json();
    let text = least.to_string();
    assert!(
        text.contains("arn:aws-cn:s3:::b-1/*") && !text.contains("arn:aws:"),
        "{text}"
    );
    // Only with --vpc and --kms-key.
    assert!(!text.contains("ec2:") && !text.contains("kms:"), "{text}");
    // `--only` prints the same policy.
    for (name, one) in policies().as_object().expect("an object") {
        let alone = infra(&with(&["policies", "--only", name], &[&FULL, &KEY]));
        assert_eq!(&alone.json(), one);
    }
}

/// Resource `*` is used only for actions without resource types.
#[test]
fn wildcard_resources_only_where_required() {
    let all = policies();
    for policy in ["launcher", "execution"] {
        for statement in all[policy]["Statement"].as_array().expect("statements") {
            let actions = statement["Action"].as_array().expect("actions");
            assert!(
                actions
                    .iter()
                    .all(|action| !action.to_string().contains('*')),
                "{statement}"
            );
            let resource = statement["Resource"].to_string();
            let whole_account = ["ListJobs", "EcrLogin", "Metrics", "DescribeNetworks"];
            let may = whole_account.iter().any(|sid| statement["Sid"] == *sid);
            assert_eq!(resource == "\"*\"", may, "{statement}");
            assert!(!resource.contains("my-bucket*"), "{statement}");
        }
    }
}

#[test]
fn iam_and_a_linter_accept_the_policies() {
    let moto = moto();
    std::fs::write(moto.home().join("policies.json"), policies().to_string())
        .expect("it can be written");
    let findings = moto.boto(
        r#"
import parliament
iam, findings = client("iam"), []
policies = json.load(open("policies.json"))
for name in "launcher", "execution":
    text = json.dumps(policies[name])
    iam.create_policy(PolicyName=name, PolicyDocument=text)
    judged = parliament.analyze_policy_string(text)
    findings += [[name, found.issue, str(found.detail)] for found in judged.findings]
iam.create_role(RoleName="execution", AssumeRolePolicyDocument=json.dumps(policies["trust"]))
iam.put_role_policy(RoleName="execution", PolicyName="execution", PolicyDocument=json.dumps(policies["execution"]))
# The linter finds an unknown action.
bad = json.dumps(policies["launcher"]).replace("sagemaker:CreateTrainingJob", "sagemaker:CreateTrainingJobs")
assert [found.issue for found in parliament.analyze_policy_string(bad).findings] == ["UNKNOWN_ACTION"]
show(findings)
"#,
    );
    // CreateNetworkInterface has three resource types, of which two can be restricted to a VPC: the
    // linter checks each statement alone and reports the missing ones.
    let findings = findings.as_array().expect("a list");
    for finding in findings {
        assert_eq!(finding[0], "execution", "{finding}");
        assert_eq!(finding[1], "RESOURCE_MISMATCH", "{finding}");
        assert!(
            finding[2]
                .to_string()
                .contains("'ec2:CreateNetworkInterface'"),
            "{finding}"
        );
    }
    assert_eq!(findings.len(), 2, "{findings:?}");
}

fn terraform(folder: &Path, more: &[&str]) -> Outcome {
    let folder = folder.to_str().expect("UTF-8");
    infra(&with(
        &["terraform", "--output", folder],
        &[&FULL, &KEY, more],
    ))
}

#[test]
fn terraform_contains_the_same_policies() {
    let moto = moto();
    let folder = moto.home().join("infra");
    let written = terraform(&folder, &["--json"]).expect_code(0).json();
    assert_eq!(written["written"].as_array().map(Vec::len), Some(6));
    let read = moto.boto(
        r#"
import glob, hcl2, re
read = {"resources": []}
for path in sorted(glob.glob("infra/*.tf")):
    with open(path) as file:
        document = hcl2.load(file)
    for block in document.get("resource", []):
        read["resources"] += [json.loads(kind) if kind.startswith('"') else kind for kind in block if not kind.startswith("__")]
    for block in document.get("locals", []):
        for name, value in block.items():
            heredoc = re.fullmatch(r'"?<<-JSON\n(.*)\nJSON"?', value, re.S) if isinstance(value, str) else None
            read[name] = json.loads(heredoc[1]) if heredoc else value
show(read)
"#,
    );
    let policies = policies();
    for (here, there) in [
        ("launcher", "launcher_policy"),
        ("execution", "execution_policy"),
        ("trust", "trust_policy"),
    ] {
        assert_eq!(policies[here], read[there], "{here}");
    }
    assert!(read["bucket"].to_string().contains("my-bucket"), "{read}");
    let resources = read["resources"].to_string();
    for kind in [
        "aws_iam_role",
        "aws_iam_role_policy",
        "aws_iam_policy",
        "aws_s3_bucket",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_versioning",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_lifecycle_configuration",
        "aws_s3_bucket_policy",
        "aws_ecr_repository",
        "aws_ecr_lifecycle_policy",
    ] {
        assert!(
            resources.contains(&format!("\"{kind}\"")),
            "{kind}: {resources}"
        );
    }
    // Every `local.name` is defined.
    let local = regex::Regex::new(r"local\.(\w+)").expect("a pattern");
    for file in std::fs::read_dir(&folder).expect("a folder") {
        let text = std::fs::read_to_string(file.expect("an entry").path()).expect("text");
        for used in local.captures_iter(&text) {
            assert!(!read[&used[1]].is_null(), "local.{} is not set", &used[1]);
        }
    }
}

#[test]
fn existing_files_are_not_overwritten_without_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = terraform(&folder.path().join("new"), &["--dry-run", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(plan["dry_run"], true);
    assert!(!folder.path().join("new").exists());
    std::fs::write(folder.path().join("role.tf"), "mine").expect("it can be written");
    let refused = terraform(folder.path(), &[]);
    refused.expect_code(2);
    assert!(
        refused
            .stderr
            .contains("has `role.tf` already; nothing was written"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("help: pass `--force`"));
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1
    );
    terraform(folder.path(), &["--force", "--immutable-tags"]).expect_code(0);
    // The files equal the plan, except for tag mutability.
    for step in plan["steps"].as_array().expect("steps") {
        let path = step["request"]["path"].as_str().expect("a path");
        let name = Path::new(path).file_name().expect("a name");
        let written = std::fs::read_to_string(folder.path().join(name)).expect("it was written");
        let planned = step["request"]["content"].as_str().expect("content");
        assert_eq!(
            written.replace("\"IMMUTABLE\"", "\"MUTABLE\""),
            planned,
            "{name:?}"
        );
    }
}

#[test]
fn invalid_names_are_refused() {
    for (flag, value, expected) in [
        ("--account", "*", "`--account *` is not an account ID"),
        ("--bucket", "*", "is not a bucket name"),
        ("--bucket", "bucket/key", "is not a bucket name"),
        ("--also-region", "*", "`*` is not a region"),
        ("--also-region", "cn-north-1", "are in different partitions"),
        ("--trainer", "svm/*", "`svm/*` is not a trainer name"),
        ("--role", "*", "`--role *` is not a role name"),
        (
            "--role",
            "arn:aws:iam::123456789012:role/x",
            "is not a role name",
        ),
        ("--vpc", "*", "`--vpc *`"),
        ("--kms-key", "*", "is not the ARN of a key"),
        (
            "--kms-key",
            "arn:aws:kms:eu-west-1:123456789012:alias/x",
            "is not the ARN of a key",
        ),
    ] {
        let mut arguments = vec!["policies", "--region", "eu-west-1"];
        for (name, good) in [("--account", "123456789012"), ("--bucket", "my-bucket")] {
            arguments.extend([name, if name == flag { value } else { good }]);
        }
        if !matches!(flag, "--account" | "--bucket") {
            arguments.extend([flag, value]);
        }
        let outcome = infra(&arguments);
        outcome.expect_code(2);
        assert!(
            outcome.stderr.contains(expected) && outcome.stderr.contains("help:"),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.stdout, "");
    }
    let many: Vec<_> = (0..200).map(|n| format!("trainer-{n}")).collect();
    let mut arguments = vec![
        "policies",
        "--region",
        "eu-west-1",
        "--account",
        "123456789012",
        "--bucket",
        "b-1",
    ];
    arguments.extend(many.iter().flat_map(|name| ["--trainer", name]));
    let outcome = infra(&arguments);
    outcome.expect_code(2);
    assert!(
        outcome.stderr.contains("IAM allows 6144"),
        "{}",
        outcome.stderr
    );
    let outcome = infra(&[
        "policies",
        "--account",
        "123456789012",
        "--bucket",
        "my-bucket",
    ]);
    outcome.expect_code(2);
    assert_eq!(json!(outcome.stdout), json!(""));
}
