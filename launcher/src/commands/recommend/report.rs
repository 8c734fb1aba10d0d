//! The result of `recommend`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::sample::{MANY_ROWS, Sample};
use super::trial::Cost;
use crate::util::megabytes;
use diagnostics::{Result, counted, sanitize};

/// The object of `recommend --json`.
#[derive(Serialize)]
pub(super) struct Report {
    /// Rows of the data.
    rows: usize,
    /// Rows of the data that were left out, by reason.
    dropped: BTreeMap<&'static str, u64>,
    /// True if rows may have several labels: the accuracy is that of whole sets.
    multi_label: bool,
    sample_rows: usize,
    folds: u32,
    labels: usize,
    most_frequent: Frequent,
    pub(super) trainers: Vec<Score>,
    pub(super) networks: Vec<Network>,
    not_built: Vec<String>,
    /// The fastest trainer whose accuracy is within the interval of the best one.
    pub(super) recommended: Option<String>,
}

#[derive(Serialize)]
struct Frequent {
    label: String,
    share: f64,
}

/// A trainer's scores, each row by a model that was not trained on it.
#[derive(Serialize)]
pub(super) struct Score {
    pub(super) name: String,
    pub(super) accuracy: f64,
    /// Of the accuracy, 95 %.
    pub(super) interval: (f64, f64),
    /// Mean over the folds, weighted by their rows.
    pub(super) macro_f1: f64,
    /// Mean wall time of a training, start and scoring included.
    pub(super) seconds: f64,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) model_bytes: u64,
}

/// A network and its estimated time.
#[derive(Serialize)]
pub(super) struct Network {
    name: String,
    /// Seconds of an epoch over all rows of the data.
    epoch_seconds: Option<f64>,
    /// Default number of epochs.
    epochs: Option<u64>,
    /// Reason if there is no estimate.
    not_measured: Option<String>,
}

impl Network {
    pub(super) fn new(name: &str, cost: Result<Cost>) -> Self {
        let name = name.to_owned();
        match cost {
            Ok(cost) => Self {
                name,
                epoch_seconds: Some(cost.epoch_seconds),
                epochs: cost.epochs,
                not_measured: None,
            },
            Err(error) => Self {
                name,
                epoch_seconds: None,
                epochs: None,
                not_measured: Some(error.into_parts().0),
            },
        }
    }

    fn line(&self) -> String {
        let name = &self.name;
        match (self.epoch_seconds, self.epochs, &self.not_measured) {
            (Some(seconds), Some(epochs), _) => format!(
                "{name}: about {} for {epochs} epochs over all rows on this machine",
                duration(seconds * epochs as f64)
            ),
            (Some(seconds), None, _) => format!(
                "{name}: about {} for an epoch over all rows on this machine",
                duration(seconds)
            ),
            (None, _, Some(why)) => format!("{name}: time not measured: {why}"),
            (None, _, None) => format!("{name}: time not measured"),
        }
    }
}

impl Report {
    pub(super) fn new(sample: &Sample, not_built: Vec<String>) -> Self {
        let (label, share) = sample.most_frequent.clone();
        Self {
            rows: sample.all_rows,
            dropped: sample.dropped.clone(),
            multi_label: sample.multi_label,
            sample_rows: sample.rows,
            folds: sample.folds,
            labels: sample.labels,
            most_frequent: Frequent { label, share },
            trainers: Vec::new(),
            networks: Vec::new(),
            not_built,
            recommended: None,
        }
    }

    pub(super) fn text(&self) -> String {
        let Frequent { label, share } = &self.most_frequent;
        let mut text = format!(
            "{} of {} rows, {} labels, {} folds; always predicting `{}` has accuracy {share:.4}\n",
            self.sample_rows,
            self.rows,
            self.labels,
            self.folds,
            sanitize(label),
        );
        for (reason, rows) in &self.dropped {
            text += &format!("dropped: {} ({reason})\n", counted(*rows, "row"));
        }
        text.push('\n');
        let mut row = |cells: [String; 6]| {
            let [name, accuracy, f1, seconds, memory, model] = cells;
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{name:<12} {accuracy:<26} {f1:>8} {seconds:>10} {memory:>12} {model:>12}"
            );
        };
        let accuracy = match self.multi_label {
            true => "subset accuracy",
            false => "accuracy",
        };
        let head = [
            "trainer", accuracy, "macro-F1", "training", "memory", "model",
        ];
        row(head.map(str::to_owned));
        for score in &self.trainers {
            let (low, high) = score.interval;
            row([
                score.name.clone(),
                format!("{:.4} ({low:.4} to {high:.4})", score.accuracy),
                format!("{:.4}", score.macro_f1),
                format!("{:.2} s", score.seconds),
                score.peak_rss_bytes.map_or_else(String::new, megabytes),
                megabytes(score.model_bytes),
            ]);
        }
        text.push('\n');
        for network in &self.networks {
            text += &network.line();
            text.push('\n');
        }
        if self.networks.iter().any(|one| one.epoch_seconds.is_some()) {
            text += &format!("(estimated from two runs on at most {MANY_ROWS} rows)\n");
        }
        if !self.not_built.is_empty() {
            text += &format!("not built: {}\n", self.not_built.join(", "));
        }
        if let Some(name) = &self.recommended {
            text += &format!(
                "recommended: {name}, the fastest whose accuracy is within the interval of the best\n"
            );
        }
        text
    }
}

/// Returns a duration for people.
fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5_400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagnostics::Error;

    #[test]
    fn networks_have_an_estimate_or_a_reason() {
        let cost = |epoch_seconds, epochs| {
            Ok(Cost {
                epoch_seconds,
                epochs,
            })
        };
        for (cost, expected) in [
            (
                cost(40.0, Some(3)),
                "net: about 2 min for 3 epochs over all rows on this machine",
            ),
            (
                cost(7_200.0, None),
                "net: about 2.0 h for an epoch over all rows on this machine",
            ),
            (
                Err(Error::new("no libtorch").help("x")),
                "net: time not measured: no libtorch",
            ),
        ] {
            assert_eq!(Network::new("net", cost).line(), expected);
        }
    }
}
