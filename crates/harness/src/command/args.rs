//! The arguments that all trainers share.

use std::ffi::OsString;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, ValueEnum};
use dataset::{Format, MultiLabel, ReadOptions, Source};
use diagnostics::{Error, Warning, sanitize};
use evaluation::metrics::multilabel;

use crate::model_dir::Columns;
use crate::range::{MAX_INTEGER, integer, number};

/// Protects the system from a typing error: no machine has more cores.
const MAX_THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub(super) struct GlobalArgs {
    /// Format of errors on standard error
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t = ErrorFormat::Text,
        help_heading = "Global options"
    )]
    pub(super) error_format: ErrorFormat,
}

const ERROR_FORMAT: &str = "--error-format";

/// The format of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ErrorFormat {
    /// Message and help lines
    Text,
    /// One JSON object as the last line
    Json,
}

/// Finds `--error-format` in the raw arguments: it also applies to errors of the parser itself.
pub(super) fn error_format(arguments: &[OsString]) -> ErrorFormat {
    let mut words = arguments.iter().filter_map(|word| word.to_str());
    let mut format = ErrorFormat::Text;
    while let Some(word) = words.next() {
        let word = word.replace('_', "-");
        let value = match word.strip_prefix(ERROR_FORMAT) {
            Some("") => words.next(),
            Some(value) => value.strip_prefix('='),
            None if word == "--" => break,
            None => continue,
        };
        format = match value {
            Some("json") => ErrorFormat::Json,
            _ => ErrorFormat::Text,
        };
    }
    format
}

/// Returns the index of the subcommand: global options may precede it.
pub(super) fn subcommand_index(arguments: &[OsString]) -> usize {
    let mut index = 1;
    while let Some(word) = arguments.get(index).and_then(|word| word.to_str()) {
        match word.replace('_', "-").strip_prefix(ERROR_FORMAT) {
            Some("") => index += 2,
            Some(_) => index += 1,
            None => break,
        }
    }
    index
}

/// The quoting of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Quoting {
    /// A field that begins with a quote ends at the next single quote
    Minimal,
    /// Quotes are part of the text
    None,
}

/// A character of CSV files. A type of its own, because `describe` shows a `u8` as a number.
#[derive(Clone, Copy, Debug)]
struct Char(u8);

fn delimiter(value: &str) -> Result<Char, String> {
    dataset::parse_delimiter(value).map(Char)
}

fn escape(value: &str) -> Result<Char, String> {
    dataset::parse_escape(value).map(Char)
}

/// Columns of the training data.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Data")]
pub(super) struct TrainColumns {
    /// Column with the text
    ///
    /// If repeated, the values of the columns are joined with blanks. A name with dots, such as
    /// data.text, is the path of a nested value in JSON, Parquet and Arrow files.
    #[arg(long, value_name = "NAME", default_value = "text")]
    text_column: Vec<String>,
    /// Column with the label
    ///
    /// With --multi-label it may be repeated: then each column is a label, and its values are 1 and
    /// 0.
    #[arg(long, value_name = "NAME", default_value = "label")]
    label_column: Vec<String>,
    /// Rows may have several labels, or none
    ///
    /// The labels of a row are a list (in JSON, Parquet or Arrow, or as text in a CSV field),
    /// several `__label__`, a field with --label-separator, or several columns: see
    /// --label-column.
    #[arg(long, action = ArgAction::SetTrue)]
    multi_label: bool,
    /// Text between the labels in a field, such as `|`; needs --multi-label
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    label_separator: Option<String>,
}

/// Columns of other labelled data.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Data")]
pub(super) struct LabelledColumns {
    #[command(flatten)]
    pub(super) text: TextColumn,
    /// Column with the label [default: as in the model's training data, or `label`]
    ///
    /// May be repeated if rows may have several labels, as in `train`.
    #[arg(long, value_name = "NAME")]
    label_column: Vec<String>,
    /// Text between the labels in a field, as in `train` [default: as in the model's training data]
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    label_separator: Option<String>,
}

