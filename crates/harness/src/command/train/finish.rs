//! Writes the results of a run: model, `metrics.json`, `report.html`, metric lines, summary.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use diagnostics::{Error, atomic_dir, counted, print_json, print_line, short_label};
use sagemaker::metrics::{Measure, Progress as ProgressMetric, Split};
use sagemaker::{Metric, MetricLine};
use serde_json::{Map, Value, json};

use super::super::args::{ThresholdMetric, TrainArgs};
use super::super::{are_right, evaluate_rows, most_frequent_class};
use super::run_paths::RunPaths;
use super::typed_parameters;
use crate::model_dir::RUN_FILE;
use crate::{Model, Trained, Trainer, model_dir, report};
use dataset::{ReadOptions, RowCounts, RowTable};
use evaluation::metrics::{ClassMetrics, Evaluation, Scores, UnseenTexts, multilabel};
use evaluation::report::{MAX_STRONGEST, SetReport};
use training::Run;
use training::progress::Progress;
use training::resource_usage::ResourceUsage;

const REPORT: &str = "report.html";

/// A trained model that is not yet written.
pub(super) struct Finished<T: Trainer> {
    pub(super) rows: RowTable,
    pub(super) counts: Vec<(&'static str, RowCounts)>,
    pub(super) run: Run,
    pub(super) trained: Trained<T::Model>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) options: ReadOptions,
    pub(super) run_file: String,
}

/// The evaluation of one split.
struct Evaluated {
    split: Split,
    evaluation: Evaluation,
    scored: ScoredRows,
    /// Present if some of the rows have a text of the training data.
    unseen: Option<UnseenTexts>,
}

/// Relation of scored rows to the training data of the model that scored them.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum ScoredRows {
    HeldOut,
    HeldOutBeforeRefit,
    OutOfFold,
    Seen,
}

impl Evaluated {
    /// Returns the statement about these rows for the report.
    fn note(&self) -> String {
        match self.unseen {
            Some(UnseenTexts { rows, .. }) => format!(
                "the texts of {} of these {} rows are also in the training data",
                self.evaluation.rows - rows,
                self.evaluation.rows
            ),
            None => self.scored.note().to_owned(),
        }
    }

    /// Returns the statement about rows whose text is also in the training data, if there are any.
    fn unseen_line(&self) -> Option<String> {
        let UnseenTexts { rows, accuracy } = self.unseen?;
        let counted_rows = |rows| counted(rows, &format!("{} row", self.split.name()));
        Some(match accuracy {
            Some(accuracy) => format!(
                "{} {accuracy:.4} on the {} whose text is not in the training data",
                self.evaluation.accuracy_name(),
                counted_rows(rows)
            ),
            None => format!(
                "the texts of all {} are also in the training data",
                counted_rows(self.evaluation.rows)
            ),
        })
    }
}

impl ScoredRows {
    /// Returns the statement for standard output and the report.
    fn note(self) -> &'static str {
        match self {
            Self::HeldOut => "the model was not trained on these rows",
            Self::HeldOutBeforeRefit => {
                "held out: the model that scored these rows was not trained on them; the saved \
                 model was then trained on all rows"
            }
            Self::OutOfFold => {
                "out of fold: each row was scored by a model that was not trained on it"
            }
            Self::Seen => "seen: the model that scored these rows was trained on them",
        }
    }
}

