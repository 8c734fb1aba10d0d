//! `trainyard push`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::build::plan_image;
use crate::aws::Partition;
use crate::build::{self, BuildOptions};
use crate::context::Context;
use crate::ecr;
use crate::plan::Plan;
use crate::trainer::TrainerPackage;
use crate::util::megabytes;
use diagnostics::{Exit, Result};
use image::Image;
use image::push::{self, Credentials, Pushed, RegistryRef};

/// Build the image of a trainer and push it to ECR or another registry
///
/// Uploads only layers that the registry does not have. The default registry is the ECR of the
/// account. The ECR of another account or region uses the AWS credentials too. Credentials of other
/// registries come from TRAINYARD_REGISTRY_USER and TRAINYARD_REGISTRY_PASSWORD, or from
/// ~/.docker/config.json as written by `docker login`. Credentials are never written anywhere.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct PushArgs {
    /// Trainer, such as `svm`
    trainer: String,
    #[command(flatten)]
    options: BuildOptions,
    /// Push this image file, written by `build --output`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "binary"])]
    image: Option<PathBuf>,
    /// Registry to push to: `host[:port][/repository]`
    ///
    /// The default is the ECR of the account. Uses HTTP for registries on this machine, else HTTPS.
    #[arg(long, value_name = "URL", conflicts_with_all = ["create_repository", "ecr_registry"])]
    registry: Option<String>,
    /// Create the ECR repository if it does not exist
    #[arg(long)]
    create_repository: bool,
    /// URL of the ECR registry, for AWS emulators
    ///
    /// The default is the URL that GetAuthorizationToken returns.
    #[arg(long, value_name = "URL")]
    ecr_registry: Option<String>,
    /// Do not set the tag `latest`
    #[arg(long)]
    no_latest: bool,
    /// Show the steps and requests, and do nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  trainyard push svm --create-repository
  trainyard push svm --registry 127.0.0.1:5000/trainyard/svm";

/// Result of the command.
#[derive(Debug, Serialize)]
struct PushResult {
    trainer: String,
    /// Image by digest: `host/repository@sha256:...`.
    reference: String,
    tags: Vec<String>,
    digest: String,
    size: u64,
    #[serde(flatten)]
    pushed: Pushed,
    created_repository: bool,
    seconds: PushSeconds,
}

#[derive(Debug, Serialize)]
struct PushSeconds {
    compile: f64,
    image: f64,
    push: f64,
}

pub(crate) async fn run(args: PushArgs, context: &Context) -> Result<Exit> {
    let trainer = TrainerPackage::find(&args.trainer)?;
    let repository = image::repository(&trainer.name);
    if args.dry_run {
        let plan = plan(&trainer, &args, context).await?;
        return plan.print(context.format);
    }
    let certificates = context.aws_args.ca_certificates()?;
    // Checks arguments and the login before compiling for minutes.
    let (place, credentials, created_repository) = match &args.registry {
        Some(registry) => {
            let place = RegistryRef::parse(registry, &repository)?;
            let credentials = credentials(&place, context).await?;
            (place, credentials, false)
        }
        None => {
            let aws = context.aws().await?;
            let created = args.create_repository && ecr::create(&aws, &repository).await?;
            let registry = args.ecr_registry.as_deref();
            let (place, credentials) = ecr::log_in(&aws, &repository, registry).await?;
            (place, credentials, created)
        }
    };
    let image = match &args.image {
        Some(path) => Image::read(path, &trainer.name)?,
        None => build::build(&trainer, &args.options).await?,
    };
    let tags = tags(&image, args.no_latest);
    let start = Instant::now();
    let pushed = push::push(&image, &place, &credentials, certificates, &tags).await?;
    let built = image.built.clone().unwrap_or_default();
    let result = PushResult {
        trainer: trainer.name.clone(),
        reference: format!("{}@{}", place.name(), image.digest()),
        tags: tags
            .iter()
            .map(|tag| format!("{}:{tag}", place.name()))
            .collect(),
        digest: image.digest(),
        size: image.size(),
        pushed,
        created_repository,
        seconds: PushSeconds {
            compile: built.compile_seconds,
            image: built.image_seconds,
            push: start.elapsed().as_secs_f64(),
        },
    };
    context.format.print(&result, text)
}