impl LabelledColumns {
    /// Refuses options for several labels if the model has one label per row.
    pub(super) fn check_labels(&self, is_multi_label: bool) -> Result<(), Error> {
        let option = match (&self.label_separator, self.label_column.len()) {
            _ if is_multi_label => return Ok(()),
            (Some(_), _) => "--label-separator",
            (None, 2..) => "further --label-column",
            (None, _) => return Ok(()),
        };
        let message = format!("expected no {option}: the model has one label per row");
        Err(Error::usage(message).help(format!("leave out {option}")))
    }

    /// Refuses a separator without its column if the model's data has a column per label.
    pub(super) fn check_separator(&self, model: &Columns) -> Result<(), Error> {
        let is_alone = self.label_separator.is_some() && self.label_column.is_empty();
        if model.other_labels.is_empty() || !is_alone {
            return Ok(());
        }
        let message = "expected --label-column with --label-separator: the model's data has a \
                       column per label";
        Err(Error::usage(message).help("add --label-column NAME, the column of the joined labels"))
    }

    /// Returns the given columns, else those of the model. Names, which are not numbers, are in a
    /// header, unless --no-header is given too.
    pub(super) fn or(&self, model: Columns) -> Columns {
        let mut columns = self.text.or(model);
        if let Some((label, others)) = self.label_column.split_first() {
            columns.no_header &= label.parse::<usize>().is_ok();
            columns.label.clone_from(label);
            others.clone_into(&mut columns.other_labels);
            if !others.is_empty() {
                columns.label_separator = None;
            }
        }
        if self.label_separator.is_some() {
            columns.label_separator.clone_from(&self.label_separator);
        }
        columns
    }
}

/// Column of data without labels.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Data")]
pub(super) struct TextColumn {
    /// Column with the text [default: as in the model's training data, or `text`]
    ///
    /// May be repeated, as in `train`.
    #[arg(long, value_name = "NAME")]
    text_column: Vec<String>,
}

impl TextColumn {
    pub(super) fn is_given(&self) -> bool {
        !self.text_column.is_empty()
    }

    /// Returns the given columns, else those of the model. Given names are in a header, unless
    /// --no-header is given too.
    pub(super) fn or(&self, model: Columns) -> Columns {
        match self.text_column.split_first() {
            None => model,
            Some((text, others)) => Columns {
                text: text.clone(),
                other_texts: others.to_vec(),
                no_header: false,
                ..model
            },
        }
    }
}

/// Options for reading data.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Data")]
pub(super) struct DataArgs {
    /// Encoding of the files, such as latin-1 [default: utf-8]
    ///
    /// A byte order mark in the file takes precedence.
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Delimiter of CSV and TSV files: one character, or `tab` [default: by file name and header]
    ///
    /// Without it, a delimiter that alone gives the columns is used, with a warning.
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    delimiter: Option<Char>,
    /// Quoting of CSV and TSV files [default: minimal]
    ///
    /// Without it, quoted fields of a TSV file must not contain lines that look like rows.
    #[arg(long, value_name = "QUOTING", value_enum)]
    quoting: Option<Quoting>,
    /// Character of CSV and TSV files that makes the next one part of the text, such as `\`
    #[arg(long, value_name = "CHAR", value_parser = escape)]
    escape: Option<Char>,
    /// CSV and TSV files have no header: columns are given by their numbers, from 0
    #[arg(long, action = ArgAction::SetTrue)]
    no_header: bool,
    /// Drop and count rows without text or label instead of failing
    #[arg(long, action = ArgAction::SetTrue)]
    drop_missing: bool,
    /// Drop and count rows that cannot be parsed instead of failing
    #[arg(long, action = ArgAction::SetTrue)]
    drop_malformed: bool,
    /// Worker threads, at most 256 [default: one per core]
    #[arg(long, value_name = "N", value_parser = integer::<NonZeroUsize>(1..=MAX_THREADS.get() as u64))]
    threads: Option<NonZeroUsize>,
}

