//! `evaluate`: compares a model's predictions with labelled data.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::{Args, Command};
use dataset::{
    Batch, LabelSets, Labels, ReadOptions, RowCounts, RowPlace, RowTable, Source, Split,
    StreamError, labels_of, one_spelling, similar_label, stream, text_hash,
};
use diagnostics::{
    Error, Warning, atomic_dir, counted, eprint_line, listed, print_json, print_line, sanitize,
    short_label,
};
use evaluation::metrics::{Comparison, Evaluation, Scores, UnseenTexts};
use evaluation::report::{MAX_STRONGEST, SetReport};
use serde_json::{Value, json};
use training::resource_usage::ResourceUsage;

use super::against::{Against, ClassNumbers};
use super::args::{self, EvaluateArgs};
use super::predict::{refuse_input, refuse_model_file};
use super::{Loaded, are_right, evaluate_rows, load};
use crate::trainer::Summary;
use crate::{Model, Trainer, model_dir, report};

pub(super) fn command<T: Trainer>() -> Command {
    let command = EvaluateArgs::augment_args(Command::new("evaluate"));
    T::PredictArgs::augment_args(command)
        .allow_negative_numbers(true)
        .about("Compare a model's predictions with labelled data")
        .long_about(
            "Compare a model's predictions with labelled data.\n\nPrints accuracy, macro-F1, log loss, expected calibration error, and \
             precision and recall of each class; if rows may have several labels, also micro-F1, Hamming loss and \
             ranking precision (LRAP). Rows with a label that the model does not have are counted, not scored.",
        )
        .after_help(format!(
            "Examples:\n  {name} evaluate --model-dir models/{name} test.csv\n  \
             {name} evaluate --model-dir models/{name} test/ --json\n  \
             {name} evaluate --model-dir models/{name} test.csv --report test.html --metrics test.json\n  \
             {name} evaluate --model-dir models/{name} test.csv --against models/old",
            name = T::NAME
        ))
}

pub(super) fn run<T: Trainer>(args: &EvaluateArgs, own: T::PredictArgs) -> Result<(), Error> {
    let usage = ResourceUsage::start();
    let outputs = [("--report", &args.report), ("--metrics", &args.metrics)];
    let outputs = outputs
        .into_iter()
        .filter_map(|(flag, path)| Some((flag, path.as_deref()?)));
    for (flag, path) in outputs.clone() {
        file_name(path, flag)?;
        refuse_model_file(&args.model_dir, path, flag)?;
    }
    let threads = args.read.threads().get();
    let model = load::<T>(&args.model_dir, own.clone(), threads)?;
    let mut columns = args.columns.or(model_dir::columns(&args.model_dir));
    columns.multi_label = model.is_multi_label();
    columns.text_pair = model.is_text_pair();
    if columns.multi_label && args.against.is_some() {
        let message = "--against compares models with one label per row";
        return Err(Error::usage(message).help("evaluate both models, without --against"));
    }
    let options = args.read.options(columns)?;
    let sources = args.input.sources()?;
    args.read
        .unused(sources.iter())
        .iter()
        .for_each(eprint_line);
    for (flag, path) in outputs {
        refuse_input(&sources, path, flag)?;
    }
    let numbers = class_numbers(model.classes());
    let against = args.against.as_deref();
    let is_pair = model.is_text_pair();
    let other = against
        .map(|path| Against::load::<T>(path, (own, threads), (&numbers, is_pair), &sources))
        .transpose()?;
    let trained = args.train.as_deref();
    let trained = trained
        .map(|path| text_hashes(path, &options))
        .transpose()?;
    let mut scored = Scoring {
        model: &model,
        other: other.as_ref(),
        numbers: &numbers,
        keeps_places: args.report.is_some() || trained.is_some(),
    }
    .score(&options, sources)?;
    let evaluated = Evaluated::of(args, &scored, trained.as_ref());
    let missing = evaluated
        .evaluation
        .missing_classes("rows", "add rows of every class");
    if let Some(warning) = missing {
        let warning = Warning::from(warning);
        eprint_line(&warning);
        scored.warnings.push(warning);
    }
    if let Some(path) = &args.report {
        let page = report_page::<T>(&scored, &evaluated, (args, &options, &model.model), &usage)?;
        write_output(path, "--report", page)?;
    }
    let output = evaluated.to_json::<T>(&scored, &usage);
    if let Some(path) = &args.metrics {
        write_output(path, "--metrics", format!("{output:#}\n"))?;
    }
    match args.json {
        true => print_json(&output),
        false => evaluated.print(&scored.unknown),
    }
}

