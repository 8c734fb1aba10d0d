//! `check`: lists the problems of the data.

use std::sync::atomic::AtomicBool;

use clap::{Args, Command};
use dataset::CheckSummary;
use diagnostics::{Diagnostic, Error, print_line, sanitize};
use serde_json::json;

use super::args::{self, CheckArgs};
use crate::Trainer;

pub(super) fn command<T: Trainer>() -> Command {
    CheckArgs::augment_args(Command::new("check"))
        .about("List the problems of labelled data")
        .long_about(
            "List the problems of labelled data.\n\nThe exit code is 1 if `train` would refuse the data.",
        )
        .after_help(format!(
            "Examples:\n  {name} check --data reviews.csv\n  {name} check --data train/ --test test.csv --json",
            name = T::NAME
        ))
}

pub(super) fn run(args: &CheckArgs) -> Result<(), Error> {
    let sources = args::sources(&args.data)?;
    let test = args
        .test
        .as_deref()
        .map_or_else(|| Ok(Vec::new()), args::sources)?;
    let mut printed = Ok(());
    let mut print = |finding: &Diagnostic| {
        if printed.is_ok() {
            printed = match args.json {
                true => print_line(json!(finding)),
                false => print_line(finding),
            };
        }
    };
    let summary = dataset::check(
        &sources,
        &test,
        &args.read.options()?,
        args.limit,
        &AtomicBool::new(false),
        &mut print,
    )?;
    printed?;
    print_summary(args, &summary)?;
    if summary.findings.has_errors() {
        let message = "the data has errors, which are listed above";
        let help = "fix them, or pass --drop-missing or --drop-malformed to `train`";
        return Err(Error::new(message).help(help));
    }
    Ok(())
}

fn print_summary(args: &CheckArgs, summary: &CheckSummary) -> Result<(), Error> {
    let findings = &summary.findings;
    if args.json {
        let counts: serde_json::Map<_, _> = findings
            .counts()
            .map(|(code, _, count)| (code.to_owned(), json!(count)))
            .collect();
        return print_line(json!({ "summary": summary, "findings": counts }));
    }
    print_line(format_args!(
        "{} rows, {} usable, {} labels",
        summary.rows.read,
        summary.rows.used,
        summary.labels.len()
    ))?;
    for (label, rows) in summary.labels.iter().take(args.limit) {
        print_line(format_args!("{rows:9}  {}", sanitize(label)))?;
    }
    for (code, severity, count) in findings.counts() {
        print_line(format_args!("{count:9}  {code} ({severity:?})"))?;
    }
    Ok(())
}
