//! `check`: lists the problems of the data.

use std::sync::atomic::AtomicBool;

use clap::{Args, Command};
use dataset::{CheckSummary, ReadOptions, codes};
use diagnostics::{
    Diagnostic, Error, Severity, counted, eprint_line, print_json, print_line, short_label,
};
use serde_json::json;

use super::args::{self, CheckArgs, PairArgs};
use crate::{Trainer, model_dir};

/// Labels that are listed; the others are only counted.
const MAX_LABELS: usize = 20;

pub(super) fn command<T: Trainer>() -> Command {
    let command = CheckArgs::augment_args(Command::new("check"));
    let command = match T::TEXT_PAIRS {
        true => PairArgs::augment_args(command),
        false => command,
    };
    command
        .allow_negative_numbers(true)
        .about("List the problems of labelled data")
        .long_about(
            "List the problems of labelled data.\n\nThe exit code is 1 if `train` would refuse the data \
             with the same options.",
        )
        .after_help(format!(
            "Examples:\n  {name} check reviews.csv\n  {name} check train/ --test test.csv --json",
            name = T::NAME
        ))
}

pub(super) fn run(args: &CheckArgs) -> Result<(), Error> {
    let sources = args.input.sources()?;
    let test = args
        .test
        .as_deref()
        .map_or_else(|| Ok(Vec::new()), args::sources)?;
    let unused = args.read.unused(sources.iter().chain(&test));
    unused.iter().for_each(eprint_line);
    let columns = args.model_dir.as_deref().map(model_dir::columns);
    let mut columns = columns.unwrap_or_default();
    args.columns.check_separator(&columns)?;
    columns.multi_label |= args.multi_label;
    columns.text_pair |= args.text_pair;
    let mut printed = Ok(());
    let mut errors = Vec::new();
    let mut print = |finding: &Diagnostic| {
        if finding.severity == Severity::Error {
            errors.push(finding.clone());
        }
        if printed.is_ok() && args.limit > 0 {
            printed = match args.json {
                true => print_json(&json!(finding)),
                false => print_line(finding),
            };
        }
    };
    let options = ReadOptions {
        weight_column: args.weight_column.clone(),
        sketches: !args.no_near_duplicates,
        ..args.read.options(args.columns.or(columns))?
    };
    let summary = dataset::check(
        &sources,
        &test,
        &options,
        args.limit,
        &AtomicBool::new(false),
        &mut print,
    )?;
    printed?;
    print_summary(args, &summary)?;
    if summary.findings.has_errors() {
        let message = "the data has errors, which are listed above";
        let error = Error::new(message).help(errors_help(&summary));
        return Err(error.with_diagnostics(errors));
    }
    Ok(())
}

/// Names the options that make `train` drop all rows with errors, if there are such options and
/// rows are left.
fn errors_help(summary: &CheckSummary) -> String {
    let counts = summary.findings.counts();
    let errors = counts.filter(|(_, severity, _)| *severity == Severity::Error);
    let options: Option<Vec<&str>> = errors.map(|(code, ..)| codes::drop_option(code)).collect();
    // Without rows, `train` would fail all the same.
    let Some(mut options) = options.filter(|_| summary.rows.used > 0) else {
        return "fix them".to_owned();
    };
    options.sort_unstable();
    options.dedup();
    format!("fix them, or pass {} to `train`", options.join(" and "))
}

fn print_summary(args: &CheckArgs, summary: &CheckSummary) -> Result<(), Error> {
    let findings = &summary.findings;
    if args.json {
        let counts: serde_json::Map<_, _> = findings
            .counts()
            .map(|(code, _, count)| (code.to_owned(), json!(count)))
            .collect();
        return print_json(&json!({ "summary": summary, "findings": counts }));
    }
    print_line(format_args!(
        "{}, {} usable, {}",
        counted(summary.rows.read, "row"),
        summary.rows.used,
        counted(summary.labels.len() as u64, "label"),
    ))?;
    if let Some(rows) = summary.rows_without_labels {
        print_line(format_args!("{} without labels", counted(rows, "row")))?;
    }
    if let Some(statement) = summary.rows.named_labels() {
        print_line(statement)?;
    }
    if let Some(test) = &summary.test_rows {
        let rows = counted(test.read, "row");
        print_line(format_args!("test: {rows}, {} usable", test.used))?;
    }
    for (label, rows) in summary.labels.iter().take(MAX_LABELS) {
        print_line(format_args!("{rows:9}  {}", short_label(label)))?;
    }
    let more = summary.labels.len().saturating_sub(MAX_LABELS);
    if more > 0 {
        let more = counted(more as u64, "more label");
        print_line(format_args!("... and {more}"))?;
    }
    for (code, severity, count) in findings.counts() {
        print_line(format_args!("{count:9}  {severity} {code}"))?;
    }
    Ok(())
}