impl DataArgs {
    /// Returns the options for reading these columns.
    pub(super) fn options(&self, columns: Columns) -> Result<ReadOptions, Error> {
        let encoding = self
            .encoding
            .as_deref()
            .map(dataset::encoding)
            .transpose()?;
        let byte = |char: Option<Char>| char.map(|Char(byte)| byte);
        let (delimiter, escape) = (byte(self.delimiter), byte(self.escape));
        if escape == Some(delimiter.unwrap_or(b',')) {
            let message = "expected different characters for --delimiter and --escape";
            return Err(Error::usage(message).help("pass another --escape, such as '\\'"));
        }
        refuse_twice("--text-column", &columns.text, &columns.other_texts)?;
        refuse_twice("--label-column", &columns.label, &columns.other_labels)?;
        check_pair(&columns)?;
        Ok(ReadOptions {
            multi_label: multi_label(&columns)?,
            text_column: columns.text,
            other_text_columns: columns.other_texts,
            text_pair: columns.text_pair,
            label_column: columns.label,
            encoding,
            delimiter,
            escape,
            no_header: self.no_header || columns.no_header,
            quoting: self.quoting.map(|quoting| match quoting {
                Quoting::Minimal => dataset::Quoting::Minimal,
                Quoting::None => dataset::Quoting::None,
            }),
            drop_missing: self.drop_missing,
            drop_malformed: self.drop_malformed,
            threads: self.threads(),
            ..ReadOptions::default()
        })
    }

    /// Returns the warning that options have no effect on files of these formats.
    pub(super) fn unused<'a>(
        &self,
        mut sources: impl Iterator<Item = &'a Source> + Clone,
    ) -> Option<Warning> {
        let is_delimited = |source: &Source| matches!(source.format(), Format::Csv { .. });
        let delimited = sources.clone().any(is_delimited);
        let text = sources.any(|s| !matches!(s.format(), Format::Parquet | Format::Arrow));
        let unused: Vec<&str> = [
            ("--delimiter", self.delimiter.is_some() && !delimited),
            ("--quoting", self.quoting.is_some() && !delimited),
            ("--escape", self.escape.is_some() && !delimited),
            ("--no-header", self.no_header && !delimited),
            ("--encoding", self.encoding.is_some() && !text),
        ]
        .into_iter()
        .filter_map(|(option, unused)| unused.then_some(option))
        .collect();
        let options = unused.join(" and ");
        (!unused.is_empty()).then(|| {
            Warning::from(format!(
                "no effect on files of this format: {options}\n  help: leave out {options}"
            ))
        })
    }

    pub(super) fn threads(&self) -> NonZeroUsize {
        or_cores(self.threads)
    }
}

/// Returns a number of threads; by default one per core that this process may use.
fn or_cores(threads: Option<NonZeroUsize>) -> NonZeroUsize {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    threads.unwrap_or_else(cores).min(MAX_THREADS)
}

/// Refuses a column that is given twice.
fn refuse_twice(flag: &str, first: &str, others: &[String]) -> Result<(), Error> {
    let mut names = others.iter().map(String::as_str).chain([first]);
    while let Some(name) = names.next() {
        if names.clone().any(|other| other == name) {
            let message = format!(
                "expected different {flag}, found `{}` twice",
                sanitize(name)
            );
            return Err(Error::usage(message).help("give each column once"));
        }
    }
    Ok(())
}

/// Refuses another number of text columns than two for pairs.
fn check_pair(columns: &Columns) -> Result<(), Error> {
    let count = 1 + columns.other_texts.len();
    if !columns.text_pair || count == 2 {
        return Ok(());
    }
    let message = format!("expected two --text-column for pairs of texts, found `{count}`");
    Err(Error::usage(message)
        .help("pass --text-column FIRST --text-column SECOND, or train without --text-pair"))
}

