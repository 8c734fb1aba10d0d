//! `trainyard train TRAINER -- --help`: the help text of the trainer.

use std::process::Stdio;

use diagnostics::{Error, Exit, Result, eprint_line, sanitize};
use serde_json::json;
use tokio::process::Command;

use super::TrainArgs;
use crate::context::Context;
use crate::trainer::TrainerPackage;

/// True if the hyperparameters contain `--help`.
pub(super) fn is_wanted(flags: &[String]) -> bool {
    flags.iter().any(|word| word == "--help" || word == "-h")
}

/// Prints the help text of `TRAINER train`.
pub(super) async fn show(args: &TrainArgs, context: &Context) -> Result<Exit> {
    let binary = match &args.trainer_binary {
        Some(named) => std::path::absolute(named).map_err(|error| {
            Error::usage(format!("`--trainer-binary {}`: {error}", named.display()))
                .help("expected the binary of the trainer for this machine")
        })?,
        None => TrainerPackage::find(&args.trainer)?.host_binary().await?,
    };
    let mut command = Command::new(&binary);
    command.args(["train", "--help"]).stdin(Stdio::null());
    let output = command.output().await.map_err(|error| {
        Error::usage(format!("cannot start `{}`: {error}", binary.display()))
            .help("pass `--trainer-binary FILE` with the binary of the trainer for this machine")
    })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        let message = sanitize(message.trim());
        let line = format!("`{} train --help` failed: {}", args.trainer, output.status);
        return Err(Error::new(format!("{line}: {message}"))
            .help("pass `--trainer-binary FILE` with the binary of a trainer"));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let result = json!({"trainer": args.trainer, "help": text});
    context.format.print(&result, |_| text.clone())?;
    eprint_line(format!(
        "these are the options of `{0} train`: pass hyperparameters after `--`, as in `trainyard train {0} .. -- --NAME VALUE`; \
         `--data` and `--output` set data and model folder of a job",
        args.trainer
    ));
    Ok(Exit::Ok)
}