impl<T: Trainer> Finished<T> {
    pub(super) fn write(
        mut self,
        common: &TrainArgs,
        usage: &ResourceUsage,
        run_paths: &RunPaths,
        progress: &Progress,
        job: Option<String>,
    ) -> Result<(), Error> {
        let (model_dir, output_dir) = (&*run_paths.model_dir, &*run_paths.output_dir);
        let error = self.trained.error.take();
        if let Some(error) = &error {
            self.run.warn(format!(
                "training failed; saved the last good model: {}",
                error.without_prefix()
            ));
        }
        let thresholds = self.choose_thresholds(common.threshold_metric);
        let evaluated = self.evaluate();
        self.warn_chance_level(&evaluated);
        self.warn_missing_classes(&evaluated);
        let stopped = self.run.stopped();
        if stopped {
            self.warn_incomplete(&evaluated, common.no_report);
        }
        let has_report = !common.no_report && !stopped;
        let metrics = self.metrics(&evaluated, usage, common.seed);
        let mut files = vec![("metrics.json", format!("{metrics:#}\n").into_bytes())];
        if has_report {
            let name = job.unwrap_or_else(|| model_dir.display().to_string());
            files.push((REPORT, self.report(&evaluated, usage, name)?.into_bytes()));
        }
        let save = |dir: &Path| {
            self.trained.model.save(dir)?;
            model_dir::remember_columns(dir, &common.names())?;
            match thresholds.is_empty() {
                true => Ok(()),
                false => model_dir::remember_thresholds(dir, &thresholds),
            }
        };
        let separate = T::Model::SEPARATE_CHECKSUMS;
        let run_file = (RUN_FILE, std::mem::take(&mut self.run_file).into_bytes());
        if model_dir == output_dir {
            files.push(run_file);
            model_dir::save(model_dir, &files, separate, save)?;
        } else {
            model_dir::save(model_dir, &[run_file], separate, save)?;
            atomic_dir::write_files(output_dir, &files)?;
            if !has_report {
                model_dir::forget_report(&output_dir.join(REPORT))?;
            }
        }
        progress.finish();
        for evaluated in &evaluated {
            progress.metrics(&metric_line(evaluated));
        }
        progress.metrics(&resource_line(usage));
        if common.json {
            print_json(&metrics)?;
        } else {
            let report = has_report.then(|| output_dir.join(REPORT));
            self.print_summary(&evaluated, model_dir, report.as_deref())?;
        }
        error.map_or(Ok(()), Err)
    }

    /// Warns about a model that is no better than a constant prediction: too few rows, or a
    /// learning rate that is far too high.
    fn warn_chance_level(&mut self, evaluated: &[Evaluated]) {
        let Some(Evaluated {
            split, evaluation, ..
        }) = evaluated.first()
        else {
            return;
        };
        if let Some((class, share)) = chance_level(evaluation) {
            self.run.warn(format!(
                "accuracy {:.4} on {}; always predicting `{}` has {share:.4}: the model is not useful\n  \
                 help: add rows, train longer, or try other flags (`train --help`)",
                evaluation.accuracy,
                counted(evaluation.rows, &format!("{} row", split.name())),
                short_label(&class.label),
            ));
        }
    }

    /// Warns about classes that the main numbers do not measure.
    fn warn_missing_classes(&mut self, evaluated: &[Evaluated]) {
        let Some(Evaluated {
            split, evaluation, ..
        }) = evaluated.first()
        else {
            return;
        };
        let split = split.name();
        let help = match self.rows.split_off && split == Split::Validation.name() {
            true => "pass --validation or --test with rows of every class".to_owned(),
            false => format!("add {split} rows of every class"),
        };
        if let Some(warning) = evaluation.missing_classes(&format!("{split} rows"), &help) {
            self.run.warn(warning);
        }
    }

    /// Warns about results that a stopped run does not have.
    fn warn_incomplete(&mut self, evaluated: &[Evaluated], no_report: bool) {
        let mut missing = Vec::new();
        if evaluated.is_empty() {
            missing.push("the model was not scored");
        } else if !self.rows.of(Split::Test).is_empty() && self.trained.scores.test.is_none() {
            missing.push("the rows of --test were not scored");
        }
        if !no_report {
            missing.push("report.html was not written");
        }
        if !missing.is_empty() {
            self.run
                .warn(format!("stopped before the end: {}", missing.join(", ")));
        }
    }

    /// Evaluates the splits that have scores: test, validation, then training rows, which are
    /// scored only out of fold or if there is no other split.
    fn evaluate(&self) -> Vec<Evaluated> {
        let scores = &self.trained.scores;
        let splits = [
            (Split::Test, &scores.test),
            (Split::Validation, &scores.validation),
            (Split::Train, &scores.train),
        ];
        let evaluate = |(split, scores): (Split, &Option<Scores>)| {
            let scores = scores.as_ref()?;
            let evaluation = evaluate_rows(&self.rows, &self.rows.of(split), scores);
            let unseen = self.unseen(split, scores);
            Some(Evaluated {
                split,
                evaluation,
                scored: self.scored_rows(split),
                unseen,
            })
        };
        splits.into_iter().filter_map(evaluate).collect()
    }

    fn scored_rows(&self, split: Split) -> ScoredRows {
        let scores = &self.trained.scores;
        match split {
            Split::Train if scores.out_of_fold => ScoredRows::OutOfFold,
            Split::Train => ScoredRows::Seen,
            Split::Validation if scores.refitted => ScoredRows::HeldOutBeforeRefit,
            Split::Validation | Split::Test => ScoredRows::HeldOut,
        }
    }