/// Returns credentials from the environment, else for ECR from AWS, else from `docker login`.
async fn credentials(place: &RegistryRef, context: &Context) -> Result<Credentials> {
    let found = Credentials::find(&place.host, |name| std::env::var_os(name))?;
    let Some(ecr_host) = place.ecr_host().filter(|_| !found.are_explicit()) else {
        return Ok(found);
    };
    // A `docker login` for ECR expires after twelve hours, so AWS comes first.
    let login = async { ecr::log_in_to(&context.aws().await?, &ecr_host).await };
    match login.await {
        Err(_) if !found.is_anonymous() => Ok(found),
        login => login,
    }
}

fn tags(image: &Image, no_latest: bool) -> Vec<String> {
    let mut tags = vec![image.tag().to_owned()];
    if !no_latest {
        tags.push("latest".to_owned());
    }
    tags
}

fn text(result: &PushResult) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{}\n", result.reference);
    for tag in &result.tags {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {tag}");
    }
    let bytes = |blobs: &[push::Blob]| blobs.iter().map(|blob| blob.size).sum::<u64>();
    let (new, old) = (&result.pushed.uploaded, &result.pushed.present);
    let _ = writeln!(
        text,
        "  uploaded {} blobs, {}; {} blobs, {} were present",
        new.len(),
        megabytes(bytes(new)),
        old.len(),
        megabytes(bytes(old))
    );
    let PushSeconds {
        compile,
        image,
        push,
    } = &result.seconds;
    let _ = writeln!(
        text,
        "  compiled in {compile:.2} s, written in {image:.2} s, pushed in {push:.2} s"
    );
    text
}

async fn plan(trainer: &TrainerPackage, args: &PushArgs, context: &Context) -> Result<Plan> {
    let repository = image::repository(&trainer.name);
    let mut plan = Plan::default();
    let name = match &args.registry {
        Some(registry) => {
            let place = RegistryRef::parse(registry, &repository)?;
            let given =
                Credentials::find(&place.host, |name| std::env::var_os(name))?.are_explicit();
            if let Some(host) = place.ecr_host().filter(|_| !given) {
                let aws = context.aws().await?;
                if let Some((what, request)) = ecr::dry_run_log_in_to(&aws, &host).await {
                    plan.request(what, request);
                }
            }
            place.name()
        }
        None => {
            let aws = context.aws().await?;
            for (what, request) in
                ecr::dry_run_create(&aws, &repository, args.create_repository).await
            {
                plan.request(what, request);
            }
            match &args.ecr_registry {
                Some(registry) => RegistryRef::parse(registry, &repository)?.name(),
                None => format!(
                    "<account>.dkr.ecr.{}.{}/{repository}",
                    aws.region(),
                    Partition::of(aws.region()).suffix
                ),
            }
        }
    };
    let tag = match &args.image {
        Some(path) => {
            plan.step(format!("read the image `{}`", path.display()));
            Image::read(path, &trainer.name)?.tag().to_owned()
        }
        None => {
            plan_image(&mut plan, trainer, &args.options).await?;
            let [reference, _] = image::names(&trainer.source()?.package).await;
            let (_, tag) = reference.rsplit_once(':').unwrap_or_default();
            tag.to_owned()
        }
    };
    plan.step(format!("upload missing layers to `{name}`"));
    plan.step(format!("set the tag `{name}:{tag}`"));
    if !args.no_latest {
        plan.step(format!("set the tag `{name}:latest`"));
    }
    Ok(plan)
}