/// Returns the hashes of the texts of the training data.
fn text_hashes(path: &Path, options: &ReadOptions) -> Result<HashSet<u64>, Error> {
    let options = ReadOptions {
        hash: false,
        ..options.clone()
    };
    let mut hashes = HashSet::new();
    stream(
        &args::sources(path)?,
        &options,
        Labels::Ignored,
        &AtomicBool::new(false),
        || (),
        |(), batch| -> Vec<u64> { batch.rows().map(|row| text_hash(row.text)).collect() },
        |block| -> Result<(), Error> {
            hashes.extend(block);
            Ok(())
        },
    )
    .map_err(stream_error)?;
    Ok(hashes)
}

/// Labelled rows and their scores.
struct Scored {
    /// The rows with a label of the model, as test rows; their places and hashes only if wanted.
    rows: RowTable,
    scores: Scores,
    /// Predictions of the other model, if there is one.
    other: Vec<u32>,
    /// Rows by label that the model does not have; they are not scored.
    unknown: BTreeMap<String, u64>,
    counts: RowCounts,
    warnings: Vec<Warning>,
}

/// The results of the command.
struct Evaluated {
    evaluation: Evaluation,
    /// Present if texts of --train are among the rows.
    unseen: Option<UnseenTexts>,
    comparison: Option<Comparison>,
}

impl Evaluated {
    fn of(args: &EvaluateArgs, scored: &Scored, trained: Option<&HashSet<u64>>) -> Self {
        let Scored { rows, scores, .. } = scored;
        let predicted = scores.predictions();
        let all: Vec<u32> = (0..rows.labels.len() as u32).collect();
        let right = are_right(rows, &all, scores).into_iter();
        let seen = |trained: &HashSet<u64>| {
            let is_seen = rows.hashes.iter().map(|hash| trained.contains(hash));
            UnseenTexts::of(is_seen.zip(right))
        };
        let compared = |path: &PathBuf| {
            let path = path.display().to_string();
            let predictions = (predicted.as_slice(), scored.other.as_slice());
            Comparison::of(path, &rows.labels, predictions, args.seed)
        };
        Self {
            evaluation: evaluate_rows(rows, &all, scores),
            unseen: trained.and_then(seen),
            comparison: args.against.as_ref().map(compared),
        }
    }

    fn to_json<T: Trainer>(&self, scored: &Scored, usage: &ResourceUsage) -> Value {
        let mut output = json!(self.evaluation);
        let frequent = self.evaluation.most_frequent();
        let frequent =
            frequent.map(|(class, share)| json!({ "label": class.label, "share": share }));
        output["most_frequent_class"] = json!(frequent);
        if let Some(unseen) = self.unseen {
            output["without_texts_of_train"] = json!(unseen);
        }
        if let Some(comparison) = &self.comparison {
            output["comparison"] = json!(comparison);
        }
        output["unknown_labels"] = json!({
            "rows": scored.unknown.values().sum::<u64>(),
            "labels": scored.unknown.len(),
        });
        output["trainer"] = json!(T::NAME);
        output["data"] = json!(scored.counts);
        output["warnings"] = json!(scored.warnings);
        if let Value::Object(output) = &mut output {
            output.extend(usage.to_json());
        }
        output
    }

    fn print(&self, unknown: &BTreeMap<String, u64>) -> Result<(), Error> {
        let evaluation = &self.evaluation;
        print_line(format_args!("rows      {}", evaluation.rows))?;
        if !unknown.is_empty() {
            let rows: u64 = unknown.values().sum();
            print_line(format_args!(
                "unknown   {rows} (rows with labels that the model does not have; not scored)"
            ))?;
        }
        print_scores(evaluation)?;
        match self.unseen {
            Some(UnseenTexts {
                rows,
                accuracy: Some(accuracy),
            }) => print_line(format_args!(
                "unseen    {accuracy:.4} (accuracy on the {} whose text is not in --train)",
                counted(rows, "row")
            ))?,
            Some(_) => print_line(format_args!(
                "unseen    none (the texts of all {} are in --train)",
                counted(evaluation.rows, "row")
            ))?,
            None => {}
        }
        if let Some(comparison) = &self.comparison {
            print_comparison(comparison)?;
        }
        print_classes(evaluation)
    }
}

