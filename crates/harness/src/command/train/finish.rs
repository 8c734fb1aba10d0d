//! What a run leaves behind: the model, `metrics.json`, `report.html`, metric lines and the last words.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::{Error, atomic_dir, eprint_line, sanitize};
use sagemaker::metrics::{Measure, Progress as ProgressMetric, Split};
use sagemaker::{Metric, MetricLine};
use serde_json::{Map, Value, json};

use super::super::args::TrainArgs;
use super::super::output::line;
use crate::model_dir;
use crate::{Model, Trained, Trainer, page};
use dataset::{ReadOptions, RowCounts, RowTable};
use evaluation::metrics::{ClassMetrics, Evaluation, Scores, evaluate};
use training::Run;
use training::progress::Progress;
use training::resource_usage::ResourceUsage;

const REPORT: &str = "report.html";

/// A trained model, not yet written.
pub(super) struct Finished<T: Trainer> {
    pub(super) rows: RowTable,
    pub(super) accounts: Vec<(&'static str, RowCounts)>,
    pub(super) run: Run,
    pub(super) trained: Trained<T::Model>,
    pub(super) details: Map<String, Value>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) options: ReadOptions,
}

/// One part's scores and what they are worth.
struct Judged {
    split: Split,
    part: Split,
    evaluation: Evaluation,
}

impl<T: Trainer> Finished<T> {
    pub(super) fn write(
        mut self,
        common: &TrainArgs,
        facts: &ResourceUsage,
        model_dir: &Path,
        output_dir: &Path,
        progress: &Progress,
    ) -> Result<(), Error> {
        let failure = self.trained.failure.take();
        if let Some(failure) = &failure {
            let text = failure.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            self.run
                .warn(format!("this is the last good model: {text}"));
        }
        let judged = self.judge();
        self.warn_of_chance(&judged);
        let stopped = self.run.stopped();
        if stopped {
            self.warn_of_what_is_missing(&judged, common.no_report);
        }
        let together = model_dir == output_dir;
        let page = if common.no_report || stopped {
            None
        } else {
            Some(self.page(&judged, facts)?)
        };
        let metrics = self.metrics(&judged, facts, common.seed);
        let text = format!("{metrics:#}\n");
        let mut extra = vec![("metrics.json", text.into_bytes())];
        extra.extend(page.map(|page| (REPORT, page.into_bytes())));
        let model = &self.trained.model;
        if together {
            model_dir::save(model_dir, &extra, |dir| model.save(dir))?;
        } else {
            model_dir::save(model_dir, &[], |dir| model.save(dir))?;
            atomic_dir::write_files(output_dir, &extra)?;
            if !extra.iter().any(|(name, _)| *name == REPORT) {
                model_dir::forget_report(&output_dir.join(REPORT))?;
            }
        }
        progress.finish();
        for judged in &judged {
            eprint_line(metric_line(judged));
        }
        eprint_line(resource_line(facts));
        if common.json {
            line(&metrics);
        } else {
            self.say(
                &judged,
                model_dir,
                output_dir,
                page_written(common, stopped),
            );
        }
        failure.map_or(Ok(()), Err)
    }

    /// A model may be whole and of no use, after a learning rate that is far too high or on too few rows.
    fn warn_of_chance(&mut self, judged: &[Judged]) {
        let Some(Judged {
            split, evaluation, ..
        }) = judged.first()
        else {
            return;
        };
        if let Some((common, share)) = chance(evaluation) {
            self.run.warn(format!(
                "accuracy {:.4} on {} {} rows, where always answering `{}` has {share:.4}: the model is of little use\n  \
                 help: give it more rows, train longer, or try other flags (`train --help`)",
                evaluation.accuracy,
                evaluation.rows,
                split.name(),
                sanitize(&common.label),
            ));
        }
    }

    /// A run that was stopped ends as well as one that was not, but has less to show.
    fn warn_of_what_is_missing(&mut self, judged: &[Judged], no_report: bool) {
        let mut missing = Vec::new();
        if judged.is_empty() {
            missing.push(
                "the model is that of a first epoch that was not finished, no row was scored",
            );
        } else if !self.rows.of(Split::Test).is_empty() && self.trained.scores.test.is_none() {
            missing.push("the rows of --test were not scored");
        }
        if !no_report {
            missing.push("there is no report.html");
        }
        if !missing.is_empty() {
            self.run
                .warn(format!("stopped before the end: {}", missing.join(", ")));
        }
    }

