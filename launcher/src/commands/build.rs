//! `trainyard build`

mod docker;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::build::{self, BuildOptions};
use crate::context::Context;
use crate::engine;
use crate::plan::Plan;
use crate::trainer::TrainerPackage;
use crate::util::megabytes;
use diagnostics::{Exit, Result};
use image::{Built, Image, Layer};

/// Build the image of a trainer, without a Docker daemon
///
/// The image is for linux/amd64. It has a static binary, or a binary with its shared libraries, and
/// CA certificates.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct BuildArgs {
    /// Trainer, such as `svm`
    trainer: String,
    #[command(flatten)]
    options: BuildOptions,
    /// Write the image to this file
    ///
    /// For `docker load`, skopeo or `trainyard push --image`.
    #[arg(long, value_name = "FILE", conflicts_with = "docker")]
    output: Option<PathBuf>,
    /// Load the image into the local Docker engine
    #[arg(long, conflicts_with = "docker")]
    load: bool,
    /// Build docker/Dockerfile with the local Docker engine
    #[arg(long, conflicts_with_all = ["target", "binary"])]
    docker: bool,
    /// With --docker: base image of the build stage
    #[arg(long, value_name = "IMAGE", requires = "docker")]
    pub(super) docker_base: Option<String>,
    /// Show the steps, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  trainyard build svm --load && docker run --rm trainyard/svm --help
  trainyard build svm --output image.tar";

/// Result of the command.
#[derive(Debug, Serialize)]
struct BuildResult {
    trainer: String,
    reference: String,
    digest: String,
    id: String,
    size: u64,
    layers: Vec<Layer>,
    #[serde(flatten)]
    built: Built,
    output: Option<PathBuf>,
    loaded: Option<String>,
    seconds: BuildSeconds,
}

#[derive(Debug, Serialize)]
struct BuildSeconds {
    compile: f64,
    image: f64,
    /// Time to write and load.
    deliver: f64,
}

pub(crate) async fn run(args: BuildArgs, context: &Context) -> Result<Exit> {
    let trainer = TrainerPackage::find(&args.trainer)?;
    if args.docker {
        return docker::run(&trainer, &args, context).await;
    }
    // Checked before compiling for minutes.
    if let Some(path) = &args.output {
        image::check_writable(path)?;
    }
    if args.dry_run {
        let plan = plan(&trainer, &args).await?;
        return plan.print(context.format);
    }
    // Connects before compiling for minutes.
    let engine = match args.load {
        true => Some(engine::connect().await?),
        false => None,
    };
    let image = build::build(&trainer, &args.options).await?;
    let start = Instant::now();
    if let Some(path) = &args.output {
        image.write(path)?;
    }
    let loaded = match &engine {
        Some(engine) => Some(engine::load(&image, engine).await?),
        None => None,
    };
    let deliver = start.elapsed().as_secs_f64();
    let result = build_result(&trainer, &image, args.output, loaded, deliver);
    context.format.print(&result, text)
}

fn build_result(
    trainer: &TrainerPackage,
    image: &Image,
    output: Option<PathBuf>,
    loaded: Option<String>,
    deliver: f64,
) -> BuildResult {
    let [reference, _] = image.names();
    let built = image.built.clone().unwrap_or_default();
    BuildResult {
        trainer: trainer.name.clone(),
        reference,
        digest: image.digest(),
        id: image.id(),
        size: image.size(),
        layers: image.layers().to_vec(),
        output,
        loaded,
        seconds: BuildSeconds {
            compile: built.compile_seconds,
            image: built.image_seconds,
            deliver,
        },
        built,
    }
}

fn text(result: &BuildResult) -> String {
    use std::fmt::Write as _;
    let (mut text, built) = (String::new(), &result.built);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}", result.reference);
    let _ = writeln!(text, "  digest        {}", result.digest);
    let _ = writeln!(text, "  size          {}", megabytes(result.size));
    for layer in &result.layers {
        let _ = writeln!(
            text,
            "  layer         {:>9}  {}",
            megabytes(layer.size()),
            layer.what
        );
    }
    let _ = writeln!(text, "  binary        {}", built.binary.display());
    if !built.libraries.is_empty() {
        let count = built.libraries.len();
        let _ = writeln!(text, "  libraries     {count} shared, this machine's");
    }
    let _ = writeln!(text, "  certificates  {}", built.certificates.display());
    if let Some(output) = &result.output {
        let _ = writeln!(text, "  written to    {}", output.display());
    }
    if let Some(loaded) = &result.loaded {
        let _ = writeln!(text, "  to run it     docker run --rm {loaded} --help");
    }
    let BuildSeconds {
        compile,
        image,
        deliver,
    } = &result.seconds;
    let _ = writeln!(
        text,
        "  compiled in {compile:.2} s, written in {:.2} s",
        image + deliver
    );
    text
}

async fn plan(trainer: &TrainerPackage, args: &BuildArgs) -> Result<Plan> {
    let mut plan = Plan::default();
    plan_image(&mut plan, trainer, &args.options).await?;
    if let Some(path) = &args.output {
        plan.step(format!("write the image into `{}`", path.display()));
    }
    if args.load {
        plan.step("load the image into the local Docker engine");
    }
    Ok(plan)
}

/// Adds the steps that `push` has too.
pub(super) async fn plan_image(
    plan: &mut Plan,
    trainer: &TrainerPackage,
    options: &BuildOptions,
) -> Result<()> {
    match &options.binary {
        Some(binary) => plan.step(format!("use the binary `{}`", binary.display())),
        None => plan.step(format!(
            "run `{}`",
            build::compile_command(trainer, options)?
        )),
    }
    let [reference, latest] = image::names(&trainer.source()?.package).await;
    plan.step(format!(
        "build the image `{reference}`, also tagged `{latest}`"
    ));
    Ok(())
}
