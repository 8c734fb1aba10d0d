//! The model folder, read with the documented Python code, and `explain`.

use std::path::Path;

use serde_json::Value;
use testkit::{movie_csv, torch_judge_cases};

use super::Home;

/// Compares the logits of each model with those of the documented PyTorch module.
#[track_caller]
fn compare(homes: &[Home]) {
    let rows = movie_csv();
    let cases = homes.iter().map(|home| {
        let paths = [home.path("model"), movie_csv()];
        paths.map(|path| path.to_str().unwrap().to_owned()).to_vec()
    });
    let results = torch_judge_cases("read_bilstm", &cases.collect::<Vec<_>>());
    for (home, theirs) in homes.iter().zip(&results) {
        assert_equal_answers(theirs, home, &rows);
    }
}

#[track_caller]
fn assert_equal_answers(theirs: &Value, home: &Home, rows: &Path) {
    let arguments = ["--input", rows.to_str().unwrap(), "--format", "jsonl"];
    let outcome = home.bilstm("predict", &arguments);
    outcome.expect_code(0);
    let labels = theirs["labels"].as_array().unwrap();
    let logits = theirs["logits"].as_array().unwrap();
    assert_eq!(outcome.stdout.lines().count(), logits.len());
    for (row, (answer, logits)) in outcome.stdout.lines().zip(logits).enumerate() {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let class = labels
            .iter()
            .position(|label| *label == answer["label"])
            .unwrap();
        let (ours, theirs) = (
            answer["score"].as_f64().unwrap(),
            logits[class].as_f64().unwrap(),
        );
        assert!(
            (ours - theirs).abs() < 1e-5,
            "row {row}: {ours}, expected {theirs}"
        );
    }
}

#[test]
fn pytorch_reads_the_model() {
    let homes = ["max", "last", "mean", "attention"].map(|pooling| {
        let home = Home::new();
        home.train(
            &movie_csv(),
            &["--epochs", "2", "--num-layers", "2", "--pooling", pooling],
        )
        .expect_code(0);
        home
    });
    compare(&homes);
}

/// Writes a tokenizer file that requests padding and truncation, which must not happen.
pub(super) fn tokenizer(home: &Home) -> std::path::PathBuf {
    let mut vocab = serde_json::Map::new();
    for name in [
        "[PAD]", "[UNK]", "the", "a", "film", "good", "bad", "##s", "of", "is", "and", "movie",
        "it",
    ] {
        vocab.insert(name.to_owned(), vocab.len().into());
    }
    let special = |id: u32, content: &str| {
        serde_json::json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true })
    };
    let json = serde_json::json!({
        "version": "1.0",
        "truncation": { "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 },
        "padding": { "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]" },
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]")],
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": null,
        "decoder": null,
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab },
    });
    let path = home.path("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    path
}

#[test]
fn tokenizer_file_is_used_and_saved_with_the_model() {
    let home = Home::new();
    let file = tokenizer(&home);
    home.train(
        &movie_csv(),
        &["--epochs", "1", "--tokenizer", file.to_str().unwrap()],
    )
    .expect_code(0);
    assert_eq!(
        std::fs::read(home.path("model/tokenizer.json")).unwrap(),
        std::fs::read(&file).unwrap()
    );
    assert!(!home.path("model/vocabulary.txt").exists());
    std::fs::remove_file(&file).unwrap();
    compare(&[home]);
}

/// For files that pad with the unknown token or with a word.
#[test]
fn padding_id_does_not_occur_in_texts() {
    let homes = ["[UNK]", "the"].map(|pad| {
        let home = Home::new();
        let file = tokenizer(&home);
        let mut changed: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let pad = changed["model"]["vocab"][pad].clone();
        changed["padding"]["pad_id"] = pad.clone();
        std::fs::write(&file, changed.to_string()).unwrap();
        let flags = ["--epochs", "1", "--tokenizer", file.to_str().unwrap()];
        home.train(&movie_csv(), &flags).expect_code(0);
        let config = std::fs::read(home.path("model/config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_ne!(config["pad"], pad, "{config}");
        home
    });
    compare(&homes);
}

#[test]
fn invalid_tokenizer_file_is_refused() {
    let home = Home::new();
    let rows = home.rows(40);
    let outcome = home.train(&rows, &["--tokenizer", rows.to_str().unwrap()]);
    outcome.expect_code(1);
    assert!(
        outcome.stderr.contains("is not a tokenizer file"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn explain_finds_the_decisive_words() {
    let home = Home::new();
    let rows: String = (0..200)
        .map(|row| {
            format!(
                "the {} number {} is here,{}\n",
                ["lovely", "dreadful"][row % 2],
                row % 7,
                row % 2
            )
        })
        .collect();
    let path = home.path("made.csv");
    std::fs::write(&path, format!("text,label\n{rows}")).unwrap();
    home.train(
        &path,
        &[
            "--epochs",
            "10",
            "--learning-rate",
            "0.01",
            "--patience",
            "0",
        ],
    )
    .expect_code(0);
    for text in [&[][..], &["the lovely and dreadful number"][..]] {
        let outcome = home.bilstm("explain", &[&["--json", "--top", "1"], text].concat());
        outcome.expect_code(0);
        let classes = outcome.json()["classes"].clone();
        assert_eq!(classes[0]["features"][0][0], "lovely", "{classes}");
        assert_eq!(classes[1]["features"][0][0], "dreadful", "{classes}");
    }
}

/// Without known words, without any words, and longer than --seq-len.
#[test]
fn any_text_is_classified() {
    let home = Home::new();
    home.train(&movie_csv(), &["--epochs", "1"]).expect_code(0);
    let long = "good ".repeat(20_000);
    let short = "good ".repeat(24);
    let outcome = home.bilstm("predict", &["xyzzy plugh", "...", &long, &short]);
    outcome.expect_code(0);
    let lines: Vec<&str> = outcome.stdout.lines().skip(1).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[2].split_once(',').unwrap().1,
        lines[3].split_once(',').unwrap().1
    );
}

/// Oversized networks are refused before their memory is allocated.
#[test]
fn invalid_config_is_refused() {
    let home = Home::new();
    home.train(&home.rows(60), &["--epochs", "1"])
        .expect_code(0);
    let path = home.path("model/config.json");
    let whole: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (name, value, expected) in [
        ("num_layers", 1_000_000_000_000_000_u64, "of at most `64`"),
        ("hidden_size", 1 << 62, "of at most `65536`"),
        ("emb_size", 0, "above 0"),
        ("unknown", 0, "expected `unknown` to be `1`"),
        ("pad", 7, "expected `pad` to be `0`"),
        ("ids", 5, "expected `ids` to be"),
    ] {
        let mut config = whole.clone();
        config[name] = value.into();
        std::fs::write(&path, config.to_string()).unwrap();
        let outcome = home.bilstm("predict", &["a film"]);
        outcome.expect_code(1);
        let stderr = &outcome.stderr;
        assert!(
            stderr.contains("is not a model file") && stderr.contains(expected),
            "{name}: {stderr}"
        );
    }
}
