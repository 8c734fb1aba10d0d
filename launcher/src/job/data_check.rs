//! The trainer's own judgement of data on this machine, before they are uploaded and a job is paid for.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use diagnostics::{Error, Result, eprint_line, sanitize};
use sagemaker::{Paths, hyperparameters};
use serde_json::Value;
use tokio::process::Command;

use super::{Job, Location};
use crate::output::quoted;

/// Hyperparameters that say how the data are read; the rest is none of `check`'s flags.
const READING: [&str; 3] = ["text_column", "label_column", "encoding"];

/// With these a job leaves out what `check` complains of.
const DROPPING: [&str; 2] = ["drop_missing", "drop_malformed"];

/// Whoever waits longer is told for what.
const QUICK: Duration = Duration::from_secs(2);

/// Runs `check` on the training data, if they are on this machine. `command` is the trainer, and its `/opt/ml` has the
/// hyperparameters.
pub(super) async fn run(
    job: &Job,
    binary: &Path,
    base: &Path,
    command: impl Fn() -> Command,
) -> Result<()> {
    let Some(train) = local(job, "train") else {
        return Ok(());
    };
    let mut read = hyperparameters::read(&Paths::at(base).hyperparameters())
        .map_err(|error| super::refused("hyperparameters", &error))?;
    let drops = read
        .iter()
        .any(|found| DROPPING.contains(&found.name.as_str()));
    read.retain(|found| READING.contains(&found.name.as_str()));
    let flags = hyperparameters::to_arguments(&read);
    let mut others: Vec<Option<&Path>> = ["validation", "test"]
        .into_iter()
        .filter_map(|name| local(job, name).map(Some))
        .collect();
    if others.is_empty() {
        others.push(None);
    }
    // One by one: what would be wrong of training data may be right for these, such as a single label.
    for other in others {
        let mut arguments = vec![
            "check".into(),
            "--data".into(),
            train.as_os_str().to_owned(),
        ];
        if let Some(other) = other {
            arguments.extend(["--test".into(), other.as_os_str().to_owned()]);
        }
        arguments.extend(flags.iter().map(Into::into));
        let mut command = command();
        command.args(&arguments).args(["--json", "--limit", "1"]);
        let line: Vec<_> = arguments
            .iter()
            .map(|word| quoted(&word.to_string_lossy()))
            .collect();
        let line = format!("`{} {}`", job.trainer.name, line.join(" "));
        let output = patiently(command, &line).await.map_err(|error| {
            Error::usage(format!("cannot start `{}`: {error}", binary.display()))
                .help("`--trainer-binary` names the trainer's binary for this machine")
        })?;
        let Some(complaint) = complaint(&output, &line) else {
            continue;
        };
        let failure = complaint
            .help(format!("{line} shows all of it"))
            .help("`--no-data-check` leaves it to the job to find out");
        if !drops {
            return Err(failure);
        }
        let (message, _) = failure.into_parts();
        eprint_line(format!(
            "warning: {message}\n  help: the job leaves out what it was told to drop; {line} shows all of it"
        ));
    }
    Ok(())
}

/// A channel's path on this machine.
fn local<'a>(job: &'a Job, name: &str) -> Option<&'a Path> {
    let channel = job.channels.iter().find(|channel| channel.name == name)?;
    match &channel.source {
        Location::File(path) => Some(path),
        Location::S3(_) => None,
    }
}

async fn patiently(mut command: Command, line: &str) -> std::io::Result<Output> {
    let mut running = std::pin::pin!(command.output());
    tokio::select! {
        output = &mut running => return output,
        () = tokio::time::sleep(QUICK) => {}
    }
    eprint_line(format!(
        "checking the data, as {line} does; `--no-data-check` leaves it out"
    ));
    running.await
}

/// What is wrong with the data. A trainer that has no `check` of this kind has no say.
fn complaint(output: &Output, line: &str) -> Option<Error> {
    if output.status.success() {
        return None;
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let findings = stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let errors: Vec<Value> = findings
        .filter(|found: &Value| found["severity"] == "error")
        .collect();
    if let Some((first, more)) = errors.split_first() {
        return Some(of_a_row(first, more.len()));
    }
    // Files that are not there or cannot be read have no rows to name.
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = stderr.trim();
    if let Some((_, rest)) = said
        .strip_prefix("error[")
        .and_then(|rest| rest.split_once("]: "))
    {
        return Some(of_a_file(rest));
    }
    eprint_line(format!(
        "the data are not checked: {line} ended with {}: {}",
        output.status,
        sanitize(said.lines().next().unwrap_or("no word"))
    ));
    None
}

fn of_a_row(first: &Value, more: usize) -> Error {
    let text = |key: &str| sanitize(first[key].as_str().unwrap_or_default()).into_owned();
    let mut message = format!("the data: {}", text("message"));
    if let Some(place) = place(&first["place"]) {
        message.push_str(&format!("\n  --> {place}"));
    }
    if more > 0 {
        message.push_str(&format!("\n  and {more} more of other kinds"));
    }
    Error::usage(message).help(as_hyperparameter(&text("help")))
}

fn of_a_file(said: &str) -> Error {
    let (message, help) = said.split_once("\n  help: ").unwrap_or((said, ""));
    let message: Vec<_> = message.lines().map(sanitize).collect();
    let failure = Error::usage(format!("the data: {}", message.join("\n")));
    match help.lines().next() {
        Some(help) => failure.help(as_hyperparameter(&sanitize(help))),
        None => failure,
    }
}

/// The trainer speaks of flags of its own.
fn as_hyperparameter(help: &str) -> String {
    help.replace("pass --", "pass, after `--`, --")
}

/// `FILE:LINE:COLUMN`
fn place(place: &Value) -> Option<String> {
    let mut text = sanitize(place["file"].as_str()?).into_owned();
    for key in ["line", "column"] {
        if let Some(number) = place[key].as_u64() {
            text.push_str(&format!(":{number}"));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn said(code: i32, stdout: &str, stderr: &str) -> Option<String> {
        let output = Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        complaint(&output, "`svm check`").map(|failure| failure.to_string())
    }

    #[test]
    fn what_a_trainer_says_of_data() {
        let warning = r#"{"severity":"warning","message":"twice","help":"x"}"#;
        let no_text = r#"{"code":"D013","help":"fix it, or pass --drop-missing","message":"row has no text","place":{"column":1,"file":"a.csv","line":3,"record":2},"severity":"error"}"#;
        let one = r#"{"severity":"error","message":"one label","help":"add rows"}"#;
        assert_eq!(said(0, no_text, ""), None);
        assert_eq!(
            said(1, &[warning, no_text, one].join("\n"), "error: see above").expect("bad"),
            "error: the data: row has no text\n  --> a.csv:3:1\n  and 1 more of other kinds\n  \
             help: fix it, or pass, after `--`, --drop-missing"
        );
        let no_files =
            "error[D002]: folder has no data files\n  --> data\n  help: put some there\n";
        assert_eq!(
            said(1, "", no_files).expect("bad"),
            "error: the data: folder has no data files\n  --> data\n  help: put some there"
        );
        // Another trainer's way of saying that it has no such command.
        assert_eq!(said(2, "", "error: unrecognized subcommand `check`"), None);
        assert_eq!(said(127, "", ""), None);
        assert_eq!(said(1, "not JSON\n{\"severity\":1}\n", "Traceback"), None);
    }
}
