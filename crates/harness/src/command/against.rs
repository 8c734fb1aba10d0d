//! The other model of `evaluate --against`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dataset::{
    Format, Labels, MultiLabel, ReadError, ReadOptions, RowPlace, Source, StreamError,
    separator_in, stream,
};
use diagnostics::{Error, counted, listed, sanitize, short_label};
use serde::Deserialize;

use super::{Loaded, args, load};
use crate::model_dir::{self, Columns};
use crate::{Model, Trainer};

/// Number of each name of a class.
pub(super) type ClassNumbers<'a> = HashMap<&'a str, u32>;

/// Class that the evaluated model does not have: never right.
const OTHER_CLASS: u32 = u32::MAX;

/// A model, or its predictions. Classes are those of the evaluated model.
pub(super) enum Against<M> {
    /// A model of the same trainer, and the class of each of its classes.
    Model {
        model: Box<Loaded<M>>,
        classes: Vec<u32>,
    },
    /// Classes of a row, ascending, by number of the file and record.
    Predictions {
        path: String,
        classes: HashMap<(u32, u32), Vec<u32>>,
    },
}

impl<M: Model> Against<M> {
    /// Loads the model folder, or the predictions for the rows of `data`, which are read with
    /// `options`. Also returns the warning about labels that the evaluated model does not have.
    ///
    /// # Errors
    /// The folder has no model of this trainer, or one of another kind; or the file is not one that
    /// `predict` wrote.
    pub(super) fn load<T: Trainer<Model = M>>(
        path: &Path,
        (own, threads): (T::PredictArgs, usize),
        numbers: &ClassNumbers<'_>,
        (data, options): (&[Source], &ReadOptions),
    ) -> Result<(Self, Option<String>), Error> {
        let several = options.multi_label.as_ref();
        let shown = sanitize(&path.to_string_lossy()).into_owned();
        let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
        let mut class = |name: &str| {
            numbers.get(name).copied().unwrap_or_else(|| {
                *unknown.entry(name.to_owned()).or_default() += 1;
                OTHER_CLASS
            })
        };
        if path.is_dir() {
            let model = load::<T>(path, own, threads).map_err(not_loaded)?;
            let kind = |is_multi_label| match is_multi_label {
                true => "several labels per row",
                false => "one label per row",
            };
            if model.is_multi_label() != several.is_some() {
                let message = format!(
                    "expected a model with {} for --against, found one with {}",
                    kind(several.is_some()),
                    kind(model.is_multi_label())
                );
                return Err(Error::usage(message).help("pass a model of the same kind"));
            }
            if model.is_text_pair() != options.text_pair {
                let message =
                    "--against: one of the models reads pairs of texts, the other does not";
                return Err(Error::usage(message)
                    .help("pass the file that `predict` wrote with the other model"));
            }
            let classes = model.classes().iter().map(|name| class(name)).collect();
            let other = Self::Model {
                model: Box::new(model),
                classes,
            };
            let warning = warn_unknown((&shown, "label"), &unknown, numbers, several);
            return Ok((other, warning));
        }
        let mut classes = HashMap::new();
        for (place, labels) in predictions(path, &shown, (data, several))? {
            let predicted = ascending(labels.iter().map(|label| class(label)));
            if classes.insert(place, predicted).is_some() {
                let found = format!("found two for record {}", place.1);
                return Err(wrong(&shown, "expected one prediction per row", &found));
            }
        }
        let what = (shown.as_str(), "predicted label");
        let warning = warn_unknown(what, &unknown, numbers, several);
        let path = shown;
        Ok((Self::Predictions { path, classes }, warning))
    }

    /// Returns the predicted classes of each row, ascending. `scratch` is the working memory of the
    /// thread.
    ///
    /// # Errors
    /// The device fails, or a row has no prediction.
    pub(super) fn predict(
        &self,
        scratch: &mut Option<M::Scratch>,
        texts: &[&str],
        (places, data): (&[RowPlace], &[Source]),
    ) -> Result<Vec<Vec<u32>>, Error> {
        match self {
            Self::Model { model, classes } => {
                let scratch = scratch.get_or_insert_with(|| model.scratch());
                let scores = model.predict(scratch, texts)?;
                let class = |class: u32| classes[class as usize];
                Ok(match model.is_multi_label() {
                    true => {
                        let sets = scores.sets();
                        sets.map(|set| ascending(set.into_iter().map(class)))
                            .collect()
                    }
                    false => {
                        let predicted = scores.predictions().into_iter();
                        predicted.map(|found| vec![class(found)]).collect()
                    }
                })
            }
            Self::Predictions { path, classes } => {
                let class = |place: &RowPlace| {
                    let found = classes.get(&(place.source, place.record)).cloned();
                    found.ok_or_else(|| {
                        let found = format!("found none for {}", place.place(data));
                        wrong(path, "expected a prediction for every row", &found)
                    })
                };
                places.iter().map(class).collect()
            }
        }
    }

