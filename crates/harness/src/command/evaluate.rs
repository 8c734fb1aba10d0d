//! `evaluate`: compares a model's predictions with labelled data.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::{Args, Command};
use dataset::{
    Batch, LabelSets, Labels, ReadOptions, RowCounts, RowPlace, RowTable, Source, Split,
    StreamError, labels_of, one_spelling, separator_in, similar_label, stream, text_hash,
};
use diagnostics::{
    Error, Warning, atomic_dir, counted, eprint_line, listed, print_json, print_line, sanitize,
    short_label,
};
use evaluation::metrics::{Comparison, Evaluation, Scores, UnseenTexts};
use evaluation::report::{MAX_STRONGEST, SetReport};
use serde_json::{Value, json};
use training::resource_usage::ResourceUsage;

use super::against::{self, Against, ClassNumbers};
use super::args::{self, EvaluateArgs};
use super::outputs::refuse_overwrite;
use super::{Loaded, are_right, evaluate_rows, load, most_frequent_class};
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
    let outputs = args.outputs()?;
    let threads = args.read.threads().get();
    let model = load::<T>(&args.model_dir, own.clone(), threads)?;
    args.columns.check_labels(model.is_multi_label())?;
    let remembered = model_dir::columns(&args.model_dir);
    args.columns.check_separator(&remembered)?;
    let mut columns = args.columns.or(remembered);
    columns.multi_label = model.is_multi_label();
    columns.text_pair = model.is_text_pair();
    let options = args.read.options(columns)?;
    let sources = args.input.sources()?;
    args.read
        .unused(sources.iter())
        .iter()
        .for_each(eprint_line);
    let against = args.against.as_deref();
    let trained = args.train.as_deref().map(args::sources).transpose()?;
    let read = sources.iter().chain(trained.iter().flatten());
    let read: Vec<&Path> = read.filter_map(Source::path).chain(against).collect();
    let models: Vec<&Path> = against.into_iter().chain([&*args.model_dir]).collect();
    refuse_overwrite(&outputs, &models, &read)?;
    let numbers = class_numbers(model.classes());
    let data = (sources.as_slice(), &options);
    let (other, unlike) = against
        .map(|path| Against::load::<T>(path, (own, threads), &numbers, data))
        .transpose()?
        .unzip();
    if let Some(path) = against.filter(|path| path.is_dir() && !args.columns.text.is_given()) {
        against::check_columns(path, &args.model_dir)?;
    }
    let trained = trained.map(|sources| text_hashes(&sources, &options));
    let trained = trained.transpose()?;
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
    for warning in missing.into_iter().chain(unlike.flatten()) {
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
fn text_hashes(sources: &[Source], options: &ReadOptions) -> Result<HashSet<u64>, Error> {
    let options = ReadOptions {
        hash: false,
        ..options.clone()
    };
    let mut hashes = HashSet::new();
    stream(
        sources,
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
    /// True for rows that the other model predicts right, if there is one.
    other_right: Vec<bool>,
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
        let all: Vec<u32> = (0..rows.labels.len() as u32).collect();
        let right = || are_right(rows, &all, scores).into_iter();
        let seen = |trained: &HashSet<u64>| {
            let is_seen = rows.hashes.iter().map(|hash| trained.contains(hash));
            UnseenTexts::of(is_seen.zip(right()))
        };
        let compared = |path: &PathBuf| {
            let path = path.display().to_string();
            let other = scored.other_right.iter().copied();
            Comparison::of(path, right().zip(other), args.seed)
        };
        Self {
            evaluation: evaluate_rows(rows, &all, scores),
            unseen: trained.and_then(seen),
            comparison: args.against.as_ref().map(compared),
        }
    }

    fn to_json<T: Trainer>(&self, scored: &Scored, usage: &ResourceUsage) -> Value {
        let mut output = json!(self.evaluation);
        output["most_frequent_class"] = most_frequent_class(&self.evaluation);
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
        let name = evaluation.accuracy_name();
        print_value("rows", evaluation.rows)?;
        if !unknown.is_empty() {
            let rows: u64 = unknown.values().sum();
            print_value(
                "unknown",
                format_args!("{rows} (rows with labels that the model does not have; not scored)"),
            )?;
        }
        print_scores(evaluation)?;
        match self.unseen {
            Some(UnseenTexts {
                rows,
                accuracy: Some(accuracy),
            }) => {
                let rows = counted(rows, "row");
                let note = format!("{name} on the {rows} whose text is not in --train");
                print_value("unseen", format_args!("{accuracy:.4} ({note})"))?;
            }
            Some(_) => {
                let rows = counted(evaluation.rows, "row");
                let note = format!("none (the texts of all {rows} are in --train)");
                print_value("unseen", note)?;
            }
            None => {}
        }
        if let Some(comparison) = &self.comparison {
            print_comparison(comparison, name)?;
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
    name.filter(|_| path.as_os_str() != "-").ok_or_else(|| {
        let message = format!("expected the name of a file, found `{}`", path.display());
        let json = match flag {
            "--metrics" => "; --json prints the metrics",
            _ => "",
        };
        Error::usage(message).help(format!("pass {flag} FILE{json}"))
    })
}

impl EvaluateArgs {
    /// Returns the files to write, with their options.
    fn outputs(&self) -> Result<Vec<(&str, &Path)>, Error> {
        let outputs = [("--report", &self.report), ("--metrics", &self.metrics)];
        let given = outputs
            .into_iter()
            .filter_map(|(flag, path)| Some((flag, path.as_deref()?)));
        given
            .map(|(flag, path)| file_name(path, flag).map(|_| (flag, path)))
            .collect()
    }
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
    let note = match (&args.train, evaluated.unseen) {
        (None, _) => "it is not known if the model was trained on these rows",
        (Some(_), None) => "the texts of these rows are not in --train",
        (Some(_), Some(_)) => "the texts of some of these rows are in --train",
    };
    let set = SetReport {
        name: "test",
        evaluation: &evaluated.evaluation,
        note,
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
    /// True for rows that the other model predicts right.
    other_right: Vec<bool>,
    /// Rows whose label the model does not have.
    unknown: Vec<(String, RowPlace)>,
}

/// Models and settings that score the rows.
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
        let (classes, several) = (self.model.classes(), self.model.is_multi_label());
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
                all.other_right.extend(block.other_right);
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
            return Err(unknown_label(label, &place, classes, several));
        }
        if let Some(other) = self.other {
            other.check_rows(streamed.counts.read)?;
        }
        let findings = streamed.findings.warnings().map(Warning::from);
        let warnings: Vec<Warning> = findings
            .chain(warn_unknown(&unknown, classes, several))
            .collect();
        warnings.iter().for_each(eprint_line);
        Ok(Scored {
            rows: RowTable {
                order: Vec::new(),
                splits: vec![Split::Test; all.labels.len()],
                hashes: all.hashes,
                labels: all.labels,
                label_sets: several.then_some(sets),
                places: all.places,
                weights: Vec::new(),
                classes: classes.to_vec(),
                sources,
                split_off: false,
            },
            scores: all.scores,
            other_right: all.other_right,
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

    /// Returns the classes of a row with several labels, ascending; the first label that the model
    /// does not have.
    fn set(&self, labels: &str) -> Result<Vec<u32>, String> {
        let numbers = labels_of(labels).into_iter();
        let numbers = numbers.map(|label| self.number(&label));
        let mut set = numbers.collect::<Result<Vec<u32>, String>>()?;
        set.sort_unstable();
        set.dedup();
        Ok(set)
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
                    if self.keeps_places {
                        block.hashes.push(text_hash(row.text));
                    }
                    texts.push(row.text);
                }
                Err(label) => block.unknown.push((label, row.place)),
            }
        }
        if !texts.is_empty() {
            block.scores = self.model.predict(&mut scratch.0, &texts)?;
            if let Some(other) = self.other {
                let places = (block.places.as_slice(), sources);
                let found = other.predict(&mut scratch.1, &texts, places)?;
                block.other_right = match self.model.is_multi_label() {
                    true => found.iter().zip(&block.sets).map(|(a, b)| a == b).collect(),
                    false => {
                        let labels = block.labels.iter().map(std::slice::from_ref);
                        found.iter().zip(labels).map(|(a, b)| a == b).collect()
                    }
                };
            }
        }
        Ok(block)
    }
}

/// Labels that a warning names, and those that are compared with the model's.
const MAX_LABELS: usize = 5;
const MAX_SIMILAR: usize = 100;

/// Returns the warning about rows that are not scored, if there are any.
fn warn_unknown(
    unknown: &BTreeMap<String, u64>,
    classes: &[String],
    several: bool,
) -> Option<Warning> {
    let rows: u64 = unknown.values().sum();
    let mut labels = unknown.keys().take(MAX_SIMILAR);
    let help = labels.find_map(|label| spelling_help(label, classes, several));
    let help = help
        .unwrap_or_else(|| "check --label-column, or train a model with these labels".to_owned());
    (rows > 0).then(|| {
        Warning::from(format!(
            "not scored: {} with labels that the model does not have: {}\n  help: {help}",
            counted(rows, "row"),
            listed(unknown.keys(), MAX_LABELS)
        ))
    })
}

/// Returns the help for a label that is a class in another spelling, or, if there may be `several`,
/// classes that are joined.
fn spelling_help(label: &str, classes: &[String], several: bool) -> Option<String> {
    if let Some(similar) = similar_label(label, classes) {
        return Some(one_spelling(&sanitize(label), similar));
    }
    let is_known = |part: &str| classes.iter().any(|class| class == part);
    let separator = separator_in(label, is_known).filter(|_| several)?;
    let label = short_label(label);
    Some(format!(
        "pass --label-separator '{separator}' if `{label}` is several labels"
    ))
}

fn print_scores(evaluation: &Evaluation) -> Result<(), Error> {
    if let Some(multi) = &evaluation.multi_label {
        print_value("micro-F1", format_args!("{:.4}", multi.micro_f1))?;
        let samples = format!("{:.4} (mean F1 of the rows)", multi.samples_f1);
        print_value("samples F1", samples)?;
        print_value("Hamming loss", format_args!("{:.4}", multi.hamming_loss))?;
        print_value("LRAP", format_args!("{:.4}", multi.lrap))?;
        let without = format!("{} (rows without labels)", multi.rows_without_labels);
        print_value("no labels", without)?;
    }
    let (low, high) = evaluation.accuracy_interval;
    let accuracy = format!("{:.4} ({low:.4} to {high:.4})", evaluation.accuracy);
    print_value(evaluation.accuracy_name(), accuracy)?;
    if let Some((class, share)) = evaluation.most_frequent() {
        let label = short_label(&class.label);
        let baseline = format!("{share:.4} (always predicting `{label}`)");
        print_value("baseline", baseline)?;
    }
    print_value("macro-F1", evaluation.macro_f1_text())?;
    for (name, value) in [("log loss", evaluation.log_loss), ("ECE", evaluation.ece)] {
        if let Some(value) = value {
            print_value(name, format_args!("{value:.4}"))?;
        }
    }
    Ok(())
}

/// Prints a value beside its name, which has at most 15 characters.
fn print_value(name: &str, value: impl Display) -> Result<(), Error> {
    print_line(format_args!("{name:<15}  {value}"))
}

fn print_comparison(comparison: &Comparison, accuracy_name: &str) -> Result<(), Error> {
    let other = sanitize(&comparison.against);
    let accuracy = format!("{:.4} ({accuracy_name} of `{other}`)", comparison.accuracy);
    print_value("against", accuracy)?;
    let (low, high) = comparison.difference_interval;
    let difference = format!("{:+.4} ({low:+.4} to {high:+.4})", comparison.difference);
    print_value("difference", difference)?;
    let p_value = format!(
        "{} (McNemar; only this model is right in {}, only the other in {})",
        comparison.p_value_text(),
        counted(comparison.only_this_right, "row"),
        comparison.only_other_right,
    );
    print_value("p-value", p_value)
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

fn unknown_label(label: &str, place: &str, classes: &[String], several: bool) -> Error {
    let message = format!(
        "expected a label of the model, found `{}` at {place}",
        short_label(label)
    );
    let help = spelling_help(label, classes, several);
    Error::new(message).help(
        help.unwrap_or_else(|| "check --label-column, or train a model with this label".to_owned()),
    )
}

/// Flattens an error of the data or of the receiver of the results.
pub(super) fn stream_error(error: StreamError<Error>) -> Error {
    match error {
        StreamError::Read(error) => error.into(),
        StreamError::Sink(error) => error,
    }
}
