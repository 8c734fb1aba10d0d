//! The other model of `evaluate --against`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dataset::{Labels, ReadError, ReadOptions, RowPlace, Source, StreamError, stream};
use diagnostics::{Error, sanitize};

use super::{Loaded, args, load};
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
    /// Classes by number of the file and record.
    Predictions {
        path: String,
        classes: HashMap<(u32, u32), u32>,
    },
}

impl<M: Model> Against<M> {
    /// Loads the model folder, or the predictions for the rows of `data`. `is_pair`: the texts of
    /// the rows are pairs.
    ///
    /// # Errors
    /// The folder has no model of this trainer for such texts, or the file is not one that `predict`
    /// wrote.
    pub(super) fn load<T: Trainer<Model = M>>(
        path: &Path,
        (own, threads): (T::PredictArgs, usize),
        (numbers, is_pair): (&ClassNumbers<'_>, bool),
        data: &[Source],
    ) -> Result<Self, Error> {
        let class = |name: &str| numbers.get(name).copied().unwrap_or(OTHER_CLASS);
        if path.is_dir() {
            let model = load::<T>(path, own, threads).map_err(|error| {
                error
                    .context("--against")
                    .help("to compare with another trainer, pass the file that its `predict` wrote")
            })?;
            if model.is_multi_label() {
                let message = "--against compares models with one label per row";
                return Err(Error::usage(message).help("evaluate both models, without --against"));
            }
            if model.is_text_pair() != is_pair {
                let message =
                    "--against: one of the models reads pairs of texts, the other does not";
                return Err(Error::usage(message)
                    .help("pass the file that `predict` wrote with the other model"));
            }
            let classes = model.classes().iter().map(|name| class(name)).collect();
            return Ok(Self::Model {
                model: Box::new(model),
                classes,
            });
        }
        let shown = sanitize(&path.to_string_lossy()).into_owned();
        let mut classes = HashMap::new();
        for (place, label) in predictions(path, &shown, data)? {
            if classes.insert(place, class(&label)).is_some() {
                let found = format!("found two for record {}", place.1);
                return Err(wrong(&shown, "expected one prediction per row", &found));
            }
        }
        Ok(Self::Predictions {
            path: shown,
            classes,
        })
    }

    /// Returns the predicted class of each row. `scratch` is the working memory of the thread.
    ///
    /// # Errors
    /// The device fails, or a row has no prediction.
    pub(super) fn predict(
        &self,
        scratch: &mut Option<M::Scratch>,
        texts: &[&str],
        (places, data): (&[RowPlace], &[Source]),
    ) -> Result<Vec<u32>, Error> {
        match self {
            Self::Model { model, classes } => {
                let scratch = scratch.get_or_insert_with(|| model.scratch());
                let found = model.predict(scratch, texts)?.predictions();
                let class = |class: u32| classes[class as usize];
                Ok(found.into_iter().map(class).collect())
            }
            Self::Predictions { path, classes } => {
                let class = |place: &RowPlace| {
                    let found = classes.get(&(place.source, place.record)).copied();
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

/// Number of a file in the data, record, and predicted label.
type Prediction = ((u32, u32), String);

/// Reads a file that `predict` wrote: the columns `record` and `label`, and `file` if there are
/// several files.
fn predictions(path: &Path, shown: &str, data: &[Source]) -> Result<Vec<Prediction>, Error> {
    let bad = |found: &str| wrong(shown, "expected a file that `predict` wrote", found);
    let sources = args::sources(path)?;
    // In JSON the record is a number, which can be a label but not a text.
    let column = |name: &str| column(&sources, name).map_err(|found| bad(&found));
    let rows = column("label")?;
    let files = match data.len() {
        1 => None,
        _ => Some(column("file")?),
    };
    let mut numbers = HashMap::new();
    for (source, number) in data.iter().zip(0..) {
        numbers.insert(source.display(), number);
    }
    let row = |(index, (record, label)): (usize, (String, String))| -> Result<_, Error> {
        let number = record.parse::<u32>().map_err(|_| {
            let record = sanitize(&record);
            bad(&format!("found the record `{record}`"))
        })?;
        let file: u32 = match files.as_ref().and_then(|files| files.get(index)) {
            None => 0,
            Some((_, name)) => *numbers.get(name.as_str()).ok_or_else(|| {
                let name = sanitize(name);
                bad(&format!("found rows of `{name}`, which is not evaluated"))
            })?,
        };
        Ok(((file, number), label))
    };
    rows.into_iter().enumerate().map(row).collect()
}

/// Returns (record, value of the column `name`) of each row. The error is the first problem.
fn column(sources: &[Source], name: &str) -> Result<Vec<(String, String)>, String> {
    let options = ReadOptions {
        text_column: name.to_owned(),
        label_column: "record".to_owned(),
        hash: false,
        ..ReadOptions::default()
    };
    let mut rows = Vec::new();
    let streamed = stream(
        sources,
        &options,
        Labels::Required,
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
