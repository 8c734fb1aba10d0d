//! `evaluate`: what a model is worth on labelled rows.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use clap::{Args, Command};
use serde_json::{Value, json};

use super::args::{self, EvaluateArgs};
use super::load;
use super::output::line;
use crate::{Model, Trainer};
use dataset::{Labels, ReadOptions, StreamError, stream};
use diagnostics::{Error, eprint_line};
use evaluation::metrics::{Scores, evaluate};
use training::resource_usage::ResourceUsage;

pub(super) fn command<T: Trainer>() -> Command {
    let command = EvaluateArgs::augment_args(Command::new("evaluate"));
    T::PredictArgs::augment_args(command).about("Compare a model's predictions with labelled data")
}

pub(super) fn run<T: Trainer>(args: &EvaluateArgs, own: T::PredictArgs) -> Result<(), Error> {
    let facts = ResourceUsage::start();
    let model = load::<T>(&args.model_dir, own, args.read.threads().get())?;
    let classes = model.classes();
    let numbers: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    let sources = args::sources(&args.data)?;
    let (mut labels, mut scores) = (
        Vec::new(),
        Scores {
            classes: classes.len(),
            ..Scores::default()
        },
    );
    let streamed = stream(
        &sources,
        &ReadOptions {
            block_bytes: T::Model::BLOCK_BYTES,
            ..args.read.options()?
        },
        Labels::Required,
        &AtomicBool::new(false),
        || model.scratch(),
        |scratch, batch| {
            let texts: Vec<&str> = batch.rows().map(|row| row.text).collect();
            let labels: Result<Vec<u32>, Error> = batch
                .rows()
                .map(|row| {
                    let label = row.label.unwrap_or_default();
                    numbers
                        .get(label)
                        .copied()
                        .ok_or_else(|| unknown(label, &row.place.place(&sources).to_string()))
                })
                .collect();
            Ok((labels?, model.predict(scratch, &texts)?))
        },
        |part: Result<(Vec<u32>, Scores), Error>| {
            let (some_labels, some_scores) = part?;
            labels.extend(some_labels);
            scores.decision.extend(some_scores.decision);
            if let Some(probability) = some_scores.probability {
                scores
                    .probability
                    .get_or_insert_default()
                    .extend(probability);
            }
            Ok(())
        },
    )
    .map_err(failure)?;
    for warning in streamed.findings.warnings() {
        eprint_line(warning);
    }
    let evaluation = evaluate(&labels, classes, &scores);
    if args.json {
        let mut answer = json!(evaluation);
        if let Value::Object(answer) = &mut answer {
            answer.insert("trainer".to_owned(), json!(T::NAME));
            answer.insert("data".to_owned(), json!(streamed.counts));
            answer.insert("seconds".to_owned(), json!(facts.seconds()));
            answer.insert(
                "cpu_seconds".to_owned(),
                json!(ResourceUsage::cpu_seconds()),
            );
            answer.insert(
                "peak_rss_bytes".to_owned(),
                json!(ResourceUsage::peak_rss_bytes()),
            );
        }
        line(&answer);
        return Ok(());
    }
    let (low, high) = evaluation.accuracy_interval;
    line(format_args!("rows      {}", evaluation.rows));
    line(format_args!(
        "accuracy  {:.4} ({low:.4} to {high:.4})",
        evaluation.accuracy
    ));
    line(format_args!("macro-F1  {:.4}", evaluation.macro_f1));
    if let (Some(log_loss), Some(ece)) = (evaluation.log_loss, evaluation.ece) {
        line(format_args!("log loss  {log_loss:.4}"));
        line(format_args!("ECE       {ece:.4}"));
    }
    line(format_args!(
        "{:>9} {:>9} {:>9} {:>9}  class",
        "precision", "recall", "F1", "rows"
    ));
    for class in &evaluation.per_class {
        let label = diagnostics::sanitize(&class.label);
        line(format_args!(
            "{:9.4} {:9.4} {:9.4} {:9}  {label}",
            class.precision, class.recall, class.f1, class.support
        ));
    }
    Ok(())
}

fn unknown(label: &str, place: &str) -> Error {
    let label = diagnostics::sanitize(label);
    Error::new(format!(
        "expected a label that the model knows, found `{label}` at {place}"
    ))
    .help("check --label-column, or train a model with this label")
}

/// A failure of the data or of the answers' receiver.
pub(super) fn failure(error: StreamError<Error>) -> Error {
    match error {
        StreamError::Read(error) => error.into(),
        StreamError::Sink(failure) => failure,
    }
}
