//! Snapshots of help texts and error messages. `INSTA_UPDATE=always ./test -p bilstm` accepts
//! changes.
#![cfg(feature = "libtorch")]

use testkit::MessageFixture;

#[test]
fn help_of_each_command() {
    for command in ["train", "evaluate", "predict", "explain", "serve"] {
        let help = harness::help::<bilstm::BiLstm>(command).unwrap();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
    assert_eq!(harness::help::<bilstm::BiLstm>("unknown"), None);
}

/// A folder with rows, a JSON file that is not a tokenizer, and rows without words.
fn fixture() -> MessageFixture {
    let fixture = MessageFixture::new(env!("CARGO_BIN_EXE_bilstm"));
    fixture.write("other.json", "{\"version\": 1}");
    fixture.write("silent.csv", "text,label\n...,1\n!!!,0\n?!,1\n;;,0\n");
    fixture
}

#[test]
fn command_line_errors_end_with_help() {
    let output = fixture().run(&[
        "train --train rows.csv --model-dir model --hiden-size 5",
        "train --train rows.csv --model-dir model --hidden_size five",
        "train --train rows.csv --model-dir model --hidden-size 0",
        "train --train rows.csv --model-dir model --batch-size 0",
        "train --train rows.csv --model-dir model --pooling first",
        "train --train rows.csv --model-dir model --dropout 1",
        "train --train rows.csv --model-dir model --learning-rate 0",
        "train --train rows.csv --model-dir model --learning-rate inf",
        "train --train rows.csv --model-dir model --warm-up 2",
        "train --train rows.csv --model-dir model --clip-norm -1",
        "train --train rows.csv --model-dir model --device gpu",
        "train --train rows.csv --model-dir model --device cuda:7",
        "train --train rows.csv --model-dir model --device cpu --precision mixed",
        "train --train rows.csv --model-dir model --tokenizer nowhere.json",
        "train --train rows.csv --model-dir model --tokenizer other.json",
        "train --train rows.csv --model-dir model --tokenizer other.json --vocab-size 50",
        "train --train silent.csv --model-dir model",
    ]);
    insta::assert_snapshot!("command_line", output);
}

#[test]
fn model_errors_end_with_help() {
    let output = fixture().run(&[
        "predict --model-dir nowhere text",
        "train --train rows.csv --model-dir model --no-report --threads 1 --epochs 1 --hidden-size 4 --emb-size 4",
        "evaluate --model-dir model --data silent.csv --label-column lable",
    ]);
    insta::assert_snapshot!("model", output);
}
