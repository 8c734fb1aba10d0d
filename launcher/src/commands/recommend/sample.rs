//! The sample: rows of the data in folds, as files that the trainers read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;

use dataset::random::mix;
use dataset::{Channels, Corpus, Encode, RowTable, fetch_texts};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::RecommendArgs;
use crate::util::TMPDIR_HELP;
use diagnostics::{Error, Result};

/// Rows of the two short runs that show the time of a row.
pub(super) const FEW_ROWS: usize = 32;
pub(super) const MANY_ROWS: usize = 96;

/// Key of a row's weight.
pub(super) const WEIGHT: &str = "weight";

/// Files `train-FOLD.jsonl` and `test-FOLD.jsonl`, `few.jsonl` and `many.jsonl`.
pub(super) struct Sample {
    folder: PathBuf,
    /// Rows of the data.
    pub(super) all_rows: usize,
    /// Rows of the data that were left out, by reason.
    pub(super) dropped: BTreeMap<&'static str, u64>,
    pub(super) rows: usize,
    pub(super) folds: u32,
    pub(super) labels: usize,
    /// The most frequent label of the sample, or set of labels as a list in JSON, and its share.
    pub(super) most_frequent: (String, f64),
    /// True if rows may have several labels.
    pub(super) multi_label: bool,
    /// True if rows have weights.
    pub(super) weighted: bool,
}

/// The texts are read again: the first pass only needs their hashes.
struct NoTexts;

impl Encode for NoTexts {
    fn encode(&mut self, _text: &str) {}
}

impl Sample {
    /// Reads the data and writes the files into a folder. Ctrl-C does not wait for it.
    pub(super) async fn read(args: &RecommendArgs, folder: &Path) -> Result<Self> {
        let (args, folder) = (args.clone(), folder.to_owned());
        let read = spawn_blocking(move || Self::read_blocking(&args, folder)).await;
        read.unwrap_or_else(|error| {
            Err(Error::new(format!("cannot read the data: {error}")).help("report this bug"))
        })
    }

    fn read_blocking(args: &RecommendArgs, folder: PathBuf) -> Result<Self> {
        let mut options = args.read.options()?;
        if let Ok(threads) = available_parallelism() {
            options.threads = threads;
        }
        let channels = Channels {
            train: dataset::sources(&args.data)?,
            validation: Vec::new(),
            test: Vec::new(),
        };
        let stop = AtomicBool::new(false);
        let corpus = Corpus::read(channels, &options, 0.0, 0, || NoTexts, &stop)?;
        let rows = corpus.rows;
        let (chosen, folds) = choose(&rows, args.rows as usize, args.folds as usize)?;
        let places: Vec<_> = chosen
            .iter()
            .map(|&row| rows.places[row as usize])
            .collect();
        let texts = fetch_texts(&rows.sources, &options, &places)?;
        let labels: Vec<Value> = chosen.iter().map(|&row| label(&rows, row)).collect();
        let lines: Vec<String> = texts
            .iter()
            .zip(&labels)
            .zip(&chosen)
            .map(|((text, label), &row)| {
                let mut object = json!({ "text": text, "label": label });
                if options.weight_column.is_some() {
                    object[WEIGHT] = json!(rows.weight(row));
                }
                format!("{object}\n")
            })
            .collect();
        let used: BTreeSet<u32> = chosen
            .iter()
            .flat_map(|&row| rows.classes_of(row))
            .copied()
            .collect();
        let dropped = corpus.counts.iter().flat_map(|(_, counts)| &counts.dropped);
        let sample = Self {
            folder,
            all_rows: rows.labels.len(),
            dropped: dropped.map(|(&reason, &rows)| (reason, rows)).collect(),
            rows: chosen.len(),
            // Folds are numbered from 0 without gaps.
            folds: folds.iter().max().map_or(0, |&last| u32::from(last) + 1),
            labels: used.len(),
            most_frequent: most_frequent(&labels),
            multi_label: options.multi_label.is_some(),
            weighted: options.weight_column.is_some(),
        };
        sample.write(&lines, &folds).map_err(|error| {
            Error::new(format!("cannot write a temporary file: {error}")).help(TMPDIR_HELP)
        })?;
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
        self.folder.join(format!("{name}.jsonl"))
    }

    /// A folder for models, which does not exist yet.
    pub(super) fn model_dir(&self, name: &str) -> PathBuf {
        self.folder.join(format!("model-{name}"))
    }
}

/// Returns at most `limit` rows in random order, and the fold of each, from 0. Equal texts are in
/// one fold. Rows with a label that is in one fold only are left out: training rows and scored rows
/// need it.
fn choose(rows: &RowTable, limit: usize, folds: usize) -> Result<(Vec<u32>, Vec<u8>)> {
    let hash = |row: u32| rows.hashes[row as usize];
    let mut chosen: Vec<u32> = (0..).take(rows.labels.len()).collect();
    chosen.sort_unstable_by_key(|&row| (mix(hash(row)), row));
    chosen.truncate(limit);
    loop {
        let mut folds = rows.folds(&chosen, folds, 0);
        let mut folds_of: HashMap<u32, BTreeSet<u8>> = HashMap::new();
        for (&row, &fold) in chosen.iter().zip(&folds) {
            for &class in rows.classes_of(row) {
                folds_of.entry(class).or_default().insert(fold);
            }
        }
        let before = chosen.len();
        let is_in_two = |class: &u32| folds_of.get(class).is_some_and(|folds| folds.len() > 1);
        chosen.retain(|&row| rows.classes_of(row).iter().all(is_in_two));
        if chosen.len() < before {
            continue;
        }
        if folds_of.len() < 2 {
            return Err(Error::usage(format!(
                "expected two labels with at least 2 different texts in the sample, found {}",
                folds_of.len()
            ))
            .help("add rows of the other labels, or raise `--rows`"));
        }
        // Few rows do not fill all folds.
        let used: BTreeSet<u8> = folds.iter().copied().collect();
        for fold in &mut folds {
            *fold = used.range(..*fold).count() as u8;
        }
        return Ok((chosen, folds));
    }
}

/// Returns the label of a row; a list if rows may have several.
fn label(rows: &RowTable, row: u32) -> Value {
    let classes = rows.classes_of(row).iter();
    let names: Vec<&String> = classes
        .map(|&class| &rows.classes[class as usize])
        .collect();
    match rows.label_sets {
        Some(_) => json!(names),
        None => json!(names.first()),
    }
}

/// Returns the most frequent label and its share.
fn most_frequent(labels: &[Value]) -> (String, f64) {
    let text = |label: &Value| {
        label
            .as_str()
            .map_or_else(|| label.to_string(), str::to_owned)
    };
    let mut counts: HashMap<String, usize> = HashMap::new();
    for label in labels {
        *counts.entry(text(label)).or_default() += 1;
    }
    let most = counts
        .into_iter()
        .max_by(|(a, a_rows), (b, b_rows)| (a_rows, a).cmp(&(b_rows, b)));
    most.map_or_else(Default::default, |(label, count)| {
        (label, count as f64 / labels.len() as f64)
    })
}
