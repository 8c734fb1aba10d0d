//! A user's day with the real binary: train, be killed, go on, predict, explain, read the model in PyTorch.
#![cfg(feature = "libtorch")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of a test function"
)]

mod bag;
mod model;
mod resume;
mod training;

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{Outcome, movie_csv, run, to_csv};

/// Flags of a network that trains within a second.
const SMALL: [&str; 8] = [
    "--emb-size",
    "8",
    "--hidden-size",
    "8",
    "--seq-len",
    "24",
    "--batch-size",
    "16",
];

/// A folder for one test's files.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The first rows of the sample.
    fn rows(&self, count: usize) -> PathBuf {
        let path = self.path("rows.csv");
        std::fs::write(&path, to_csv(&testkit::movie_rows()[..count])).unwrap();
        path
    }

    /// `bilstm COMMAND --model-dir HOME/model ...`, with one thread.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bilstm"));
        command
            .env_clear()
            .arg(name)
            .arg("--model-dir")
            .arg(self.path("model"));
        command.args(arguments);
        command
    }

    fn bilstm(&self, name: &str, arguments: &[&str]) -> Outcome {
        run(self.command(name, arguments))
    }

    /// A training run of a small network on a file.
    fn train(&self, rows: &Path, more: &[&str]) -> Outcome {
        self.bilstm("train", &self.training(rows, more))
    }

    fn training<'a>(&self, rows: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let fixed = [
            "--train",
            rows.to_str().unwrap(),
            "--no-report",
            "--threads",
            "1",
        ];
        [&fixed[..], &SMALL, more].concat()
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
        home.train(
            &movie_csv(),
            &["--epochs", "1", "--seed", seed, "--threads", threads],
        )
        .expect_code(0);
        models.push(home.weights());
    }
    assert!(models[0] == models[1] && models[3] == models[4]);
    assert!(models[0] != models[2]);
}
