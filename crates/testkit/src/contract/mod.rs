//! SageMaker's training contract as tests of a real binary in a fake `/opt/ml`.
//!
//! Each test is a function; [`contract_suite!`](crate::contract_suite) creates a `#[test]` for it.
//! [`Trainer`] describes how to train.

mod hosting;
mod inputs;
mod outputs;
mod run_file;
mod stopping;
mod storage;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use hosting::*;
pub use inputs::*;
pub use outputs::*;
pub use run_file::*;
pub use stopping::*;
pub use storage::*;

use crate::{FakeMl, Outcome, Row, movie_rows, run, to_csv};

/// The description of a trainer for the suite.
#[derive(Clone, Debug)]
pub struct Trainer {
    /// The binary: `env!("CARGO_BIN_EXE_svm")`.
    pub bin: PathBuf,
    /// Flags of a training run on a few hundred rows that takes seconds.
    pub quick: Vec<String>,
    /// Training data of the runs that are stopped, such as [`imdb_train`](crate::imdb_train).
    pub long_data: PathBuf,
    /// Flags of such a run.
    pub long: Vec<String>,
    /// Flags of such a run with a hyperparameter search; empty if there is none.
    pub tune: Vec<String>,
    /// Hyperparameters as SageMaker passes them, encoded in several ways, that change the model.
    pub hyperparameters: Vec<(String, String)>,
    /// The same settings as command line flags.
    pub flags: Vec<String>,
    /// A numeric hyperparameter with two values that give different models. Neither `quick` nor
    /// `long` sets it.
    pub number: (String, String, String),
    /// A boolean hyperparameter that is false by default and changes the model; empty if there is
    /// none.
    pub switch: String,
    /// Name and regular expression of each metric.
    pub metrics: Vec<(String, String)>,
}

/// Creates one `#[test]` per contract test.
#[macro_export]
macro_rules! contract_suite {
    ($trainer:expr) => {
        $crate::contract_suite!(@tests $trainer;
            hyperparameters_equal_flags,
            boolean_hyperparameters_accept_python_spelling,
            command_line_overrides_hyperparameters,
            sagemaker_hyperparameters_are_ignored,
            unknown_hyperparameter_suggests_nearest,
            invalid_value_is_in_failure_file,
            invalid_hyperparameters_file_is_in_failure_file,
            train_channel_from_folder_variable_or_flag,
            missing_train_channel_is_in_failure_file,
            validation_and_test_channels_are_evaluated,
            resource_config_is_read,
            variables_set_output_folders,
            metric_lines_match_definitions,
            logs_are_plain_without_terminal,
            data_cannot_forge_metrics,
            json_prints_one_object,
            failure_file_is_short_and_starts_with_cause,
            read_only_model_folder_is_in_failure_file,
            full_disk_is_in_failure_file,
            mounted_model_folder_is_written,
            killed_run_leaves_complete_model_or_none,
            sigterm_before_data,
            sigterm_while_reading,
            sigterm_while_training,
            sigterm_while_tuning,
            sigterm_while_saving,
            process_1_handles_sigterm,
        );
    };
    (@tests $trainer:expr; $($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                $crate::contract::$name(&$trainer);
            }
        )*
    };
}

impl Trainer {
    /// The binary's name, for messages.
    pub fn name(&self) -> String {
        let name = self.bin.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Trains quickly in the fake `/opt/ml`, with more flags.
    #[track_caller]
    fn train<S: AsRef<str>>(&self, ml: &FakeMl, more: &[S]) -> Outcome {
        run(ml.train(&self.bin, &self.quick_and(more)))
    }

    fn quick_and<S: AsRef<str>>(&self, more: &[S]) -> Vec<String> {
        let more = more.iter().map(|flag| flag.as_ref().to_owned());
        self.quick.iter().cloned().chain(more).collect()
    }

    /// Trains quickly and returns the bytes of the weights.
    #[track_caller]
    fn weights<S: AsRef<str>>(&self, ml: &FakeMl, more: &[S]) -> Vec<u8> {
        self.train(ml, more).expect_code(0);
        weights(&ml.model_dir())
    }

    /// Runs `evaluate --json` on a model folder.
    #[track_caller]
    fn evaluate(&self, model: &Path, data: &Path) -> Outcome {
        let mut command = Command::new(&self.bin);
        command
            .env_clear()
            .arg("evaluate")
            .arg("--model-dir")
            .arg(model)
            .arg("--data")
            .arg(data)
            .arg("--json");
        run(command)
    }

    /// Checks that the model folder is empty or has a complete model.
    #[track_caller]
    fn assert_complete_or_none(&self, ml: &FakeMl, moment: &str) {
        let files = ml.model_files();
        if files.is_empty() {
            return;
        }
        let part = files
            .iter()
            .find(|name| name.starts_with('.') || name.contains("tmp"));
        assert!(
            part.is_none(),
            "{moment}: left a temporary {part:?} among {files:?}"
        );
        let outcome = self.evaluate(&ml.model_dir(), &crate::movie_csv());
        assert!(
            outcome.code() == Some(0),
            "{moment}: incomplete model, {files:?} cannot be evaluated: {}",
            outcome.stderr
        );
    }
}

/// Returns owned flags, for [`Trainer`].
pub fn strings(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|&flag| flag.to_owned()).collect()
}

/// Returns owned names and values, for [`Trainer`].
pub fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    pairs.iter().map(owned).collect()
}

/// A job whose `train` channel is the first 400 rows of the sample.
fn job() -> FakeMl {
    FakeMl::new().channel("train", "train.csv", to_csv(&train_rows()))
}

fn train_rows() -> Vec<Row> {
    movie_rows().into_iter().take(400).collect()
}

fn validation_rows() -> Vec<Row> {
    movie_rows().into_iter().skip(400).take(80).collect()
}

fn test_rows() -> Vec<Row> {
    movie_rows().into_iter().skip(480).collect()
}

#[track_caller]
fn weights(model: &Path) -> Vec<u8> {
    let path = model.join("model.safetensors");
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "no weights at `{}` among {:?}: {error}",
            path.display(),
            crate::fake_ml::names(model)
        )
    })
}

/// Checks that the run failed with exit code 1 and returns the text of the failure file.
#[track_caller]
fn failure(ml: &FakeMl, outcome: &Outcome) -> String {
    outcome.expect_code(1);
    let text = ml
        .failure()
        .unwrap_or_else(|| panic!("no failure file; stderr: {}", outcome.stderr));
    let length = text.chars().count();
    assert!(
        length > 0 && length <= 1024,
        "{length} characters in the failure file"
    );
    text
}

/// Checks that the first line of the failure file has each of the words.
#[track_caller]
fn assert_cause(ml: &FakeMl, outcome: &Outcome, words: &[&str]) {
    let text = failure(ml, outcome);
    let first = text.lines().next().unwrap_or_default();
    for word in words {
        assert!(
            first.contains(word),
            "no `{word}` in the first line of the failure file:\n{text}"
        );
    }
}

fn flag(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}
