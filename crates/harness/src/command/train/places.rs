//! Where a run finds its data, and where it writes.

use std::path::PathBuf;

use sagemaker::Paths;

use super::super::args::{self, TrainArgs};
use dataset::Channels;
use diagnostics::Error;

/// Where things are, and where they go.
pub(super) struct Places {
    pub(super) channels: Channels,
    pub(super) model: PathBuf,
    pub(super) output: PathBuf,
}

impl Places {
    pub(super) fn find(paths: &Paths, common: &TrainArgs) -> Result<Self, Error> {
        let channel =
            |typed: &Option<PathBuf>, name: &str| typed.clone().or_else(|| paths.channel(name));
        let train = channel(&common.train, "train").ok_or_else(|| {
            let place = paths.data_dir().join("train");
            let message = format!(
                "expected training data, found neither --train nor `{}`",
                place.display()
            );
            Error::usage(message)
                .help("pass --train FILE, set SM_CHANNEL_TRAIN, or give the job a channel `train`")
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
                return Err(
                    Error::usage("expected a folder for the model, found no --model-dir")
                        .help(help),
                );
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

/// A misspelt `validation` would otherwise be a share of the training data, in silence.
pub(super) fn unused_channels(paths: &Paths, more: &[&str]) -> Result<Vec<String>, Error> {
    let names = paths.channels()?.into_iter();
    Ok(names
        .map(|channel| channel.name)
        .filter(|name| !["train", "validation", "test"].contains(&name.as_str()))
        .filter(|name| !more.contains(&name.as_str()))
        .collect())
}
