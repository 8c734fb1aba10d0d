//! The trainer's own judgement of the hyperparameters, before anything is uploaded or paid for.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use diagnostics::{Error, Exit, Result, eprint_line, sanitize};
use sagemaker::{Paths, vars};
use serde_json::json;
use tokio::process::Command;

use super::{Instance, Job, data_check, unused};

/// A check reads one small file.
const LIMIT: Duration = Duration::from_secs(60);

const TMPDIR: &str = "set TMPDIR to a folder that is there and has space, such as `TMPDIR=/tmp`";

/// How a job is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check<'a> {
    /// The binary that was named.
    pub(crate) binary: Option<&'a Path>,
    /// The file of hyperparameters that was named.
    pub(crate) file: Option<&'a Path>,
    /// Whether hyperparameters were typed, too.
    pub(crate) flags: bool,
    /// A dry run compiles nothing: it takes a binary that is there.
    pub(crate) dry_run: bool,
    /// Whether the data are judged, too.
    pub(crate) data: bool,
}

/// Runs `train --check` on this machine, with the file that the container will see, and `check` on data that are here.
/// Gives the binary, where one is.
pub(crate) async fn check(job: &Job, how: Check<'_>) -> Result<Option<PathBuf>> {
    let found = match how.binary {
        None if how.dry_run => existing(job),
        named => find(job, named).await?,
    };
    let Some(binary) = found else {
        return Ok(None);
    };
    let base = tempfile::tempdir().map_err(|error| {
        Error::new(format!("cannot make a temporary folder: {error}")).help(TMPDIR)
    })?;
    write(job, &Paths::at(base.path()))?;
    let trainer = || command(job, &binary, base.path());
    run(job, &binary, base.path(), trainer(), how).await?;
    unused::warn(job, trainer()).await;
    if how.data {
        data_check::run(job, &binary, base.path(), trainer).await?;
    }
    Ok(Some(binary))
}