/// Returns the form of several labels; `None` if rows have one.
fn multi_label(columns: &Columns) -> Result<Option<MultiLabel>, Error> {
    let (message, help) = match (columns.other_labels.len(), &columns.label_separator) {
        (1.., Some(_)) => (
            "expected --label-separator or several --label-column, found both",
            "leave out --label-separator, or give one --label-column",
        ),
        (1.., None) if !columns.multi_label => (
            "expected one --label-column, found several: rows have one label",
            "give one --label-column, or pass --multi-label",
        ),
        (0, Some(_)) if !columns.multi_label => (
            "expected no --label-separator: rows have one label",
            "leave out --label-separator, or pass --multi-label",
        ),
        _ => {
            let several = || MultiLabel {
                separator: columns.label_separator.clone(),
                other_columns: columns.other_labels.clone(),
            };
            return Ok(columns.multi_label.then(several));
        }
    };
    Err(Error::usage(message).help(help))
}

/// The measure by which thresholds are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ThresholdMetric {
    /// Harmonic mean of precision and recall
    F1,
    /// Share of right predictions
    Accuracy,
    /// Mean of the recalls of both sides
    BalancedAccuracy,
}

impl From<ThresholdMetric> for multilabel::ThresholdMetric {
    fn from(metric: ThresholdMetric) -> Self {
        match metric {
            ThresholdMetric::F1 => Self::F1,
            ThresholdMetric::Accuracy => Self::Accuracy,
            ThresholdMetric::BalancedAccuracy => Self::BalancedAccuracy,
        }
    }
}

/// Arguments of `train` that all trainers share.
#[derive(Args, Clone, Debug)]
pub(super) struct TrainArgs {
    /// Run file: options of this command in TOML, such as `seed = 1`
    ///
    /// Options on the command line take precedence over the file, and the file over
    /// hyperparameters. Paths are relative to the current folder. Each training writes such a
    /// file, run.toml, into the folder of the model.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Training data: a file or a folder [default: the channel `train`]
    ///
    /// Files end in .csv, .tsv, .jsonl, .json, .ft (fastText), .parquet or .arrow, and may be
    /// compressed (.gz, .zst, .bz2, .xz). Files without an ending are read by their content.
    #[arg(long, value_name = "PATH", visible_alias = "data")]
    pub(super) train: Option<PathBuf>,
    /// Validation data [default: the channel `validation`]
    ///
    /// Settings are chosen and probabilities are calibrated on it. Without it, a fraction of
    /// the training data is used: see --validation-split.
    #[arg(long, value_name = "PATH")]
    pub(super) validation: Option<PathBuf>,
    /// Test data, scored once at the end [default: the channel `test`]
    #[arg(long, value_name = "PATH")]
    pub(super) test: Option<PathBuf>,
    /// Folder for the model [default: SM_MODEL_DIR]
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: Option<PathBuf>,
    /// Folder for metrics.json and report.html [default: SM_OUTPUT_DATA_DIR, or --model-dir]
    #[arg(long, value_name = "DIR")]
    pub(super) output_data_dir: Option<PathBuf>,
    /// Fraction of the training rows used for validation if there is no validation data; 0 for
    /// none
    #[arg(long, value_name = "FRACTION", default_value_t = 0.1, value_parser = number(0.0..1.0))]
    pub(super) validation_split: f64,
    /// Choose the threshold above which a label is predicted by this measure
    ///
    /// For each label with --multi-label, otherwise for the second of two classes. On the
    /// validation rows, or out of fold if the trainer has such scores. Without it, labels with a
    /// score above 0 are predicted.
    #[arg(long, value_name = "METRIC", value_enum)]
    pub(super) threshold_metric: Option<ThresholdMetric>,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = integer::<u64>(0..=MAX_INTEGER))]
    pub(super) seed: u64,
    /// Warn of texts that share most of their words, as `check` does
    ///
    /// Within the training data, and between it and the other data. Takes several times as long as
    /// reading the data.
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) near_duplicates: bool,
    /// Do not write report.html
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) no_report: bool,
    /// Print the metrics as one JSON object on standard output
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) json: bool,
    /// Check the options and hyperparameters, then exit; data and folders need not be there
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) check: bool,
    /// Print metric lines on standard error, as in a training job, instead of the table of epochs
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) metric_lines: bool,
    #[command(flatten)]
    pub(super) columns: TrainColumns,
    /// Of [`WeightArgs`].
    #[arg(skip)]
    pub(super) weight_column: Option<String>,
    /// See [`Trainer::is_text_pair`](crate::Trainer::is_text_pair).
    #[arg(skip)]
    pub(super) text_pair: bool,
    #[command(flatten)]
    pub(super) data: DataArgs,
}