    /// Number of rows that the saved model was trained on.
    fn trained_on(&self) -> usize {
        let refitted = self.trained.scores.refitted;
        let splits = self.rows.splits.iter();
        splits
            .filter(|&&of| of == Split::Train || refitted && of == Split::Validation)
            .count()
    }

    /// Scores the rows of a split with data of its own whose text is not in the training data.
    fn unseen(&self, split: Split, scores: &Scores) -> Option<UnseenTexts> {
        let has_channel = |name: &str| self.counts.iter().any(|(channel, _)| *channel == name);
        if split == Split::Train || !has_channel(split.name()) {
            return None;
        }
        // Without a validation channel its rows are part of the training data.
        let is_train = |of: Split| match of {
            Split::Train => true,
            Split::Validation => !has_channel(Split::Validation.name()),
            Split::Test => false,
        };
        let each = self.rows.splits.iter().zip(&self.rows.hashes);
        let seen: HashSet<u64> = each
            .filter(|(of, _)| is_train(**of))
            .map(|(_, hash)| *hash)
            .collect();
        let rows = self.rows.of(split);
        let right = are_right(&self.rows, &rows, scores);
        let is_seen = |row: &u32| seen.contains(&self.rows.hashes[*row as usize]);
        UnseenTexts::of(rows.iter().map(is_seen).zip(right))
    }

    /// Chooses thresholds on the rows that the model was not trained on, and subtracts them from
    /// all decision values. Returns none if none are wanted, or if there are no such rows.
    fn choose_thresholds(&mut self, metric: Option<ThresholdMetric>) -> Vec<f32> {
        let Some(metric) = metric else {
            return Vec::new();
        };
        let scores = &self.trained.scores;
        let (split, chosen_on) = match (&scores.train, &scores.validation) {
            (Some(train), _) if scores.out_of_fold => (Split::Train, train),
            (_, Some(validation)) => (Split::Validation, validation),
            _ => {
                self.run.warn(
                    "no thresholds are chosen: there are no validation rows\n  help: raise \
                     --validation-split, or leave out --threshold-metric"
                        .to_owned(),
                );
                return Vec::new();
            }
        };
        let rows = self.rows.of(split);
        let thresholds = if self.rows.label_sets.is_some() {
            let truth: Vec<&[u32]> = rows.iter().map(|row| self.rows.classes_of(*row)).collect();
            multilabel::thresholds(&truth, chosen_on, metric.into())
        } else {
            let label = |row: &u32| self.rows.labels[*row as usize];
            let labels: Vec<u32> = rows.iter().map(label).collect();
            multilabel::two_class_thresholds(&labels, chosen_on, metric.into())
        };
        let (count, name) = (rows.len() as u64, split.name());
        let count = counted(count, &format!("{name} row"));
        let line =
            format!("thresholds: chosen on {count}, which are no longer independent of them");
        self.trained.summary.lines.push(line);
        let chosen = json!({ "chosen_on": name, "values": thresholds });
        self.trained.details.insert("thresholds".to_owned(), chosen);
        let scores = &mut self.trained.scores;
        let all = [&mut scores.train, &mut scores.validation, &mut scores.test];
        for scores in all.into_iter().flatten() {
            scores.subtract(&thresholds);
        }
        thresholds
    }

    fn metrics(&self, evaluated: &[Evaluated], usage: &ResourceUsage, seed: u64) -> Value {
        let mut metrics = evaluated.first().map(main_metrics).unwrap_or_default();
        metrics.insert("trained_on".to_owned(), json!(self.trained_on()));
        let data: Map<String, Value> = self
            .counts
            .iter()
            .map(|(name, counts)| ((*name).to_owned(), json!(counts)))
            .collect();
        let run = [
            ("trainer", json!(T::NAME)),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("classes", json!(self.rows.classes)),
            ("seed", json!(seed)),
            ("threads", json!(self.run.threads())),
            (
                "stopped_early",
                json!(self.run.stopped() || self.trained.summary.stopped_early),
            ),
            ("warnings", json!(self.run.warnings())),
            ("parameters", typed_parameters::<T>(&self.parameters)),
            ("data", Value::Object(data)),
        ];
        metrics.extend(run.map(|(name, value)| (name.to_owned(), value)));
        for evaluated in evaluated {
            let name = evaluated.split.name().to_owned();
            let mut values = json!(evaluated.evaluation);
            values["scored"] = json!(evaluated.scored);
            if let Some(unseen) = evaluated.unseen {
                values["without_texts_of_train"] = json!(unseen);
            }
            metrics.insert(name, values);
        }
        if !self.run.history().is_empty() {
            metrics.insert("history".to_owned(), json!(self.run.history()));
        }
        if let Some(restored) = self.run.restored() {
            metrics.insert("resumed_from_step".to_owned(), json!(restored.step));
        }
        metrics.insert(
            "details".to_owned(),
            Value::Object(self.trained.details.clone()),
        );
        metrics.insert("started".to_owned(), json!(usage.started));
        metrics.extend(usage.to_json());
        Value::Object(metrics)
    }

