//! The sample: rows of the data in folds, as files that the trainers read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;

use dataset::random::mix;
use dataset::{Channels, Corpus, Encode, ReadOptions, RowTable, fetch_texts};
use serde_json::json;
use tempfile::TempDir;

use super::RecommendArgs;
use crate::util::{TMPDIR_HELP, private_folder};
use diagnostics::{Error, Result};

/// Rows of the two short runs that show the time of a row.
pub(super) const FEW_ROWS: usize = 32;
pub(super) const MANY_ROWS: usize = 96;

/// Files `train-FOLD.jsonl` and `test-FOLD.jsonl`, `few.jsonl` and `many.jsonl`.
pub(super) struct Sample {
    folder: TempDir,
    /// Rows of the data.
    pub(super) all_rows: usize,
    pub(super) rows: usize,
    pub(super) folds: u32,
    pub(super) labels: usize,
    /// The most frequent label of the sample and its share.
    pub(super) most_frequent: (String, f64),
}

/// The texts are read again: the first pass only needs their hashes.
struct NoTexts;

impl Encode for NoTexts {
    fn encode(&mut self, _text: &str) {}
}

impl Sample {
    /// Reads the data and writes the files.
    pub(super) fn read(args: &RecommendArgs) -> Result<Self> {
        let mut texts = args.text_column.iter().cloned();
        let mut options = ReadOptions {
            text_column: texts.next().unwrap_or_default(),
            other_text_columns: texts.collect(),
            label_column: args.label_column.clone(),
            no_header: args.no_header,
            hash: false,
            ..ReadOptions::default()
        };
        if let Ok(threads) = available_parallelism() {
            options.threads = threads;
        }
        let channels = Channels {
            train: dataset::sources(&args.data)?,
            validation: Vec::new(),
            test: Vec::new(),
        };
        let stop = AtomicBool::new(false);
        let rows = Corpus::read(channels, &options, 0.0, 0, || NoTexts, &stop)?.rows;
        let chosen = choose(&rows, args.rows as usize)?;
        let places: Vec<_> = chosen
            .iter()
            .map(|&row| rows.places[row as usize])
            .collect();
        let texts = fetch_texts(&rows.sources, &options, &places)?;
        let labels: Vec<&str> = chosen.iter().map(|&row| label(&rows, row)).collect();
        let lines: Vec<String> = texts
            .iter()
            .zip(&labels)
            .map(|(text, label)| format!("{}\n", json!({ "text": text, "label": label })))
            .collect();
        let mut folds = rows.folds(&chosen, args.folds as usize, 0);
        // Few rows do not fill all folds.
        let used: BTreeSet<u8> = folds.iter().copied().collect();
        for fold in &mut folds {
            *fold = used.range(..*fold).count() as u8;
        }
        let cannot = |error: io::Error| {
            Error::new(format!("cannot write a temporary file: {error}")).help(TMPDIR_HELP)
        };
        let sample = Self {
            folder: private_folder("trainyard-recommend-")?,
            all_rows: rows.labels.len(),
            rows: chosen.len(),
            folds: used.len() as u32,
            labels: labels.iter().collect::<HashSet<_>>().len(),
            most_frequent: most_frequent(&labels),
        };
        sample.write(&lines, &folds).map_err(cannot)?;
        Ok(sample)
    }

    fn write(&self, lines: &[String], folds: &[u8]) -> io::Result<()> {
        let of = |is_member: &dyn Fn(u32) -> bool| -> String {
            let rows = lines.iter().zip(folds);
            rows.filter(|(_, fold)| is_member(u32::from(**fold)))
                .map(|(line, _)| line.as_str())
                .collect()
        };
        for fold in 0..self.folds {
            fs::write(
                self.path(&format!("test-{fold}")),
                of(&|other| other == fold),
            )?;
            fs::write(
                self.path(&format!("train-{fold}")),
                of(&|other| other != fold),
            )?;
        }
        fs::write(
            self.path("few"),
            lines[..FEW_ROWS.min(lines.len())].concat(),
        )?;
        fs::write(
            self.path("many"),
            lines[..MANY_ROWS.min(lines.len())].concat(),
        )
    }

    /// Path of one of the files.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.jsonl"))
    }

    /// A folder for models, which does not exist yet.
    pub(super) fn model_dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("model-{name}"))
    }
}

/// Returns at most `limit` rows in random order, equal texts together, of labels with two texts or
/// more: training rows and scored rows need one each.
fn choose(rows: &RowTable, limit: usize) -> Result<Vec<u32>> {
    let hash = |row: u32| rows.hashes[row as usize];
    let mut chosen: Vec<u32> = (0..).take(rows.labels.len()).collect();
    chosen.sort_unstable_by_key(|&row| (mix(hash(row)), row));
    chosen.truncate(limit);
    let mut texts: HashMap<&str, HashSet<u64>> = HashMap::new();
    for &row in &chosen {
        texts.entry(label(rows, row)).or_default().insert(hash(row));
    }
    texts.retain(|_, texts| texts.len() > 1);
    chosen.retain(|&row| texts.contains_key(label(rows, row)));
    if texts.len() > 1 {
        return Ok(chosen);
    }
    Err(Error::usage(format!(
        "expected two labels with at least 2 different texts in the sample, found {}",
        texts.len()
    ))
    .help("add rows of the other labels, or raise `--rows`"))
}

fn label(rows: &RowTable, row: u32) -> &str {
    &rows.classes[rows.labels[row as usize] as usize]
}

/// Returns the most frequent label and its share.
fn most_frequent(labels: &[&str]) -> (String, f64) {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for &label in labels {
        *counts.entry(label).or_default() += 1;
    }
    let most = counts
        .into_iter()
        .max_by_key(|&(label, count)| (count, label));
    most.map_or_else(Default::default, |(label, count)| {
        (label.to_owned(), count as f64 / labels.len() as f64)
    })
}