impl TrainArgs {
    /// Returns the columns, which the model remembers.
    pub(super) fn names(&self) -> Columns {
        let texts = &self.columns.text_column;
        let labels = &self.columns.label_column;
        Columns {
            text: texts.first().cloned().unwrap_or_default(),
            other_texts: texts.iter().skip(1).cloned().collect(),
            text_pair: self.text_pair,
            label: labels.first().cloned().unwrap_or_default(),
            other_labels: labels.iter().skip(1).cloned().collect(),
            label_separator: self.columns.label_separator.clone(),
            multi_label: self.columns.multi_label,
            no_header: self.data.no_header,
        }
    }
}

/// Arguments of `train` for trainers whose rows can have weights.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Data")]
pub(super) struct WeightArgs {
    /// Column of the training data with the weights of the rows [default: all rows weigh 1]
    ///
    /// A number of 0 or more, as sample_weight in scikit-learn: a row that weighs 2 counts as two
    /// rows. Class weights multiply it. Rows of --validation and --test need none.
    #[arg(long, value_name = "NAME")]
    pub(super) weight_column: Option<String>,
}

/// Arguments of `train` for trainers that write checkpoints.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Checkpoints")]
pub(super) struct CheckpointArgs {
    /// Folder for checkpoints [default: /opt/ml/checkpoints if the job has one]
    ///
    /// A run that finds its own checkpoints there resumes from the newest one.
    #[arg(long, value_name = "DIR")]
    pub(super) checkpoint_dir: Option<PathBuf>,
    /// Steps between checkpoints; 0: only at the end of each epoch
    #[arg(long, value_name = "STEPS", default_value_t = 0, value_parser = integer::<u64>(0..=MAX_INTEGER))]
    pub(super) checkpoint_every: u64,
}

/// Arguments of `evaluate`.
#[derive(Args, Clone, Debug)]
pub(super) struct EvaluateArgs {
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: PathBuf,
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Write a report to this file, like the report.html of `train`
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Write the JSON object of --json to this file
    #[arg(long, value_name = "FILE")]
    pub(super) metrics: Option<PathBuf>,
    /// Training data of the model: adds the accuracy on the rows whose text is not in it
    #[arg(long, value_name = "PATH")]
    pub(super) train: Option<PathBuf>,
    /// Compare with another model on the same rows
    ///
    /// OTHER is the folder of a model of the same trainer, or the file that `predict` of any
    /// trainer wrote for the same data. Prints the difference of the accuracies with a 95 %
    /// interval, and the p-value of McNemar's test.
    #[arg(long, value_name = "OTHER")]
    pub(super) against: Option<PathBuf>,
    /// Seed of the bootstrap of --against
    #[arg(long, value_name = "N", default_value_t = 0, requires = "against", value_parser = integer::<u64>(0..=MAX_INTEGER))]
    pub(super) seed: u64,
    #[command(flatten)]
    pub(super) columns: LabelledColumns,
    #[command(flatten)]
    pub(super) read: DataArgs,
}

/// The labelled data of `evaluate` and `check`.
#[derive(Args, Clone, Debug)]
pub(super) struct InputArgs {
    /// Labelled data: a file, a folder, or `-` for standard input
    #[arg(
        value_name = "PATH",
        required_unless_present = "data",
        conflicts_with = "data"
    )]
    path: Option<PathBuf>,
    /// The same as PATH
    #[arg(long, value_name = "PATH", visible_aliases = ["input"])]
    data: Option<PathBuf>,
    /// Format of standard input [default: csv]
    ///
    /// `fasttext` also applies to a file.
    #[arg(long, value_name = "FORMAT", value_enum)]
    input_format: Option<RowFormat>,
}

impl InputArgs {
    pub(super) fn sources(&self) -> Result<Vec<Source>, Error> {
        let path = self.path.as_deref().or(self.data.as_deref());
        file_or_stdin(path, self.input_format.map(RowFormat::format))
    }
}

