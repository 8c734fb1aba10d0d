//! `predict`: classifies texts and writes CSV or JSON lines.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::{Args, Command};
use serde_json::{Map, Value, json};
use tempfile::TempPath;

use super::args::{self, KeptColumn, PredictArgs, StreamFormat, TextFormat};
use super::evaluate::stream_error;
use super::outputs::refuse_overwrite;
use super::{Loaded, load};
use crate::model_dir;
use crate::{Model, Trainer};
use dataset::{Batch, Format, Kept, Labels, ReadOptions, Source, join_pair, stream};
use diagnostics::atomic_dir::parent;
use diagnostics::{Error, eprint_line, listed, quoted_for_shell, sanitize, sanitize_json};
use evaluation::metrics::Scores;

pub(super) fn command<T: Trainer>() -> Command {
    let command = PredictArgs::augment_args(Command::new("predict"));
    T::PredictArgs::augment_args(command)
        .allow_negative_numbers(true)
        .about("Classify texts")
        .long_about(format!(
            "Classify texts: given as arguments, from a file or folder, or from standard input.\n\nPrints one \
             prediction per row, in the order of the rows, as CSV with a header or as JSON lines: file (only with several \
             files), record (number of the row in its file, from 1), label, probability (empty if the model is not \
             calibrated), score (decision value). A row without text is classified as an empty text, with a warning; \
             --drop-missing leaves it out.\n\nIf the model was trained with --multi-label, `labels` has the predicted labels, joined by the \
             separator of the training data or as a list, and the probabilities and scores are lists too.\n\nColumns of --keep-columns stand before these, in the order of the option.{}",
            match T::TEXT_PAIRS {
                true => "\n\nIf the model was trained with --text-pair, every two TEXT are a pair.",
                false => "",
            }
        ))
        .after_help(format!(
            "Examples:\n  {name} predict --model-dir models/{name} \"some text\"\n  \
             {name} predict --model-dir models/{name} --input texts.csv --output predictions.csv\n  \
             {name} predict --model-dir models/{name} --input texts.csv --keep-columns id,text\n  \
             cat texts.jsonl | {name} predict --model-dir models/{name} --input-format jsonl\n  \
             cat texts.txt | {name} predict --model-dir models/{name} -",
            name = T::NAME
        ))
}

pub(super) fn run<T: Trainer>(
    args: &PredictArgs,
    own: T::PredictArgs,
    unfinished: &Mutex<Option<PathBuf>>,
) -> Result<(), Error> {
    let format = output_format(args.format, args.output.as_deref())?;
    let model = load::<T>(&args.model_dir, own, args.read.threads().get())?;
    let has_rows = args.texts.is_empty() || args.reads_lines();
    let sources = if has_rows { sources(args)? } else { Vec::new() };
    let output = args.output.as_deref().and_then(output_file);
    let mut columns = args.columns.or(model_dir::columns(&args.model_dir));
    columns.text_pair = model.is_text_pair();
    let kept = args.kept();
    let writer = PredictionWriter {
        classes: model.classes(),
        several: model.is_multi_label(),
        separator: columns.label_separator.as_deref(),
        format,
        all_classes: args.all_classes,
        no_probabilities: AtomicBool::new(false),
        files: if sources.len() > 1 { &sources } else { &[] },
        to_terminal: output.is_none() && io::stdout().is_terminal(),
        kept: &kept,
    };
    writer.check_names()?;
    if let Some(path) = &output {
        let inputs: Vec<&Path> = sources.iter().filter_map(Source::path).collect();
        refuse_overwrite(&[("--output", path.as_path())], &[&args.model_dir], &inputs)?;
    }
    writer.separator_warning().iter().for_each(eprint_line);
    let (mut out, partial) = open(output.as_deref())?;
    let set_unfinished = |path: Option<&Path>| {
        let mut unfinished = unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        *unfinished = path.map(Path::to_owned);
    };
    set_unfinished(partial.as_deref());
    let failed = |error: io::Error| match &output {
        Some(path) => Error::io("write", path)(error),
        None => Error::stdout(&error),
    };
    let mut header = writer.header();
    // The header precedes the first row: without rows, such as after an error, nothing is written.
    let mut write = |rows: &str| {
        let header = match rows.is_empty() {
            true => String::new(),
            false => std::mem::take(&mut header),
        };
        let mut write = |text: &str| out.write_all(text.as_bytes());
        match write(&header).and_then(|()| write(rows)) {
            // A closed pipe (`| head`) is not an error; the rest is not needed.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            other => other.map_err(failed),
        }
    };
    if has_rows {
        let options = args.read.options(columns.clone())?;
        predict_stream(args, &model, (&sources, options), &writer, &mut write)?;
    } else {
        write(&predict_texts(&args.texts, &model, &writer)?)?;
    }
    out.flush().map_err(failed)?;
    if args.all_classes && writer.no_probabilities.load(Ordering::Relaxed) {
        eprint_line(
            "warning: --all-classes has no effect: the model is not calibrated and has no \
             probabilities\n  help: leave out --all-classes",
        );
    }
    set_unfinished(None);
    match partial.zip(output.as_ref()) {
        Some((partial, path)) => partial.persist(path).map_err(|error| failed(error.error)),
        None => Ok(()),
    }
}