    /// Checks that there are not more predictions than rows: then they are for other data.
    ///
    /// # Errors
    /// There are more.
    pub(super) fn check_rows(&self, rows: u64) -> Result<(), Error> {
        match self {
            Self::Predictions { path, classes } if classes.len() as u64 > rows => {
                let found = format!("found `{}` for `{rows}` rows", classes.len());
                Err(wrong(path, "expected one prediction per row", &found))
            }
            _ => Ok(()),
        }
    }
}

/// Names this option in the error of a model that cannot be loaded.
fn not_loaded(error: Error) -> Error {
    let kind = error.kind();
    let (message, helps) = error.into_parts();
    let renamed = Error::with_kind(kind, format!("--against: {message}"));
    let helps = helps
        .iter()
        .map(|help| help.replace("--model-dir", "--against"));
    helps
        .fold(renamed, |error, help| error.help(help))
        .help("to compare with another trainer, pass the file that its `predict` wrote")
}

/// Labels that a warning names.
const MAX_LABELS: usize = 5;

/// Returns the warning about labels that the evaluated model does not have, if there are any:
/// predicted ones and their numbers of rows, or those of the other model.
fn warn_unknown(
    (shown, unit): (&str, &str),
    unknown: &BTreeMap<String, u64>,
    numbers: &ClassNumbers<'_>,
    several: Option<&MultiLabel>,
) -> Option<String> {
    const JSON: &str = "run `predict` with an --output that ends in .jsonl, which has lists";
    let count: u64 = unknown.values().sum();
    let separator = several.and_then(|multi| multi.separator.as_deref());
    let has_separator = |name: &&str| separator.is_some_and(|text| name.contains(text));
    let joined = |label: &String| {
        let separator = separator_in(label, |part| numbers.contains_key(part))?;
        Some((short_label(label), separator))
    };
    let help = match unknown
        .keys()
        .find_map(joined)
        .filter(|_| several.is_some())
    {
        Some((label, separator)) => format!(
            "if `{label}` is several labels, {JSON}, or pass --label-separator '{separator}'"
        ),
        None if numbers.keys().any(has_separator) => {
            format!("the separator is also in a label of the evaluated model: {JSON}")
        }
        None => "compare models of the same labels, in the same spelling".to_owned(),
    };
    (count > 0).then(|| {
        format!(
            "--against `{shown}`: {} that the evaluated model does not have, never right: {}\n  \
             help: {help}",
            counted(count, unit),
            listed(unknown.keys(), MAX_LABELS),
        )
    })
}

/// Refuses a model that was trained on other text columns than the evaluated one, `own`: it would
/// get the texts of that one.
///
/// # Errors
/// The columns differ.
pub(super) fn check_columns(other: &Path, own: &Path) -> Result<(), Error> {
    let texts = |dir: &Path| {
        let Columns {
            text, other_texts, ..
        } = model_dir::columns(dir);
        let names = std::iter::once(text).chain(other_texts);
        let names: Vec<String> = names.map(|name| sanitize(&name).into_owned()).collect();
        format!("`{}`", names.join("` and `"))
    };
    let (found, expected) = (texts(other), texts(own));
    if found == expected {
        return Ok(());
    }
    let message = format!(
        "expected a model of texts in the column {expected} for --against, found one of {found}"
    );
    Err(Error::usage(message).help(
        "pass the file that `predict --model-dir OTHER --input DATA --output FILE` wrote, or \
         --text-column if one column has the texts for both models",
    ))
}

fn ascending(classes: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut classes: Vec<u32> = classes.collect();
    classes.sort_unstable();
    classes
}

/// Returns the labels in a field that `predict` wrote.
fn labels(field: &str, several: Option<&MultiLabel>) -> Vec<String> {
    let Some(MultiLabel { separator, .. }) = several else {
        return vec![field.to_owned()];
    };
    match (serde_json::from_str(field), separator) {
        (Ok(list), _) => list,
        _ if field.is_empty() => Vec::new(),
        (_, Some(separator)) => field.split(separator).map(str::to_owned).collect(),
        (_, None) => vec![field.to_owned()],
    }
}

/// Number of a file in the data, record, and predicted labels.
type Prediction = ((u32, u32), Vec<String>);

/// A row of a file that `predict` wrote.
#[derive(Deserialize)]
struct Predicted {
    /// If several files were read.
    file: Option<String>,
    record: u32,
    labels: Vec<String>,
}

