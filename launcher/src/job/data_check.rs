//! Checks local data with the trainer's `check`, before it is uploaded and a job is paid for.

use std::ffi::OsString;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use diagnostics::{Error, Result, eprint_line, sanitize};
use sagemaker::hyperparameters;
use sagemaker::trainer_description::ReportedDiagnostic;
use tokio::process::Command;

use super::host_trainer::{HostTrainer, sanitize_lines};
use super::{Job, Location};
use crate::output::quoted;
use crate::util::first_line;

/// Hyperparameters of `train` that `check` has as options, too: the data is read as the job reads
/// it.
const SHARED_OPTIONS: [&str; 13] = [
    "text_column",
    "label_column",
    "label_separator",
    "multi_label",
    "weight_column",
    "encoding",
    "delimiter",
    "quoting",
    "escape",
    "no_header",
    "text_pair",
    "drop_missing",
    "drop_malformed",
];

/// Time after which a message reports the running check.
const PROGRESS_DELAY: Duration = Duration::from_secs(2);

/// Runs `check` on the training data, if it is on this machine.
pub(super) async fn run(job: &Job, trainer: &HostTrainer<'_>) -> Result<()> {
    let Some(train) = local(job, "train") else {
        return Ok(());
    };
    if !supports_check(trainer) {
        eprint_line(format!(
            "the data is not checked: `{}` has no `check`",
            trainer.name()
        ));
        return Ok(());
    }
    let mut given = hyperparameters::read(&trainer.paths().hyperparameters())
        .map_err(|error| super::refused("hyperparameters", &error))?;
    given.retain(|h| SHARED_OPTIONS.contains(&h.name.replace('-', "_").as_str()));
    let flags = hyperparameters::to_arguments(&given);
    let mut others: Vec<Option<&Path>> = ["validation", "test"]
        .into_iter()
        .filter_map(|name| local(job, name).map(Some))
        .collect();
    if others.is_empty() {
        others.push(None);
    }
    // Separately: an error in training data may be valid in a test set, such as a single label.
    for other in others {
        let mut arguments: Vec<OsString> = vec!["check".into(), "--data".into(), train.into()];
        if let Some(other) = other {
            arguments.extend(["--test".into(), other.into()]);
        }
        arguments.extend(flags.iter().map(Into::into));
        check_one(trainer, arguments).await?;
    }
    Ok(())
}

fn supports_check(trainer: &HostTrainer<'_>) -> bool {
    let description = trainer.description.as_ref();
    description.is_some_and(|found| found.commands.iter().any(|name| name == "check"))
}

/// Runs one `check`.
async fn check_one(trainer: &HostTrainer<'_>, mut arguments: Vec<OsString>) -> Result<()> {
    let quoted_arguments: Vec<_> = arguments
        .iter()
        .map(|argument| quoted(&argument.to_string_lossy()))
        .collect();
    let line = format!("`{} {}`", trainer.name(), quoted_arguments.join(" "));
    // Warnings are not shown, and the search for almost equal texts takes most of the time.
    arguments.extend(["--json", "--limit", "1", "--no-near-duplicates"].map(Into::into));
    let output = output(trainer.command(&arguments), &line)
        .await
        .map_err(|error| trainer.cannot_start(&error))?;
    match to_error(&output, &line) {
        None => Ok(()),
        Some(error) => Err(error
            .help(format!("{line} shows all errors"))
            .help("`--no-data-check` skips the check")),
    }
}

/// Path of a channel on this machine.
fn local<'a>(job: &'a Job, name: &str) -> Option<&'a Path> {
    let channel = job.channels.iter().find(|channel| channel.name == name)?;
    match &channel.source {
        Location::File(path) => Some(path),
        Location::S3(_) => None,
    }
}

async fn output(mut command: Command, line: &str) -> std::io::Result<Output> {
    let mut running = std::pin::pin!(command.output());
    tokio::select! {
        output = &mut running => return output,
        () = tokio::time::sleep(PROGRESS_DELAY) => {}
    }
    eprint_line(format!(
        "checking the data with {line}; `--no-data-check` skips this"
    ));
    running.await
}

/// Returns the data's first error. A `check` that fails otherwise stops nothing.
fn to_error(output: &Output, line: &str) -> Option<Error> {
    if output.status.success() {
        return None;
    }
    // Errors in rows are on standard output, one JSON object a line.
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut errors: Vec<ReportedDiagnostic> = stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|found: &ReportedDiagnostic| found.severity == "error")
        .collect();
    if errors.is_empty() {
        // Errors of whole files are the error of the command.
        let report = HostTrainer::report(output);
        errors = report.map_or_else(Vec::new, |report| report.error.diagnostics);
    }
    if let Some((first, more)) = errors.split_first() {
        return Some(of_diagnostic(first, more.len()));
    }
    eprint_line(format!(
        "the data is not checked: {line} ended with {}: {}",
        output.status,
        first_line(&output.stderr)
    ));
    None
}

fn of_diagnostic(first: &ReportedDiagnostic, more: usize) -> Error {
    let mut message = format!("the data: {}", sanitize_lines(&first.message));
    if let Some(place) = &first.place {
        message.push_str(&format!("\n  --> {}", sanitize(&place.file)));
        for number in [place.line, place.column].into_iter().flatten() {
            message.push_str(&format!(":{number}"));
        }
    }
    if more > 0 {
        message.push_str(&format!("\n  and {more} more of other kinds"));
    }
    // Options of the trainer are hyperparameters of a job.
    let after = |help: String, words: &str| {
        help.replace(&format!("{words} --"), &format!("{words}, after `--`, --"))
    };
    let help = ["pass", "did you mean", "such as"]
        .into_iter()
        .fold(first.help.clone(), after);
    Error::usage(message).help(sanitize(&help))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn error(code: i32, stdout: &str, stderr: &str) -> Option<String> {
        let output = Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        to_error(&output, "`svm check`").map(|error| error.to_string())
    }

    #[test]
    fn shows_the_first_error_of_the_data() {
        let warning = r#"{"severity":"warning","code":"D001","message":"twice","help":"x"}"#;
        let no_text = r#"{"code":"D013","help":"fix it, or pass --drop-missing","message":"row has no text","place":{"column":1,"file":"a.csv","line":3,"record":2},"severity":"error"}"#;
        let one = r#"{"severity":"error","code":"D020","message":"one label","help":"add rows"}"#;
        assert_eq!(error(0, no_text, ""), None);
        assert_eq!(
            error(1, &[warning, no_text, one].join("\n"), "error: see above").expect("bad"),
            "error: the data: row has no text\n  --> a.csv:3:1\n  and 1 more of other kinds\n  \
             help: fix it, or pass, after `--`, --drop-missing"
        );
        let no_files = r#"{"error":{"message":"folder has no data files","help":["put some there"],"exit_code":1,"diagnostics":[{"severity":"error","code":"D002","message":"folder has no data files","place":{"file":"data"},"help":"put some there"}]}}"#;
        assert_eq!(
            error(1, "", no_files).expect("bad"),
            "error: the data: folder has no data files\n  --> data\n  help: put some there"
        );
    }

    #[test]
    fn other_failures_of_the_check_stop_nothing() {
        assert_eq!(error(2, "", "error: unrecognized subcommand `check`"), None);
        assert_eq!(error(127, "", ""), None);
        assert_eq!(error(1, "not JSON\n{\"severity\":1}\n", "Traceback"), None);
    }
}