/// Arguments of `predict`.
#[derive(Args, Clone, Debug)]
pub(super) struct PredictArgs {
    /// Texts to classify, or `-` for one per line of standard input [default: rows from standard
    /// input]
    #[arg(
        value_name = "TEXT",
        conflicts_with_all = [
            "input", "input_format", "text_column", "encoding", "delimiter", "quoting", "escape",
            "no_header", "drop_missing", "drop_malformed", "keep_columns"
        ]
    )]
    pub(super) texts: Vec<String>,
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: PathBuf,
    /// Data to classify: a file, a folder, or `-` for standard input
    #[arg(long, value_name = "PATH", visible_alias = "data")]
    pub(super) input: Option<PathBuf>,
    /// Format of standard input [default: csv]
    ///
    /// `lines` and `fasttext` also apply to a file.
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(super) input_format: Option<TextFormat>,
    /// File to write, such as predictions.csv or predictions.jsonl [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Format of the predictions [default: by the name of --output, or csv]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(super) format: Option<StreamFormat>,
    /// Add the probability of each class
    #[arg(long)]
    pub(super) all_classes: bool,
    /// Columns of the data to write before the predictions, separated by commas
    ///
    /// NAME=NEW writes a column under another name. A name with a comma or `=` is in double quotes:
    /// 'id,"a,b"'. Values are written as they stand in the data.
    #[arg(long, value_name = "NAMES")]
    keep_columns: Vec<KeptColumns>,
    #[command(flatten)]
    pub(super) columns: TextColumn,
    #[command(flatten)]
    pub(super) read: DataArgs,
}

impl PredictArgs {
    /// True for `predict -`: each line of standard input is a text.
    pub(super) fn reads_lines(&self) -> bool {
        self.texts == ["-"]
    }

    /// Returns the columns of all --keep-columns.
    pub(super) fn kept(&self) -> Vec<KeptColumn> {
        let lists = self.keep_columns.iter().map(|KeptColumns(list)| list);
        lists.flatten().cloned().collect()
    }
}

/// A column of the data that `predict` writes too.
#[derive(Clone, Debug)]
pub(super) struct KeptColumn {
    pub(super) column: String,
    /// Name in the output.
    pub(super) name: String,
}

impl KeptColumn {
    fn of(item: &str) -> Self {
        let equals = outside_quotes(item, '=').pop();
        let (column, name) = equals.map_or((item, item), |at| (&item[..at], &item[at + 1..]));
        let name_of = |written: &str| {
            let quoted = written
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            quoted.map_or_else(|| written.to_owned(), |name| name.replace("\"\"", "\""))
        };
        Self {
            column: name_of(column),
            name: name_of(name),
        }
    }

    /// Returns a name as --keep-columns takes it.
    pub(super) fn written(name: &str) -> String {
        match name.contains([',', '=', '"']) {
            true => format!("\"{}\"", name.replace('"', "\"\"")),
            false => name.to_owned(),
        }
    }
}

/// The columns of a --keep-columns.
#[derive(Clone, Debug)]
struct KeptColumns(Vec<KeptColumn>);

impl From<&str> for KeptColumns {
    fn from(value: &str) -> Self {
        let mut start = 0;
        let ends = outside_quotes(value, ',').into_iter().chain([value.len()]);
        let columns = ends.map(|end| {
            let column = KeptColumn::of(&value[start..end]);
            start = end + 1;
            column
        });
        Self(columns.collect())
    }
}

/// Returns the places of a character outside of double quotes.
fn outside_quotes(text: &str, mark: char) -> Vec<usize> {
    let mut quoted = false;
    let places = text.char_indices().filter(|&(_, character)| {
        quoted ^= character == '"';
        character == mark && !quoted
    });
    places.map(|(place, _)| place).collect()
}

/// The format of labelled rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RowFormat {
    /// Comma-separated values with a header
    Csv,
    /// One JSON object per line, or an array of objects
    Jsonl,
    /// `__label__LABEL TEXT` in each line
    #[value(name = "fasttext")]
    FastText,
}

