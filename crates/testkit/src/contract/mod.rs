//! SageMaker's training contract as tests of a real binary in a fake `/opt/ml`.
//!
//! One function per test; [`contract_suite!`](crate::contract_suite) makes a `#[test]` of each. They
//! know nothing about the model: what training means is told by [`Trainer`].

mod inputs;
mod outputs;
mod stopping;
mod storage;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use inputs::*;
pub use outputs::*;
pub use stopping::*;
pub use storage::*;

use crate::{FakeMl, Outcome, Row, movie_rows, run, to_csv};

/// What the suite has to know about a trainer.
#[derive(Clone, Debug)]
pub struct Trainer {
    /// The binary: `env!("CARGO_BIN_EXE_svm")`.
    pub bin: PathBuf,
    /// Flags of a training run on some hundred rows that takes seconds at most.
    pub quick: Vec<String>,
    /// The training data of the runs that are stopped half-way: [`imdb_train`](crate::imdb_train), or less.
    pub long_data: PathBuf,
    /// Flags of such a run.
    pub long: Vec<String>,
    /// Flags of such a run that searches for good hyperparameters; empty if it has no such mode.
    pub tune: Vec<String>,
    /// Hyperparameters as SageMaker passes them, encoded in several ways, that change the model.
    pub hyperparameters: Vec<(String, String)>,
    /// The same settings as command line flags.
    pub flags: Vec<String>,
    /// A hyperparameter that takes a number, with two values that give different models. Its name has an
    /// underscore, and neither `quick` nor `long` sets it.
    pub number: (String, String, String),
    /// A hyperparameter that is on or off, is off by default, and changes the model; empty if it has
    /// none.
    pub switch: String,
    /// Name and regular expression of every metric, as a launcher would send them.
    pub metrics: Vec<(String, String)>,
}

/// Makes one `#[test]` per contract test for the trainer that the expression describes.
#[macro_export]
macro_rules! contract_suite {
    ($trainer:expr) => {
        $crate::contract_suite!(@tests $trainer;
            hyperparameters_become_flags,
            hyperparameters_may_be_switches,
            the_command_line_wins_over_hyperparameters,
            sagemakers_own_hyperparameters_are_ignored,
            an_unknown_hyperparameter_names_the_nearest,
            a_bad_value_is_the_failure,
            broken_hyperparameters_are_the_failure,
            a_channel_is_a_folder_a_variable_or_a_flag,
            a_missing_train_channel_is_the_failure,
            validation_and_test_channels_are_used,
            resource_config_is_read,
            variables_move_the_outputs,
            metric_lines_match_their_definitions,
            logs_are_plain_without_a_terminal,
            data_never_looks_like_a_metric,
            json_is_one_object_on_stdout,
            the_failure_file_is_short_and_starts_with_the_cause,
            a_read_only_model_folder_is_the_failure,
            a_full_disk_is_the_failure,
            a_mounted_model_folder_is_written,
            a_killed_run_leaves_a_whole_model_or_none,
            sigterm_before_the_data,
            sigterm_in_the_middle_of_the_data,
            sigterm_in_training,
            sigterm_in_the_search,
            sigterm_while_the_model_is_written,
            process_1_obeys_sigterm,
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

    /// Trains quickly, which must succeed, and gives the bytes of the weights.
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

    /// After a stop: either nothing lies in the model folder, or a model that can be used.
    #[track_caller]
    fn assert_whole_or_none(&self, ml: &FakeMl, moment: &str) {
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
            "{moment}: half a model, {files:?} cannot be evaluated: {}",
            outcome.stderr
        );
    }
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

/// The run failed with exit code 1, and the failure file says so; gives its text.
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

/// The first line of the failure file holds each of the words.
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
