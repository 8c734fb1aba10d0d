//! `train`: the life of a training run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use contract::metrics::{Measure, Progress as ProgressMetric, Split};
use contract::{InputDataConfig, Metric, MetricLine, Paths, ResourceConfig, shown};
use serde_json::{Map, Value, json};

use super::args::{self, TrainArgs};
use super::hyperparameters::described;
use super::output::line;
use crate::corpus::{Channels, Corpus, Part, RowTable};
use crate::data::{Account, Findings};
use crate::facts::Facts;
use crate::metrics::{Evaluation, Scores, evaluate};
use crate::progress::Progress;
use crate::say::say;
use crate::stop::{Phase, Stop};
use crate::{Failure, Model, Run, Trained, Trainer, page, save};

pub(super) fn command<T: Trainer>() -> Command {
    // The descriptions come last: the arguments' own types would overwrite them.
    T::Args::augment_args(TrainArgs::augment_args(Command::new("train")))
        .about("Train a model")
        .long_about(
            "Train a model from labelled texts.\n\nIn an Amazon SageMaker container the hyperparameters of the job \
             are flags of this command (min_df is --min-df), and channels and folders come from /opt/ml and SM_*.",
        )
        .args_override_self(true)
        .allow_negative_numbers(true)
}

/// Where things are, and where they go.
struct Places {
    channels: Channels,
    model: PathBuf,
    output: PathBuf,
}

pub(super) fn run<T: Trainer>(
    paths: &Paths,
    common: TrainArgs,
    own: T::Args,
    matches: &ArgMatches,
    stop: Stop,
) -> Result<(), Failure> {
    let facts = Facts::start();
    let params = T::check(own)?;
    if !(0.0..1.0).contains(&common.validation_split) {
        let message = format!(
            "expected --validation-split from 0 to below 1, found `{}`",
            common.validation_split
        );
        return Err(Failure::usage(
            message,
            "use --validation-split 0.1, or 0 for none",
        ));
    }
    let options = common.data.options()?;
    if common.check {
        return say_checked::<T>(&common, matches);
    }
    // Read for its errors: pipe mode is refused.
    InputDataConfig::read(&paths.input_data_config()).map_err(described)?;
    let resources = ResourceConfig::read(&paths.resource_config()).map_err(described)?;
    let places = Places::find(paths, &common)?;
    save::writable(&places.model)?;
    save::writable(&places.output)?;
    let progress = Arc::new(Progress::new());
    if !resources.is_leader() {
        progress
            .say("this host is not the leader: a trainer on CPU uses one host, nothing to do here");
        return Ok(());
    }
    let mut run = Run::new(
        options.threads.get(),
        common.seed,
        stop.clone(),
        Arc::clone(&progress),
    );
    for channel in unused_channels(paths)? {
        run.warn(format!(
            "nothing reads the channel `{}`\n  help: the channels are `train`, `validation` and `test`",
            shown(&channel)
        ));
    }
    run.progress("reading the data");
    let encoder = || T::encoder(&params);
    let Places {
        channels,
        model,
        output,
    } = places;
    let corpus = Corpus::read(
        channels,
        &options,
        common.validation_split,
        run.stream("split"),
        encoder,
        &stop.flag(),
    )?;
    let Corpus {
        rows,
        encoders,
        accounts,
        findings,
    } = corpus;
    say_read(&progress, &rows, &accounts);
    warn(&mut run, &findings);
    if common.validation_split > 0.0 && !rows.parts.contains(&Part::Validation) {
        run.warn(format!(
            "no class has rows enough for a validation share of {}: nothing is validated or calibrated\n  help: raise \
             --validation-split, pass --validation, or use --calibration cv",
            common.validation_split
        ));
    }
    stop.enter(Phase::Training);
    run.progress("training");
    let trained = T::train(&params, &rows, encoders, &mut run);
    let mut trained = trained.map_err(|failure| match failure {
        Failure::Stopped if stop.was_interrupted() => Failure::Interrupted,
        other => other,
    })?;
    let details = std::mem::take(&mut trained.details);
    let finished = Finished::<T> {
        rows,
        accounts,
        run,
        trained,
        details,
        parameters: parameters::<T>(matches),
        options,
    };
    finished.write(&common, &facts, &model, &output, &progress)
}

