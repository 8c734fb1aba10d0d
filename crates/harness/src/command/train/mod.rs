//! `train`: the life cycle of a training run.

mod finish;
mod resume;
mod run_paths;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use dataset::{Channels, Corpus, Findings, ReadOptions, RowCounts, RowTable, Split};
use diagnostics::{Error, ErrorKind, counted, print_json, print_line, sanitize};
use sagemaker::{Env, InputDataConfig, Paths, ResourceConfig, env_vars};
use serde_json::{Value, json};
use training::progress::Progress;
use training::resource_usage::ResourceUsage;
use training::stop::{RunPhase, Stop};
use training::{Hosts, Run};

use self::finish::Finished;
use self::run_paths::{RunPaths, unused_channels};
use super::args::{CheckpointArgs, TrainArgs, WeightArgs};
use super::run_file;
use crate::model_dir::ModelLock;
use crate::{Adapted, Needs, Trainer};

pub(super) fn command<T: Trainer>() -> Command {
    // The texts come last: `augment_args` would overwrite them.
    let command = TrainArgs::augment_args(Command::new("train"));
    let command = match T::ROW_WEIGHTS {
        true => WeightArgs::augment_args(command),
        false => command,
    };
    let command = match T::CHECKPOINTS {
        true => CheckpointArgs::augment_args(command),
        false => command,
    };
    T::Args::augment_args(command)
        .about("Train a model from labelled texts")
        .long_about(
            "Train a model from labelled texts.\n\nIn an Amazon SageMaker container, the hyperparameters of the \
             job are flags of this command (min_df is --min-df), and data and folders come from /opt/ml and SM_*.",
        )
        .after_help(format!(
            "Examples:\n  {name} train --train reviews.csv --model-dir models/{name}\n  \
             {name} train --train train/ --test test.csv --model-dir models/{name} --json\n  \
             {name} train --train reviews.csv --model-dir models/{name} {example}",
            name = T::NAME,
            example = T::EXAMPLE
        ))
        .allow_negative_numbers(true)
}

/// Converts the error of a stop by Ctrl-C outside of a job.
fn interrupted_or(error: Error, is_interrupted: bool) -> Error {
    match error.kind() {
        ErrorKind::Stopped if is_interrupted => error.into_kind(ErrorKind::Interrupted),
        _ => error,
    }
}

/// The parsed arguments of `train`.
pub(super) struct Arguments<T: Trainer> {
    pub(super) common: TrainArgs,
    pub(super) checkpoints: Option<CheckpointArgs>,
    pub(super) own: T::Args,
}

