//! `trainyard infra`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::aws::iam::role_name;
use crate::context::Context;
use crate::infra::{
    Deployment, Partition, check_account, check_id, check_region, check_trainer, terraform,
};
use crate::job::S3Url;
use crate::output::quoted;
use crate::plan::Plan;
use crate::trainer::TrainerPackage;
use diagnostics::{Error, Exit, Result, eprint_line};

/// Print the IAM policies that Trainyard needs, or write Terraform for them
///
/// Sends nothing to AWS.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct InfraArgs {
    #[command(subcommand)]
    what: InfraCommand,
}

const EXAMPLES: &str = "\
Examples:
  trainyard infra policies --account 123456789012 --bucket my-bucket --region eu-west-1
  trainyard infra terraform --account 123456789012 --bucket my-bucket --region eu-west-1 \\
    --output infra";

#[derive(Debug, Subcommand)]
enum InfraCommand {
    /// Print the IAM policies as JSON
    ///
    /// Three policies: for users who submit jobs, for the execution role, and its trust policy.
    Policies(PoliciesArgs),
    /// Write Terraform for role, policies, bucket and ECR repositories
    Terraform(TerraformArgs),
}

#[derive(Debug, Args)]
struct AccountArgs {
    /// AWS account ID, 12 digits
    #[arg(long, value_name = "ID")]
    account: String,
    /// Bucket of data, models and checkpoints
    #[arg(long, value_name = "NAME")]
    bucket: String,
    /// Additional region of the policies; may be given several times
    #[arg(long, value_name = "REGION")]
    also_region: Vec<String>,
    /// Trainer to push and run; may be given several times
    #[arg(long, value_name = "NAME", default_value = "svm")]
    trainer: Vec<String>,
    /// Name of the execution role
    #[arg(long, value_name = "NAME", default_value = "trainyard-execution")]
    role: String,
    /// ARN of a KMS key of bucket or volumes; may be given several times
    #[arg(long, value_name = "ARN")]
    kms_key: Vec<String>,
    /// VPC that jobs may run in, such as vpc-0abc123
    #[arg(long, value_name = "ID")]
    vpc: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_long_help = POLICIES_EXAMPLES)]
struct PoliciesArgs {
    #[command(flatten)]
    account: AccountArgs,
    /// Print only this policy, in the form that `aws iam` accepts
    #[arg(long, value_enum)]
    only: Option<PolicyKind>,
}

const POLICIES_EXAMPLES: &str = "\
Examples:
  trainyard infra policies --account 123456789012 --bucket my-bucket --region eu-west-1
  trainyard infra policies --account 123456789012 --bucket my-bucket --region eu-west-1 \\
    --only trust";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PolicyKind {
    /// Policy for users who submit jobs
    Launcher,
    /// Policy of the execution role
    Execution,
    /// Trust policy: SageMaker may assume the execution role
    Trust,
}

#[derive(Debug, Args)]
#[command(after_long_help = TERRAFORM_EXAMPLES)]
struct TerraformArgs {
    #[command(flatten)]
    account: AccountArgs,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Make ECR tags immutable; push with --no-latest
    #[arg(long)]
    immutable_tags: bool,
    /// Overwrite existing files
    #[arg(long)]
    force: bool,
    /// Show the files without writing them
    #[arg(long)]
    dry_run: bool,
}

const TERRAFORM_EXAMPLES: &str = "\
Examples:
  trainyard infra terraform --account 123456789012 --bucket my-bucket --region eu-west-1 \\
    --output infra
  trainyard infra terraform --account 123456789012 --bucket my-bucket --region eu-west-1 \\
    --output infra --trainer svm --trainer bag --dry-run";

pub(crate) async fn run(args: InfraArgs, context: &Context) -> Result<Exit> {
    match args.what {
        InfraCommand::Policies(args) => policies(&args, context),
        InfraCommand::Terraform(args) => write(&args, context),
    }
}

fn policies(args: &PoliciesArgs, context: &Context) -> Result<Exit> {
    let deployment = check(&args.account, context)?;
    let document = match args.only {
        Some(PolicyKind::Launcher) => deployment.launcher(),
        Some(PolicyKind::Execution) => deployment.execution(),
        Some(PolicyKind::Trust) => deployment.trust(),
        None => json!({
            "launcher": deployment.launcher(),
            "execution": deployment.execution(),
            "trust": deployment.trust(),
        }),
    };
    // JSON also as text output: it is pasted into a file or a console.
    context
        .format
        .print(&document, |document| format!("{document:#}"))
}

