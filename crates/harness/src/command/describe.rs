//! `describe`: prints a description of the trainer, also as JSON for programs.

use std::any::TypeId;
use std::ffi::OsString;

use clap::{Arg, ArgAction, Args, Command};
use diagnostics::{Error, print_line};
use sagemaker::metrics::definitions;
use sagemaker::trainer_description::{
    ChannelSpec, HyperparameterSpec, ParameterRange, ParameterType, Supports, TrainerDescription,
};

use super::args::DescribeArgs;
use super::hyperparameters::RESERVED;
use crate::Trainer;

pub(super) fn command() -> Command {
    DescribeArgs::augment_args(Command::new("describe"))
        .about("Describe channels, hyperparameters and metrics for programs")
        .long_about(
            "Describe channels, hyperparameters and metrics for programs.\n\nNames are those of SageMaker's TrainingSpecification. \
             `trainyard` reads this to check a job before it starts.",
        )
}

pub(super) fn run<T: Trainer>(args: &DescribeArgs) -> Result<(), Error> {
    let description = describe::<T>();
    if args.json {
        return print_line(serde_json::json!(description));
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
        let kind = format!("{:?}", parameter.parameter_type);
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
        compression: ["None", "Gzip", "Zstd"].map(str::to_owned).to_vec(),
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
        parameters.map(|arg| hyperparameter(train, arg)).collect()
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

/// MIME types of the data files; parquet only if the binary was built with it.
#[cfg(feature = "parquet")]
const CONTENT_TYPES: [&str; 4] = [
    "text/csv",
    "text/tab-separated-values",
    "application/jsonlines",
    "application/x-parquet",
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

fn hyperparameter(train: &Command, arg: &Arg) -> HyperparameterSpec {
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
        ParameterType::Integer => integer_range(train, &name),
        ParameterType::Continuous | ParameterType::FreeText => None,
    };
    let reserved = RESERVED.contains(&arg.get_id().as_str());
    let defaults = arg.get_default_values().iter();
    let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
    HyperparameterSpec {
        aliases,
        parameter_type,
        default: (!defaults.is_empty()).then(|| defaults.join(",")),
        range,
        help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
        required: arg.is_required_set(),
        tunable: !reserved && parameter_type != ParameterType::FreeText,
        reserved,
        name,
    }
}

fn is_boolean(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn parameter_type(arg: &Arg) -> ParameterType {
    let parsed = arg.get_value_parser().type_id();
    let integers = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
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

/// Finds the accepted range by trying values: the parser does not expose its limits.
fn integer_range(train: &Command, name: &str) -> Option<ParameterRange> {
    let accepts = |value: u64| {
        let arguments = ["train".to_owned(), format!("--{name}={value}")].map(OsString::from);
        let parsed = train.clone().try_get_matches_from(arguments);
        parsed.map_err(|error| error.kind()).err() != Some(clap::error::ErrorKind::ValueValidation)
    };
    let min = (0..3).find(|&value| accepts(value))?;
    // The largest value below 2^63, the limit of JSON readers and SageMaker.
    let (mut low, mut high) = (min, i64::MAX as u64);
    if accepts(high) {
        low = high;
    }
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        *(if accepts(middle) { &mut low } else { &mut high }) = middle;
    }
    Some(ParameterRange {
        min: Some(min.to_string()),
        max: Some(low.to_string()),
        ..ParameterRange::default()
    })
}
