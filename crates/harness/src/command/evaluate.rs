//! `evaluate`: compares a model's predictions with labelled data.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use clap::{Args, Command};
use dataset::{Labels, ReadOptions, RowCounts, StreamError, one_spelling, similar_label, stream};
use diagnostics::{Error, eprint_line, print_json, print_line, sanitize};
use evaluation::metrics::{Evaluation, Scores, evaluate};
use serde_json::{Value, json};
use training::resource_usage::ResourceUsage;

use super::args::EvaluateArgs;
use super::load;
use crate::{Model, Trainer};

pub(super) fn command<T: Trainer>() -> Command {
    let command = EvaluateArgs::augment_args(Command::new("evaluate"));
    T::PredictArgs::augment_args(command)
        .about("Compare a model's predictions with labelled data")
        .long_about(
            "Compare a model's predictions with labelled data.\n\nPrints accuracy, macro-F1, log loss, expected calibration error, and \
             precision and recall of each class.",
        )
        .after_help(format!(
            "Examples:\n  {name} evaluate --model-dir models/{name} test.csv\n  \
             {name} evaluate --model-dir models/{name} test/ --json",
            name = T::NAME
        ))
}

pub(super) fn run<T: Trainer>(args: &EvaluateArgs, own: T::PredictArgs) -> Result<(), Error> {
    let usage = ResourceUsage::start();
    let model = load::<T>(&args.model_dir, own, args.read.threads().get())?;
    let (labels, scores, counts) = score(args, &model)?;
    let evaluation = evaluate(&labels, model.classes(), &scores);
    if args.json {
        let mut output = json!(evaluation);
        if let Value::Object(output) = &mut output {
            output.insert("trainer".to_owned(), json!(T::NAME));
            output.insert("data".to_owned(), json!(counts));
            output.extend(usage.to_json());
        }
        return print_json(&output);
    }
    print_evaluation(&evaluation)
}

/// Returns labels as class numbers, scores, and row counts of the data.
fn score<M: Model>(args: &EvaluateArgs, model: &M) -> Result<(Vec<u32>, Scores, RowCounts), Error> {
    let classes = model.classes();
    let names = || classes.iter().map(String::as_str).zip(0..);
    let mut numbers: HashMap<&str, u32> = names().collect();
    for (name, number) in names() {
        // A default name of transformers: `LABEL_1` is the class `1`.
        if let Some(short) = name.strip_prefix("LABEL_") {
            numbers.entry(short).or_insert(number);
        }
    }
    let sources = args.input.sources()?;
    let mut labels = Vec::new();
    let mut scores = Scores {
        classes: classes.len(),
        ..Scores::default()
    };
    let streamed = stream(
        &sources,
        &ReadOptions {
            block_bytes: M::BLOCK_BYTES,
            ..args.read.options(Some(&args.label))?
        },
        Labels::Required,
        &AtomicBool::new(false),
        || model.scratch(),
        |scratch, batch| {
            let texts: Vec<&str> = batch.rows().map(|row| row.text).collect();
            let number = |row: dataset::Row<'_>| {
                let label = row.label.unwrap_or_default();
                let place = || row.place.place(&sources).to_string();
                let known = numbers.get(label).copied();
                known.ok_or_else(|| unknown_label(label, &place(), classes))
            };
            let labels: Result<Vec<u32>, Error> = batch.rows().map(number).collect();
            Ok((labels?, model.predict(scratch, &texts)?))
        },
        |block: Result<(Vec<u32>, Scores), Error>| {
            let (block_labels, block_scores) = block?;
            labels.extend(block_labels);
            scores.decision.extend(block_scores.decision);
            if let Some(probability) = block_scores.probability {
                let all = scores.probability.get_or_insert_default();
                all.extend(probability);
            }
            Ok(())
        },
    )
    .map_err(stream_error)?;
    for warning in streamed.findings.warnings() {
        eprint_line(warning);
    }
    Ok((labels, scores, streamed.counts))
}

fn print_evaluation(evaluation: &Evaluation) -> Result<(), Error> {
    let (low, high) = evaluation.accuracy_interval;
    print_line(format_args!("rows      {}", evaluation.rows))?;
    print_line(format_args!(
        "accuracy  {:.4} ({low:.4} to {high:.4})",
        evaluation.accuracy
    ))?;
    print_line(format_args!("macro-F1  {:.4}", evaluation.macro_f1))?;
    if let (Some(log_loss), Some(ece)) = (evaluation.log_loss, evaluation.ece) {
        print_line(format_args!("log loss  {log_loss:.4}"))?;
        print_line(format_args!("ECE       {ece:.4}"))?;
    }
    print_line(format_args!(
        "{:>9} {:>9} {:>9} {:>9}  class",
        "precision", "recall", "F1", "rows"
    ))?;
    for class in &evaluation.per_class {
        print_line(format_args!(
            "{:9.4} {:9.4} {:9.4} {:9}  {}",
            class.precision,
            class.recall,
            class.f1,
            class.support,
            sanitize(&class.label)
        ))?;
    }
    Ok(())
}

fn unknown_label(label: &str, place: &str, classes: &[String]) -> Error {
    let similar = similar_label(label, classes);
    let label = sanitize(label);
    let message = format!("expected a label of the model, found `{label}` at {place}");
    Error::new(message).help(match similar {
        Some(similar) => one_spelling(&label, similar),
        None => "check --label-column, or train a model with this label".to_owned(),
    })
}

/// Flattens an error of the data or of the receiver of the results.
pub(super) fn stream_error(error: StreamError<Error>) -> Error {
    match error {
        StreamError::Read(error) => error.into(),
        StreamError::Sink(error) => error,
    }
}
