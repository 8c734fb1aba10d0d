//! Weights of classes and rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use dataset::{RowTable, similar_label};
use diagnostics::{Error, listed, sanitize, sha256_file};

use crate::Run;

/// The value of `--class-weight`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeight {
    /// Every row has the same weight.
    #[default]
    None,
    /// The weight of a row is rows / (classes x rows of its class).
    Balanced,
    /// The weights are in a file.
    File {
        /// A JSON object, or CSV with the columns `label` and `weight`.
        path: PathBuf,
        /// Weight of each class; empty before [`ClassWeight::resolve`].
        weights: Vec<f64>,
    },
}

/// The option `--class-weight` of the trainers whose loss is that of all classes.
#[derive(Args, Clone, Debug, Default)]
pub struct ClassWeightArgs {
    /// Class weights: none, balanced, or a file
    ///
    /// balanced: every class has the same total weight, rows / (classes x rows of the class). A file
    /// is a JSON object {"LABEL": WEIGHT}, or CSV with the first line `label,weight`; labels that it
    /// does not have weigh 1. With --multi-label, each label is a problem of two classes, and a file
    /// has the weights of the rows with a label.
    #[arg(
        long,
        value_name = "WEIGHTS",
        default_value = "none",
        help_heading = "Training"
    )]
    pub class_weight: ClassWeight,
}

impl FromStr for ClassWeight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "balanced" => Ok(Self::Balanced),
            // A misspelt word is not the name of a file.
            path if path.contains(['.', '/']) || Path::new(path).is_file() => Ok(Self::File {
                path: path.into(),
                weights: Vec::new(),
            }),
            _ => Err("expected none, balanced, or a file such as weights.json".to_owned()),
        }
    }
}

impl ClassWeight {
    /// Reads the file, if it is one, for its errors: before the data is read.
    ///
    /// # Errors
    /// The file cannot be read, or a weight is not a positive number.
    pub fn check_file(&self) -> Result<(), Error> {
        match self {
            Self::File { path, .. } => read(path).map(|_| ()),
            Self::None | Self::Balanced => Ok(()),
        }
    }

    /// Reads the file, if it is one. Classes that are not in it weigh 1, with a warning.
    ///
    /// # Errors
    /// The file cannot be read, a weight is not a positive number, or a label is not in `classes`.
    pub fn resolve(&self, classes: &[String], run: &mut Run) -> Result<Self, Error> {
        let Self::File { path, .. } = self else {
            return Ok(self.clone());
        };
        let given = read(path)?;
        let known: BTreeSet<&String> = classes.iter().collect();
        let unknown: Vec<&String> = given
            .keys()
            .filter(|label| !known.contains(label))
            .collect();
        if let Some(first) = unknown.first() {
            return Err(unknown_labels(path, first, &unknown, classes));
        }
        let missing = classes.iter().filter(|label| !given.contains_key(*label));
        let count = missing.clone().count();
        if count > 0 {
            run.warn(format!(
                "{count} of {} labels are not in `{}` and weigh 1: {}\n  help: add them to the file",
                classes.len(),
                sanitize(&path.to_string_lossy()),
                listed(missing, MAX_LISTED)
            ));
        }
        let weights = classes
            .iter()
            .map(|label| given.get(label).copied().unwrap_or(1.0));
        Ok(Self::File {
            path: path.clone(),
            weights: weights.collect(),
        })
    }

    /// Returns what a checkpoint must agree with instead of the path of the file: its SHA-256.
    pub fn fingerprint(&self) -> Option<(String, String)> {
        let Self::File { path, .. } = self else {
            return None;
        };
        // If the file cannot be read, `resolve` fails.
        let sha256 = sha256_file(path).ok()?;
        Some(("--class-weight".to_owned(), sha256))
    }

    /// Returns the weight of each class for these training rows: if rows may have several classes,
    /// the first of [`Self::side_weights`], and [`Self::other_weights`] has the second.
    pub fn weights(&self, table: &RowTable, train: &[u32]) -> Vec<f32> {
        let (sizes, rows) = sizes(table, train);
        let classes = (0..).zip(sizes);
        let weight = |(class, size)| match table.label_sets {
            None => self.weight(class, size, (rows, table.classes.len())),
            Some(_) => self.side_weights(class, size, rows)[0],
        };
        classes.map(|class| weight(class) as f32).collect()
    }

    /// Returns the weights of the rows without each class, if rows may have several; else nothing.
    pub fn other_weights(&self, table: &RowTable, train: &[u32]) -> Vec<f32> {
        if table.label_sets.is_none() {
            return Vec::new();
        }
        let (sizes, rows) = sizes(table, train);
        let weight = |(class, size)| self.side_weights(class, size, rows)[1] as f32;
        (0..).zip(sizes).map(weight).collect()
    }

