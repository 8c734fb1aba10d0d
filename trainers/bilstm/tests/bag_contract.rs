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
        // So many epochs that it is stopped within one, after some.
        long_data: testkit::movie_csv(),
        long: strings(&["--arch", "bag", "--epochs", "300"]),
        tune: Vec::new(),
        // A string in a string in a string, an alias, and a number.
        hyperparameters: pairs(&[
            ("arch", "\"\\\"bag\\\"\""),
            ("word_ngrams", "\"3\""),
            ("learning_rate", "0.1"),
        ]),
        flags: strings(&[
            "--arch",
            "bag",
            "--max-ngrams",
            "3",
            "--learning-rate",
            "0.1",
        ]),
        number: ("min_df".into(), "3".into(), "5".into()),
        // It has none: the test of switches is not in the list below.
        switch: String::new(),
        metrics: contract::metrics::definitions()
            .into_iter()
            .map(|definition| (definition.name, definition.regex))
            .collect(),
    }
}

// What depends on the architecture; `contract.rs` has the rest.
testkit::contract_suite!(@tests trainer();
    hyperparameters_become_flags,
    the_command_line_wins_over_hyperparameters,
    a_bad_value_is_the_failure,
    validation_and_test_channels_are_used,
    metric_lines_match_their_definitions,
    json_is_one_object_on_stdout,
    a_full_disk_is_the_failure,
    a_killed_run_leaves_a_whole_model_or_none,
    sigterm_in_training,
);
