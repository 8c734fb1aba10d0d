//! SageMaker's training contract, tested on the binary.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests, outside of a test function"
)]

mod kit;

use testkit::{pairs, strings};

fn trainer() -> testkit::Trainer {
    let pretrained = kit::pretrained();
    let fixed = [
        "--pretrained-model",
        pretrained.to_str().unwrap(),
        "--max-len",
        "64",
    ];
    let with = |more: &[&str]| strings(&[&fixed[..], more].concat());
    testkit::Trainer {
        bin: env!("CARGO_BIN_EXE_transformer").into(),
        quick: with(&["--no-report", "--epochs", "2"]),
        // Enough epochs that the run is stopped during one of them.
        long_data: testkit::movie_csv(),
        long: with(&["--epochs", "30", "--patience", "0"]),
        tune: Vec::new(),
        // A nested JSON string, and numbers.
        hyperparameters: pairs(&[
            ("accumulate", "\"2\""),
            ("learning_rate", "0.01"),
            ("freeze_layers", "\"\\\"1\\\"\""),
        ]),
        flags: strings(&[
            "--accumulate",
            "2",
            "--learning-rate",
            "0.01",
            "--freeze-layers",
            "1",
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