/// Writes an output file of the command.
fn write_output(path: &Path, flag: &str, content: String) -> Result<(), Error> {
    let file = (file_name(path, flag)?, content.into_bytes());
    atomic_dir::write_files(atomic_dir::parent(path), &[file])
}

/// Returns the name of a file that is to be written; fails if the path has none.
fn file_name<'a>(path: &'a Path, flag: &str) -> Result<&'a str, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| {
        let message = format!("expected the name of a file, found `{}`", path.display());
        Error::usage(message).help(format!("pass {flag} FILE"))
    })
}

/// Builds a report as `train` does, with these rows as the test rows.
fn report_page<T: Trainer>(
    scored: &Scored,
    evaluated: &Evaluated,
    (args, options, model): (&EvaluateArgs, &ReadOptions, &T::Model),
    usage: &ResourceUsage,
) -> Result<String, Error> {
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
        comparison: evaluated.comparison.as_ref(),
    };
    let set = SetReport {
        name: "test",
        evaluation: &evaluated.evaluation,
        note: "it is not known if the model was trained on these rows",
        seen: false,
        unseen: evaluated.unseen,
    };
    report::build(&input, vec![set], usage)
}

/// Returns the number of each name of a class.
fn class_numbers(classes: &[String]) -> ClassNumbers<'_> {
    let names = || classes.iter().map(String::as_str).zip(0..);
    let mut numbers: ClassNumbers<'_> = names().collect();
    for (name, number) in names() {
        // A default name of transformers: `LABEL_1` is the class `1`.
        if let Some(short) = name.strip_prefix("LABEL_") {
            numbers.entry(short).or_insert(number);
        }
    }
    numbers
}

/// Rows of a block.
#[derive(Default)]
struct Block {
    labels: Vec<u32>,
    /// In place of `labels` if rows may have several.
    sets: Vec<Vec<u32>>,
    places: Vec<RowPlace>,
    hashes: Vec<u64>,
    scores: Scores,
    /// Predictions of the other model.
    other: Vec<u32>,
    /// Rows whose label the model does not have.
    unknown: Vec<(String, RowPlace)>,
}

/// What scores the rows.
struct Scoring<'a, M> {
    model: &'a Loaded<M>,
    other: Option<&'a Against<M>>,
    numbers: &'a ClassNumbers<'a>,
    /// Keeps places and hashes of the rows.
    keeps_places: bool,
}

impl<M: Model> Scoring<'_, M> {
    /// Reads and scores the rows.
    fn score(&self, options: &ReadOptions, sources: Vec<Source>) -> Result<Scored, Error> {
        let classes = self.model.classes();
        let mut all = Block::default();
        all.scores.classes = classes.len();
        let mut sets = LabelSets::default();
        let mut first_unknown = None;
        let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
        let streamed = stream(
            &sources,
            &ReadOptions {
                block_bytes: M::BLOCK_BYTES,
                ..options.clone()
            },
            Labels::Required,
            &AtomicBool::new(false),
            || (self.model.scratch(), None),
            |scratch, batch| self.block(scratch, batch, &sources),
            |block: Result<Block, Error>| {
                let block = block?;
                all.labels.extend(block.labels);
                all.labels
                    .extend(block.sets.into_iter().map(|set| sets.push(set)));
                all.other.extend(block.other);
                if self.keeps_places {
                    all.places.extend(block.places);
                    all.hashes.extend(block.hashes);
                }
                all.scores.decision.extend(block.scores.decision);
                if let Some(probability) = block.scores.probability {
                    let probabilities = all.scores.probability.get_or_insert_default();
                    probabilities.extend(probability);
                }
                for (label, place) in block.unknown {
                    first_unknown.get_or_insert_with(|| (label.clone(), place));
                    *unknown.entry(label).or_default() += 1;
                }
                Ok(())
            },
        )
        .map_err(stream_error)?;
        if let (true, Some((label, place))) = (all.labels.is_empty(), &first_unknown) {
            let place = place.place(&sources).to_string();
            return Err(unknown_label(label, &place, classes));
        }
        if let Some(other) = self.other {
            other.check_rows(streamed.counts.read)?;
        }
        let findings = streamed.findings.warnings().map(Warning::from);
        let warnings: Vec<Warning> = findings.chain(warn_unknown(&unknown, classes)).collect();
        warnings.iter().for_each(eprint_line);
        Ok(Scored {
            rows: RowTable {
                order: Vec::new(),
                splits: vec![Split::Test; all.labels.len()],
                hashes: all.hashes,
                labels: all.labels,
                label_sets: self.model.is_multi_label().then_some(sets),
                places: all.places,
                weights: Vec::new(),
                classes: classes.to_vec(),
                sources,
                split_off: false,
            },
            scores: all.scores,
            other: all.other,
            unknown,
            counts: streamed.counts,
            warnings,
        })
    }

    /// Returns the class of a label; the label if the model does not have it.
    fn number(&self, label: &str) -> Result<u32, String> {
        let number = self.numbers.get(label).copied();
        number.ok_or_else(|| label.to_owned())
    }

    /// Returns the classes of a row with several labels; the first label that the model does not
    /// have.
    fn set(&self, labels: &str) -> Result<Vec<u32>, String> {
        let labels = labels_of(labels);
        labels.iter().map(|label| self.number(label)).collect()
    }

    /// Scores the rows of a block. `scratch` is the working memory for both models.
    fn block(
        &self,
        scratch: &mut (M::Scratch, Option<M::Scratch>),
        batch: &Batch<'_>,
        sources: &[Source],
    ) -> Result<Block, Error> {
        let mut block = Block::default();
        let mut texts = Vec::with_capacity(batch.rows().len());
        for row in batch.rows() {
            let label = row.label.unwrap_or_default();
            let known = match self.model.is_multi_label() {
                true => self.set(label).map(|set| block.sets.push(set)),
                false => self.number(label).map(|number| block.labels.push(number)),
            };
            match known {
                Ok(()) => {
                    block.places.push(row.place);
                    block.hashes.push(text_hash(row.text));
                    texts.push(row.text);
                }
                Err(label) => block.unknown.push((label, row.place)),
            }
        }
        if !texts.is_empty() {
            block.scores = self.model.predict(&mut scratch.0, &texts)?;
            if let Some(other) = self.other {
                let places = (block.places.as_slice(), sources);
                block.other = other.predict(&mut scratch.1, &texts, places)?;
            }
        }
        Ok(block)
    }
}

