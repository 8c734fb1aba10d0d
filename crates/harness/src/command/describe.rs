//! `describe`: prints a description of the trainer, also as JSON for programs.

use std::any::TypeId;
use std::collections::HashSet;
use std::error::Error as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Args, Command, Id};
use diagnostics::{Error, print_json, print_line};
use sagemaker::metrics::definitions;
use sagemaker::trainer_description::{
    ChannelSpec, HyperparameterSpec, ParameterRange, ParameterType, Supports, TrainerDescription,
};

use super::args::{CheckpointArgs, DescribeArgs, TrainArgs};
use super::hyperparameters::RESERVED;
use super::{json_schema, run_file};
use crate::Trainer;
use crate::range::RangeError;

pub(super) fn command<T: Trainer>() -> Command {
    DescribeArgs::augment_args(Command::new("describe"))
        .about("Describe channels, hyperparameters and metrics for programs")
        .long_about(
            "Describe channels, hyperparameters and metrics for programs.\n\nNames are those of SageMaker's TrainingSpecification. \
             `trainyard` reads this to check a job before it starts.",
        )
        .after_help(format!(
            "Examples:\n  {name} describe\n  {name} describe --json\n  \
             {name} describe --json-schema > run.schema.json",
            name = T::NAME
        ))
}

pub(super) fn run<T: Trainer>(args: &DescribeArgs) -> Result<(), Error> {
    if args.json_schema {
        return print_json(&run_file_schema::<T>());
    }
    let description = describe::<T>();
    if args.json {
        return print_json(&serde_json::json!(description));
    }
    let TrainerDescription { name, version, .. } = &description;
    print_line(format_args!(
        "{name} {version}: {}",
        description.description
    ))?;
    for channel in &description.channels {
        let required = if channel.required { " (required)" } else { "" };
        print_line(format_args!("channel {}{required}", channel.name))?;
    }
    for parameter in description
        .hyperparameters
        .iter()
        .filter(|one| !one.reserved)
    {
        let kind = serde_json::json!(parameter.parameter_type);
        let kind = kind.as_str().unwrap_or_default();
        print_line(format_args!("hyperparameter {} ({kind})", parameter.name))?;
    }
    for metric in &description.metrics {
        print_line(format_args!("metric {}", metric.name))?;
    }
    Ok(())
}

/// Builds the description from the command line, so that it cannot differ from it.
pub(super) fn describe<T: Trainer>() -> TrainerDescription {
    let mut command = super::command::<T>();
    command.build();
    let commands = command.get_subcommands().map(Command::get_name);
    let commands = commands
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    let channel = |name: &&str| ChannelSpec {
        name: (*name).to_owned(),
        required: *name == "train",
        content_types: CONTENT_TYPES.map(str::to_owned).to_vec(),
        compression: ["None", "Gzip", "Zstd", "Bzip2", "Xz"]
            .map(str::to_owned)
            .to_vec(),
        input_modes: ["File", "FastFile"].map(str::to_owned).to_vec(),
    };
    let other_channel = |name: &&str| ChannelSpec {
        content_types: Vec::new(),
        compression: Vec::new(),
        ..channel(name)
    };
    let mut channels: Vec<_> = ["train", "validation", "test"]
        .iter()
        .map(channel)
        .collect();
    channels.extend(T::CHANNELS.iter().map(other_channel));
    let train = command.find_subcommand("train");
    let hyperparameters = train.map_or_else(Vec::new, |train| {
        let parameters = train.get_arguments().filter(|arg| is_parameter(arg));
        let common = common_options();
        parameters
            .map(|arg| hyperparameter(train, arg, common.contains(arg.get_id())))
            .collect()
    });
    TrainerDescription {
        name: T::NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: T::ABOUT.to_owned(),
        channels,
        hyperparameters,
        metrics: definitions(),
        supports: Supports {
            checkpoints: T::CHECKPOINTS,
            distributed: T::MULTI_HOST,
            gpu: T::GPU,
            spot: T::CHECKPOINTS,
        },
        commands,
    }
}

/// Returns the JSON Schema of the trainer's run files.
fn run_file_schema<T: Trainer>() -> serde_json::Value {
    let mut command = super::command::<T>();
    command.build();
    let Some(train) = command.find_subcommand("train") else {
        return serde_json::Value::Null;
    };
    let options = train
        .get_arguments()
        .filter(|arg| is_parameter(arg) && arg.get_id() != run_file::OPTION)
        .map(|arg| (arg, hyperparameter(train, arg, false)));
    json_schema::schema(format!("Run file of `{} train`", T::NAME), train, options)
}

/// MIME types of the data files; parquet and Arrow only if the binary was built with them.
#[cfg(feature = "parquet")]
const CONTENT_TYPES: [&str; 6] = [
    "text/csv",
    "text/tab-separated-values",
    "application/jsonlines",
    "application/x-parquet",
    "application/vnd.apache.arrow.file",
    "application/vnd.apache.arrow.stream",
];
#[cfg(not(feature = "parquet"))]
const CONTENT_TYPES: [&str; 3] = [
    "text/csv",
    "text/tab-separated-values",
    "application/jsonlines",
];

