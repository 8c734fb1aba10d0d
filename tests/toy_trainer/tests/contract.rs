//! SageMaker's training contract on the binary.

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn trainer() -> testkit::Trainer {
    testkit::Trainer {
        bin: env!("CARGO_BIN_EXE_toy").into(),
        quick: strings(&["--no-report"]),
        long_data: testkit::movie_csv(),
        long: strings(&["--pause", "1500"]),
        tune: Vec::new(),
        hyperparameters: vec![("alpha".into(), "\"2.5\"".into())],
        flags: strings(&["--alpha", "2.5"]),
        number: ("alpha".into(), "3".into(), "5".into()),
        switch: "uniform_prior".into(),
        metrics: sagemaker::metrics::definitions()
            .into_iter()
            .map(|definition| (definition.name, definition.regex))
            .collect(),
    }
}

testkit::contract_suite!(trainer());

/// `train --config`, also with the run file that a training wrote.
#[test]
fn run_files_train_the_same_model() {
    testkit::contract::run_file_trains_the_same_model(&trainer());
    testkit::contract::run_file_is_between_flags_and_hyperparameters(&trainer());
}