pub(super) fn run<T: Trainer>(
    paths: &Paths,
    arguments: Arguments<T>,
    matches: &ArgMatches,
    stop: Stop,
) -> Result<(), Error> {
    let usage = ResourceUsage::start();
    let (mut common, checkpoints) = (arguments.common, arguments.checkpoints);
    let mut params = T::check(arguments.own)?;
    common.text_pair = T::is_text_pair(&params);
    let options = read_options::<T>(&common)?;
    if common.check {
        return print_checked::<T>(&common, matches);
    }
    // Read for its errors: the input mode Pipe is refused.
    InputDataConfig::read(&paths.input_data_config())?;
    let resources = ResourceConfig::read(&paths.resource_config())?;
    let run_paths = RunPaths::find(paths, &common)?;
    run_paths.check_writable(common.no_report)?;
    let wants_checkpoints = matches!(&checkpoints, Some(given) if given.checkpoint_every > 0);
    let checkpoints = resume::checkpoint_dir(paths, checkpoints, &run_paths.model_dir)?;
    // Also for scripts in containers of AWS's toolkit, which sets `SM_MODEL_DIR`.
    let is_job = paths.in_container() || paths.names_model_dir();
    let progress = Arc::new(Progress::new(is_job || common.metric_lines));
    let is_leader = resources.is_leader();
    if !is_leader && !T::MULTI_HOST {
        progress.println("this trainer uses one host; this host is not the leader and exits");
        return Ok(());
    }
    let mut run = new_run(&common, options.threads.get(), &stop, &progress);
    run.set_hosts(hosts::<T>(paths, resources));
    if wants_checkpoints && checkpoints.is_none() {
        warn_no_checkpoint_dir(&mut run, paths);
    }
    warn_unused_channels::<T>(&mut run, paths)?;
    T::preflight(&mut params, paths)?;
    let channels = &run_paths.channels;
    let corpus = read_corpus::<T>(&mut params, channels, &common, &options, &mut run)?;
    check_threshold_metric(&common, &corpus.rows)?;
    warn_unused_options::<T>(&mut run, matches, &corpus.rows);
    let parameters = parameters::<T>(matches);
    // Held until the end of the run; the other hosts write no model.
    let lock = || lock_model(&run_paths.model_dir, &stop);
    let _lock = is_leader.then(lock).transpose()?;
    let fingerprint =
        |run: &Run| resume::fingerprint::<T>(&params, &parameters, &corpus.counts, run);
    resume::prepare::<T>(checkpoints.filter(|_| is_leader), fingerprint, &mut run)?;
    stop.enter(RunPhase::Training);
    run.progress("training");
    // In a job, a signal is the end that was asked for: SageMaker takes other codes as failures.
    let is_interrupted = || stop.was_interrupted() && !paths.in_container();
    let trained = T::train(&params, &corpus.rows, corpus.encoders, &mut run)
        .map_err(|error| interrupted_or(error, is_interrupted()))?;
    if !is_leader {
        return Ok(());
    }
    let finished = Finished::<T> {
        rows: corpus.rows,
        counts: corpus.counts,
        run,
        trained,
        parameters,
        options,
        run_file: run_file::text(T::NAME, &command::<T>(), matches),
    };
    finished.write(&common, &usage, &run_paths, &progress, paths.job_name())?;
    match is_interrupted() {
        true => Err(interrupted(&run_paths.model_dir)),
        false => Ok(()),
    }
}

/// Returns the options for reading; refuses several labels per row if the trainer does.
fn read_options<T: Trainer>(common: &TrainArgs) -> Result<ReadOptions, Error> {
    let columns = common.names();
    if columns.multi_label && !T::MULTI_LABEL {
        let message = format!("`{}` trains on one label per row only", T::NAME);
        return Err(Error::usage(message)
            .help("leave out --multi-label, or use another trainer, such as `svm`"));
    }
    common.data.options(columns)
}

/// Fails if --threshold-metric has nothing to choose: more than two classes exclude each other.
fn check_threshold_metric(common: &TrainArgs, rows: &RowTable) -> Result<(), Error> {
    let classes = rows.classes.len();
    if common.threshold_metric.is_none() || rows.label_sets.is_some() || classes == 2 {
        return Ok(());
    }
    let message = format!("expected two classes for --threshold-metric, found `{classes}`");
    Err(Error::usage(message).help("leave out --threshold-metric, or pass --multi-label"))
}

/// Locks the model folder. A signal that ends the process at once removes the folders that this
/// creates.
fn lock_model(dir: &Path, stop: &Stop) -> Result<ModelLock, Error> {
    let lock = ModelLock::acquire(dir)?;
    stop.remove_created(lock.created());
    Ok(lock)
}

/// The error after Ctrl-C, so that `train && deploy` does not continue.
fn interrupted(model_dir: &Path) -> Error {
    let message = format!(
        "interrupted by Ctrl-C; the model so far is saved in `{}`",
        model_dir.display()
    );
    Error::with_kind(ErrorKind::Interrupted, message)
        .help("run the same command again to train to the end")
}

fn new_run(common: &TrainArgs, threads: usize, stop: &Stop, progress: &Arc<Progress>) -> Run {
    let run = Run::new(threads, common.seed, stop.clone(), Arc::clone(progress));
    match common.no_report {
        true => run.without_report(),
        false => run,
    }
}

