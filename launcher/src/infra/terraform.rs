//! Terraform: constant files, and two generated files with values and policies.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::hcl;
use super::policy::Deployment;
use diagnostics::{Error, Result};

/// Name and content of a file.
type File = (&'static str, String);

/// Returns all files. `immutable_tags`: ECR tags cannot be overwritten.
pub(crate) fn files(deployment: &Deployment, immutable_tags: bool) -> [File; 6] {
    let fixed = |content: &str| content.to_owned();
    [
        ("main.tf", fixed(include_str!("../../infra/main.tf"))),
        ("role.tf", fixed(include_str!("../../infra/role.tf"))),
        ("bucket.tf", fixed(include_str!("../../infra/bucket.tf"))),
        (
            "repository.tf",
            fixed(include_str!("../../infra/repository.tf")),
        ),
        ("trainyard.tf", values(deployment, immutable_tags)),
        ("policies.tf", policies(deployment)),
    ]
}

fn values(deployment: &Deployment, immutable_tags: bool) -> String {
    let trainers: Vec<_> = deployment
        .trainers
        .iter()
        .map(|name| hcl::string(name))
        .collect();
    let kms_key = deployment
        .kms_keys
        .first()
        .map_or("null".to_owned(), |key| hcl::string(key));
    let mutability = if immutable_tags {
        "IMMUTABLE"
    } else {
        "MUTABLE"
    };
    let region = deployment.regions.first().map_or("", String::as_str);
    let rows = [
        ("account", hcl::string(&deployment.account)),
        ("bucket", hcl::string(&deployment.bucket)),
        ("kms_key", kms_key),
        ("region", hcl::string(region)),
        ("role", hcl::string(&deployment.role)),
        ("tag_mutability", hcl::string(mutability)),
        ("trainers", format!("toset([{}])", trainers.join(", "))),
    ];
    locals("# Values of `trainyard infra terraform`.", &rows)
}

fn policies(deployment: &Deployment) -> String {
    let rows = [
        ("bucket_policy", hcl::policy(&deployment.bucket_policy())),
        ("execution_policy", hcl::policy(&deployment.execution())),
        ("image_policy", hcl::policy(&images())),
        ("launcher_policy", hcl::policy(&deployment.launcher())),
        ("trust_policy", hcl::policy(&deployment.trust())),
    ];
    locals(
        "# The policies, as `trainyard infra policies` prints them.",
        &rows,
    )
}

/// Returns `locals { name = value }` with aligned equal signs, as `terraform fmt` formats it.
fn locals(comment: &str, rows: &[(&str, String)]) -> String {
    let multiline = rows.iter().any(|(_, value)| value.contains('\n'));
    let width = match multiline {
        // Multi-line values are not aligned.
        true => 0,
        false => rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0),
    };
    let mut text = format!("{comment}\nlocals {{\n");
    for (number, (name, value)) in rows.iter().enumerate() {
        if multiline && number > 0 {
            text.push('\n');
        }
        text.push_str(&format!("  {name:<width$} = {value}\n"));
    }
    text.push_str("}\n");
    text
}

/// Lifecycle policy: each push leaves the previous `latest` untagged.
fn images() -> Value {
    json!({"rules": [{
        "rulePriority": 1,
        "description": "expire untagged images after 30 days",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": 30,
        },
        "action": {"type": "expire"},
    }]})
}

/// Writes all files, or none if some exist and `force` is false.
pub(crate) fn write(folder: &Path, files: &[File], force: bool) -> Result<()> {
    let existing: Vec<_> = files
        .iter()
        .filter(|(name, _)| folder.join(name).symlink_metadata().is_ok())
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !force && !existing.is_empty() {
        return Err(Error::usage(format!(
            "`{}` has {} already; nothing was written",
            folder.display(),
            existing.join(", ")
        ))
        .help("pass `--force` to overwrite, or another `--output`"));
    }
    let failed = |path: &Path, error: std::io::Error| {
        Error::new(format!("cannot write `{}`: {error}", path.display()))
            .help("pass an `--output` folder that you may write to")
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (name, content) in files {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options
            .write(true)
            .truncate(force)
            .create(force)
            .create_new(!force);
        options
            .open(&path)
            .and_then(|mut out| out.write_all(content.as_bytes()))
            .map_err(|error| failed(&path, error))?;
    }
    Ok(())
}