/// Reads a file that `predict` wrote: `record` and `label`, or `labels` if there may be `several`,
/// and `file` if there are several files.
fn predictions(
    path: &Path,
    shown: &str,
    (data, several): (&[Source], Option<&MultiLabel>),
) -> Result<Vec<Prediction>, Error> {
    let bad = |found: &str| wrong(shown, "expected a file that `predict` wrote", found);
    let sources = args::sources(path)?;
    let is_json = |source: &Source| source.format() == Format::Jsonl;
    let rows = match several.is_some() && sources.iter().all(is_json) {
        true => json_rows(path),
        false => column_rows(&sources, data.len() > 1, several),
    }
    .map_err(|found| bad(&found))?;
    let mut numbers = HashMap::new();
    for (source, number) in data.iter().zip(0..) {
        numbers.insert(source.display(), number);
    }
    let placed = |row: Predicted| -> Result<Prediction, Error> {
        let file: u32 = match row.file {
            _ if data.len() == 1 => 0,
            None => return Err(bad("found a row without `file`")),
            Some(name) => *numbers.get(name.as_str()).ok_or_else(|| {
                let name = sanitize(&name);
                bad(&format!("found rows of `{name}`, which is not evaluated"))
            })?,
        };
        Ok(((file, row.record), row.labels))
    };
    rows.into_iter().map(placed).collect()
}

/// Reads JSON lines of several labels. The error is the first problem.
fn json_rows(path: &Path) -> Result<Vec<Predicted>, String> {
    let options = ReadOptions {
        hash: false,
        keep_blank: true,
        ..ReadOptions::default()
    };
    let lines = [Source::file(path, Format::Lines)];
    let lines = labels_and_texts(&lines, &options, Labels::Ignored)?;
    let lines = (1..)
        .zip(&lines)
        .filter(|(_, (_, line))| !line.trim().is_empty());
    let row = |(number, (_, line)): (u64, &(String, String))| -> Result<_, String> {
        serde_json::from_str(line).map_err(|error| {
            let error = error.to_string();
            format!("found another line {number}: {}", sanitize(&error))
        })
    };
    lines.map(row).collect()
}

/// Reads the columns of CSV, or of JSON with one label per row. The error is the first problem.
fn column_rows(
    sources: &[Source],
    has_files: bool,
    several: Option<&MultiLabel>,
) -> Result<Vec<Predicted>, String> {
    // In JSON the record is a number, which can be a label but not a text.
    let rows = column(sources, if several.is_some() { "labels" } else { "label" })?;
    let files = match has_files {
        true => column(sources, "file")?,
        false => Vec::new(),
    };
    let row = |(index, (record, field)): (usize, (String, String))| -> Result<_, String> {
        let not_number = |_| format!("found the record `{}`", sanitize(&record));
        Ok(Predicted {
            file: files.get(index).map(|(_, name)| name.clone()),
            record: record.parse().map_err(not_number)?,
            labels: labels(&field, several),
        })
    };
    rows.into_iter().enumerate().map(row).collect()
}

/// Returns (record, value of the column `name`) of each row. The error is the first problem.
fn column(sources: &[Source], name: &str) -> Result<Vec<(String, String)>, String> {
    let options = ReadOptions {
        text_column: name.to_owned(),
        label_column: "record".to_owned(),
        hash: false,
        // A row without labels.
        keep_blank: name == "labels",
        ..ReadOptions::default()
    };
    labels_and_texts(sources, &options, Labels::Required)
}

/// Returns label and text of each row. The error is the first problem.
fn labels_and_texts(
    sources: &[Source],
    options: &ReadOptions,
    labels: Labels,
) -> Result<Vec<(String, String)>, String> {
    let mut rows = Vec::new();
    let streamed = stream(
        sources,
        options,
        labels,
        &AtomicBool::new(false),
        || (),
        |(), batch| -> Vec<(String, String)> {
            let owned = |row: dataset::Row<'_>| {
                (
                    row.label.unwrap_or_default().to_owned(),
                    row.text.to_owned(),
                )
            };
            batch.rows().map(owned).collect()
        },
        |block| -> Result<(), std::convert::Infallible> {
            rows.extend(block);
            Ok(())
        },
    );
    match streamed {
        Ok(_) => Ok(rows),
        Err(StreamError::Sink(never)) => match never {},
        Err(StreamError::Read(ReadError::Data(bad))) => {
            let first = bad.findings.errors().next();
            Err(first.map_or_else(String::new, |error| error.message))
        }
        Err(StreamError::Read(error)) => Err(error.to_string()),
    }
}

fn wrong(path: &str, expected: &str, found: &str) -> Error {
    Error::new(format!("--against `{path}`: {expected}, {found}")).help(
        "run `predict --model-dir OTHER --input DATA --output FILE` on the data that is evaluated, \
         and pass that FILE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicted_labels_are_lists_or_joined() {
        let multi = |separator: Option<&str>| MultiLabel {
            separator: separator.map(str::to_owned),
            ..MultiLabel::default()
        };
        let none: &[&str] = &[];
        for (field, separator, expected) in [
            ("[\"a\",\"b,c\"]", Some("|"), &["a", "b,c"][..]),
            ("a|b,c", Some("|"), &["a", "b,c"]),
            ("[a|b", Some("|"), &["[a", "b"]),
            ("a|b", None, &["a|b"]),
            ("[]", None, none),
            ("", Some("|"), none),
        ] {
            assert_eq!(labels(field, Some(&multi(separator))), expected, "{field}");
        }
        assert_eq!(labels("[]", None), ["[]"]);
    }
}
