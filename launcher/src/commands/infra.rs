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
use crate::trainer::Trainer;
use diagnostics::{Error, Exit, Result, eprint_line};

/// Nothing is sent to AWS.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct InfraArgs {
    #[command(subcommand)]
    what: What,
}

const AFTER_HELP: &str = "\
Examples:
  trainyard infra policies --account 123456789012 --bucket my-bucket --region eu-west-1
  trainyard infra terraform --account 123456789012 --bucket my-bucket --region eu-west-1 --output infra";

#[derive(Debug, Subcommand)]
enum What {
    /// Print the IAM policies: launcher, execution role, and the role's trust policy
    Policies(PoliciesArgs),
    /// Write Terraform for role, policies, bucket and repositories
    Terraform(TerraformArgs),
}

#[derive(Debug, Args)]
struct AccountArgs {
    /// AWS account, 12 digits
    #[arg(long, value_name = "ID")]
    account: String,
    /// Bucket of data, models and checkpoints
    #[arg(long, value_name = "NAME")]
    bucket: String,
    /// Region besides that of --region, for the policies; may be given several times
    #[arg(long, value_name = "REGION")]
    also_region: Vec<String>,
    /// Trainer whose images are pushed and run; may be given several times
    #[arg(long, value_name = "NAME", default_value = "svm")]
    trainer: Vec<String>,
    /// Name of the execution role
    #[arg(long, value_name = "NAME", default_value = "trainyard-execution")]
    role: String,
    /// ARN of a KMS key that encrypts the bucket or the volumes; may be given several times
    #[arg(long, value_name = "ARN")]
    kms_key: Vec<String>,
    /// VPC in which jobs may run, such as vpc-0abc123
    #[arg(long, value_name = "ID")]
    vpc: Option<String>,
}

#[derive(Debug, Args)]
struct PoliciesArgs {
    #[command(flatten)]
    account: AccountArgs,
    /// Print one of them alone, as `aws iam` takes it
    #[arg(long, value_enum)]
    only: Option<Which>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// For those who submit jobs
    Launcher,
    /// For the execution role
    Execution,
    /// Who may assume the execution role
    Trust,
}

#[derive(Debug, Args)]
struct TerraformArgs {
    #[command(flatten)]
    account: AccountArgs,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Tags in ECR stay what they are: push with --no-latest
    #[arg(long)]
    immutable_tags: bool,
    /// Overwrite files
    #[arg(long)]
    force: bool,
    /// Show the files and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: InfraArgs, context: &Context) -> Result<Exit> {
    match args.what {
        What::Policies(args) => policies(&args, context)?,
        What::Terraform(args) => write(&args, context)?,
    }
    Ok(Exit::Ok)
}

fn policies(args: &PoliciesArgs, context: &Context) -> Result<()> {
    let deployment = check(&args.account, context)?;
    let document = match args.only {
        Some(Which::Launcher) => deployment.launcher(),
        Some(Which::Execution) => deployment.execution(),
        Some(Which::Trust) => deployment.trust(),
        None => json!({
            "launcher": deployment.launcher(),
            "execution": deployment.execution(),
            "trust": deployment.trust(),
        }),
    };
    // For people too it is JSON: it goes into a file or a console.
    context
        .format
        .answer(&document, |document| format!("{document:#}"))
}

fn write(args: &TerraformArgs, context: &Context) -> Result<()> {
    let deployment = check(&args.account, context)?;
    let files = terraform::files(&deployment, args.immutable_tags);
    if args.dry_run {
        let mut plan = Plan::default();
        for file in &files {
            let path = args.output.join(file.name);
            let what = format!("write `{}`", path.display());
            plan.request(what, json!({"path": path, "content": file.content}));
        }
        return plan.print(context.format);
    }
    if let [first, others @ ..] = deployment.regions.as_slice()
        && !others.is_empty()
    {
        eprint_line(format!(
            "bucket and repositories are made in `{first}` alone; the policies are for {} too",
            others.join(", ")
        ));
    }
    terraform::write(&args.output, &files, args.force)?;
    let paths: Vec<_> = files
        .iter()
        .map(|file| args.output.join(file.name))
        .collect();
    let answer = json!({"written": paths});
    context.format.answer(&answer, |_| {
        let folder = quoted(&args.output.to_string_lossy());
        let lines = paths.iter().map(|path| format!("{}\n", path.display()));
        lines.collect::<String>()
            + &format!("\nnext: terraform -chdir={folder} init, then plan and apply")
    })
}

/// IAM's limit for a managed policy, blanks not counted.
const LIMIT: usize = 6144;

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
            "`--bucket {}` is no bucket",
            diagnostics::sanitize(&args.bucket)
        ))
        .help(format!(
            "expected a name alone, such as `{}`",
            bucket.bucket
        )));
    }
    args.trainer
        .iter()
        .try_for_each(|name| check_trainer(name))?;
    args.trainer.iter().for_each(|name| known(name));
    if role_name(&args.role) != Some(args.role.as_str()) {
        return Err(Error::usage(format!(
            "`--role {}` is no role's name",
            diagnostics::sanitize(&args.role)
        ))
        .help("expected 1 to 64 of `A-Za-z0-9+=,.@_-`, and no ARN"));
    }
    for key in &args.kms_key {
        check_key(key, &deployment)?;
    }
    if let Some(vpc) = &args.vpc {
        check_id("--vpc", "vpc-", vpc)?;
    }
    for policy in [deployment.launcher(), deployment.execution()] {
        let length = policy.to_string().len();
        if length > LIMIT {
            return Err(Error::usage(format!(
                "the policy has {length} characters, IAM allows {LIMIT}"
            ))
            .help("name fewer regions, trainers or keys"));
        }
    }
    Ok(deployment)
}

fn regions(args: &AccountArgs, context: &Context) -> Result<Vec<String>> {
    let first = context
        .aws
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
        return Err(
            Error::usage(format!("{} have no account in common", regions.join(", ")))
                .help("write one set of policies for each of AWS, China and GovCloud"),
        );
    }
    Ok(regions)
}

/// `arn:aws:kms:REGION:ACCOUNT:key/ID`: an alias may point to another key tomorrow, and IAM does not take it.
fn check_key(key: &str, deployment: &Deployment) -> Result<()> {
    let start = format!("arn:{}:kms:", deployment.partition().name());
    let sound = key.strip_prefix(&start).is_some_and(|rest| {
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
    if sound {
        return Ok(());
    }
    Err(Error::usage(format!(
        "`--kms-key {}` is no key's ARN",
        diagnostics::sanitize(key)
    ))
    .help(format!("expected `{start}REGION:ACCOUNT:key/ID`")))
}
/// Any name will do, for images of one's own too; in the repository one that is none of its trainers may be mistyped.
fn known(name: &str) {
    if let Err(error) = Trainer::find(name)
        && error.exit() == Exit::Usage
    {
        let (message, help) = error.into_parts();
        eprint_line(format!("warning: {message}\n  help: {}", help.join("; ")));
    }
}
