//! A temporary folder in which a test trains and uses one model.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, movie_csv, movie_rows, run, to_csv};

/// A temporary folder with a model of one trainer.
pub struct Workspace {
    dir: tempfile::TempDir,
    bin: PathBuf,
    /// Flags of every training run.
    flags: Vec<String>,
}

impl Workspace {
    /// Creates an empty folder for the trainer `bin`, which trains with `flags` on one thread.
    ///
    /// # Panics
    /// If the folder cannot be created.
    pub fn new(bin: &str, flags: &[&str]) -> Self {
        let fixed = ["--no-report", "--threads", "1"].iter().chain(flags);
        Self {
            dir: tempfile::tempdir().expect("a temporary folder can be created"),
            bin: bin.into(),
            flags: fixed.map(|&flag| flag.to_owned()).collect(),
        }
    }

    /// Returns the path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the first rows of the sample to a file.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn rows(&self, count: usize) -> PathBuf {
        let path = self.path("rows.csv");
        std::fs::write(&path, to_csv(&movie_rows()[..count])).expect("rows.csv can be written");
        path
    }

    /// Returns the command `BIN COMMAND --model-dir DIR/model ...`.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.bin);
        command.env_clear().arg(name);
        command.arg("--model-dir").arg(self.path("model"));
        command.args(arguments);
        command
    }

    /// Returns the command of a training run on a file. `more` replaces flags of every run.
    pub fn training(&self, rows: &Path, more: &[&str]) -> Command {
        let mut command = self.command("train", &[]);
        command.arg("--train").arg(rows);
        let mut is_kept = true;
        for flag in &self.flags {
            // The value of a flag follows it.
            if flag.starts_with("--") {
                is_kept = !more
                    .iter()
                    .any(|other| other.split('=').next() == Some(flag.as_str()));
            }
            if is_kept {
                command.arg(flag);
            }
        }
        command.args(more);
        command
    }

    /// Trains on a file.
    #[track_caller]
    pub fn train(&self, rows: &Path, more: &[&str]) -> Outcome {
        run(self.training(rows, more))
    }

    /// Returns the bytes of the weights.
    ///
    /// # Panics
    /// If the model is missing.
    #[track_caller]
    pub fn weights(&self) -> Vec<u8> {
        std::fs::read(self.path("model/model.safetensors")).expect("the model has weights")
    }

    /// Returns `metrics.json`.
    ///
    /// # Panics
    /// If the model is missing.
    #[track_caller]
    pub fn metrics(&self) -> serde_json::Value {
        let text = std::fs::read(self.path("model/metrics.json")).expect("the model has metrics");
        serde_json::from_slice(&text).expect("metrics.json is JSON")
    }
}

/// Checks that equal seeds give byte-identical models, and other seeds another one.
///
/// # Panics
/// If they do not.
pub fn assert_equal_seeds_give_equal_models(workspace: &Workspace) {
    let mut models = Vec::new();
    for (seed, threads) in [("0", "1"), ("0", "1"), ("1", "1"), ("0", "2"), ("0", "2")] {
        let flags = ["--epochs", "1", "--seed", seed, "--threads", threads];
        workspace.train(&movie_csv(), &flags).expect_code(0);
        models.push(workspace.weights());
    }
    assert!(models[0] == models[1] && models[3] == models[4]);
    assert!(models[0] != models[2]);
}