/// A misspelt `validation` would otherwise be a share of the training data, in silence.
fn unused_channels(paths: &Paths) -> Result<Vec<String>, Failure> {
    let names = paths.channels().map_err(described)?.into_iter();
    Ok(names
        .map(|channel| channel.name)
        .filter(|name| !["train", "validation", "test"].contains(&name.as_str()))
        .collect())
}

impl Places {
    fn find(paths: &Paths, common: &TrainArgs) -> Result<Self, Failure> {
        let channel =
            |typed: &Option<PathBuf>, name: &str| typed.clone().or_else(|| paths.channel(name));
        let train = channel(&common.train, "train").ok_or_else(|| {
            let place = paths.data_dir().join("train");
            let message = format!(
                "expected training data, found neither --train nor `{}`",
                place.display()
            );
            Failure::usage(
                message,
                "pass --train FILE, set SM_CHANNEL_TRAIN, or give the job a channel `train`",
            )
        })?;
        let sources = |path: Option<PathBuf>| {
            path.map_or_else(|| Ok(Vec::new()), |path| args::sources(&path))
        };
        let contained = paths.in_container() || paths.names_model_dir();
        let model = match &common.model_dir {
            Some(dir) => dir.clone(),
            None if contained => paths.model_dir(),
            None => {
                let help = "pass --model-dir models/NAME, or set SM_MODEL_DIR";
                return Err(Failure::usage(
                    "expected a folder for the model, found no --model-dir",
                    help,
                ));
            }
        };
        let output = match &common.output_data_dir {
            Some(dir) => dir.clone(),
            None if contained => paths.output_data_dir(),
            None => model.clone(),
        };
        let channels = Channels {
            train: args::sources(&train)?,
            validation: sources(channel(&common.validation, "validation"))?,
            test: sources(channel(&common.test, "test"))?,
        };
        Ok(Self {
            channels,
            model,
            output,
        })
    }
}

fn say_checked<T: Trainer>(common: &TrainArgs, matches: &ArgMatches) -> Result<(), Failure> {
    if common.json {
        line(json!({ "valid": true, "parameters": parameters::<T>(matches) }));
    } else {
        line("the arguments are valid");
    }
    Ok(())
}

/// Every argument and its value, typed or default.
fn parameters<T: Trainer>(matches: &ArgMatches) -> BTreeMap<String, String> {
    let command = command::<T>();
    // clap's matches hold groups of arguments too.
    let arguments: Vec<&str> = command
        .get_arguments()
        .map(|argument| argument.get_id().as_str())
        .collect();
    let value = |id: &clap::Id| {
        let values: Vec<_> = matches
            .get_raw(id.as_str())?
            .map(|value| value.to_string_lossy())
            .collect();
        Some((id.as_str().to_owned(), values.join(",")))
    };
    let is_value = |id: &&clap::Id| {
        matches!(
            matches.value_source(id.as_str()),
            Some(ValueSource::CommandLine | ValueSource::DefaultValue)
        ) && arguments.contains(&id.as_str())
    };
    matches.ids().filter(is_value).filter_map(value).collect()
}