    fn report(
        &self,
        evaluated: &[Evaluated],
        usage: &ResourceUsage,
        model: String,
    ) -> Result<String, Error> {
        let first = evaluated.first().map(|evaluated| evaluated.split);
        let scores = &self.trained.scores;
        let errors = match first {
            Some(Split::Test) => scores.test.as_ref(),
            Some(Split::Validation) => scores.validation.as_ref(),
            _ => scores.train.as_ref(),
        };
        let strongest = self
            .trained
            .model
            .strongest(report::STRONGEST, MAX_STRONGEST);
        let input = report::Input {
            title: T::NAME,
            model,
            rows: &self.rows,
            options: &self.options,
            errors: first.zip(errors),
            train: scores.train.as_ref(),
            counts: &self.counts,
            strongest: strongest.unwrap_or_default(),
            warnings: self.run.warnings(),
            parameters: &self.parameters,
            threads: self.run.threads(),
            history: self.run.history(),
            summary: &self.trained.summary,
            comparison: None,
        };
        let notes: Vec<String> = evaluated.iter().map(Evaluated::note).collect();
        let sets = evaluated.iter().zip(&notes).map(|(set, note)| SetReport {
            name: set.split.name(),
            evaluation: &set.evaluation,
            note: note.as_str(),
            seen: set.scored == ScoredRows::Seen,
            unseen: set.unseen,
        });
        report::build(&input, sets.collect(), usage)
    }

    fn print_summary(
        &self,
        evaluated: &[Evaluated],
        model_dir: &Path,
        report: Option<&Path>,
    ) -> Result<(), Error> {
        if let Some(first) = evaluated.first() {
            let Evaluated {
                split,
                evaluation,
                scored,
                ..
            } = first;
            let (low, high) = evaluation.accuracy_interval;
            let accuracy = match &evaluation.multi_label {
                None => "accuracy".to_owned(),
                Some(multi) => format!("micro-F1 {:.4}, subset accuracy", multi.micro_f1),
            };
            print_line(format_args!(
                "{accuracy} {:.4} ({low:.4} to {high:.4}), macro-F1 {} on {}",
                evaluation.accuracy,
                evaluation.macro_f1_text(),
                counted(evaluation.rows, &format!("{} row", split.name())),
            ))?;
            if let Some((class, share)) = evaluation.most_frequent() {
                let label = short_label(&class.label);
                print_line(format_args!(
                    "always predicting `{label}` has accuracy {share:.4}"
                ))?;
            }
            if let Some(line) = first.unseen_line() {
                print_line(line)?;
            }
            match scored {
                ScoredRows::Seen => print_line(
                    "the model was trained on these rows: pass --test, or --validation-split 0.1",
                )?,
                ScoredRows::OutOfFold => print_line(scored.note())?,
                ScoredRows::HeldOut | ScoredRows::HeldOutBeforeRefit => {}
            }
        }
        if self.trained.scores.refitted {
            print_line(format_args!(
                "the saved model was trained on all {} rows, after the validation rows were scored",
                self.trained_on()
            ))?;
        }
        for line in &self.trained.summary.lines {
            print_line(line)?;
        }
        print_line(format_args!("model: {}", model_dir.display()))?;
        if let Some(report) = report {
            print_line(format_args!("report: {}", report.display()))?;
        }
        Ok(())
    }
}

