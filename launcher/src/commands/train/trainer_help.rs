//! `trainyard train TRAINER -- --help`: what the trainer itself says of its hyperparameters.

use std::process::Stdio;

use diagnostics::{Error, Exit, Result, eprint_line, sanitize};
use serde_json::json;
use tokio::process::Command;

use super::TrainArgs;
use crate::context::Context;
use crate::trainer::Trainer;

/// Whether the hyperparameters ask for help.
pub(super) fn is_wanted(flags: &[String]) -> bool {
    flags.iter().any(|word| word == "--help" || word == "-h")
}

/// Prints the manual of `TRAINER train`.
pub(super) async fn show(args: &TrainArgs, context: &Context) -> Result<Exit> {
    let binary = match &args.trainer_binary {
        Some(named) => std::path::absolute(named).map_err(|error| {
            Error::usage(format!("`--trainer-binary {}`: {error}", named.display()))
                .help("expected the trainer's binary for this machine")
        })?,
        None => Trainer::find(&args.trainer)?.host_binary().await?,
    };
    let mut command = Command::new(&binary);
    command.args(["train", "--help"]).stdin(Stdio::null());
    let output = command.output().await.map_err(|error| {
        Error::usage(format!("cannot start `{}`: {error}", binary.display()))
            .help("`--trainer-binary` names the trainer's binary for this machine")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = sanitize(said.trim());
        let line = format!("`{} train --help` failed: {}", args.trainer, output.status);
        return Err(Error::new(format!("{line}: {said}"))
            .help("is it a trainer? `--trainer-binary` names another one"));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = json!({"trainer": args.trainer, "help": text});
    context.format.answer(&answer, |_| text.clone())?;
    eprint_line(format!(
        "these are the flags of `{0} train`: type hyperparameters behind `--`, as in `trainyard train {0} .. -- --NAME VALUE`; \
         a job has its data and model folder from `--data` and `--output`",
        args.trainer
    ));
    Ok(Exit::Ok)
}
