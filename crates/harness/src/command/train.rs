//! `train`: the life of a training run.

mod finish;
mod places;
mod resume;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use diagnostics::{Error, ErrorKind, sanitize};
use sagemaker::{InputDataConfig, Paths, ResourceConfig, env_vars};
use serde_json::json;

use self::finish::Finished;
use self::places::{Places, unused_channels};
use super::args::{CheckpointArgs, TrainArgs};
use super::output::line;
use crate::Trainer;
use crate::model_dir;
use dataset::{Corpus, Findings, RowCounts, RowTable, Split};
use training::progress::Progress;
use training::resource_usage::ResourceUsage;
use training::stop::{Phase, Stop};
use training::{Hosts, Run};

pub(super) fn command<T: Trainer>() -> Command {
    // The descriptions come last: the arguments' own types would overwrite them.
    let command = TrainArgs::augment_args(Command::new("train"));
    let command = match T::CHECKPOINTS {
        true => CheckpointArgs::augment_args(command),
        false => command,
    };
    T::Args::augment_args(command)
        .about("Train a model")
        .long_about(
            "Train a model from labelled texts.\n\nIn an Amazon SageMaker container the hyperparameters of the job \
             are flags of this command (min_df is --min-df), and channels and folders come from /opt/ml and SM_*.",
        )
        .args_override_self(true)
        .allow_negative_numbers(true)
}

/// All that was typed.
pub(super) struct Typed<T: Trainer> {
    pub(super) common: TrainArgs,
    pub(super) checkpoints: Option<CheckpointArgs>,
    pub(super) own: T::Args,
}

pub(super) fn run<T: Trainer>(
    paths: &Paths,
    typed: Typed<T>,
    matches: &ArgMatches,
    stop: Stop,
) -> Result<(), Error> {
    let facts = ResourceUsage::start();
    let Typed {
        common,
        checkpoints,
        own,
    } = typed;
    let mut params = T::check(own)?;
    if !(0.0..1.0).contains(&common.validation_split) {
        let message = format!(
            "expected --validation-split from 0 to below 1, found `{}`",
            common.validation_split
        );
        return Err(Error::usage(message).help("use --validation-split 0.1, or 0 for none"));
    }
    let options = common.data.options()?;
    if common.check {
        return say_checked::<T>(&common, matches);
    }
    // Read for its errors: pipe mode is refused.
    InputDataConfig::read(&paths.input_data_config())?;
    let resources = ResourceConfig::read(&paths.resource_config())?;
    let places = Places::find(paths, &common)?;
    model_dir::writable(&places.model)?;
    model_dir::writable(&places.output)?;
    let asked = checkpoints
        .as_ref()
        .is_some_and(|typed| typed.checkpoint_every > 0);
    let checkpoints = resume::place(paths, checkpoints, &places.model)?;
    let progress = Arc::new(Progress::new());
    let leads = resources.is_leader();
    if !leads && !T::HOSTS {
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
    if common.no_report {
        run = run.without_report();
    }
    run.on(hosts::<T>(paths, resources));
    if asked && checkpoints.is_none() {
        let help = match paths.in_container() {
            true => "give the job a CheckpointConfig (`trainyard train --checkpoints s3://...`)",
            false => "add --checkpoint-dir DIR",
        };
        run.warn(format!(
            "no checkpoints are written: --checkpoint-every has no folder to write them to\n  help: {help}"
        ));
    }
    for channel in unused_channels(paths, T::CHANNELS)? {
        let others: String = T::CHANNELS
            .iter()
            .map(|name| format!(", `{name}`"))
            .collect();
        run.warn(format!(
            "nothing reads the channel `{}`\n  help: the channels are `train`{others}, `validation` and `test`",
            sanitize(&channel)
        ));
    }
    T::ready(&mut params, paths)?;
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
        counts: accounts,
        findings,
    } = corpus;
    say_read(&progress, &rows, &accounts);
    warn(&mut run, &findings);
    if common.validation_split > 0.0 && !rows.splits.contains(&Split::Validation) {
        run.warn(format!(
            "no class has rows enough for a validation share of {}: nothing is validated or calibrated\n  help: raise \
             --validation-split, or pass --validation",
            common.validation_split
        ));
    }
    let parameters = parameters::<T>(matches);
    if let Some(checkpoints) = checkpoints.filter(|_| leads) {
        let identity = resume::identity::<T>(&params, &parameters, &accounts, &run);
        resume::open::<T>(checkpoints, identity, &mut run)?;
    }
    stop.enter(Phase::Training);
    run.progress("training");
    let trained = T::train(&params, &rows, encoders, &mut run);
    let mut trained = trained.map_err(|error| match error.kind() {
        ErrorKind::Stopped if stop.was_interrupted() => error.into_kind(ErrorKind::Interrupted),
        _ => error,
    })?;
    if !leads {
        return Ok(());
    }
    let details = std::mem::take(&mut trained.details);
    let finished = Finished::<T> {
        rows,
        accounts,
        run,
        trained,
        details,
        parameters,
        options,
    };
    finished.write(&common, &facts, &model, &output, &progress)
}

/// The hosts that train together, if they do.
fn hosts<T: Trainer>(paths: &Paths, resources: ResourceConfig) -> Hosts {
    if !T::HOSTS || resources.hosts.len() < 2 {
        return Hosts::default();
    }
    let leader = paths.env().get(env_vars::LEADER);
    Hosts {
        rank: resources.rank(),
        names: resources.hosts,
        leader: leader.map(|leader| leader.to_string_lossy().into_owned()),
        interface: resources.network_interface_name,
    }
}

fn say_checked<T: Trainer>(common: &TrainArgs, matches: &ArgMatches) -> Result<(), Error> {
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

fn say_read(progress: &Progress, rows: &RowTable, accounts: &[(&'static str, RowCounts)]) {
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
    let count = |part| rows.splits.iter().filter(|&&of| of == part).count();
    progress.say(&format!(
        "{} classes; {} rows to train on, {} to validate on, {} to test on",
        rows.classes.len(),
        count(Split::Train),
        count(Split::Validation),
        count(Split::Test),
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
