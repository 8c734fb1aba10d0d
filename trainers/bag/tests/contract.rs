//! Tests SageMaker's training contract with the real binary.

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn trainer() -> testkit::Trainer {
    let pairs = |pairs: &[(&str, &str)]| {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        pairs.iter().map(owned).collect()
    };
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
