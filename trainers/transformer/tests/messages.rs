//! Snapshots of help texts and error messages. `INSTA_UPDATE=always ./test -p transformer` accepts
//! changes.

use testkit::MessageFixture;

#[test]
fn help_of_each_command() {
    for command in ["train", "evaluate", "predict", "explain", "serve"] {
        let help = harness::help::<transformer::Transformer>(command).unwrap();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
    assert_eq!(harness::help::<transformer::Transformer>("unknown"), None);
}

#[test]
fn invalid_arguments_are_errors_with_help() {
    let train = "train --train rows.csv --model-dir model --pretrained-model nowhere";
    let lines = [
        "--freze-layers 1",
        "--max-len 2",
        "--batch-size 0",
        "--epochs five",
        "--freeze-layers some",
        "--dropout 1",
        "--learning-rate 0",
        "--learning-rate inf",
        "--warm-up 2",
        "--weight-decay -1",
        "--clip-norm -1",
        "--label-smoothing 1",
        "--device gpu",
        "--device cuda:7",
        "--device cpu --precision mixed",
        "--host-timeout 0",
        "--seed 1",
    ];
    let lines = lines.map(|line| format!("{train} {line}"));
    let fixture = MessageFixture::new(env!("CARGO_BIN_EXE_transformer"));
    let output = fixture.run(&lines.each_ref().map(String::as_str));
    insta::assert_snapshot!("invalid_arguments", output);
}