fn write(args: &TerraformArgs, context: &Context) -> Result<Exit> {
    let deployment = check(&args.account, context)?;
    let files = terraform::files(&deployment, args.immutable_tags);
    if args.dry_run {
        let mut plan = Plan::default();
        for (name, content) in &files {
            let path = args.output.join(name);
            let what = format!("write `{}`", path.display());
            plan.request(what, json!({"path": path, "content": content}));
        }
        return plan.print(context.format);
    }
    if let [first, others @ ..] = deployment.regions.as_slice()
        && !others.is_empty()
    {
        eprint_line(format!(
            "bucket and repositories are created only in `{first}`; the policies also cover {}",
            others.join(", ")
        ));
    }
    terraform::write(&args.output, &files, args.force)?;
    let paths = files.map(|(name, _)| args.output.join(name));
    let result = json!({"written": paths});
    context.format.print(&result, |_| {
        let folder = quoted(&args.output.to_string_lossy());
        let lines = paths.iter().map(|path| format!("{}\n", path.display()));
        lines.collect::<String>()
            + &format!("\nnext: terraform -chdir={folder} init, then plan and apply")
    })
}

/// Limit of IAM for a managed policy, without whitespace.
const MAX_POLICY_LENGTH: usize = 6144;

fn check(args: &AccountArgs, context: &Context) -> Result<Deployment> {
    let deployment = Deployment {
        account: args.account.clone(),
        regions: regions(args, context)?,
        bucket: args.bucket.clone(),
        trainers: args.trainer.clone(),
        role: args.role.clone(),
        kms_keys: args.kms_key.clone(),
        vpc: args.vpc.clone(),
    };
    check_account(&args.account)?;
    let bucket = S3Url::parse(&format!("s3://{}", args.bucket))?;
    if !bucket.key.is_empty() {
        return Err(Error::usage(format!(
            "`--bucket {}` is not a bucket name",
            diagnostics::sanitize(&args.bucket)
        ))
        .help(format!("expected only a name, such as `{}`", bucket.bucket)));
    }
    args.trainer
        .iter()
        .try_for_each(|name| check_trainer(name))?;
    args.trainer.iter().for_each(|name| warn_if_unknown(name));
    if role_name(&args.role) != Some(args.role.as_str()) {
        return Err(Error::usage(format!(
            "`--role {}` is not a role name",
            diagnostics::sanitize(&args.role)
        ))
        .help("expected 1 to 64 characters of `A-Za-z0-9+=,.@_-`, not an ARN"));
    }
    for key in &args.kms_key {
        check_key(key, &deployment)?;
    }
    if let Some(vpc) = &args.vpc {
        check_id("--vpc", "vpc-", vpc)?;
    }
    for policy in [deployment.launcher(), deployment.execution()] {
        let length = policy.to_string().len();
        if length > MAX_POLICY_LENGTH {
            return Err(Error::usage(format!(
                "the policy has {length} characters, IAM allows {MAX_POLICY_LENGTH}"
            ))
            .help("pass fewer regions, trainers or keys"));
        }
    }
    Ok(deployment)
}

fn regions(args: &AccountArgs, context: &Context) -> Result<Vec<String>> {
    let first = context
        .aws_args
        .region_given()
        .ok_or_else(|| Error::usage("no AWS region").help("pass `--region`, or set AWS_REGION"))?;
    let mut regions = vec![first];
    for region in &args.also_region {
        if !regions.contains(region) {
            regions.push(region.clone());
        }
    }
    regions.iter().try_for_each(|region| check_region(region))?;
    let mut partitions = regions.iter().map(|region| Partition::of(region));
    let own = partitions.next();
    if partitions.any(|other| Some(other) != own) {
        return Err(Error::usage(format!(
            "{} are in different partitions",
            regions.join(", ")
        ))
        .help("run it once for each partition: AWS, China, GovCloud"));
    }
    Ok(regions)
}

/// Checks `arn:aws:kms:REGION:ACCOUNT:key/ID`. IAM does not accept an alias, which can change.
fn check_key(key: &str, deployment: &Deployment) -> Result<()> {
    let start = format!("arn:{}:kms:", deployment.partition().name);
    let is_valid = key.strip_prefix(&start).is_some_and(|rest| {
        let fields: Vec<_> = rest.split(':').collect();
        match fields.as_slice() {
            [region, owner, id] => {
                check_region(region).is_ok()
                    && check_account(owner).is_ok()
                    && check_id("--kms-key", "key/", id).is_ok()
            }
            _ => false,
        }
    });
    if is_valid {
        return Ok(());
    }
    Err(Error::usage(format!(
        "`--kms-key {}` is not the ARN of a key",
        diagnostics::sanitize(key)
    ))
    .help(format!("expected `{start}REGION:ACCOUNT:key/ID`")))
}
/// Warns of an unknown trainer. Any name is allowed, for other images too.
fn warn_if_unknown(name: &str) {
    if let Err(error) = TrainerPackage::find(name)
        && error.exit() == Exit::Usage
    {
        let (message, help) = error.into_parts();
        eprint_line(format!("warning: {message}\n  help: {}", help.join("; ")));
    }
}