/// Returns the predictions of texts that were given as arguments.
fn predict_texts<M: Model>(
    texts: &[String],
    model: &Loaded<M>,
    writer: &PredictionWriter<'_>,
) -> Result<String, Error> {
    warn_file_name(texts);
    let texts = match model.is_text_pair() {
        true => pairs(texts)?,
        false => texts.to_vec(),
    };
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let scores = model.predict(&mut model.scratch(), &texts)?;
    Ok(writer.rows((1..).map(|record| (0, record)), &scores, None))
}

fn predict_stream<M: Model>(
    args: &PredictArgs,
    model: &Loaded<M>,
    (sources, options): (&[Source], ReadOptions),
    writer: &PredictionWriter<'_>,
    write: &mut (impl FnMut(&str) -> Result<(), Error> + Send),
) -> Result<(), Error> {
    let unused = args.read.unused(sources.iter());
    unused.iter().for_each(eprint_line);
    let kept = writer.kept.iter().map(|kept| kept.column.clone());
    let mut has_written = false;
    let streamed = stream(
        sources,
        &ReadOptions {
            keep_columns: kept.collect(),
            hash: false,
            block_bytes: M::BLOCK_BYTES,
            keep_blank: true,
            ..options
        },
        Labels::Ignored,
        &AtomicBool::new(false),
        || model.scratch(),
        |scratch, batch| {
            let texts: Vec<&str> = batch.rows().map(|row| row.text).collect();
            let scores = model.predict(scratch, &texts)?;
            let places = batch.rows().map(|row| (row.place.source, row.place.record));
            Ok(writer.rows(places, &scores, Some(batch)))
        },
        |text: Result<String, Error>| {
            let text = text?;
            has_written |= !text.is_empty();
            write(&text)
        },
    );
    if has_written && streamed.is_err() && args.output.as_deref().and_then(output_file).is_none() {
        eprint_line(
            "warning: the predictions of the rows before the error are on standard output\n  help: \
             ignore them, or pass --output FILE, which is written completely or not at all",
        );
    }
    let streamed = streamed.map_err(stream_error)?;
    streamed.findings.warnings().for_each(eprint_line);
    Ok(())
}

/// Returns the pairs of every two texts.
fn pairs(texts: &[String]) -> Result<Vec<String>, Error> {
    let pair = |texts: &[String]| match texts {
        [first, second] => Ok(join_pair(first, second)),
        _ => {
            let message = "expected an even number of TEXT, for a model of pairs of texts";
            Err(Error::usage(message).help("pass the second text of each pair after the first"))
        }
    };
    texts.chunks(2).map(pair).collect()
}

