//! Checks a job with the trainer's binary, before anything is uploaded or paid for.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use diagnostics::{Error, Exit, Result, eprint_line, sanitize};
use sagemaker::Paths;

use super::host_trainer::{HostTrainer, sanitize_lines};
use super::{Instance, Job, data_check, unsupported};

/// A check reads one small file.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// Options of a check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check<'a> {
    /// Binary of `--trainer-binary`.
    pub(crate) binary: Option<&'a Path>,
    /// File of `--hyperparameters`.
    pub(crate) file: Option<&'a Path>,
    /// True if hyperparameters were given after `--`.
    pub(crate) flags: bool,
    /// A dry run compiles nothing: it uses an existing binary.
    pub(crate) dry_run: bool,
    /// True if the data is checked, too.
    pub(crate) data: bool,
}

/// Runs `train --check` with the hyperparameters that the container will see, and `check` on local
/// data. Returns the trainer's binary, if there is one.
pub(crate) async fn check(job: &Job, options: Check<'_>) -> Result<Option<PathBuf>> {
    let found = match options.binary {
        None if options.dry_run => existing(job),
        given => find(job, given).await?,
    };
    let Some(binary) = found else {
        return Ok(None);
    };
    let trainer = HostTrainer::new(job, &binary).await?;
    check_hyperparameters(&trainer, options).await?;
    if let Some(description) = &trainer.description {
        unsupported::warn(job, description);
    }
    if options.data {
        data_check::run(job, &trainer).await?;
    }
    Ok(Some(binary))
}

/// Returns the given binary or the trainer's. A job with an image needs none on this machine.
async fn find(job: &Job, given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(given) = given {
        return std::path::absolute(given).map(Some).map_err(|error| {
            Error::usage(format!("`--trainer-binary {}`: {error}", given.display()))
                .help("expected the trainer's binary for this machine")
        });
    }
    match job.trainer.host_binary().await {
        Ok(binary) => Ok(Some(binary)),
        Err(error) if error.exit() == Exit::Usage && job.instance != Instance::Process => {
            eprint_line(format!(
                "the hyperparameters are not checked: no binary `{}` on this machine; \
                 the container checks them when it starts\n  \
                 help: pass `--trainer-binary FILE` to check them here",
                job.trainer.name
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn existing(job: &Job) -> Option<PathBuf> {
    let found = job.trainer.existing_binary();
    if found.is_none() {
        eprint_line(format!(
            "the hyperparameters are not checked: `{}` is not built, and a dry run builds nothing\n  \
             help: pass `--trainer-binary FILE`; without `--dry-run` it is built and they are checked",
            job.trainer.name
        ));
    }
    found
}

async fn check_hyperparameters(trainer: &HostTrainer<'_>, options: Check<'_>) -> Result<()> {
    let mut command = trainer.command(&["train", "--check"]);
    let output = tokio::time::timeout(CHECK_TIMEOUT, command.output())
        .await
        .map_err(|_| {
            Error::new(format!(
                "`{} train --check` did not end within {} s",
                trainer.name(),
                CHECK_TIMEOUT.as_secs()
            ))
            .help("is it a trainer? `--trainer-binary` names another one")
        })?
        .map_err(|error| trainer.cannot_start(&error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(to_error(trainer.name(), &output, &trainer.paths(), options))
}

/// Converts the trainer's error report. Other output is shown unchanged.
fn to_error(trainer: &str, output: &Output, paths: &Paths, options: Check<'_>) -> Error {
    let Some(report) = HostTrainer::report(output) else {
        let text = String::from_utf8_lossy(&output.stderr);
        return Error::usage(format!(
            "`{trainer} train --check` failed without an error report: {}: {}",
            output.status,
            sanitize_lines(text.trim())
        ))
        .help("is it a trainer? `--trainer-binary` names another one");
    };
    let error = Error::usage(with_given_file(&report.error.message, paths, options));
    let help = report.error.help.iter();
    help.fold(error, |error, help| {
        let help = with_given_file(help, paths, options);
        error.help(rewrite_help(trainer, &help))
    })
}

/// Replaces the temporary file in a message by the files and arguments that the user gave.
fn with_given_file(text: &str, paths: &Paths, options: Check<'_>) -> String {
    let given = options.file.map_or_else(String::new, |file| {
        let flags = if options.flags { " or after `--`" } else { "" };
        format!(" in `{}`{flags}", sanitize(&file.to_string_lossy()))
    });
    let temporary = format!(" in `{}`", paths.hyperparameters().display());
    text.replace(&temporary, &given)
}

/// Replaces the trainer's `train --help` by the command of `trainyard` that shows the same.
fn rewrite_help(trainer: &str, help: &str) -> String {
    let own = format!("`trainyard train {trainer} -- --help`");
    match help.strip_prefix("--help ") {
        Some(rest) => format!("{own} {rest}"),
        None => help
            .replace(&format!("`{trainer} train --help`"), &own)
            .replace("`train --help`", &own),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn options(file: Option<&'static str>, flags: bool) -> Check<'static> {
        Check {
            binary: None,
            file: file.map(Path::new),
            flags,
            dry_run: false,
            data: false,
        }
    }

    fn error(stderr: &str, options: Check<'_>) -> Error {
        let output = Output {
            status: ExitStatus::from_raw(9),
            stdout: Vec::new(),
            stderr: stderr.into(),
        };
        to_error("svm", &output, &Paths::at("/tmp/x"), options)
    }

    #[test]
    fn names_the_file_and_arguments_that_the_user_gave() {
        let report = r#"{"error":{"message":"unknown hyperparameter `a` in `/tmp/x/input/config/hyperparameters.json`","help":["see"],"exit_code":2}}"#;
        for (options, expected) in [
            (options(None, true), "`a`\n"),
            (options(Some("h.json"), false), "`a` in `h.json`\n"),
            (
                options(Some("h.json"), true),
                "`a` in `h.json` or after `--`\n",
            ),
        ] {
            let text = error(report, options).to_string();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn converts_error_reports_and_shows_other_output() {
        let report = "loading\n{\"error\":{\"message\":\"unknown hyperparameter `x`\",\
            \"help\":[\"did you mean `y`?\",\"or `z`\"],\"exit_code\":1}}\n";
        let error_of_report = error(report, options(None, false));
        assert_eq!(
            error_of_report.to_string(),
            "error: unknown hyperparameter `x`\n  help: did you mean `y`?\n  help: or `z`"
        );
        assert_eq!(error_of_report.exit(), Exit::Usage);
        for other in [" \n", "Traceback", "error: x"] {
            let text = error(other, options(None, false)).to_string();
            assert!(
                text.contains("signal: 9") && text.contains(other.trim()),
                "{text}"
            );
        }
    }

    #[test]
    fn help_names_the_launchers_command() {
        for (help, expected) in [
            (
                "--help lists all",
                "`trainyard train svm -- --help` lists all",
            ),
            (
                "no? `train --help` lists all",
                "no? `trainyard train svm -- --help` lists all",
            ),
            (
                "run `svm train --help` for all options",
                "run `trainyard train svm -- --help` for all options",
            ),
        ] {
            assert_eq!(rewrite_help("svm", help), expected);
        }
    }
}