impl RowFormat {
    fn format(self) -> Format {
        match self {
            Self::Csv => Format::CSV,
            Self::Jsonl => Format::Jsonl,
            Self::FastText => Format::FastText,
        }
    }
}

/// The format of texts to classify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TextFormat {
    /// Comma-separated values with a header
    Csv,
    /// One JSON object per line, or an array of objects
    Jsonl,
    /// One text per line, also in a blank one
    Lines,
    /// A text per line, after labels such as `__label__LABEL`, if there are any
    #[value(name = "fasttext")]
    FastText,
}

impl TextFormat {
    pub(super) fn format(self) -> Format {
        match self {
            Self::Csv => Format::CSV,
            Self::Jsonl => Format::Jsonl,
            Self::Lines => Format::Lines,
            Self::FastText => Format::FastText,
        }
    }
}

/// The format of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StreamFormat {
    /// Comma-separated values with a header
    Csv,
    /// One JSON object per line
    Jsonl,
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// Test data; its texts are looked up in PATH
    #[arg(long, value_name = "PATH")]
    pub(super) test: Option<PathBuf>,
    /// Findings to print per code; the others are only counted
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = integer::<usize>(0..=MAX_INTEGER))]
    pub(super) limit: usize,
    /// Do not look for texts that share most of their words
    ///
    /// The search takes several times as long as reading the data.
    #[arg(long)]
    pub(super) no_near_duplicates: bool,
    /// Print one JSON object per finding, then a summary
    #[arg(long)]
    pub(super) json: bool,
    /// Model whose column names are the defaults
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: Option<PathBuf>,
    /// Column of PATH with the weights of the rows, as in `train` of svm, nb and bag
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub(super) weight_column: Option<String>,
    /// Rows may have several labels, or none, as in `train`
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) multi_label: bool,
    /// Of [`PairArgs`].
    #[arg(skip)]
    pub(super) text_pair: bool,
    #[command(flatten)]
    pub(super) columns: LabelledColumns,
    #[command(flatten)]
    pub(super) read: DataArgs,
}

/// Argument of `check` for trainers whose models can be of pairs of texts.
#[derive(Args, Clone, Debug)]
pub(super) struct PairArgs {
    /// Read two --text-column as a pair of texts, as in `train`
    #[arg(long, action = ArgAction::SetTrue, help_heading = "Data")]
    pub(super) text_pair: bool,
}

/// Arguments of `explain`.
#[derive(Args, Clone, Debug)]
pub(super) struct ExplainArgs {
    /// Text whose prediction is explained [default: the whole model]
    #[arg(value_name = "TEXT")]
    pub(super) text: Option<String>,
    /// Of [`SecondTextArgs`].
    #[arg(skip)]
    pub(super) second: Option<String>,
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: PathBuf,
    /// Features to show per class
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = integer::<usize>(1..=MAX_INTEGER))]
    pub(super) top: usize,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Argument of `explain` for trainers whose models can be of pairs of texts.
#[derive(Args, Clone, Debug)]
pub(super) struct SecondTextArgs {
    /// Second text of the pair, if the model was trained with --text-pair
    #[arg(value_name = "SECOND")]
    pub(super) second: Option<String>,
}

/// Arguments of `serve`.
#[cfg_attr(
    not(feature = "serve"),
    allow(dead_code, reason = "without the feature the command is an error")
)]
#[derive(Args, Clone, Debug)]
pub(super) struct ServeArgs {
    /// Folder of the model [default: /opt/ml/model, as in a container]
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1; 0.0.0.0 in a container]
    ///
    /// 127.0.0.1 answers this machine only.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) host: Option<IpAddr>,
    /// Port to listen on; 0: any free one [default: SAGEMAKER_BIND_TO_PORT, or 8080]
    #[arg(long, value_name = "N")]
    pub(super) port: Option<u16>,
    /// Threads that classify, at most 256 [default: one per core]
    #[arg(long, value_name = "N", value_parser = integer::<NonZeroUsize>(1..=MAX_THREADS.get() as u64))]
    threads: Option<NonZeroUsize>,
    /// Seconds from a request to its answer, at most
    ///
    /// A request that cannot be answered in time is refused with status 503. SageMaker waits 60
    /// seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 55, value_parser = integer::<u64>(1..=3600))]
    pub(super) timeout: u64,
    /// Requests that wait for a thread, at most
    ///
    /// Further ones are refused with status 429.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = integer::<usize>(1..=65_536))]
    pub(super) max_queue: usize,
    /// No page at GET /
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) no_ui: bool,
    /// File with the key that requests must have [default: requests need none]
    #[arg(long, value_name = "FILE")]
    pub(super) api_key_file: Option<PathBuf>,
}

