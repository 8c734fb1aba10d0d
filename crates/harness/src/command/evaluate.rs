//! `evaluate`: compares a model's predictions with labelled data.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use clap::{Args, Command};
use dataset::{
    Labels, ReadOptions, RowCounts, RowPlace, RowTable, Source, Split, StreamError, one_spelling,
    similar_label, stream, text_hash,
};
use diagnostics::{
    Error, Warning, atomic_dir, eprint_line, print_json, print_line, sanitize, short_label,
};
use evaluation::metrics::{Evaluation, Scores, evaluate};
use evaluation::report::{MAX_STRONGEST, SetReport};
use serde_json::{Value, json};
use training::resource_usage::ResourceUsage;

use super::args::EvaluateArgs;
use super::load;
use super::predict::{refuse_input, refuse_model_file};
use crate::trainer::Summary;
use crate::{Model, Trainer, model_dir, report};

pub(super) fn command<T: Trainer>() -> Command {
    let command = EvaluateArgs::augment_args(Command::new("evaluate"));
    T::PredictArgs::augment_args(command)
        .allow_negative_numbers(true)
        .about("Compare a model's predictions with labelled data")
        .long_about(
            "Compare a model's predictions with labelled data.\n\nPrints accuracy, macro-F1, log loss, expected calibration error, and \
             precision and recall of each class.",
        )
        .after_help(format!(
            "Examples:\n  {name} evaluate --model-dir models/{name} test.csv\n  \
             {name} evaluate --model-dir models/{name} test/ --json\n  \
             {name} evaluate --model-dir models/{name} test.csv --report test.html",
            name = T::NAME
        ))
}

pub(super) fn run<T: Trainer>(args: &EvaluateArgs, own: T::PredictArgs) -> Result<(), Error> {
    let usage = ResourceUsage::start();
    if let Some(report) = &args.report {
        file_name(report)?;
        refuse_model_file(&args.model_dir, report, "--report")?;
    }
    let model = load::<T>(&args.model_dir, own, args.read.threads().get())?;
    let columns = args.columns.or(model_dir::columns(&args.model_dir));
    let options = args.read.options(columns)?;
    let sources = args.input.sources()?;
    args.read
        .unused(sources.iter())
        .iter()
        .for_each(eprint_line);
    if let Some(report) = &args.report {
        refuse_input(&sources, report, "--report")?;
    }
    let mut scored = score(args, &options, sources, &model)?;
    let evaluation = evaluate(&scored.rows.labels, model.classes(), &scored.scores);
    if let Some(warning) = evaluation.missing_classes("rows", "add rows of every class") {
        let warning = Warning::from(warning);
        eprint_line(&warning);
        scored.warnings.push(warning);
    }
    if let Some(path) = &args.report {
        write_report::<T>(path, &scored, &evaluation, (args, &options, &model), &usage)?;
    }
    if args.json {
        let mut output = json!(evaluation);
        if let Value::Object(output) = &mut output {
            output.insert("trainer".to_owned(), json!(T::NAME));
            output.insert("data".to_owned(), json!(scored.counts));
            output.extend(usage.to_json());
        }
        return print_json(&output);
    }
    print_evaluation(&evaluation)
}

/// Labelled rows and their scores.
struct Scored {
    /// All rows as test rows; their places and hashes only for a report.
    rows: RowTable,
    scores: Scores,
    counts: RowCounts,
    warnings: Vec<Warning>,
}

/// Writes a report as `train` does, with these rows as the test rows.
fn write_report<T: Trainer>(
    path: &Path,
    scored: &Scored,
    evaluation: &Evaluation,
    (args, options, model): (&EvaluateArgs, &ReadOptions, &T::Model),
    usage: &ResourceUsage,
) -> Result<(), Error> {
    let input = report::Input {
        title: T::NAME,
        model: args.model_dir.display().to_string(),
        rows: &scored.rows,
        options,
        errors: Some((Split::Test, &scored.scores)),
        train: None,
        counts: &[("test", scored.counts.clone())],
        strongest: model
            .strongest(report::STRONGEST, MAX_STRONGEST)
            .unwrap_or_default(),
        warnings: &scored.warnings,
        parameters: &BTreeMap::new(),
        threads: options.threads.get(),
        history: &[],
        summary: &Summary::default(),
    };
    let set = SetReport {
        name: "test",
        evaluation,
        note: "it is not known if the model was trained on these rows",
        seen: false,
        unseen: None,
    };
    let page = report::build(&input, vec![set], usage)?;
    let file = (file_name(path)?, page.into_bytes());
    atomic_dir::write_files(atomic_dir::parent(path), &[file])
}

