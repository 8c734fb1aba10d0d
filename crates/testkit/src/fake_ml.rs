//! A fake `/opt/ml` with SageMaker's layout.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A temporary folder that replaces `/opt/ml` by `SAGEMAKER_BASE_DIR`.
pub struct FakeMl {
    root: TempDir,
}

impl Default for FakeMl {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeMl {
    /// Creates the folders and configuration files of a job with one host, no channels and no
    /// hyperparameters.
    pub fn new() -> Self {
        let root = TempDir::new().expect("a temporary folder can be created");
        let ml = Self { root };
        for folder in ["input/config", "input/data", "model", "output/data"] {
            std::fs::create_dir_all(ml.path(folder)).expect("folders can be created");
        }
        ml.write_json("input/config/hyperparameters.json", &json!({}));
        ml.write_json("input/config/inputdataconfig.json", &json!({}));
        ml.write_json(
            "input/config/resourceconfig.json",
            &json!({
                "current_host": "algo-1",
                "current_instance_type": "ml.m5.xlarge",
                "current_group_name": "homogeneousCluster",
                "hosts": ["algo-1"],
                "instance_groups": [{
                    "instance_group_name": "homogeneousCluster",
                    "instance_type": "ml.m5.xlarge",
                    "hosts": ["algo-1"],
                }],
                "network_interface_name": "eth0",
            }),
        );
        ml
    }

    /// A path below the fake `/opt/ml`.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(below)
    }

    /// The model folder.
    pub fn model_dir(&self) -> PathBuf {
        self.path("model")
    }

    /// Writes a file.
    pub fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(below);
        std::fs::write(&path, bytes)
            .unwrap_or_else(|error| panic!("cannot write `{}`: {error}", path.display()));
    }

    fn write_json(&self, below: &str, value: &Value) {
        self.write(below, value.to_string());
    }

    fn read_json(&self, below: &str) -> Map<String, Value> {
        let text = std::fs::read_to_string(self.path(below)).expect("written by `new`");
        serde_json::from_str(&text).expect("written by this kit")
    }

    /// Adds a hyperparameter; the value is a string, as SageMaker passes every value.
    #[must_use]
    pub fn hyperparameter(self, name: &str, value: &str) -> Self {
        let file = "input/config/hyperparameters.json";
        let mut all = self.read_json(file);
        all.insert(name.into(), value.into());
        self.write_json(file, &all.into());
        self
    }

    /// Adds a channel with one file.
    #[must_use]
    pub fn channel(self, name: &str, file: &str, bytes: impl AsRef<[u8]>) -> Self {
        let ml = self.declare(name);
        ml.write(&format!("input/data/{name}/{file}"), bytes);
        ml
    }

    /// Adds a channel with a FIFO and returns its path: the test decides what arrives when.
    #[must_use]
    pub fn fifo_channel(self, name: &str, file: &str) -> (Self, PathBuf) {
        let ml = self.declare(name);
        let path = ml.path(format!("input/data/{name}/{file}"));
        fifo(&path);
        (ml, path)
    }

    /// The channel's folder, and its entry in `inputdataconfig.json`.
    fn declare(self, name: &str) -> Self {
        let file = "input/config/inputdataconfig.json";
        let mut all = self.read_json(file);
        all.insert(
            name.into(),
            json!({
                "ContentType": "text/csv",
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }),
        );
        self.write_json(file, &all.into());
        std::fs::create_dir_all(self.path(format!("input/data/{name}")))
            .expect("folders can be created");
        self
    }

    /// Returns `train` as SageMaker starts it: the environment has only the base folder and the
    /// platform's variables.
    pub fn train<S: AsRef<OsStr>>(&self, bin: &Path, flags: &[S]) -> Command {
        let mut command = Command::new(bin);
        command
            .env_clear()
            .env("SAGEMAKER_BASE_DIR", self.root.path())
            .env("TRAINING_JOB_NAME", "testkit-job")
            .current_dir(self.root.path())
            .arg("train")
            .args(flags);
        command
    }

    /// Returns the text of `output/failure`, if there is one.
    pub fn failure(&self) -> Option<String> {
        std::fs::read_to_string(self.path("output/failure")).ok()
    }

    /// Returns the sorted names in the model folder, including hidden ones.
    pub fn model_files(&self) -> Vec<String> {
        names(&self.model_dir())
    }
}

/// Returns the sorted names in a folder, including hidden ones; empty without the folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// Creates a FIFO.
///
/// # Panics
/// If the file system does not support it.
pub fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
        .unwrap_or_else(|error| panic!("cannot create the fifo `{}`: {error}", path.display()));
}
