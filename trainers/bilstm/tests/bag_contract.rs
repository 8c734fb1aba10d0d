//! SageMaker's training contract, tried on the real binary with `--arch bag`.
#![cfg(feature = "libtorch")]

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn trainer() -> testkit::Trainer {
    let pairs = |pairs: &[(&str, &str)]| {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        pairs.iter().map(owned).collect()
    };
    testkit::Trainer {
        bin: env!("CARGO_BIN_EXE_bilstm").into(),
        quick: strings(&["--arch", "bag", "--no-report"]),
        long_data: testkit::imdb_train(),
        long: strings(&["--arch", "bag", "--epochs", "500"]),
        tune: Vec::new(),
        // A string in a string in a string, an alias, and a number.
        hyperparameters: pairs(&[
            ("arch", "\"\\\"bag\\\"\""),
            ("word_ngrams", "\"3\""),
            ("learning_rate", "0.1"),
        ]),
        flags: strings(&["--arch", "bag", "--max-ngrams", "3", "--learning-rate", "0.1"]),
        number: ("min_df".into(), "3".into(), "5".into()),
        switch: "no_report".into(),
        metrics: contract::metrics::definitions()
            .into_iter()
            .map(|definition| (definition.name, definition.regex))
            .collect(),
    }
}

testkit::contract_suite!(trainer());