    /// Test before validation before training rows, which are judged only where there is nothing else, or where the
    /// trainer has scored them out of fold.
    fn judge(&self) -> Vec<Judged> {
        let scores = &self.trained.scores;
        let parts = [
            (Split::Test, Split::Test, &scores.test),
            (Split::Validation, Split::Validation, &scores.validation),
            (Split::Train, Split::Train, &scores.train),
        ];
        let judge = |(split, part, scores): (Split, Split, &Option<Scores>)| {
            let scores = scores.as_ref()?;
            let evaluation = evaluate(&self.labels(part), &self.rows.classes, scores);
            Some(Judged {
                split,
                part,
                evaluation,
            })
        };
        parts.into_iter().filter_map(judge).collect()
    }

    fn labels(&self, part: Split) -> Vec<u32> {
        self.rows
            .of(part)
            .into_iter()
            .map(|row| self.rows.labels[row as usize])
            .collect()
    }

    fn metrics(&self, judged: &[Judged], facts: &ResourceUsage, seed: u64) -> Value {
        let mut metrics = Map::new();
        // A reader of the JSON wants the headline without knowing which parts there were.
        if let Some(Value::Object(first)) = judged.first().map(|first| json!(first.evaluation)) {
            for name in ["accuracy", "macro_f1", "log_loss", "ece", "rows"] {
                metrics.insert(
                    name.to_owned(),
                    first.get(name).cloned().unwrap_or_default(),
                );
            }
            metrics.insert("measured_on".to_owned(), json!(judged[0].split.name()));
        }
        metrics.insert("trainer".to_owned(), json!(T::NAME));
        metrics.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        metrics.insert("classes".to_owned(), json!(self.rows.classes));
        metrics.insert("seed".to_owned(), json!(seed));
        metrics.insert("threads".to_owned(), json!(self.run.threads()));
        metrics.insert("stopped_early".to_owned(), json!(self.run.stopped()));
        metrics.insert("warnings".to_owned(), json!(self.run.warnings()));
        metrics.insert("parameters".to_owned(), json!(self.parameters));
        let data: Map<String, Value> = self
            .accounts
            .iter()
            .map(|(name, account)| ((*name).to_owned(), json!(account)))
            .collect();
        metrics.insert("data".to_owned(), Value::Object(data));
        for judged in judged {
            metrics.insert(judged.split.name().to_owned(), json!(judged.evaluation));
        }
        if !self.run.history().is_empty() {
            metrics.insert("history".to_owned(), json!(self.run.history()));
        }
        if let Some(restored) = self.run.restored() {
            metrics.insert("resumed_from_step".to_owned(), json!(restored.step));
        }
        metrics.insert("details".to_owned(), Value::Object(self.details.clone()));
        metrics.insert("started".to_owned(), json!(facts.started));
        metrics.insert("seconds".to_owned(), json!(facts.seconds()));
        metrics.insert(
            "cpu_seconds".to_owned(),
            json!(ResourceUsage::cpu_seconds()),
        );
        metrics.insert(
            "peak_rss_bytes".to_owned(),
            json!(ResourceUsage::peak_rss_bytes()),
        );
        Value::Object(metrics)
    }

    fn page(&mut self, judged: &[Judged], facts: &ResourceUsage) -> Result<String, Error> {
        let first = judged.first();
        let scores = &self.trained.scores;
        let errors = match first.map(|judged| judged.part) {
            Some(Split::Test) => scores.test.as_ref(),
            Some(Split::Validation) => scores.validation.as_ref(),
            _ => scores.train.as_ref(),
        };
        let material = page::Material {
            title: T::NAME,
            rows: &self.rows,
            options: &self.options,
            errors: first.map(|judged| judged.part).zip(errors),
            train: scores.train.as_ref(),
            accounts: &self.accounts,
            strongest: self
                .trained
                .model
                .explain(None, page::STRONGEST)
                .unwrap_or_default(),
            warnings: self.run.warnings(),
            parameters: &self.parameters,
            threads: self.run.threads(),
            history: self.run.history(),
        };
        let sets = judged
            .iter()
            .map(|judged| (judged.split.name(), &judged.evaluation))
            .collect();
        page::render(&material, sets, facts)
    }