fn say_read(progress: &Progress, rows: &RowTable, accounts: &[(&'static str, Account)]) {
    for (channel, account) in accounts {
        let dropped: Vec<String> = account
            .dropped
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        let dropped = if dropped.is_empty() {
            "none dropped".to_owned()
        } else {
            format!("dropped: {}", dropped.join(", "))
        };
        progress.say(&format!(
            "{channel}: {} rows read, {} used, {dropped}",
            account.read, account.used
        ));
    }
    let count = |part| rows.parts.iter().filter(|&&of| of == part).count();
    progress.say(&format!(
        "{} classes; {} rows to train on, {} to validate on, {} to test on",
        rows.classes.len(),
        count(Part::Train),
        count(Part::Validation),
        count(Part::Test),
    ));
}

fn warn(run: &mut Run, findings: &[Findings]) {
    for warning in findings.iter().flat_map(Findings::warnings) {
        let text = warning.to_string();
        run.warn(
            text.strip_prefix("warning")
                .unwrap_or(&text)
                .trim_start_matches(": ")
                .to_owned(),
        );
    }
}

/// A trained model, not yet written.
struct Finished<T: Trainer> {
    rows: RowTable,
    accounts: Vec<(&'static str, Account)>,
    run: Run,
    trained: Trained<T::Model>,
    details: Map<String, Value>,
    parameters: BTreeMap<String, String>,
    options: crate::data::ReadOptions,
}

/// One part's scores and what they are worth.
struct Judged {
    split: Split,
    part: Part,
    evaluation: Evaluation,
}

impl<T: Trainer> Finished<T> {
    fn write(
        mut self,
        common: &TrainArgs,
        facts: &Facts,
        model_dir: &Path,
        output_dir: &Path,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let judged = self.judge();
        let stopped = self.run.stopped();
        let together = model_dir == output_dir;
        let page = if common.no_report || stopped {
            None
        } else {
            Some(self.page(&judged, facts)?)
        };
        let metrics = self.metrics(&judged, facts, common.seed);
        let text = format!("{metrics:#}\n");
        let mut extra = vec![("metrics.json", text.into_bytes())];
        extra.extend(page.map(|page| ("report.html", page.into_bytes())));
        let model = &self.trained.model;
        if together {
            save::model(model_dir, &extra, |dir| model.save(dir))?;
        } else {
            save::model(model_dir, &[], |dir| model.save(dir))?;
            save::files(output_dir, &extra)?;
        }
        progress.finish();
        for judged in &judged {
            say(metric_line(judged));
        }
        say(resource_line(facts));
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
        Ok(())
    }

    /// Test before validation before training rows, which are judged only where there is nothing else, or where the
    /// trainer has scored them out of fold.
    fn judge(&self) -> Vec<Judged> {
        let scores = &self.trained.scores;
        let parts = [
            (Split::Test, Part::Test, &scores.test),
            (Split::Validation, Part::Validation, &scores.validation),
            (Split::Train, Part::Train, &scores.train),
        ];
        let judge = |(split, part, scores): (Split, Part, &Option<Scores>)| {
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

    fn labels(&self, part: Part) -> Vec<u32> {
        self.rows
            .of(part)
            .into_iter()
            .map(|row| self.rows.labels[row as usize])
            .collect()
    }

    fn metrics(&self, judged: &[Judged], facts: &Facts, seed: u64) -> Value {
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
        metrics.insert("details".to_owned(), Value::Object(self.details.clone()));
        metrics.insert("started".to_owned(), json!(facts.started));
        metrics.insert("seconds".to_owned(), json!(facts.seconds()));
        metrics.insert("cpu_seconds".to_owned(), json!(Facts::cpu_seconds()));
        metrics.insert("peak_rss_bytes".to_owned(), json!(Facts::peak_rss_bytes()));
        Value::Object(metrics)
    }

    fn page(&mut self, judged: &[Judged], facts: &Facts) -> Result<String, Failure> {
        let first = judged.first();
        let scores = &self.trained.scores;
        let errors = match first.map(|judged| judged.part) {
            Some(Part::Test) => scores.test.as_ref(),
            Some(Part::Validation) => scores.validation.as_ref(),
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
            if judged.part == Part::Train && !self.trained.scores.out_of_fold {
                line(
                    "these are rows that the model has learnt from: give --test, or --validation-split 0.1",
                );
            }
        }
        line(format_args!("model: {}", model_dir.display()));
        if page {
            line(format_args!(
                "report: {}",
                output_dir.join("report.html").display()
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

fn resource_line(facts: &Facts) -> MetricLine {
    MetricLine::new()
        .with(Metric::At(ProgressMetric::Seconds), facts.seconds())
        .with(
            Metric::At(ProgressMetric::PeakRssBytes),
            Facts::peak_rss_bytes().map_or(f64::NAN, |bytes| bytes as f64),
        )
}