    /// Returns the weights of the rows with a class and of all others, if rows may have several
    /// classes: each class is a problem of two classes, as in scikit-learn's `OneVsRestClassifier`.
    /// A file has the weights of the rows with the class, as `pos_weight` of PyTorch's
    /// `BCEWithLogitsLoss`. `size` of `rows`: see [`Self::weight`].
    pub fn side_weights(&self, class: usize, size: f64, rows: f64) -> [f64; 2] {
        let other = match self {
            Self::Balanced => self.weight(class, rows - size, (rows, 2)),
            Self::None | Self::File { .. } => 1.0,
        };
        [self.weight(class, size, (rows, 2)), other]
    }

    /// Returns the weight of a class with `size` of `rows` training rows: numbers of rows, or the
    /// sums of their weights.
    pub fn weight(&self, class: usize, size: f64, (rows, classes): (f64, usize)) -> f64 {
        match self {
            Self::Balanced if size > 0.0 => rows / (classes as f64 * size),
            Self::None | Self::Balanced => 1.0,
            Self::File { weights, .. } => weights.get(class).copied().unwrap_or(1.0),
        }
    }
}

/// Returns the weights of these training rows; nothing if all rows weigh 1.
pub fn row_weights(table: &RowTable, rows: &[u32]) -> Vec<f32> {
    let rows = rows.iter().filter(|_| !table.weights.is_empty());
    rows.map(|&row| table.weight(row) as f32).collect()
}

/// Returns the weights of the training rows of each class, and of all of them.
fn sizes(table: &RowTable, train: &[u32]) -> (Vec<f64>, f64) {
    let (mut sizes, mut rows) = (vec![0.0; table.classes.len()], 0.0);
    for &row in train {
        let weight = table.weight(row);
        rows += weight;
        let classes = table.classes_of(row).iter();
        classes.for_each(|&class| sizes[class as usize] += weight);
    }
    (sizes, rows)
}

/// Labels that a message names.
const MAX_LISTED: usize = 5;

/// First line of a CSV file.
const HEADER: &str = "label,weight";

/// Returns the weight of each label of the file.
fn read(path: &Path) -> Result<BTreeMap<String, f64>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let given: Vec<(String, Option<f64>)> = if text.starts_with('{') {
        let members: Members =
            serde_json::from_str(text).map_err(|error| wrong(path, &error.to_string()))?;
        let pair = |(label, weight): (String, serde_json::Value)| (label, weight.as_f64());
        members.0.into_iter().map(pair).collect()
    } else {
        csv_pairs(path, text)?
    };
    let mut weights = BTreeMap::new();
    for (label, weight) in given {
        let shown = sanitize(&label);
        // Most trainers compute in single precision.
        let fits = |weight: &f64| (*weight as f32).is_finite() && *weight as f32 > 0.0;
        let Some(weight) = weight.filter(fits) else {
            let found =
                format!("expected a number above 0, at most 3e38, as the weight of `{shown}`");
            return Err(wrong(path, &found));
        };
        if weights.contains_key(&label) {
            return Err(wrong(path, &format!("the label `{shown}` is there twice")));
        }
        weights.insert(label, weight);
    }
    Ok(weights)
}

/// Members of a JSON object, also those with the same name.
#[derive(Default)]
struct Members(Vec<(String, serde_json::Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self::default())
    }
}

impl<'de> serde::de::Visitor<'de> for Members {
    type Value = Self;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(member) = map.next_entry()? {
            self.0.push(member);
        }
        Ok(self)
    }
}

/// Returns labels and weights of a CSV file, also with `;` or tabs. A quoted label may contain the
/// delimiter, but no line break.
fn csv_pairs(path: &Path, text: &str) -> Result<Vec<(String, Option<f64>)>, Error> {
    let mut lines = text.lines();
    let header = lines.next().map(str::trim_end).unwrap_or_default();
    // `;` in Excel, and tabs.
    let mut delimiters = [',', ';', '\t'].into_iter();
    let is_own = |delimiter: &char| header == HEADER.replace(',', &delimiter.to_string());
    let Some(delimiter) = delimiters.find(is_own) else {
        let expected = format!("expected a JSON object, or `{HEADER}` as the first line");
        return Err(wrong(path, &expected));
    };
    let rows = lines.filter(|line| !line.trim().is_empty());
    rows.map(|line| {
        let Some((label, weight)) = line.rsplit_once(delimiter) else {
            return Err(wrong(path, "expected a label and a weight in each line"));
        };
        let quoted = label
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let label = quoted.map_or_else(|| label.to_owned(), |label| label.replace("\"\"", "\""));
        Ok((label, weight.trim().parse().ok()))
    })
    .collect()
}