/// Returns the main numbers, which are at the top level of `metrics.json` for any splits.
fn main_metrics(first: &Evaluated) -> Map<String, Value> {
    let mut metrics = Map::new();
    if let Value::Object(values) = json!(first.evaluation) {
        let main = [
            "accuracy",
            "macro_f1",
            "classes_without_rows",
            "log_loss",
            "ece",
            "rows",
        ];
        let value = |name: &str| values.get(name).cloned().unwrap_or_default();
        metrics.extend(main.map(|name| (name.to_owned(), value(name))));
        if first.evaluation.multi_label.is_some() {
            let main = ["micro_f1", "samples_f1", "hamming_loss", "lrap"];
            metrics.extend(main.map(|name| (name.to_owned(), value(name))));
        }
    }
    metrics.insert("measured_on".to_owned(), json!(first.split.name()));
    metrics.insert("scored".to_owned(), json!(first.scored));
    let frequent = most_frequent_class(&first.evaluation);
    metrics.insert("most_frequent_class".to_owned(), frequent);
    metrics
}

fn metric_line(evaluated: &Evaluated) -> MetricLine {
    let of = |measure| Metric::Of(evaluated.split, measure);
    let evaluation = &evaluated.evaluation;
    MetricLine::new()
        .with(of(Measure::Accuracy), evaluation.accuracy)
        .with(
            of(Measure::MicroF1),
            evaluation.multi_label.map(|multi| multi.micro_f1),
        )
        .with(of(Measure::MacroF1), evaluation.macro_f1)
        .with(of(Measure::LogLoss), evaluation.log_loss)
        .with(of(Measure::Ece), evaluation.ece)
        .with(of(Measure::RocAuc), evaluation.macro_roc_auc)
}

fn resource_line(usage: &ResourceUsage) -> MetricLine {
    let peak = ResourceUsage::peak_rss_bytes().map(|bytes| bytes as f64);
    MetricLine::new()
        .with(Metric::At(ProgressMetric::Seconds), usage.seconds())
        .with(Metric::At(ProgressMetric::PeakRssBytes), peak)
}

/// Minimum rows that can distinguish a model from chance.
const MIN_ROWS: u64 = 20;

/// Constant and random predictions have a sum of recalls of 1. The threshold is slightly higher,
/// because random predictions vary.
const CHANCE_RECALL_SUM: f64 = 1.1;

/// Returns the most frequent class and its share of the rows if always predicting it is as good
/// as the model. A model that finds rare classes at the cost of accuracy is better than that.
fn chance_level(evaluation: &Evaluation) -> Option<(&ClassMetrics, f64)> {
    let (common, share) = evaluation.most_frequent()?;
    let recall_sum: f64 = evaluation.per_class.iter().map(|class| class.recall).sum();
    // With one class always predicting it is right.
    let comparable = evaluation.rows >= MIN_ROWS && share < 1.0;
    (comparable && evaluation.accuracy <= share && recall_sum <= CHANCE_RECALL_SUM)
        .then_some((common, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluates (label, predicted, rows).
    fn chance_of(predictions: &[(u32, u32, usize)]) -> Option<String> {
        let names = ["no", "yes"].map(str::to_owned);
        let (mut labels, mut decision) = (Vec::new(), Vec::new());
        for &(label, predicted, rows) in predictions {
            for _ in 0..rows {
                labels.push(label);
                decision.extend([f32::from(predicted == 0), f32::from(predicted == 1)]);
            }
        }
        let scores = Scores {
            classes: 2,
            decision,
            ..Scores::default()
        };
        let evaluation = evaluation::metrics::evaluate(&labels, &names, &scores);
        chance_level(&evaluation).map(|(class, share)| format!("{} {share}", class.label))
    }

    #[test]
    fn constant_and_random_predictions_are_at_chance_level() {
        let constant = [(0, 0, 30), (1, 0, 10)];
        assert_eq!(chance_of(&constant).as_deref(), Some("no 0.75"));
        let random = [(0, 0, 15), (0, 1, 15), (1, 0, 5), (1, 1, 5)];
        assert_eq!(chance_of(&random).as_deref(), Some("no 0.75"));
        let better = [(0, 0, 29), (0, 1, 1), (1, 0, 8), (1, 1, 2)];
        assert_eq!(chance_of(&better), None);
        // Balanced classes: the rare one is found, at the cost of accuracy.
        let rare = [(0, 0, 20), (0, 1, 10), (1, 0, 1), (1, 1, 9)];
        assert_eq!(chance_of(&rare), None);
        let one_class = [(0, 0, 40)];
        assert_eq!(chance_of(&one_class), None);
        let few = [(0, 0, 2), (1, 0, 2)];
        assert_eq!(chance_of(&few), None);
    }
}
