//! Paths of SageMaker's `/opt/ml`, or of a base folder that replaces it.
//!
//! Variables (`SM_MODEL_DIR`, `SM_CHANNEL_TRAIN`) take precedence over the layout. Trainers let
//! their command line options take precedence over both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::env_vars::{self, Env};
use crate::{ContractError, InputDataConfig, file};

const DEFAULT_BASE: &str = "/opt/ml";

/// The layout of a training container.
#[derive(Debug, Clone)]
pub struct Paths {
    base: PathBuf,
    env: Env,
}

/// A named data input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// `train`
    pub name: String,
    /// A folder, or a file if a variable is set to one.
    pub path: PathBuf,
}

impl Paths {
    /// Creates the layout from environment variables.
    pub fn new(env: Env) -> Self {
        let base = env
            .get(env_vars::BASE_DIR)
            .map_or_else(|| DEFAULT_BASE.into(), PathBuf::from);
        Self { base, env }
    }

    /// Creates the layout in a folder, without variables.
    pub fn at(base: impl Into<PathBuf>) -> Self {
        Self {
            base: base.into(),
            env: Env::default(),
        }
    }

    /// Environment variables.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Base folder: `/opt/ml` or its replacement.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// `input/config`
    pub fn config_dir(&self) -> PathBuf {
        self.base.join("input/config")
    }

    /// `input/config/hyperparameters.json`, for [`crate::hyperparameters::read`].
    pub fn hyperparameters(&self) -> PathBuf {
        self.config_dir().join("hyperparameters.json")
    }

    /// `input/config/inputdataconfig.json`, for [`InputDataConfig::read`].
    pub fn input_data_config(&self) -> PathBuf {
        self.config_dir().join("inputdataconfig.json")
    }

    /// `input/config/resourceconfig.json`, for [`crate::ResourceConfig::read`].
    pub fn resource_config(&self) -> PathBuf {
        self.config_dir().join("resourceconfig.json")
    }

    /// `input/config/checkpointconfig.json`, which [`Self::checkpoints`] reads.
    pub fn checkpoint_config(&self) -> PathBuf {
        self.config_dir().join("checkpointconfig.json")
    }

    /// `input/data`, with a folder per channel.
    pub fn data_dir(&self) -> PathBuf {
        self.base.join("input/data")
    }

    /// True if `SM_MODEL_DIR` is set.
    pub fn names_model_dir(&self) -> bool {
        self.env.get(env_vars::MODEL_DIR).is_some()
    }

    /// Folder of the model; becomes `model.tar.gz`.
    pub fn model_dir(&self) -> PathBuf {
        self.variable_or(env_vars::MODEL_DIR, "model")
    }

    /// Folder of reports; becomes `output.tar.gz`.
    pub fn output_data_dir(&self) -> PathBuf {
        self.variable_or(env_vars::OUTPUT_DATA_DIR, "output/data")
    }

    /// Failure file, for [`crate::failure::write`].
    pub fn failure(&self) -> PathBuf {
        self.base.join("output/failure")
    }

    /// Name of the training job, if running in one.
    pub fn job_name(&self) -> Option<String> {
        self.env
            .get(env_vars::JOB_NAME)
            .map(|name| name.to_string_lossy().into_owned())
    }

    /// True in a training container, or with a folder laid out like one. If false (on a laptop),
    /// nothing may be written below [`Self::base`].
    pub fn in_container(&self) -> bool {
        self.config_dir().is_dir() || self.env.get(env_vars::JOB_NAME).is_some()
    }

    /// Returns the file or folder of a channel: from its variable, or the folder in the layout if
    /// it exists.
    pub fn channel(&self, name: &str) -> Option<PathBuf> {
        if let Some(path) = self.env.channel(name) {
            return Some(path.into());
        }
        Some(self.data_dir().join(name)).filter(|path| path.exists())
    }

    /// Returns all channels, by name: from `inputdataconfig.json`, variables and the layout.
    ///
    /// # Errors
    /// Like [`InputDataConfig::read`]; also if the data folder exists but cannot be listed.
    pub fn channels(&self) -> Result<Vec<Channel>, ContractError> {
        let config = InputDataConfig::read(&self.input_data_config())?.unwrap_or_default();
        let mut names: Vec<String> = config.0.into_keys().collect();
        names.extend(self.folders()?);
        names.extend(self.env.channels().map(|(name, _)| name));
        // Variable names are folded: `SM_CHANNEL_MY_DATA` is the configured `my-data`. The first
        // spelling is kept.
        let mut channels = BTreeMap::new();
        for name in names {
            let folded = env_vars::variable_name(&name).to_lowercase();
            channels.entry(folded).or_insert(name);
        }
        let mut channels: Vec<Channel> = channels
            .into_values()
            .map(|name| {
                // A configured channel without a folder is listed too: reading it gives the best
                // error message.
                let path = self
                    .channel(&name)
                    .unwrap_or_else(|| self.data_dir().join(&name));
                Channel { name, path }
            })
            .collect();
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(channels)
    }