    fn say(&self, judged: &[Judged], model_dir: &Path, output_dir: &Path, page: bool) {
        for judged in judged.iter().take(1) {
            let evaluation = &judged.evaluation;
            let (low, high) = evaluation.accuracy_interval;
            line(format_args!(
                "accuracy {:.4} ({low:.4} to {high:.4}), macro-F1 {:.4} on {} {} rows",
                evaluation.accuracy,
                evaluation.macro_f1,
                evaluation.rows,
                judged.split.name(),
            ));
            if judged.part == Split::Train && !self.trained.scores.out_of_fold {
                line(
                    "these are rows that the model has learnt from: give --test, or --validation-split 0.1",
                );
            }
        }
        line(format_args!("model: {}", model_dir.display()));
        if page {
            line(format_args!(
                "report: {}",
                output_dir.join(REPORT).display()
            ));
        }
    }
}

fn page_written(common: &TrainArgs, stopped: bool) -> bool {
    !common.no_report && !stopped
}

fn metric_line(judged: &Judged) -> MetricLine {
    let of = |measure| Metric::Of(judged.split, measure);
    let evaluation = &judged.evaluation;
    // Not a number is left out by the line itself.
    MetricLine::new()
        .with(of(Measure::Accuracy), evaluation.accuracy)
        .with(of(Measure::MacroF1), evaluation.macro_f1)
        .with(
            of(Measure::LogLoss),
            evaluation.log_loss.unwrap_or(f64::NAN),
        )
        .with(of(Measure::Ece), evaluation.ece.unwrap_or(f64::NAN))
        .with(
            of(Measure::RocAuc),
            evaluation.macro_roc_auc.unwrap_or(f64::NAN),
        )
}

fn resource_line(facts: &ResourceUsage) -> MetricLine {
    MetricLine::new()
        .with(Metric::At(ProgressMetric::Seconds), facts.seconds())
        .with(
            Metric::At(ProgressMetric::PeakRssBytes),
            ResourceUsage::peak_rss_bytes().map_or(f64::NAN, |bytes| bytes as f64),
        )
}

/// Fewer rows than these tell nothing: by chance half of them are wrong.
const TELLING_ROWS: u64 = 20;

/// The recalls of all classes, summed, of a model that has learnt nothing: 1, whether it has one answer or random ones. A little
/// more, for random answers are seldom exactly as good as that.
const BY_CHANCE: f64 = 1.1;

/// The most frequent class and its share of the rows, if always answering it is as good as the model. A model that finds rare
/// classes at the cost of accuracy, as with balanced classes, is better than that.
fn chance(evaluation: &Evaluation) -> Option<(&ClassMetrics, f64)> {
    let classes = || evaluation.per_class.iter();
    let common = classes().max_by_key(|class| class.support)?;
    let share = common.support as f64 / evaluation.rows.max(1) as f64;
    let found: f64 = classes().map(|class| class.recall).sum();
    // With one class there is nothing to learn.
    let none = evaluation.rows >= TELLING_ROWS && share < 1.0;
    (none && evaluation.accuracy <= share && found <= BY_CHANCE).then_some((common, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on so many rows of each class, each answered with one class.
    fn told(answers: &[(u32, u32, usize)]) -> Option<String> {
        let names = ["no", "yes"].map(str::to_owned);
        let (mut labels, mut decision) = (Vec::new(), Vec::new());
        for &(label, answer, rows) in answers {
            for _ in 0..rows {
                labels.push(label);
                decision.extend([f32::from(answer == 0), f32::from(answer == 1)]);
            }
        }
        let scores = Scores {
            classes: 2,
            decision,
            ..Scores::default()
        };
        let evaluation = evaluate(&labels, &names, &scores);
        chance(&evaluation).map(|(class, share)| format!("{} {share}", class.label))
    }

    #[test]
    fn a_model_that_has_learnt_something_is_not_as_good_as_one_answer() {
        let one_answer = [(0, 0, 30), (1, 0, 10)];
        assert_eq!(told(&one_answer).as_deref(), Some("no 0.75"));
        let random = [(0, 0, 15), (0, 1, 15), (1, 0, 5), (1, 1, 5)];
        assert_eq!(told(&random).as_deref(), Some("no 0.75"));
        let better = [(0, 0, 29), (0, 1, 1), (1, 0, 8), (1, 1, 2)];
        assert_eq!(told(&better), None);
        // Balanced classes: the rare one is found, at the cost of accuracy.
        let rare = [(0, 0, 20), (0, 1, 10), (1, 0, 1), (1, 1, 9)];
        assert_eq!(told(&rare), None);
        let one_class = [(0, 0, 40)];
        assert_eq!(told(&one_class), None);
        let few = [(0, 0, 2), (1, 0, 2)];
        assert_eq!(told(&few), None);
    }
}
