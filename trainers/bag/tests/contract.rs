//! SageMaker's training contract, tested on the binary.

use testkit::{pairs, strings};

fn trainer() -> testkit::Trainer {
    testkit::Trainer {
        bin: env!("CARGO_BIN_EXE_bag").into(),
        quick: strings(&["--no-report"]),
        // Enough epochs that the run is stopped during one of them.
        long_data: testkit::movie_csv(),
        long: strings(&["--epochs", "300"]),
        tune: Vec::new(),
        // A doubly quoted string, an alias, and a number.
        hyperparameters: pairs(&[
            ("schedule", "\"\\\"constant\\\"\""),
            ("word_ngrams", "\"3\""),
            ("learning_rate", "0.1"),
        ]),
        flags: strings(&[
            "--schedule",
            "constant",
            "--max-ngrams",
            "3",
            "--learning-rate",
            "0.1",
        ]),
        number: ("min_df".into(), "3".into(), "5".into()),
        switch: String::new(),
        metrics: sagemaker::metrics::definitions()
            .into_iter()
            .map(|definition| (definition.name, definition.regex))
            .collect(),
    }
}

testkit::contract_suite!(trainer());

/// `serve`, as SageMaker runs it.
#[cfg(feature = "serve")]
#[test]
fn hosting_contract() {
    testkit::contract::hosting(&trainer());
}

/// `train --config`, also with the run file that a training wrote.
#[test]
fn run_files_train_the_same_model() {
    testkit::contract::run_file_trains_the_same_model(&trainer());
    testkit::contract::run_file_is_between_flags_and_hyperparameters(&trainer());
}
