//! Snapshots of help texts and error messages. `INSTA_UPDATE=always ./test -p bag` accepts changes.

use testkit::MessageFixture;

#[test]
fn help_of_each_command() {
    for command in ["train", "evaluate", "predict", "explain", "serve"] {
        let help = harness::help::<bag::Bag>(command).unwrap();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
}

#[test]
fn command_line_errors_end_with_help() {
    let lines = [
        "--max-ngram 0",
        "--max-ngrams 9",
        "--emb-size 0",
        "--dropout 1",
        "--learning-rate 0",
        "--learning-rate inf",
        "--schedule often",
        "--hidden-size 5",
        "--min-df 1000",
    ]
    .map(|flags| format!("train --train rows.csv --model-dir model {flags}"));
    let output =
        MessageFixture::new(env!("CARGO_BIN_EXE_bag")).run(&lines.each_ref().map(String::as_str));
    insta::assert_snapshot!("command_line", output);
}