/// Warns of a text that is the name of a file, whose rows were probably meant.
fn warn_file_name(texts: &[String]) {
    for text in texts.iter().filter(|text| Path::new(text).is_file()) {
        let (name, quoted) = (sanitize(text), quoted_for_shell(text));
        eprint_line(format!(
            "warning: `{name}` is a file, but its name is classified as a text\n  \
             help: pass --input {} to classify the rows of the file",
            sanitize(&quoted)
        ));
    }
}

/// Extensions of files in formats that are not written.
const OTHER_FORMATS: [&str; 16] = [
    "7z", "arrow", "avro", "br", "bz2", "feather", "gz", "lz4", "orc", "parquet", "tgz", "tsv",
    "xlsx", "xz", "zip", "zst",
];

/// Returns the format of the predictions: `given`, or by the name of the output.
fn output_format(
    given: Option<StreamFormat>,
    output: Option<&Path>,
) -> Result<StreamFormat, Error> {
    let extension = output.and_then(Path::extension).unwrap_or_default();
    let extension = extension.to_string_lossy().to_lowercase();
    let named = match extension.as_str() {
        "csv" => Some(StreamFormat::Csv),
        "jsonl" | "ndjson" | "json" => Some(StreamFormat::Jsonl),
        _ => None,
    };
    let refuse = |expected: &str, help: &str| {
        let output = output.unwrap_or(Path::new("-")).display();
        let message = format!("expected an --output that ends in {expected}, found `{output}`");
        Err(Error::usage(message).help(help))
    };
    if OTHER_FORMATS.contains(&extension.as_str()) {
        let help = "end the name in .csv or .jsonl, and convert the file afterwards";
        return refuse(".csv or .jsonl", help);
    }
    let help = "leave out --format, or choose another --output";
    match (given, named) {
        (Some(StreamFormat::Csv), Some(StreamFormat::Jsonl)) => refuse(".csv", help),
        (Some(StreamFormat::Jsonl), Some(StreamFormat::Csv)) => refuse(".jsonl", help),
        _ => Ok(given.or(named).unwrap_or(StreamFormat::Csv)),
    }
}

/// Names of standard output.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Returns the file to write, `None` for standard output. A symbolic link is followed and kept.
fn output_file(output: &Path) -> Option<PathBuf> {
    if STDOUT.iter().any(|name| output == Path::new(name)) {
        return None;
    }
    let link = fs::read_link(output).map(|to| parent(output).join(to));
    Some(
        fs::canonicalize(output)
            .or(link)
            .unwrap_or_else(|_| output.to_owned()),
    )
}

/// Opens the output. A regular file is written under a temporary name and renamed at the end; a
/// pipe or device is written directly.
fn open(output: Option<&Path>) -> Result<(Box<dyn Write + Send>, Option<TempPath>), Error> {
    let Some(path) = output else {
        return Ok((Box::new(BufWriter::new(io::stdout())), None));
    };
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let file = File::options()
            .write(true)
            .open(path)
            .map_err(Error::io("write", path))?;
        return Ok((Box::new(BufWriter::new(file)), None));
    }
    // With the user's umask, as the shell would create it.
    let partial = tempfile::Builder::new()
        .prefix(".partial-")
        .make_in(parent(path), |path| File::create_new(path))
        .map_err(Error::io("write", path))?;
    let (file, partial) = partial.into_parts();
    Ok((Box::new(BufWriter::new(file)), Some(partial)))
}

fn sources(args: &PredictArgs) -> Result<Vec<Source>, Error> {
    if args.reads_lines() {
        return Ok(vec![Source::stdin(Format::Lines)]);
    }
    if args.input.is_none() && io::stdin().is_terminal() {
        let message = "expected a text, found no TEXT, no --input and no rows on standard input";
        return Err(Error::usage(message)
            .help("try `predict --model-dir DIR \"some text\"`, or --input FILE"));
    }
    args::file_or_stdin(
        args.input.as_deref(),
        args.input_format.map(TextFormat::format),
    )
}

