//! SageMaker's training contract, tried on the real binary.

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn trainer() -> testkit::Trainer {
    let pairs = |pairs: &[(&str, &str)]| {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        pairs.iter().map(owned).collect()
    };
    testkit::Trainer {
        bin: env!("CARGO_BIN_EXE_svm").into(),
        quick: strings(&["--no-report"]),
        long_data: testkit::imdb_train(),
        long: Vec::new(),
        // As many settings as it takes to be stopped in the middle of one.
        tune: strings(&["--tune", "--tune-trials", "3", "--folds", "2"]),
        // A string in a string in a string, an alias, and a list by name.
        hyperparameters: pairs(&[
            ("min_df", "\"3\""),
            ("max_ngram", "1"),
            ("stopwords", "\"\\\"english\\\"\""),
        ]),
        flags: strings(&[
            "--min-df",
            "3",
            "--max-ngrams",
            "1",
            "--stopwords",
            "english",
        ]),
        number: ("min_df".into(), "4".into(), "8".into()),
        switch: "sublinear_tf".into(),
        metrics: contract::metrics::definitions()
            .into_iter()
            .map(|definition| (definition.name, definition.regex))
            .collect(),
    }
}

testkit::contract_suite!(trainer());