/// The binary that was named, or the trainer's. An image runs without one on this machine.
async fn find(job: &Job, named: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(named) = named {
        return std::path::absolute(named).map(Some).map_err(|error| {
            Error::usage(format!("`--trainer-binary {}`: {error}", named.display()))
                .help("expected the trainer's binary for this machine")
        });
    }
    match job.trainer.host_binary().await {
        Ok(binary) => Ok(Some(binary)),
        Err(failure) if failure.exit() == Exit::Usage && job.instance != Instance::Process => {
            eprint_line(format!(
                "the hyperparameters are not checked: no binary `{}` on this machine, the container will say what is wrong\n  \
                 help: pass `--trainer-binary FILE` to check them here",
                job.trainer.name
            ));
            Ok(None)
        }
        Err(failure) => Err(failure),
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

fn write(job: &Job, paths: &Paths) -> Result<()> {
    let failed = |error| Error::new(format!("cannot write a temporary file: {error}")).help(TMPDIR);
    std::fs::create_dir_all(paths.config_dir()).map_err(failed)?;
    let text = json!(job.hyperparameters).to_string();
    std::fs::write(paths.hyperparameters(), text).map_err(failed)
}

/// The trainer, with `base` as its `/opt/ml`.
fn command(job: &Job, binary: &Path, base: &Path) -> Command {
    let mut command = Command::new(binary);
    // Folders and channels of a surrounding container are not this job's.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SM_") {
            command.env_remove(name);
        }
    }
    command
        .envs(&job.environment)
        .env(vars::BASE_DIR.name, base)
        .env_remove(vars::JOB_NAME.name)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(
    job: &Job,
    binary: &Path,
    base: &Path,
    mut command: Command,
    how: Check<'_>,
) -> Result<()> {
    let shown = binary.display();
    command.args(["train", "--check"]);
    let output = tokio::time::timeout(LIMIT, command.output())
        .await
        .map_err(|_| {
            Error::new(format!(
                "`{shown} train --check` did not end within {} s",
                LIMIT.as_secs()
            ))
            .help("is it a trainer? `--trainer-binary` names another one")
        })?
        .map_err(|error| {
            Error::usage(format!("cannot start `{shown}`: {error}"))
                .help("`--trainer-binary` names the trainer's binary for this machine")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let text = typed_there(&text, base, how);
    Err(complaint(
        &job.trainer.name,
        &text,
        &output.status.to_string(),
    ))
}

/// The trainer names the file that it was shown; the user knows what was typed.
fn typed_there(text: &str, base: &Path, how: Check<'_>) -> String {
    let file = Paths::at(base).hyperparameters();
    let place = how.file.map_or_else(String::new, |file| {
        let flags = if how.flags { " or after `--`" } else { "" };
        format!(" in `{}`{flags}", sanitize(&file.to_string_lossy()))
    });
    text.replace(&format!(" in `{}`", file.display()), &place)
        .replace(base.to_string_lossy().as_ref(), "/opt/ml")
}

/// The trainer's `error: ...` and `help: ...` lines as a failure of ours; other words as they are.
fn complaint(trainer: &str, stderr: &str, status: &str) -> Error {
    let start = "error: ";
    // The first line that starts so: the words may stand in what follows, too.
    let from = if stderr.starts_with(start) {
        start.len()
    } else {
        stderr
            .find("\nerror: ")
            .map_or(0, |at| at + 1 + start.len())
    };
    let text = stderr.get(from..).unwrap_or(stderr).trim();
    if from == 0 && !text.is_empty() {
        return Error::usage(format!(
            "`{trainer} train --check` ended with {status}, and not as a trainer does: {}",
            lines_shown(text)
        ))
        .help("is it a trainer? `--trainer-binary` names another one");
    }
    if text.is_empty() {
        return Error::usage(format!(
            "`{trainer} train --check` failed without a word: {status}"
        ))
        .help(format!("run `{trainer} train --check` by hand"));
    }
    let mut parts = text.split("\n  help: ");
    let message = parts.next().unwrap_or(text).trim_end();
    let failure = Error::usage(message);
    parts.fold(failure, |failure, help| {
        failure.help(by_way_of_us(trainer, help.trim_end()))
    })
}

/// Each line made safe.
fn lines_shown(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(sanitize).collect();
    lines.join("\n")
}

/// The trainer speaks of its own `--help`; what was typed is a command of ours.
fn by_way_of_us(trainer: &str, help: &str) -> String {
    let manual = format!("`trainyard train {trainer} -- --help`");
    match help.strip_prefix("--help ") {
        Some(rest) => format!("{manual} {rest}"),
        None => help.replace("`train --help`", &manual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hyperparameter_is_where_it_was_typed() {
        let base = Path::new("/tmp/x");
        let said = "error: unknown hyperparameter `a` in `/tmp/x/input/config/hyperparameters.json`\n  help: see `/tmp/x/y`";
        let how = |file: Option<&'static str>, flags| Check {
            binary: None,
            file: file.map(Path::new),
            flags,
            dry_run: false,
            data: false,
        };
        for (how, expected) in [
            (how(None, true), "`a`\n"),
            (how(Some("h.json"), false), "`a` in `h.json`\n"),
            (how(Some("h.json"), true), "`a` in `h.json` or after `--`\n"),
        ] {
            let text = typed_there(said, base, how);
            assert!(text.contains(expected), "{text}");
            assert!(text.ends_with("see `/opt/ml/y`"), "{text}");
        }
    }

    #[test]
    fn a_trainers_words() {
        let said = "loading\nerror: unknown hyperparameter `x`\n  help: did you mean `y`?\n  help: or `z`\n";
        let failure = complaint("svm", said, "exit status: 1");
        assert_eq!(
            failure.to_string(),
            "error: unknown hyperparameter `x`\n  help: did you mean `y`?\n  help: or `z`"
        );
        assert_eq!(failure.exit(), Exit::Usage);
        for (said, shown) in [
            (
                "--help lists all",
                "`trainyard train svm -- --help` lists all",
            ),
            (
                "no? `train --help` lists all",
                "no? `trainyard train svm -- --help` lists all",
            ),
        ] {
            let text = complaint("svm", &format!("error: x\n  help: {said}\n"), "").to_string();
            assert_eq!(text, format!("error: x\n  help: {shown}"));
        }
        let twice =
            "error: cannot read `x`: parse error: a number is expected\n  help: see `error: 5`\n";
        assert_eq!(
            complaint("svm", twice, "exit status: 1").to_string(),
            twice.trim_end()
        );
        assert!(
            complaint("svm", " \n", "signal: 9")
                .to_string()
                .contains("signal: 9")
        );
        assert!(
            complaint("svm", "Traceback", "")
                .to_string()
                .contains("Traceback")
        );
    }
}
