//! Snapshots of help texts and error messages. `INSTA_UPDATE=always ./test -p nb` accepts changes.

use testkit::MessageFixture;

#[test]
fn help_of_each_command() {
    for command in ["train", "evaluate", "predict", "explain", "serve"] {
        let help = harness::help::<nb::Nb>(command).unwrap();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
}

#[test]
fn command_line_errors_end_with_help() {
    let lines = [
        "--max-ngrams 9",
        "--alpha 0",
        "--model-type bernoulli",
        "--norm",
        "--model-type complement --no-fit-prior",
        "--binary --sublinear-tf",
        "--min-df 5 --max-df 4",
        "--fit-prior",
        "--min-df 1000",
    ]
    .map(|flags| format!("train --train rows.csv --model-dir model {flags}"));
    let output =
        MessageFixture::new(env!("CARGO_BIN_EXE_nb")).run(&lines.each_ref().map(String::as_str));
    insta::assert_snapshot!("command_line", output);
}