#[cfg(feature = "serve")]
impl ServeArgs {
    pub(super) fn threads(&self) -> NonZeroUsize {
        or_cores(self.threads)
    }
}

/// Arguments of `describe`.
#[derive(Args, Clone, Debug)]
pub(super) struct DescribeArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Print the JSON Schema of run files, for editors: see `train --config`
    #[arg(long, conflicts_with = "json")]
    pub(super) json_schema: bool,
}

/// Returns the data files of a path; standard input for `-` and for no path.
pub(super) fn file_or_stdin(
    path: Option<&Path>,
    format: Option<Format>,
) -> Result<Vec<Source>, Error> {
    match (path.filter(|path| path.as_os_str() != "-"), format) {
        (None, format) => Ok(vec![Source::stdin(format.unwrap_or(Format::CSV))]),
        (Some(path), None) => sources(path),
        (Some(path), Some(Format::Lines | Format::FastText)) if path.is_dir() => {
            let message = format!(
                "expected one file with --input-format, found the folder `{}`",
                path.display()
            );
            Err(Error::usage(message).help("pass a file, or leave out --input-format"))
        }
        (Some(path), Some(format @ (Format::Lines | Format::FastText))) => {
            Ok(vec![Source::file(path, format)])
        }
        (Some(path), Some(_)) => {
            let message = format!(
                "expected --input-format with standard input only, found the path `{}`",
                path.display()
            );
            Err(Error::usage(message).help(
                "leave out --input-format: the format of a file is known by its name; or pass `-`",
            ))
        }
    }
}

/// Returns the data files of a path.
pub(super) fn sources(path: &Path) -> Result<Vec<Source>, Error> {
    if path.as_os_str() == "-" {
        let message = "expected a file or a folder, found `-`: standard input is not read here";
        let help = "write standard input to a file, such as rows.csv, and pass its name";
        return Err(Error::usage(message).help(help));
    }
    Ok(dataset::sources(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue 17: a column with a comma or `=` in its name could not be kept.
    #[test]
    fn names_of_kept_columns_may_be_quoted() {
        let kept = |value: &str| {
            let KeptColumns(columns) = value.into();
            let pairs = columns.into_iter().map(|kept| (kept.column, kept.name));
            pairs.collect::<Vec<_>>()
        };
        let pair = |column: &str, name: &str| (column.to_owned(), name.to_owned());
        assert_eq!(kept("id,b=c"), [pair("id", "id"), pair("b", "c")]);
        assert_eq!(kept(r#""x,y""#), [pair("x,y", "x,y")]);
        assert_eq!(
            kept(r#"id,"x,y"=z,"a=b""#),
            [pair("id", "id"), pair("x,y", "z"), pair("a=b", "a=b")]
        );
        let name = r#"a "b", c"#;
        assert_eq!(kept(&KeptColumn::written(name)), [pair(name, name)]);
    }

    #[test]
    fn error_format_is_found_before_parsing() {
        let format = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            error_format(&words)
        };
        assert_eq!(format("svm train"), ErrorFormat::Text);
        assert_eq!(format("svm --error-format json train"), ErrorFormat::Json);
        assert_eq!(format("svm train --error_format=json"), ErrorFormat::Json);
        assert_eq!(format("svm train --error-format=text"), ErrorFormat::Text);
        assert_eq!(
            format("svm predict -- --error-format=json"),
            ErrorFormat::Text
        );
    }
}