/// Labels that a warning names.
const MAX_LABELS: usize = 5;

/// Formats predictions.
struct PredictionWriter<'a> {
    classes: &'a [String],
    /// True if a row may have several labels, or none.
    several: bool,
    /// Text between several labels; `None` for lists in JSON.
    separator: Option<&'a str>,
    format: StreamFormat,
    /// Adds the probability of each class.
    all_classes: bool,
    /// Set for scores without probabilities.
    no_probabilities: AtomicBool,
    /// Files whose names are written; empty if there is only one.
    files: &'a [Source],
    /// Escapes texts that could move the cursor.
    to_terminal: bool,
    /// Columns of the data that are written too.
    kept: &'a [KeptColumn],
}

impl PredictionWriter<'_> {
    /// Returns a text for the output; on a terminal without characters that move the cursor.
    fn escaped<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.to_terminal {
            true => sanitize(text),
            false => Cow::Borrowed(text),
        }
    }

    fn header(&self) -> String {
        match self.format {
            StreamFormat::Jsonl => String::new(),
            StreamFormat::Csv => {
                let mut header = String::new();
                let kept = self.kept.iter().map(|kept| kept.name.clone());
                for (at, name) in kept.chain(self.columns()).enumerate() {
                    if at > 0 {
                        header.push(',');
                    }
                    quote(&mut header, &self.escaped(&name));
                }
                header.push('\n');
                header
            }
        }
    }

    /// Returns the names of the columns of the predictions.
    fn columns(&self) -> Vec<String> {
        let file = (!self.files.is_empty()).then_some("file");
        let mut names: Vec<String> = file
            .into_iter()
            .chain(["record", self.label_column(), "probability", "score"])
            .map(str::to_owned)
            .collect();
        match self.format {
            _ if !self.all_classes => {}
            StreamFormat::Csv => {
                let classes = self.classes.iter();
                names.extend(classes.map(|class| format!("probability:{class}")));
            }
            StreamFormat::Jsonl => names.push("probabilities".to_owned()),
        }
        names
    }

    fn label_column(&self) -> &'static str {
        match self.several {
            true => "labels",
            false => "label",
        }
    }

    /// Returns the warning about labels that look like several ones that are joined, if there are
    /// any.
    fn separator_warning(&self) -> Option<String> {
        let joins = self.several && self.format == StreamFormat::Csv;
        let separator = self.separator.filter(|_| joins)?;
        let labels = self.classes.iter();
        let labels: Vec<&String> = labels.filter(|label| label.contains(separator)).collect();
        (!labels.is_empty()).then(|| {
            format!(
                "warning: the labels of a row are joined with `{}`, which is also in the {} {}\n  \
                 help: write JSON lines, whose labels are lists: --format jsonl, or an --output \
                 that ends in .jsonl",
                sanitize(separator),
                if labels.len() == 1 { "label" } else { "labels" },
                listed(labels, MAX_LABELS)
            )
        })
    }

    /// Refuses kept columns with the name of another column of the output.
    fn check_names(&self) -> Result<(), Error> {
        let own = self.columns();
        for (at, KeptColumn { column, name }) in self.kept.iter().enumerate() {
            let shown = sanitize(name);
            let message = if own.contains(name) {
                format!("the kept column `{shown}` has the name of a column of the predictions")
            } else if self.kept[..at].iter().any(|other| other.name == *name) {
                format!("two kept columns have the name `{shown}`")
            } else {
                continue;
            };
            let kind = if name == self.label_column() {
                "true"
            } else {
                "input"
            };
            let new = KeptColumn::written(&format!("{kind}_{name}"));
            let column = KeptColumn::written(column);
            let renamed = quoted_for_shell(&format!("{column}={new}"));
            let help = format!("write it under another name: --keep-columns {renamed}");
            return Err(Error::usage(message).help(help));
        }
        Ok(())
    }

    /// Formats a block of rows. `places`: number of the file, number of the row in it. `batch`: the
    /// rows that were read.
    fn rows(
        &self,
        places: impl Iterator<Item = (u32, u32)>,
        scores: &Scores,
        batch: Option<&Batch<'_>>,
    ) -> String {
        if scores.probability.is_none() {
            self.no_probabilities.store(true, Ordering::Relaxed);
        }
        let mut text = String::new();
        let of_row = |row: usize| {
            let range = row * scores.classes..(row + 1) * scores.classes;
            let probabilities = scores.probability.as_ref().map(|all| &all[range.clone()]);
            (probabilities, &scores.decision[range])
        };
        let begin = |text: &mut String, row: usize| {
            if self.format == StreamFormat::Jsonl {
                text.push('{');
            }
            if let Some(batch) = batch {
                self.kept(text, batch.kept(row));
            }
        };
        if self.several {
            for ((row, place), set) in places.enumerate().zip(scores.sets()) {
                begin(&mut text, row);
                self.set_row(&mut text, place, &set, of_row(row));
            }
            return text;
        }
        for ((row, place), class) in places.enumerate().zip(scores.predictions()) {
            let (probabilities, decisions) = of_row(row);
            begin(&mut text, row);
            let decision = decisions[class as usize];
            self.row(&mut text, place, class as usize, probabilities, decision);
        }
        text
    }

    /// Formats the kept values of a row, which stand before the others.
    fn kept<'v>(&self, text: &mut String, values: impl Iterator<Item = Kept<'v>>) {
        for (column, value) in self.kept.iter().zip(values) {
            match (self.format, value) {
                (StreamFormat::Csv, Kept::Missing) => {}
                (StreamFormat::Csv, Kept::Text(value) | Kept::Json(value)) => {
                    quote(text, &self.escaped(value));
                }
                (StreamFormat::Jsonl, value) => {
                    let value = match value {
                        Kept::Missing => "null".to_owned(),
                        Kept::Text(value) => json!(value).to_string(),
                        Kept::Json(value) => value.to_owned(),
                    };
                    let name = json!(column.name).to_string();
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{}:{}", sanitize_json(&name), sanitize_json(&value));
                }
            }
            text.push(',');
        }
    }

    /// Formats a row; of a JSON object the part after `{`.
    fn row(
        &self,
        text: &mut String,
        place: (u32, u32),
        class: usize,
        probabilities: Option<&[f32]>,
        decision: f32,
    ) {
        let label = &self.classes[class];
        let probability = probabilities.map(|all| all[class]);
        match self.format {
            StreamFormat::Csv => {
                self.csv_place(text, place);
                quote(text, &self.escaped(label));
                // Writing to a string cannot fail.
                let _ = match probability {
                    Some(probability) => write!(text, ",{probability:.6},{decision}"),
                    None => write!(text, ",,{decision}"),
                };
                self.csv_probabilities(text, probabilities);
            }
            StreamFormat::Jsonl => {
                let mut row = self.json_place(place);
                row.insert("label".to_owned(), json!(label));
                row.insert("probability".to_owned(), json!(probability));
                row.insert("score".to_owned(), json!(decision));
                self.end_object(text, row, probabilities);
            }
        }
        text.push('\n');
    }

    /// Formats a row with several labels, or none; of a JSON object the part after `{`.
    fn set_row(
        &self,
        text: &mut String,
        place: (u32, u32),
        set: &[u32],
        (probabilities, decisions): (Option<&[f32]>, &[f32]),
    ) {
        let label = |class: &u32| self.classes[*class as usize].as_str();
        let labels: Vec<&str> = set.iter().map(label).collect();
        let of = |values: &[f32]| -> Vec<f32> {
            let value = |class: &u32| values[*class as usize];
            set.iter().map(value).collect()
        };
        let (probability, score) = (probabilities.map(of), of(decisions));
        match self.format {
            StreamFormat::Csv => {
                self.csv_place(text, place);
                let labels = match self.separator {
                    Some(separator) => labels.join(separator),
                    None => json!(labels).to_string(),
                };
                quote(text, &self.escaped(&labels));
                text.push(',');
                let probability = probability.iter().flatten().map(|p| format!("{p:.6}"));
                if probabilities.is_some() {
                    quote(text, &self.numbers(probability));
                }
                text.push(',');
                quote(text, &self.numbers(score.iter().map(f32::to_string)));
                self.csv_probabilities(text, probabilities);
            }
            StreamFormat::Jsonl => {
                let mut row = self.json_place(place);
                row.insert("labels".to_owned(), json!(labels));
                row.insert("probability".to_owned(), json!(probability));
                row.insert("score".to_owned(), json!(score));
                self.end_object(text, row, probabilities);
            }
        }
        text.push('\n');
    }

    /// Joins numbers as the labels are joined.
    fn numbers(&self, numbers: impl Iterator<Item = String>) -> String {
        let numbers: Vec<String> = numbers.collect();
        match self.separator {
            Some(separator) => numbers.join(separator),
            None => format!("[{}]", numbers.join(",")),
        }
    }

    /// Appends the probability of each class, if wanted.
    fn csv_probabilities(&self, text: &mut String, probabilities: Option<&[f32]>) {
        for class in (0..self.classes.len()).filter(|_| self.all_classes) {
            // Writing to a string cannot fail.
            let _ = match probabilities {
                Some(all) => write!(text, ",{:.6}", all[class]),
                None => write!(text, ","),
            };
        }
    }

    /// Appends the first fields of a CSV row: the file, if there are several, and the record.
    fn csv_place(&self, text: &mut String, (file, record): (u32, u32)) {
        if let Some(file) = self.files.get(file as usize) {
            quote(text, &self.escaped(file.display()));
            text.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{record},");
    }

    /// Returns an object with the same members.
    fn json_place(&self, (file, record): (u32, u32)) -> Map<String, Value> {
        let mut row = Map::new();
        if let Some(file) = self.files.get(file as usize) {
            row.insert("file".to_owned(), json!(file.display()));
        }
        row.insert("record".to_owned(), json!(record));
        row
    }

    /// Appends an object without its `{`, with the probability of each class if wanted.
    fn end_object(
        &self,
        text: &mut String,
        mut row: Map<String, Value>,
        probabilities: Option<&[f32]>,
    ) {
        if let Some(all) = probabilities.filter(|_| self.all_classes) {
            let classes = self.classes.iter().cloned();
            let each = classes.zip(all.iter().map(|&p| json!(p)));
            let each = json!(each.collect::<Map<_, _>>());
            row.insert("probabilities".to_owned(), each);
        }
        let object = json!(row).to_string();
        text.push_str(&sanitize_json(object.strip_prefix('{').unwrap_or(&object)));
    }
}

