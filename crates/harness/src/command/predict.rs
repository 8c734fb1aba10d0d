//! `predict`: classes for texts, as CSV or JSON lines.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use clap::{Args, Command};
use serde_json::{Map, json};
use tempfile::TempPath;

use super::args::{self, PredictArgs, StreamFormat};
use super::evaluate::failure;
use super::load;
use crate::model_dir;
use crate::{Model, Trainer};
use dataset::{Format, Labels, ReadOptions, Source, stream};
use diagnostics::Error;
use diagnostics::atomic_dir::parent;
use evaluation::metrics::Scores;

pub(super) fn command<T: Trainer>() -> Command {
    let command = PredictArgs::augment_args(Command::new("predict"));
    T::PredictArgs::augment_args(command).about("Classify texts").long_about(
        "Classify texts: given as arguments, from a file or folder, or from standard input.\n\nThe answers stand in \
         the order of the rows, as CSV with a header or as JSON lines: file (only where there are several), record (the \
         row's number in its file, from 1), label, probability (empty if the model is not calibrated) and score (the decision value).",
    )
}

pub(super) fn run<T: Trainer>(
    args: &PredictArgs,
    own: T::PredictArgs,
    unfinished: &Mutex<Option<PathBuf>>,
) -> Result<(), Error> {
    let model = load::<T>(&args.model_dir, own, args.read.threads().get())?;
    // Before anything is written: the output may be the input.
    let sources = if args.texts.is_empty() {
        sources(args)?
    } else {
        Vec::new()
    };
    let answers = Answers {
        classes: model.classes(),
        format: args.format,
        all: args.all_classes,
        files: if sources.len() > 1 { &sources } else { &[] },
    };
    let output = args.output.as_deref().and_then(place);
    if let Some(path) = &output {
        spare(&args.model_dir, path)?;
    }
    let (mut out, partial) = open(output.as_deref())?;
    let note = |path: Option<&Path>| {
        let mut unfinished = unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        *unfinished = path.map(Path::to_owned);
    };
    note(partial.as_deref());
    let target = output.as_deref().unwrap_or(Path::new("standard output"));
    let mut put = |text: &str| match out.write_all(text.as_bytes()) {
        // A reader that has seen enough, such as `head`, is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(Error::io("write", target)),
    };
    put(&answers.header())?;
    if !args.texts.is_empty() {
        let texts: Vec<&str> = args.texts.iter().map(String::as_str).collect();
        let scores = model.predict(&mut model.scratch(), &texts)?;
        put(&answers.rows((1..).map(|record| (0, record)), &scores))?;
    } else {
        stream(
            &sources,
            &ReadOptions {
                hash: false,
                block_bytes: T::Model::BLOCK_BYTES,
                ..args.read.options()?
            },
            Labels::Ignored,
            &AtomicBool::new(false),
            || model.scratch(),
            |scratch, batch| {
                let texts: Vec<&str> = batch.rows().map(|row| row.text).collect();
                let scores = model.predict(scratch, &texts)?;
                let places = batch.rows().map(|row| (row.place.source, row.place.record));
                Ok(answers.rows(places, &scores))
            },
            |text: Result<String, Error>| put(&text?),
        )
        .map_err(failure)?;
    }
    out.flush().map_err(Error::io("write", target))?;
    note(None);
    match partial {
        Some(partial) => partial
            .persist(target)
            .map_err(|error| Error::io("write", target)(error.error)),
        None => Ok(()),
    }
}

/// Names of standard output.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// The file that is meant, `None` for standard output. A link stays, and what it leads to is written.
fn place(output: &Path) -> Option<PathBuf> {
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

/// Fails where answers would replace a file of the model that gives them.
fn spare(model: &Path, output: &Path) -> Result<(), Error> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let inside = real(model).is_some_and(|model| Some(model) == real(parent(output)));
    let name = output.file_name().and_then(|name| name.to_str());
    match name {
        Some(name) if inside && model_dir::names(model).iter().any(|own| own == name) => {
            Err(Error::usage(format!(
                "expected a file for the answers, found `{name}` of the model"
            ))
            .help("name another --output"))
        }
        _ => Ok(()),
    }
}

