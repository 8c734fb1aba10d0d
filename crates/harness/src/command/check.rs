//! `check`: what is wrong with the data, row by row.

use std::sync::atomic::AtomicBool;

use clap::{Args, Command};
use serde_json::json;

use super::args::{self, CheckArgs};
use super::output::line;
use diagnostics::{Diagnostic, Error};

pub(super) fn command() -> Command {
    CheckArgs::augment_args(Command::new("check")).about("Say what is wrong with the data, row by row").long_about(
        "Say what is wrong with the data, row by row; ends with exit code 1 if `train` would refuse it.",
    )
}

pub(super) fn run(args: &CheckArgs) -> Result<(), Error> {
    let sources = args::sources(&args.data)?;
    let test = args
        .test
        .as_deref()
        .map_or_else(|| Ok(Vec::new()), args::sources)?;
    let mut each = |finding: &Diagnostic| {
        if args.json {
            line(json!(finding));
        } else {
            line(finding);
        }
    };
    let summary = dataset::check(
        &sources,
        &test,
        &args.read.options()?,
        args.limit,
        &AtomicBool::new(false),
        &mut each,
    )?;
    if args.json {
        let counts: serde_json::Map<_, _> = summary
            .findings
            .counts()
            .map(|(code, _, count)| (code.to_owned(), json!(count)))
            .collect();
        line(json!({ "summary": summary, "findings": counts }));
    } else {
        let account = &summary.counts;
        line(format_args!(
            "{} rows, {} usable, {} labels",
            account.read,
            account.used,
            summary.labels.len()
        ));
        for (label, rows) in summary.labels.iter().take(args.limit) {
            line(format_args!("{rows:9}  {}", diagnostics::sanitize(label)));
        }
        for (code, severity, count) in summary.findings.counts() {
            line(format_args!("{count:9}  {code} ({severity:?})"));
        }
    }
    if summary.findings.has_errors() {
        let message = "the data has errors, which are listed above";
        return Err(Error::new(message)
            .help("mend them, or see `train --help` for --drop-missing and --drop-malformed"));
    }
    Ok(())
}
