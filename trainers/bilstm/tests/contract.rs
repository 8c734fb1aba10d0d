//! SageMaker's training contract, tested on the real binary.
#![cfg(feature = "libtorch")]

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn trainer() -> testkit::Trainer {
    let pairs = |pairs: &[(&str, &str)]| {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        pairs.iter().map(owned).collect()
    };
    let small = ["--emb-size", "8", "--hidden-size", "8"];
    let with = |more: &[&str]| strings(&[&small[..], more].concat());
    testkit::Trainer {
        bin: env!("CARGO_BIN_EXE_bilstm").into(),
        quick: with(&["--no-report", "--epochs", "2"]),
        // Enough epochs to be stopped within one of them.
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
