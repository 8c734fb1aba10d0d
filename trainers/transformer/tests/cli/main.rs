//! Tests of the binary: train, kill, resume, predict, explain, read the model in Python.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests, outside of a test function"
)]

mod hosts;
#[path = "../kit/mod.rs"]
mod kit;
mod model;
mod pretrained;
mod resume;
mod training;

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{Outcome, movie_csv, run, to_csv};

/// A folder for one test's files.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the first rows of the sample.
    fn rows(&self, count: usize) -> PathBuf {
        let path = self.path("rows.csv");
        std::fs::write(&path, to_csv(&testkit::movie_rows()[..count])).unwrap();
        path
    }

    /// `transformer COMMAND --model-dir HOME/model ...`
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_transformer"));
        command
            .env_clear()
            .arg(name)
            .arg("--model-dir")
            .arg(self.path("model"));
        command.args(arguments);
        command
    }

    fn transformer(&self, name: &str, arguments: &[&str]) -> Outcome {
        run(self.command(name, arguments))
    }

    /// Trains a narrow network.
    fn train(&self, rows: &Path, more: &[&str]) -> Outcome {
        run(self.training(rows, more))
    }

    fn training(&self, rows: &Path, more: &[&str]) -> Command {
        let pretrained = kit::pretrained();
        let fixed = [
            "--train",
            rows.to_str().unwrap(),
            "--no-report",
            "--threads",
            "1",
            "--pretrained-model",
            pretrained.to_str().unwrap(),
            "--max-len",
            "24",
        ];
        self.command("train", &[&fixed[..], more].concat())
    }

    fn weights(&self) -> Vec<u8> {
        std::fs::read(self.path("model/model.safetensors")).unwrap()
    }

    fn metrics(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path("model/metrics.json")).unwrap()).unwrap()
    }
}

#[test]
fn equal_seeds_give_equal_models() {
    let home = Home::new();
    let mut models = Vec::new();
    for (seed, threads) in [("0", "1"), ("0", "1"), ("1", "1"), ("0", "2"), ("0", "2")] {
        let flags = ["--epochs", "1", "--seed", seed, "--threads", threads];
        home.train(&movie_csv(), &flags).expect_code(0);
        models.push(home.weights());
    }
    assert!(models[0] == models[1] && models[3] == models[4]);
    assert!(models[0] != models[2]);
}
