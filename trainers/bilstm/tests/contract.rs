//! SageMaker's training contract, tested on the binary.
#![cfg(feature = "libtorch")]

use testkit::{pairs, strings};

fn trainer() -> testkit::Trainer {
    let small = ["--emb-size", "8", "--hidden-size", "8"];
    let with = |more: &[&str]| strings(&[&small[..], more].concat());
    testkit::Trainer {
        bin: env!("CARGO_BIN_EXE_bilstm").into(),
        quick: with(&["--no-report", "--epochs", "2"]),
        // Enough epochs that the run is stopped during one of them.
        long_data: testkit::movie_csv(),
        long: with(&["--epochs", "12", "--patience", "0"]),
        tune: Vec::new(),
        // Nested strings, and numbers.
        hyperparameters: pairs(&[
            ("num_layers", "\"2\""),
            ("learning_rate", "0.01"),
            ("pooling", "\"\\\"mean\\\"\""),
        ]),
        flags: strings(&[
            "--num-layers",
            "2",
            "--learning-rate",
            "0.01",
            "--pooling",
            "mean",
        ]),
        number: ("batch_size".into(), "16".into(), "24".into()),
        switch: "no_buckets".into(),
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