/// Labels that a warning names, and those that are compared with the model's.
const MAX_LABELS: usize = 5;
const MAX_SIMILAR: usize = 100;

/// Returns the warning about rows that are not scored, if there are any.
fn warn_unknown(unknown: &BTreeMap<String, u64>, classes: &[String]) -> Option<Warning> {
    let rows: u64 = unknown.values().sum();
    let similar = |label: &String| Some((label.clone(), similar_label(label, classes)?));
    let help = match unknown.keys().take(MAX_SIMILAR).find_map(similar) {
        Some((label, similar)) => one_spelling(&sanitize(&label), similar),
        None => "check --label-column, or train a model with these labels".to_owned(),
    };
    (rows > 0).then(|| {
        Warning::from(format!(
            "not scored: {} with labels that the model does not have: {}\n  help: {help}",
            counted(rows, "row"),
            listed(unknown.keys(), MAX_LABELS)
        ))
    })
}

fn print_scores(evaluation: &Evaluation) -> Result<(), Error> {
    let (low, high) = evaluation.accuracy_interval;
    let name = match &evaluation.multi_label {
        None => "accuracy ",
        Some(multi) => {
            print_line(format_args!("micro-F1  {:.4}", multi.micro_f1))?;
            print_line(format_args!(
                "samples   {:.4} (mean F1 of the rows)",
                multi.samples_f1
            ))?;
            print_line(format_args!("Hamming   {:.4} (loss)", multi.hamming_loss))?;
            print_line(format_args!("LRAP      {:.4}", multi.lrap))?;
            print_line(format_args!("no label  {}", multi.rows_without_labels))?;
            "all right"
        }
    };
    print_line(format_args!(
        "{name} {:.4} ({low:.4} to {high:.4})",
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
    Ok(())
}

fn print_comparison(comparison: &Comparison) -> Result<(), Error> {
    let (low, high) = comparison.difference_interval;
    print_line(format_args!(
        "against   {:.4} (accuracy of `{}`)",
        comparison.accuracy,
        sanitize(&comparison.against)
    ))?;
    print_line(format_args!(
        "gain      {:+.4} ({low:+.4} to {high:+.4})",
        comparison.difference
    ))?;
    print_line(format_args!(
        "p-value   {} (McNemar; only this model is right in {}, only the other in {})",
        comparison.p_value_text(),
        counted(comparison.only_this_right, "row"),
        comparison.only_other_right,
    ))
}

fn print_classes(evaluation: &Evaluation) -> Result<(), Error> {
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