    /// Returns the checkpoint folder, which SageMaker restores at the start and syncs to S3: from
    /// `checkpointconfig.json`, or `checkpoints` if that folder exists. `None` without checkpoints.
    ///
    /// # Errors
    /// If `checkpointconfig.json` exists but is invalid.
    pub fn checkpoints(&self) -> Result<Option<PathBuf>, ContractError> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(rename = "LocalPath")]
            local_path: Option<PathBuf>,
        }
        const EXPECTED: &str = r#"an object such as {"S3Uri": "s3://bucket/folder", "LocalPath": "/opt/ml/checkpoints"}"#;
        let default = self.base.join("checkpoints");
        let config = file::json::<Config>(&self.checkpoint_config(), EXPECTED)?;
        Ok(match config {
            Some(Config { local_path }) => Some(
                local_path
                    .filter(|path| !path.as_os_str().is_empty())
                    .unwrap_or(default),
            ),
            None => Some(default).filter(|path| path.is_dir()),
        })
    }

    /// Returns names of folders in the data folder. SageMaker also puts `train-manifest` files
    /// there.
    fn folders(&self) -> Result<Vec<String>, ContractError> {
        let dir = self.data_dir();
        let failed = |source| ContractError::Read {
            path: dir.clone(),
            source,
        };
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string();
            match name {
                Ok(name) if !name.starts_with('.') && entry.path().is_dir() => names.push(name),
                _ => {}
            }
        }
        Ok(names)
    }

    fn variable_or(&self, variable: env_vars::Variable, below_base: &str) -> PathBuf {
        self.env
            .get(variable)
            .map_or_else(|| self.base.join(below_base), PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NO_VARIABLES: [(&str, &str); 0] = [];

    #[test]
    fn defaults_without_variables() {
        let paths = Paths::new(Env::from_map(NO_VARIABLES));
        assert_eq!(paths.base(), Path::new("/opt/ml"));
        assert_eq!(
            paths.hyperparameters(),
            Path::new("/opt/ml/input/config/hyperparameters.json")
        );
        assert_eq!(
            paths.resource_config(),
            Path::new("/opt/ml/input/config/resourceconfig.json")
        );
        assert_eq!(paths.model_dir(), Path::new("/opt/ml/model"));
        assert_eq!(paths.output_data_dir(), Path::new("/opt/ml/output/data"));
        assert_eq!(paths.failure(), Path::new("/opt/ml/output/failure"));
        assert_eq!(paths.job_name(), None);
    }

    #[test]
    fn variables_take_precedence() {
        let paths = Paths::new(Env::from_map([
            ("SAGEMAKER_BASE_DIR", "/b"),
            ("SM_MODEL_DIR", "/m"),
            ("SM_OUTPUT_DATA_DIR", "/o"),
            ("SM_CHANNEL_TRAIN", "/t.csv"),
            ("TRAINING_JOB_NAME", "job-1"),
        ]));
        assert_eq!(paths.failure(), Path::new("/b/output/failure"));
        assert_eq!(paths.model_dir(), Path::new("/m"));
        assert_eq!(paths.output_data_dir(), Path::new("/o"));
        assert_eq!(paths.channel("train").as_deref(), Some(Path::new("/t.csv")));
        assert_eq!(paths.channel("test"), None);
        assert_eq!(paths.job_name().as_deref(), Some("job-1"));
        assert!(paths.in_container());
    }

    #[test]
    fn laptop_is_not_a_container() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::at(dir.path());
        assert!(!paths.in_container());
        assert_eq!(paths.channels().unwrap(), []);
        assert_eq!(paths.checkpoints().unwrap(), None);
        fs::create_dir_all(paths.config_dir()).unwrap();
        assert!(paths.in_container());
    }

    #[test]
    fn channels_are_merged_from_config_variables_and_layout() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join("input/data").join(name);
        for name in ["train", "my-data", ".cache"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("train-manifest"), "[]").unwrap();
        fs::create_dir_all(dir.path().join("input/config")).unwrap();
        let config = r#"{"train": {"TrainingInputMode": "File"}, "gone": {}}"#;
        fs::write(dir.path().join("input/config/inputdataconfig.json"), config).unwrap();
        let base = dir.path().to_str().unwrap();
        let paths = Paths::new(Env::from_map([
            ("SAGEMAKER_BASE_DIR", base),
            ("SM_CHANNEL_MY_DATA", "/elsewhere"),
            ("SM_CHANNEL_TEST", "/test.csv"),
            ("SM_CHANNELS", "[\"train\"]"),
        ]));
        let channels: Vec<_> = paths
            .channels()
            .unwrap()
            .into_iter()
            .map(|c| (c.name, c.path))
            .collect();
        let expected = [
            ("gone", at("gone")),
            ("my-data", "/elsewhere".into()),
            ("test", "/test.csv".into()),
            ("train", at("train")),
        ];
        assert_eq!(
            channels,
            expected.map(|(name, path)| (name.to_owned(), path))
        );
    }

    #[test]
    fn checkpoint_folder_from_config_or_layout() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::at(dir.path());
        fs::create_dir_all(paths.config_dir()).unwrap();
        let with = |config: &str| {
            fs::write(paths.checkpoint_config(), config).unwrap();
            paths.checkpoints()
        };
        let default = dir.path().join("checkpoints");
        assert_eq!(
            with(r#"{"S3Uri": "s3://b/c", "LocalPath": "/c"}"#).unwrap(),
            Some("/c".into())
        );
        assert_eq!(
            with(r#"{"S3Uri": "s3://b/c"}"#).unwrap(),
            Some(default.clone())
        );
        assert_eq!(with(r#"{"LocalPath": ""}"#).unwrap(), Some(default.clone()));
        assert!(
            with("[")
                .unwrap_err()
                .to_string()
                .contains("checkpointconfig.json")
        );
        fs::remove_file(paths.checkpoint_config()).unwrap();
        fs::create_dir(&default).unwrap();
        assert_eq!(paths.checkpoints().unwrap(), Some(default));
    }

    #[test]
    fn data_folder_that_is_a_file_is_error() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::at(dir.path());
        fs::create_dir(dir.path().join("input")).unwrap();
        fs::write(paths.data_dir(), "").unwrap();
        assert!(matches!(paths.channels(), Err(ContractError::Read { .. })));
    }
}