/// Where the answers go. A file takes its place when it is whole; what is no regular file, such as a pipe, is written to
/// directly.
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
    // Readable by all, as a file made by the shell would be: the user's umask decides.
    let partial = tempfile::Builder::new()
        .prefix(".partial-")
        .make_in(parent(path), |path| File::create_new(path))
        .map_err(Error::io("write", path))?;
    let (file, partial) = partial.into_parts();
    Ok((Box::new(BufWriter::new(file)), Some(partial)))
}

fn sources(args: &PredictArgs) -> Result<Vec<Source>, Error> {
    if let Some(path) = args.input.as_ref().filter(|path| path.as_os_str() != "-") {
        return args::sources(path);
    }
    if args.input.is_none() && io::stdin().is_terminal() {
        let message = "expected a text, found neither TEXT nor --input nor rows on standard input";
        return Err(Error::usage(message)
            .help("try `predict --model-dir DIR \"some text\"`, or --input FILE"));
    }
    Ok(vec![Source::stdin(match args.input_format {
        StreamFormat::Csv => Format::CSV,
        StreamFormat::Jsonl => Format::Jsonl,
    })])
}

/// How answers are written.
struct Answers<'a> {
    classes: &'a [String],
    format: StreamFormat,
    /// Whether the probability of each class is written.
    all: bool,
    /// The files, if their names are written.
    files: &'a [Source],
}

impl Answers<'_> {
    fn header(&self) -> String {
        match self.format {
            StreamFormat::Jsonl => String::new(),
            StreamFormat::Csv => {
                let file = if self.files.is_empty() { "" } else { "file," };
                let mut header = format!("{file}record,label,probability,score");
                for class in self.classes.iter().filter(|_| self.all) {
                    header.push(',');
                    quote(&mut header, &format!("probability:{class}"));
                }
                header.push('\n');
                header
            }
        }
    }

    /// `places`: the number of the file and the row's number in it.
    fn rows(&self, places: impl Iterator<Item = (u32, u32)>, scores: &Scores) -> String {
        let mut text = String::new();
        for ((row, place), class) in places.enumerate().zip(scores.predictions()) {
            let range = row * scores.classes..(row + 1) * scores.classes;
            let probabilities = scores.probability.as_ref().map(|all| &all[range.clone()]);
            let decision = scores.decision[range][class as usize];
            self.row(&mut text, place, class as usize, probabilities, decision);
        }
        text
    }

    fn row(
        &self,
        text: &mut String,
        (file, record): (u32, u32),
        class: usize,
        probabilities: Option<&[f32]>,
        decision: f32,
    ) {
        let label = &self.classes[class];
        let file = self.files.get(file as usize).map(Source::display);
        let probability = probabilities.map(|all| all[class]);
        match self.format {
            StreamFormat::Csv => {
                if let Some(file) = file {
                    quote(text, file);
                    text.push(',');
                }
                // Writing to a string cannot fail.
                let _ = write!(text, "{record},");
                quote(text, label);
                let _ = match probability {
                    Some(probability) => write!(text, ",{probability:.6},{decision}"),
                    None => write!(text, ",,{decision}"),
                };
                for class in (0..self.classes.len()).filter(|_| self.all) {
                    let _ = match probabilities {
                        Some(all) => write!(text, ",{:.6}", all[class]),
                        None => write!(text, ","),
                    };
                }
            }
            StreamFormat::Jsonl => {
                let mut answer = Map::new();
                if let Some(file) = file {
                    answer.insert("file".to_owned(), json!(file));
                }
                answer.insert("record".to_owned(), json!(record));
                answer.insert("label".to_owned(), json!(label));
                answer.insert("probability".to_owned(), json!(probability));
                answer.insert("score".to_owned(), json!(decision));
                if let Some(all) = probabilities.filter(|_| self.all) {
                    let each = self
                        .classes
                        .iter()
                        .cloned()
                        .zip(all.iter().map(|&p| json!(p)));
                    answer.insert(
                        "probabilities".to_owned(),
                        json!(each.collect::<Map<_, _>>()),
                    );
                }
                let _ = write!(text, "{}", json!(answer));
            }
        }
        text.push('\n');
    }
}

/// Appends a CSV field, in quotes where it needs them (RFC 4180).
fn quote(text: &mut String, field: &str) {
    if field.contains(['"', ',', '\n', '\r']) {
        text.push('"');
        text.push_str(&field.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(field);
    }
}
