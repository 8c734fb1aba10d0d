//! Builds `report.html` from the rows and scores of a run.

use std::collections::BTreeMap;
use std::path::Path;

use dataset::{ReadOptions, RowCounts, RowPlace, RowTable, Split, fetch_texts, split_pair};
use diagnostics::atomic_dir::parent;
use diagnostics::{Error, Warning, listed, quoted_for_shell};
use evaluation::history::{self, EpochReport};
use evaluation::metrics::{Comparison, Scores};
use evaluation::report::{ClassFeatures, Report, RowExample, RunInfo, SetReport, html};

use crate::trainer::Summary;
use training::resource_usage::ResourceUsage;

/// Features per class in the report.
pub(crate) const STRONGEST: usize = 25;
/// Shown in place of a text that is not the one that was trained on.
const CHANGED: &str = "(this row was changed after it was read)";
/// Rows in each of the two lists of examples.
const EXAMPLES: usize = 20;
/// Labels of an example.
const MAX_LABELS: usize = 10;

/// The input of the report.
pub(crate) struct Input<'a> {
    pub(crate) title: &'static str,
    /// The model folder, or the name of the training job.
    pub(crate) model: String,
    pub(crate) rows: &'a RowTable,
    pub(crate) options: &'a ReadOptions,
    /// The split whose errors are shown, and its scores.
    pub(crate) errors: Option<(Split, &'a Scores)>,
    /// Scores of the training rows; out of fold if available.
    pub(crate) train: Option<&'a Scores>,
    pub(crate) counts: &'a [(&'static str, RowCounts)],
    pub(crate) strongest: Vec<ClassFeatures>,
    pub(crate) warnings: &'a [Warning],
    pub(crate) parameters: &'a BTreeMap<String, String>,
    pub(crate) threads: usize,
    pub(crate) history: &'a [EpochReport],
    pub(crate) summary: &'a Summary,
    pub(crate) comparison: Option<&'a Comparison>,
}

/// Builds the report. The texts of the examples are read again from their files.
pub(crate) fn build(
    input: &Input<'_>,
    sets: Vec<SetReport<'_>>,
    usage: &ResourceUsage,
) -> Result<String, Error> {
    let worst = input
        .errors
        .map(|(split, scores)| input.mistakes(split, scores))
        .unwrap_or_default();
    let is_train = input.errors.is_some_and(|(split, _)| split == Split::Train);
    let suspects = match input.train {
        Some(scores) if !is_train => input.mistakes(Split::Train, scores),
        _ => Vec::new(),
    };
    let texts = input.texts(worst.iter().chain(&suspects));
    let (worst_texts, suspect_texts) = texts.split_at(worst.len().min(texts.len()));
    let report = Report {
        title: input.title,
        model: &input.model,
        data: input.data(),
        run: input.run_info(usage),
        sets,
        summary: &input.summary.lines,
        trials: input.summary.trials.as_ref(),
        channels: input.counts,
        strongest: input.strongest.clone(),
        worst: input.examples(&worst, worst_texts),
        suspects: input.examples(&suspects, suspect_texts),
        curves: history::curves(input.history, input.summary.saved_epoch),
        warnings: input.warnings.to_vec(),
        comparison: input.comparison,
    };
    Ok(html(&report))
}

/// A row whose label is not the predicted class, or whose labels are not the predicted ones.
struct Mistake {
    row: u32,
    predicted: Vec<u32>,
    probability: Option<f64>,
    /// Decision value of the predicted class minus that of the label; of several labels the largest
    /// absolute value of a wrong one.
    excess: f64,
}

