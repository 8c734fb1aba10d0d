//! `trainyard serve`

use std::path::PathBuf;

use clap::Args;

use crate::local::{self, Serving};
use crate::trainer::TrainerPackage;
use diagnostics::{Error, Exit, Result};

/// Answer requests with a model, on this machine
///
/// Starts `TRAINER serve` as a process, or in the local Docker engine as SageMaker does. Ends after
/// Ctrl-C, when all requests are answered.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Trainer, such as `svm`
    trainer: String,
    /// Model: the model.tar.gz of a job, or a folder
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Port on this machine
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// Where it runs: local-process, or local for the Docker engine
    #[arg(long, value_name = "TYPE", default_value = "local-process")]
    instance_type: String,
    /// With `--instance-type local`: image of the trainer [default: built in the repository]
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Binary of the trainer
    ///
    /// The default is built in the repository; elsewhere it is the one next to trainyard or on the
    /// PATH.
    #[arg(long, value_name = "FILE", conflicts_with = "image")]
    trainer_binary: Option<PathBuf>,
    /// Options of `TRAINER serve`, such as `--timeout 10`
    #[arg(last = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  trainyard serve svm --model out/JOB/output/model.tar.gz
  trainyard serve svm --model models/svm --instance-type local --port 8081 -- --timeout 10";

pub(crate) async fn run(args: ServeArgs) -> Result<Exit> {
    let in_engine = match args.instance_type.as_str() {
        "local-process" => false,
        "local" => true,
        other => {
            let other = diagnostics::sanitize(other);
            let message = format!("expected `local-process` or `local`, found `{other}`");
            return Err(Error::usage(message)
                .help("SageMaker's endpoints are made by its console, the AWS CLI or its SDK"));
        }
    };
    let unused = match (in_engine, &args.image, &args.trainer_binary) {
        (false, Some(_), _) => Some(("--image", "local")),
        (true, _, Some(_)) => Some(("--trainer-binary", "local-process")),
        _ => None,
    };
    if let Some((option, other)) = unused {
        let message = format!("`{option}` needs `--instance-type {other}`");
        return Err(Error::usage(message).help(format!("leave out `{option}`")));
    }
    local::serve(Serving {
        trainer: TrainerPackage::find(&args.trainer)?,
        model: args.model,
        port: args.port,
        in_engine,
        image: args.image,
        binary: args.trainer_binary,
        options: args.options,
    })
    .await
}