fn wrong(path: &Path, found: &str) -> Error {
    let path = path.to_string_lossy();
    let message = format!(
        "cannot use the class weights in `{}`: {found}",
        sanitize(&path)
    );
    Error::new(message).help(format!(
        "write {{\"LABEL\": 2.5, ...}}, or CSV with the first line `{HEADER}`"
    ))
}

fn unknown_labels(path: &Path, first: &str, all: &[&String], classes: &[String]) -> Error {
    let message = format!(
        "expected labels of the training data in `{}`, found {}",
        sanitize(&path.to_string_lossy()),
        listed(all, MAX_LISTED)
    );
    Error::new(message).help(match similar_label(first, classes) {
        Some(similar) => format!("write `{}` as `{}`", sanitize(first), sanitize(similar)),
        None => format!(
            "remove what is not a label; the labels are {}",
            listed(classes, MAX_LISTED)
        ),
    })
}

#[cfg(test)]
mod public_reports {
    use std::sync::Arc;

    use super::*;
    use crate::stop::Stop;

    /// Reads the file's text for the labels `a` and `b, c`.
    fn resolved(text: &str) -> Result<(Vec<f64>, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        std::fs::write(&path, text).unwrap();
        let mut run = Run::new(1, 0, Stop::default(), Arc::default());
        let classes = ["a", "b, c"].map(str::to_owned);
        let given: ClassWeight = path.to_str().unwrap().parse().unwrap();
        match given.resolve(&classes, &mut run) {
            Ok(ClassWeight::File { weights, .. }) => {
                let warnings = run.warnings().iter().map(ToString::to_string);
                Ok((weights, warnings.collect()))
            }
            Ok(other) => unreachable!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    /// scikit-learn#20992: weights of the user's own, as `class_weight={label: weight}`.
    #[test]
    fn weights_are_those_of_the_file() {
        let texts = [
            "{\"b, c\": 0.5, \"a\": 3}",
            "label,weight\r\n\"b, c\",0.5\r\na,3\r\n",
            "\u{feff}label;weight\r\nb, c;0.5\r\na;3\r\n",
            "label\tweight\nb, c\t0.5\na\t3\n",
        ];
        for text in texts {
            assert_eq!(resolved(text), Ok((vec![3.0, 0.5], Vec::new())), "{text}");
        }
    }

    #[test]
    fn missing_labels_weigh_1_and_are_counted() {
        let (weights, warnings) = resolved("{\"a\": 2}").unwrap();
        assert_eq!(weights, [2.0, 1.0]);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("1 of 2 labels") && warnings[0].contains("weigh 1: `b, c`"));
    }

    #[test]
    fn wrong_files_are_errors_with_help() {
        for (text, expected) in [
            ("{\"A\": 2}", "write `A` as `a`"),
            ("{\"x\": 2}", "the labels are `a`, `b, c`"),
            (
                "{\"a\": 0}",
                "a number above 0, at most 3e38, as the weight of `a`",
            ),
            ("{\"a\": \"2\"}", "a number above 0, at most 3e38,"),
            ("{\"a\": 1e300}", "a number above 0, at most 3e38,"),
            ("label,weight\na,1e400\n", "a number above 0, at most 3e38,"),
            ("label,weight\na,1\na,2\n", "`a` is there twice"),
            ("{\"a\": 2, \"a\": 3}", "`a` is there twice"),
            ("label,weight\na\n", "a label and a weight in each line"),
            ("a,1\n", "`label,weight` as the first line"),
            ("{\"a\": 2", "write {\"LABEL\": 2.5, ...}"),
        ] {
            let error = resolved(text).unwrap_err();
            assert!(
                error.contains(expected) && error.contains("help: "),
                "{text}: {error}"
            );
        }
        assert!("balancd".parse::<ClassWeight>().is_err());
    }
    /// Issue 17: `compute_class_weight("balanced", classes=[0, 1], y=[1, 0, 0])` of scikit-learn is
    /// [0.75, 1.5]; `pos_weight` of PyTorch weighs the rows with a label only.
    #[test]
    fn rows_with_several_labels_have_weights_of_both_sides() {
        assert_eq!(ClassWeight::Balanced.side_weights(0, 1.0, 3.0), [1.5, 0.75]);
        // All rows have the label.
        assert_eq!(ClassWeight::Balanced.side_weights(0, 3.0, 3.0), [0.5, 1.0]);
        assert_eq!(ClassWeight::None.side_weights(0, 1.0, 3.0), [1.0, 1.0]);
        let file = ClassWeight::File {
            path: PathBuf::new(),
            weights: vec![2.0, 5.0],
        };
        assert_eq!(file.side_weights(1, 1.0, 3.0), [5.0, 1.0]);
    }
}