impl Input<'_> {
    /// Returns the rows that are wrong with the highest confidence.
    fn mistakes(&self, split: Split, scores: &Scores) -> Vec<Mistake> {
        let rows = self.rows.of(split);
        if self.rows.label_sets.is_some() {
            return most_certain(self.wrong_sets(&rows, scores));
        }
        let of_row = |(index, (&row, predicted)): (usize, (&u32, u32))| {
            let label = self.rows.labels[row as usize];
            let at = |values: &[f32], class: u32| {
                f64::from(values[index * scores.classes + class as usize])
            };
            let probability = scores.probability.as_ref().map(|all| at(all, predicted));
            (predicted != label).then(|| Mistake {
                row,
                predicted: vec![predicted],
                probability,
                excess: at(&scores.decision, predicted) - at(&scores.decision, label),
            })
        };
        let each = rows.iter().zip(scores.predictions()).enumerate();
        most_certain(each.filter_map(of_row).collect())
    }

    /// Returns the rows of which a predicted label is wrong or missing.
    fn wrong_sets(&self, rows: &[u32], scores: &Scores) -> Vec<Mistake> {
        let decisions = scores.decision.chunks_exact(scores.classes.max(1));
        let of_row = |((&row, predicted), decision): ((&u32, Vec<u32>), &[f32])| {
            let truth = self.rows.classes_of(row);
            let is_wrong = |class: &&u32| truth.contains(*class) != predicted.contains(*class);
            let wrong = truth.iter().chain(&predicted).filter(is_wrong);
            let excess = wrong.map(|class| f64::from(decision[*class as usize].abs()));
            let excess = excess.max_by(f64::total_cmp)?;
            Some(Mistake {
                row,
                predicted,
                probability: None,
                excess,
            })
        };
        let each = rows.iter().zip(scores.sets()).zip(decisions);
        each.filter_map(of_row).collect()
    }

    /// Returns the texts of the rows; empty if they cannot be read again, such as from a pipe.
    fn texts<'b>(&self, mistakes: impl Iterator<Item = &'b Mistake>) -> Vec<String> {
        let rows: Vec<u32> = mistakes.map(|mistake| mistake.row).collect();
        let place = |&row: &u32| self.rows.places[row as usize];
        let places: Vec<RowPlace> = rows.iter().map(place).collect();
        let Ok(mut texts) = fetch_texts(&self.rows.sources, self.options, &places) else {
            return vec![String::new(); places.len()];
        };
        for (text, row) in texts.iter_mut().zip(rows) {
            if !self.rows.has_text(row, text) {
                CHANGED.clone_into(text);
            } else if self.options.text_pair {
                let shown = split_pair(text).map(|(first, second)| format!("{first} {second}"));
                *text = shown.unwrap_or_default();
            }
        }
        texts
    }

    fn examples(&self, mistakes: &[Mistake], texts: &[String]) -> Vec<RowExample> {
        let name = |class: &u32| self.rows.classes[*class as usize].as_str();
        let names = |classes: &[u32]| match classes {
            [] => "(none)".to_owned(),
            [class] if self.rows.label_sets.is_none() => name(class).to_owned(),
            _ => listed(classes.iter().map(name), MAX_LABELS),
        };
        let example = |(mistake, text): (&Mistake, &String)| RowExample {
            place: self.rows.places[mistake.row as usize]
                .place(&self.rows.sources)
                .to_string(),
            text: text.clone(),
            label: names(self.rows.classes_of(mistake.row)),
            predicted: names(&mistake.predicted),
            probability: mistake.probability,
            score: mistake.excess,
        };
        mistakes.iter().zip(texts).map(example).collect()
    }

    /// Names the data: the file, or the folder of several files.
    fn data(&self) -> String {
        let files = self
            .counts
            .first()
            .map_or(&[][..], |(_, counts)| &counts.files);
        match files {
            [] => String::new(),
            [file] => file.path.clone(),
            [first, ..] => {
                let folder = parent(Path::new(&first.path)).display().to_string();
                format!("{folder} ({} files)", files.len())
            }
        }
    }

    fn run_info(&self, usage: &ResourceUsage) -> RunInfo {
        let seed = self
            .parameters
            .get("seed")
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_default();
        RunInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed,
            threads: self.threads,
            started: usage.started.clone(),
            seconds: usage.seconds(),
            cpu_seconds: Some(ResourceUsage::cpu_seconds()),
            peak_rss_bytes: ResourceUsage::peak_rss_bytes(),
            command: command_line(),
            hyperparameters: self.parameters.clone(),
        }
    }
}

/// Returns the mistakes with the highest confidence.
fn most_certain(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let trust = |mistake: &Mistake| mistake.probability.unwrap_or(mistake.excess);
    mistakes.sort_by(|a, b| trust(b).total_cmp(&trust(a)).then(a.row.cmp(&b.row)));
    mistakes.truncate(EXAMPLES);
    mistakes
}

/// Returns the command line of this process for a shell. Bytes that are not UTF-8 are replaced.
fn command_line() -> String {
    let arguments = std::env::args_os();
    let quoted = arguments.map(|argument| quoted_for_shell(&argument.to_string_lossy()));
    quoted.collect::<Vec<_>>().join(" ")
}