fn read_corpus<T: Trainer>(
    params: &mut T::Params,
    channels: &Channels,
    common: &TrainArgs,
    options: &ReadOptions,
    run: &mut Run,
) -> Result<Corpus<T::Encoder>, Error> {
    let files = [&channels.train, &channels.validation, &channels.test];
    if let Some(unused) = common.data.unused(files.into_iter().flatten()) {
        run.warn(unused);
    }
    let mut sources = files.into_iter().flatten();
    let can_repeat = sources.all(|source| source.path().is_some_and(Path::is_file));
    run.progress("reading the data");
    let options = ReadOptions {
        sketches: common.near_duplicates,
        weight_column: common.weight_column.clone(),
        ..options.clone()
    };
    let (seed, stop) = (run.stream("split"), run.stop_flag());
    let read = |params: &T::Params| {
        let make = || T::encoder(params);
        let channels = channels.clone();
        Corpus::read(
            channels,
            &options,
            common.validation_split,
            seed,
            make,
            &stop,
        )
    };
    let mut corpus = read(params)?;
    match T::adapt(params, &corpus.encoders[..corpus.train_encoders]) {
        Some(Adapted::Params(changed)) if can_repeat => {
            run.progress_line(&changed);
            drop(corpus);
            corpus = read(params)?;
        }
        Some(Adapted::Params(changed)) => {
            return Err(
                Error::new(format!("{changed}; a pipe cannot be read again"))
                    .help("pass --analyzer char, or --analyzer word to keep words"),
            );
        }
        Some(Adapted::Warning(warning)) => run.warn(warning),
        None => {}
    }
    print_counts(run, &corpus.rows, &corpus.counts);
    report_without_labels(run, &corpus.rows, &options);
    warn_findings(run, &corpus, common.validation_split);
    Ok(corpus)
}

fn warn_no_checkpoint_dir(run: &mut Run, paths: &Paths) {
    let help = match paths.in_container() {
        true => "give the job a CheckpointConfig (`trainyard train --checkpoints s3://...`)",
        false => "add --checkpoint-dir DIR",
    };
    run.warn(format!(
        "no checkpoints are written: --checkpoint-every needs a folder\n  help: {help}"
    ));
}

fn warn_unused_channels<T: Trainer>(run: &mut Run, paths: &Paths) -> Result<(), Error> {
    for channel in unused_channels(paths, T::CHANNELS)? {
        let others: String = T::CHANNELS
            .iter()
            .map(|name| format!(", `{name}`"))
            .collect();
        run.warn(format!(
            "the channel `{}` is not used\n  help: the channels are `train`{others}, `validation` and `test`",
            sanitize(&channel)
        ));
    }
    Ok(())
}

/// Warns of options that were given and have no effect in this run. (What the command line alone
/// shows is an error: see [`Trainer::check`].)
fn warn_unused_options<T: Trainer>(run: &mut Run, matches: &ArgMatches, rows: &RowTable) {
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let validated = rows.splits.contains(&Split::Validation);
    let hosts = run.hosts().names.len();
    let mut unused = Vec::new();
    for &(id, needs) in T::CONDITIONAL.iter().filter(|(id, _)| given(id)) {
        let why = match needs {
            Needs::ValidationRows if !validated => "there are no validation rows",
            Needs::SplitRows if !rows.split_off => "no rows were split off for validation",
            Needs::SeveralHosts if hosts < 2 => "one host trains alone",
            _ => continue,
        };
        unused.push((id, why));
    }
    if given("validation_split") && validated && !rows.split_off {
        unused.push(("validation_split", "there is validation data"));
    }
    for (id, why) in unused {
        let flag = id.replace('_', "-");
        run.warn(format!(
            "--{flag} has no effect: {why}\n  help: leave out --{flag}"
        ));
    }
}

/// Returns the hosts that train together; none if this host trains alone.
fn hosts<T: Trainer>(paths: &Paths, resources: ResourceConfig) -> Hosts {
    if !T::MULTI_HOST || resources.hosts.len() < 2 {
        return Hosts::default();
    }
    let leader = paths.env().get(env_vars::LEADER);
    Hosts {
        rank: resources.rank(),
        names: resources.hosts,
        leader: leader.map(|leader| leader.to_string_lossy().into_owned()),
        interface: resources.network_interface_name,
        key: host_key(paths.env()),
        ..Hosts::default()
    }
}