/// Appends a CSV field, quoted if necessary (RFC 4180).
fn quote(text: &mut String, field: &str) {
    if field.contains(['"', ',', '\n', '\r']) {
        text.push('"');
        text.push_str(&field.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(field);
    }
}

#[cfg(test)]
mod attacks {
    use super::*;

    /// ATTACK F4: labels cannot move the cursor of a terminal; a file keeps them.
    #[test]
    fn labels_are_escaped_on_a_terminal() {
        let classes = ["a\u{1b}[2J\r\nvalidation:accuracy=0.9;".to_owned()];
        let written = |format, to_terminal| {
            let writer = PredictionWriter {
                classes: &classes,
                several: false,
                separator: None,
                format,
                all_classes: true,
                no_probabilities: AtomicBool::new(false),
                files: &[],
                to_terminal,
                kept: &[],
            };
            let scores = Scores {
                classes: 1,
                decision: vec![2.0],
                probability: Some(vec![1.0]),
            };
            writer.header() + &writer.rows([(0, 1)].into_iter(), &scores, None)
        };
        let safe = |text: &str| {
            let lines = text.trim_end().split('\n').count();
            lines <= 2 && !text.contains(['\u{1b}', '\r']) && !text.contains("accuracy=0.9")
        };
        assert!(safe(&written(StreamFormat::Csv, true)));
        assert!(written(StreamFormat::Csv, false).contains(&classes[0]));
        for to_terminal in [true, false] {
            let json = written(StreamFormat::Jsonl, to_terminal);
            assert!(safe(&json), "{json}");
            let row: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(row["label"], classes[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A label with the separator in it looks like several labels in CSV, not in JSON.
    #[test]
    fn labels_that_contain_the_separator_are_a_warning() {
        let classes = ["x|y", "z"].map(str::to_owned);
        let warned = |format, separator| {
            let writer = PredictionWriter {
                classes: &classes,
                several: true,
                separator,
                format,
                all_classes: false,
                no_probabilities: AtomicBool::new(false),
                files: &[],
                to_terminal: false,
                kept: &[],
            };
            writer.separator_warning()
        };
        let warning = warned(StreamFormat::Csv, Some("|")).unwrap();
        assert!(
            warning.contains("with `|`, which is also in the label `x|y`\n"),
            "{warning}"
        );
        for (format, separator) in [
            (StreamFormat::Csv, Some(";")),
            (StreamFormat::Csv, None),
            (StreamFormat::Jsonl, Some("|")),
        ] {
            assert_eq!(warned(format, separator), None);
        }
    }

    /// Issue 17: several labels and none, as lists or joined, in the numbers of columns of the
    /// header.
    #[test]
    fn sets_are_lists_or_joined() {
        let classes = ["a", "b,c"].map(str::to_owned);
        let written = |format, separator, probability: Option<Vec<f32>>| {
            let writer = PredictionWriter {
                classes: &classes,
                several: true,
                separator,
                format,
                all_classes: true,
                no_probabilities: AtomicBool::new(false),
                files: &[],
                to_terminal: false,
                kept: &[],
            };
            let scores = Scores {
                classes: 2,
                decision: vec![0.5, 2.0, -1.0, -0.5],
                probability,
            };
            let places = [(0, 1), (0, 2)].into_iter();
            writer.header() + &writer.rows(places, &scores, None)
        };
        let probability = || Some(vec![0.625, 0.75, 0.25, 0.5]);
        assert_eq!(
            written(StreamFormat::Csv, Some("|"), probability()),
            "record,labels,probability,score,probability:a,\"probability:b,c\"\n\
             1,\"a|b,c\",0.625000|0.750000,0.5|2,0.625000,0.750000\n\
             2,,,,0.250000,0.500000\n"
        );
        assert_eq!(
            written(StreamFormat::Csv, None, None),
            "record,labels,probability,score,probability:a,\"probability:b,c\"\n\
             1,\"[\"\"a\"\",\"\"b,c\"\"]\",,\"[0.5,2]\",,\n\
             2,[],,[],,\n"
        );
        let json = written(StreamFormat::Jsonl, None, probability());
        let rows: Vec<Value> = json
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        assert_eq!(
            rows,
            [
                json!({ "record": 1, "labels": ["a", "b,c"], "probability": [0.625, 0.75],
                    "score": [0.5, 2.0], "probabilities": { "a": 0.625, "b,c": 0.75 } }),
                json!({ "record": 2, "labels": [], "probability": [], "score": [],
                    "probabilities": { "a": 0.25, "b,c": 0.5 } }),
            ]
        );
    }
}
