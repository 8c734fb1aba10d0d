//! Operations of the SDK that the launcher uses, with their IAM actions. Tests compare the list
//! with the source code and with the policy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::policy::Deployment;

/// Method of the SDK, and the actions that it needs.
const OPERATIONS: &[(&str, &[&str])] = &[
    ("abort_multipart_upload", &["s3:AbortMultipartUpload"]),
    // By the source of a profile's role; the policy is for the role itself.
    ("assume_role", &[]),
    ("complete_multipart_upload", &["s3:PutObject"]),
    ("create_multipart_upload", &["s3:PutObject"]),
    ("create_repository", &["ecr:CreateRepository"]),
    (
        "create_training_job",
        &[
            "sagemaker:CreateTrainingJob",
            "sagemaker:AddTags",
            "iam:PassRole",
        ],
    ),
    // For checkpoints that the trainer of a local job has deleted.
    ("delete_object", &["s3:DeleteObject"]),
    ("describe_images", &["ecr:DescribeImages"]),
    ("describe_log_streams", &["logs:DescribeLogStreams"]),
    ("describe_training_job", &["sagemaker:DescribeTrainingJob"]),
    ("get_authorization_token", &["ecr:GetAuthorizationToken"]),
    // Always allowed.
    ("get_caller_identity", &[]),
    ("get_log_events", &["logs:GetLogEvents"]),
    ("get_object", &["s3:GetObject"]),
    ("head_bucket", &["s3:ListBucket"]),
    ("head_object", &["s3:GetObject"]),
    ("list_multipart_uploads", &["s3:ListBucketMultipartUploads"]),
    ("list_objects_v2", &["s3:ListBucket"]),
    ("list_parts", &["s3:ListMultipartUploadParts"]),
    ("list_training_jobs", &["sagemaker:ListTrainingJobs"]),
    ("put_object", &["s3:PutObject"]),
    ("stop_training_job", &["sagemaker:StopTrainingJob"]),
    ("upload_part", &["s3:PutObject"]),
];

/// Requests outside of the SDK: aws/iam.rs and the registry protocol.
const OTHERS: &[&str] = &[
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
    "iam:GetRole",
];

fn launcher_actions() -> BTreeSet<String> {
    let deployment = Deployment {
        account: "123456789012".to_owned(),
        regions: vec!["eu-west-1".to_owned()],
        bucket: "bucket".to_owned(),
        trainers: vec!["svm".to_owned()],
        role: "role".to_owned(),
        kms_keys: Vec::new(),
        vpc: None,
    };
    let policy = deployment.launcher();
    let statements = policy["Statement"].as_array().expect("statements");
    statements
        .iter()
        .flat_map(|statement| statement["Action"].as_array().expect("actions"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[test]
fn policy_allows_exactly_the_used_actions() {
    let used: BTreeSet<String> = OPERATIONS
        .iter()
        .flat_map(|(_, actions)| *actions)
        .chain(OTHERS)
        .map(|action| (*action).to_owned())
        .collect();
    assert_eq!(launcher_actions(), used);
}

/// Returns all operations of the five services: files in `src/client` of the SDK.
fn sdk_operations() -> BTreeSet<String> {
    // Only packages of this platform are downloaded, so the others must be filtered out.
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .other_options(["--offline", "--filter-platform", "host-tuple"].map(str::to_owned))
        .exec()
        .expect("cargo metadata");
    let services = ["s3", "ecr", "sts", "sagemaker", "cloudwatchlogs"];
    let mut operations = BTreeSet::new();
    for service in services {
        let name = format!("aws-sdk-{service}");
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name == name)
            .expect("a dependency");
        let folder = package
            .manifest_path
            .parent()
            .expect("a folder")
            .join("src/client");
        for file in std::fs::read_dir(folder).expect("the SDK has one") {
            let path = file.expect("an entry").path();
            let stem = path.file_stem().expect("a name").to_string_lossy();
            operations.insert(stem.into_owned());
        }
        operations.remove("customize");
    }
    operations
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_used_operation_is_listed() {
    let operations = sdk_operations();
    assert!(operations.contains("create_training_job") && operations.len() > 300);
    let call = regex::Regex::new(r"(?:\.\s*|operation::)([a-z0-9_]+)(?:\(\)|::builders)")
        .expect("a pattern");
    let mut files = Vec::new();
    for folder in ["src", "s3/src"] {
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut files,
        );
    }
    let mut used = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("source");
        for found in call.captures_iter(&text) {
            if operations.contains(&found[1]) {
                used.insert(found[1].to_owned());
            }
        }
    }
    assert!(used.contains("get_caller_identity"), "{used:?}");
    let listed: BTreeSet<String> = OPERATIONS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let missing: Vec<_> = used.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "add them to OPERATIONS, and their actions to the policy: {missing:?}"
    );
    let unused: Vec<_> = listed.difference(&used).collect();
    assert!(unused.is_empty(), "not used any more: {unused:?}");
    let unknown: Vec<_> = listed.difference(&operations).collect();
    assert!(
        unknown.is_empty(),
        "the SDK has no such operations: {unknown:?}"
    );
}