/// Returns the key of the job's hosts. Without `TRAINYARD_HOST_KEY` it tells jobs apart, but can be
/// guessed.
fn host_key(env: &Env) -> [u8; 32] {
    let variables = [env_vars::HOST_KEY, env_vars::JOB_ARN, env_vars::JOB_NAME];
    let values = variables.map(|variable| env.get(variable).unwrap_or_default());
    let hashes = values.map(|value| diagnostics::sha256(value.as_encoded_bytes()));
    diagnostics::sha256_bytes(hashes.concat().as_bytes())
}

fn print_checked<T: Trainer>(common: &TrainArgs, matches: &ArgMatches) -> Result<(), Error> {
    if common.json {
        let parameters = typed_parameters::<T>(&parameters::<T>(matches));
        return print_json(&json!({ "valid": true, "parameters": parameters }));
    }
    print_line("the options are valid; data and folders are not checked")
}

/// Returns every argument with its value, given or default. A run file is in its options.
fn parameters<T: Trainer>(matches: &ArgMatches) -> BTreeMap<String, String> {
    let command = command::<T>();
    // The matches also contain argument groups.
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
            && id.as_str() != run_file::OPTION
    };
    matches.ids().filter(is_value).filter_map(value).collect()
}

/// Returns the arguments for JSON: numbers and booleans as such.
fn typed_parameters<T: Trainer>(parameters: &BTreeMap<String, String>) -> Value {
    let command = command::<T>();
    let typed = |(name, value): (&String, &String)| {
        let value = super::describe::typed(&command, name, value);
        (name.clone(), value)
    };
    parameters.iter().map(typed).collect()
}

fn print_counts(run: &Run, rows: &RowTable, counts: &[(&'static str, RowCounts)]) {
    for (channel, counts) in counts {
        let dropped: Vec<String> = counts
            .dropped
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        let dropped = if dropped.is_empty() {
            "none dropped".to_owned()
        } else {
            format!("dropped: {}", dropped.join(", "))
        };
        run.progress_line(&format!(
            "{channel}: {} read, {} used, {dropped}",
            counted(counts.read, "row"),
            counts.used
        ));
        if let Some(statement) = counts.named_labels() {
            run.progress_line(statement);
        }
    }
    let count = |split| rows.splits.iter().filter(|&&of| of == split).count();
    run.progress_line(&format!(
        "{} classes; {} to train on, {} to validate on, {} to test on",
        rows.classes.len(),
        counted(count(Split::Train) as u64, "row"),
        count(Split::Validation),
        count(Split::Test),
    ));
}

/// Prints the number of rows without labels if rows may have several, and warns if most have none:
/// perhaps their key is another one.
fn report_without_labels(run: &mut Run, rows: &RowTable, options: &ReadOptions) {
    if rows.label_sets.is_none() {
        return;
    }
    let each = 0..rows.labels.len() as u32;
    let empty = each.filter(|row| rows.classes_of(*row).is_empty());
    let (empty, all) = (empty.count() as u64, rows.labels.len() as u64);
    run.progress_line(&format!("{} without labels", counted(empty, "row")));
    if empty * 10 <= all * 9 {
        return;
    }
    run.warn(format!(
        "{empty} of {} have no labels in `{}`\n  help: check that all rows have this column or \
         key, under this name",
        counted(all, "row"),
        sanitize(&options.label_column)
    ));
}

fn warn_findings<E>(run: &mut Run, corpus: &Corpus<E>, validation_split: f64) {
    for warning in corpus.findings.iter().flat_map(Findings::warnings) {
        run.warn(warning);
    }
    if validation_split > 0.0 && !corpus.rows.splits.contains(&Split::Validation) {
        // Equal texts stay in one split.
        let help = match corpus.rows.smallest_split(run.stream("split")) {
            Some(share) => format!("pass --validation-split {share:.2}, or --validation FILE"),
            None => "pass --validation FILE: no class has two different texts".to_owned(),
        };
        run.warn(format!(
            "no class has enough different texts for a validation share of {validation_split}: nothing is \
             validated or calibrated\n  help: {help}"
        ));
    }
}
