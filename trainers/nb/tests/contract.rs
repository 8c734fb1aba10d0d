//! SageMaker's training contract, tested on the binary.

use testkit::{pairs, strings};

fn trainer() -> testkit::Trainer {
    testkit::Trainer {
        bin: env!("CARGO_BIN_EXE_nb").into(),
        quick: strings(&["--no-report"]),
        long_data: testkit::imdb_train(),
        long: Vec::new(),
        tune: Vec::new(),
        // A doubly quoted string, an alias, and a number.
        hyperparameters: pairs(&[
            ("model_type", "\"\\\"complement\\\"\""),
            ("max_ngram", "\"1\""),
            ("min_df", "3"),
        ]),
        flags: strings(&[
            "--model-type",
            "complement",
            "--max-ngrams",
            "1",
            "--min-df",
            "3",
        ]),
        number: ("alpha".into(), "2".into(), "5".into()),
        switch: "binary".into(),
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