/// Returns the name of the report; fails if the path has none.
fn file_name(path: &Path) -> Result<&str, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| {
        let message = format!("expected the name of a file, found `{}`", path.display());
        Error::usage(message).help("pass --report FILE")
    })
}

/// A row's place and the hash of its text.
type HashedPlace = (RowPlace, u64);

/// Returns the number of each name of a class.
fn class_numbers(classes: &[String]) -> HashMap<&str, u32> {
    let names = || classes.iter().map(String::as_str).zip(0..);
    let mut numbers: HashMap<&str, u32> = names().collect();
    for (name, number) in names() {
        // A default name of transformers: `LABEL_1` is the class `1`.
        if let Some(short) = name.strip_prefix("LABEL_") {
            numbers.entry(short).or_insert(number);
        }
    }
    numbers
}

/// Reads and scores the rows.
fn score<M: Model>(
    args: &EvaluateArgs,
    options: &ReadOptions,
    sources: Vec<Source>,
    model: &M,
) -> Result<Scored, Error> {
    let classes = model.classes();
    let numbers = class_numbers(classes);
    let (mut labels, mut places) = (Vec::new(), Vec::new());
    let mut scores = Scores {
        classes: classes.len(),
        ..Scores::default()
    };
    let streamed = stream(
        &sources,
        &ReadOptions {
            block_bytes: M::BLOCK_BYTES,
            ..options.clone()
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
            let places: Vec<HashedPlace> = match args.report {
                Some(_) => batch
                    .rows()
                    .map(|row| (row.place, text_hash(row.text)))
                    .collect(),
                None => Vec::new(),
            };
            Ok((labels?, places, model.predict(scratch, &texts)?))
        },
        |block: Result<(Vec<u32>, Vec<HashedPlace>, Scores), Error>| {
            let (block_labels, block_places, block_scores) = block?;
            labels.extend(block_labels);
            places.extend(block_places);
            scores.decision.extend(block_scores.decision);
            if let Some(probability) = block_scores.probability {
                let all = scores.probability.get_or_insert_default();
                all.extend(probability);
            }
            Ok(())
        },
    )
    .map_err(stream_error)?;
    let warnings: Vec<Warning> = streamed.findings.warnings().map(Warning::from).collect();
    warnings.iter().for_each(eprint_line);
    let (places, hashes) = places.into_iter().unzip();
    Ok(Scored {
        rows: RowTable {
            order: Vec::new(),
            splits: vec![Split::Test; labels.len()],
            hashes,
            labels,
            places,
            classes: classes.to_vec(),
            sources,
            split_off: false,
        },
        scores,
        counts: streamed.counts,
        warnings,
    })
}

fn print_evaluation(evaluation: &Evaluation) -> Result<(), Error> {
    let (low, high) = evaluation.accuracy_interval;
    print_line(format_args!("rows      {}", evaluation.rows))?;
    print_line(format_args!(
        "accuracy  {:.4} ({low:.4} to {high:.4})",
        evaluation.accuracy
    ))?;
    if let Some((class, share)) = evaluation.most_frequent() {
        let label = short_label(&class.label);
        print_line(format_args!(
            "baseline  {share:.4} (always predicting `{label}`)"
        ))?;
    }
    print_line(format_args!("macro-F1  {}", evaluation.macro_f1_text()))?;
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
            short_label(&class.label)
        ))?;
    }
    Ok(())
}

fn unknown_label(label: &str, place: &str, classes: &[String]) -> Error {
    let similar = similar_label(label, classes);
    let message = format!(
        "expected a label of the model, found `{}` at {place}",
        short_label(label)
    );
    Error::new(message).help(match similar {
        Some(similar) => one_spelling(&sanitize(label), similar),
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
