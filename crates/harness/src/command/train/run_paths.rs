//! The paths of a run: its data, model folder and output folder.

use std::path::PathBuf;

use dataset::Channels;
use diagnostics::Error;
use sagemaker::Paths;

use super::super::args::{self, TrainArgs};
use crate::model_dir;

/// The inputs and outputs of a run.
pub(super) struct RunPaths {
    pub(super) channels: Channels,
    pub(super) model_dir: PathBuf,
    pub(super) output_dir: PathBuf,
}

impl RunPaths {
    /// Takes each path from the command line, else from SageMaker's contract.
    pub(super) fn find(paths: &Paths, common: &TrainArgs) -> Result<Self, Error> {
        let channel =
            |given: &Option<PathBuf>, name: &str| given.clone().or_else(|| paths.channel(name));
        let train = channel(&common.train, "train").ok_or_else(|| {
            let dir = paths.data_dir().join("train");
            let message = format!(
                "expected training data, found neither --train nor `{}`",
                dir.display()
            );
            let help = "pass --train FILE, set SM_CHANNEL_TRAIN, or give the job a channel `train`";
            Error::usage(message).help(help)
        })?;
        let sources = |path: Option<PathBuf>| {
            path.map_or_else(|| Ok(Vec::new()), |path| args::sources(&path))
        };
        let has_contract = paths.in_container() || paths.names_model_dir();
        let model_dir = match &common.model_dir {
            Some(dir) => dir.clone(),
            None if has_contract => paths.model_dir(),
            None => {
                let message = "expected a folder for the model, found no --model-dir";
                let help = "pass --model-dir models/NAME, or set SM_MODEL_DIR";
                return Err(Error::usage(message).help(help));
            }
        };
        let output_dir = match &common.output_data_dir {
            Some(dir) => dir.clone(),
            None if has_contract => paths.output_data_dir(),
            None => model_dir.clone(),
        };
        let channels = Channels {
            train: args::sources(&train)?,
            validation: sources(channel(&common.validation, "validation"))?,
            test: sources(channel(&common.test, "test"))?,
        };
        Ok(Self {
            channels,
            model_dir,
            output_dir,
        })
    }

    /// Fails if the folders cannot be written, or have files of the user with these names.
    pub(super) fn check_writable(&self, no_report: bool) -> Result<(), Error> {
        model_dir::writable(&self.model_dir)?;
        model_dir::keep_run_file(&self.model_dir)?;
        match self.output_dir == self.model_dir {
            true => Ok(()),
            false => model_dir::results_writable(&self.output_dir, no_report),
        }
    }
}

/// Returns the channels of the job that nothing reads: a misspelt `validation` would silently be
/// replaced by a share of the training data.
pub(super) fn unused_channels(paths: &Paths, more: &[&str]) -> Result<Vec<String>, Error> {
    let names = paths.channels()?.into_iter();
    Ok(names
        .map(|channel| channel.name)
        .filter(|name| !["train", "validation", "test"].contains(&name.as_str()))
        .filter(|name| !more.contains(&name.as_str()))
        .collect())
}