fn is_parameter(arg: &Arg) -> bool {
    let builtin = ["help", "version", "error_format"];
    arg.get_long().is_some() && !builtin.contains(&arg.get_id().as_str())
}

fn hyperparameter(train: &Command, arg: &Arg, is_common: bool) -> HyperparameterSpec {
    let name = arg.get_long().unwrap_or_default().to_owned();
    let mut aliases: Vec<String> = arg
        .get_all_aliases()
        .unwrap_or_default()
        .into_iter()
        .map(str::to_owned)
        .collect();
    if name.contains('-') {
        aliases.push(name.replace('-', "_"));
    }
    let choices: Vec<String> = match is_boolean(arg) {
        true => ["true", "false"].map(str::to_owned).to_vec(),
        false => {
            let values = arg.get_possible_values().into_iter();
            values.map(|value| value.get_name().to_owned()).collect()
        }
    };
    let parameter_type = match parameter_type(arg) {
        _ if !choices.is_empty() => ParameterType::Categorical,
        found => found,
    };
    let range = match parameter_type {
        ParameterType::Categorical => Some(ParameterRange {
            choices,
            ..ParameterRange::default()
        }),
        ParameterType::Integer | ParameterType::Continuous => number_range(train, &name),
        ParameterType::FreeText => None,
    };
    let reserved = RESERVED.contains(&arg.get_id().as_str());
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    HyperparameterSpec {
        aliases,
        parameter_type,
        default: default_value(arg, &help),
        range,
        help,
        required: arg.is_required_set(),
        tunable: !is_common && parameter_type != ParameterType::FreeText,
        reserved,
        name,
    }
}

/// Returns the default of the parser. An option without one has it in its help, as
/// `[default: ...]`, such as a default that depends on another option.
fn default_value(arg: &Arg, help: &str) -> Option<String> {
    let defaults = arg.get_default_values().iter();
    let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() {
        return Some(defaults.join(","));
    }
    let (_, rest) = help.split_once("[default: ")?;
    let (default, _) = rest.split_once(']')?;
    Some(default.to_owned())
}

/// Returns the options that all trainers have, such as `--seed`: tuning them is pointless.
fn common_options() -> HashSet<Id> {
    let common = CheckpointArgs::augment_args(TrainArgs::augment_args(Command::new("train")));
    common
        .get_arguments()
        .map(|arg| arg.get_id().clone())
        .collect()
}

/// Returns the value of an option of `train` as JSON: a number or a boolean if it is one.
pub(super) fn typed(train: &Command, name: &str, value: &str) -> serde_json::Value {
    let text = || serde_json::Value::from(value);
    let Some(arg) = train.get_arguments().find(|arg| arg.get_id() == name) else {
        return text();
    };
    let number = || match value.parse::<u64>() {
        Ok(integer) => Some(integer.into()),
        Err(_) => serde_json::Number::from_f64(value.parse().ok()?).map(Into::into),
    };
    match value.parse::<bool>() {
        Ok(flag) if is_boolean(arg) => flag.into(),
        _ if is_text(arg) => text(),
        _ => number().unwrap_or_else(text),
    }
}

fn is_boolean(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn is_text(arg: &Arg) -> bool {
    let parsed = arg.get_value_parser().type_id();
    let texts = [TypeId::of::<String>(), TypeId::of::<PathBuf>()];
    texts.iter().any(|id| parsed == *id)
}

/// Type of an option's value in JSON and TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    /// A flag.
    Boolean,
    /// A whole number.
    Integer,
    /// A whole or decimal number.
    Number,
    /// A string.
    Text,
    /// A string or a number; the option's parser decides.
    Other,
}

/// Returns the type of an option's value.
pub(super) fn value_type(arg: &Arg) -> ValueType {
    match parameter_type(arg) {
        _ if is_boolean(arg) => ValueType::Boolean,
        ParameterType::Integer => ValueType::Integer,
        ParameterType::Continuous => ValueType::Number,
        ParameterType::Categorical | ParameterType::FreeText if is_text(arg) => ValueType::Text,
        ParameterType::Categorical | ParameterType::FreeText => ValueType::Other,
    }
}

fn parameter_type(arg: &Arg) -> ParameterType {
    let parsed = arg.get_value_parser().type_id();
    let integers = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<std::num::NonZeroU32>(),
        TypeId::of::<std::num::NonZeroUsize>(),
    ];
    if integers.iter().any(|id| parsed == *id) {
        ParameterType::Integer
    } else if [TypeId::of::<f32>(), TypeId::of::<f64>()]
        .iter()
        .any(|id| parsed == *id)
    {
        ParameterType::Continuous
    } else {
        ParameterType::FreeText
    }
}

/// Returns the accepted range, which is the error of the option's parser: see [`crate::range`].
fn number_range(train: &Command, name: &str) -> Option<ParameterRange> {
    let arguments = ["train".to_owned(), format!("--{name}=?")];
    let error = train.clone().try_get_matches_from(arguments).err()?;
    let range = error.source()?.downcast_ref::<RangeError>()?;
    Some(range.to_parameter_range()).filter(|range| *range != ParameterRange::default())
}
