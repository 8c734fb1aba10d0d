//! Hostile pretrained models; the numbers are those of the list ATTACK.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{FakeMl, Outcome, run};

use super::{Home, kit};

/// Writes a pretrained folder whose tokenizer.json has another member.
fn write(dir: &Path, member: &str, value: &Value) {
    kit::write(dir);
    let path = dir.join("tokenizer.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file[member] = value.clone();
    std::fs::write(&path, file.to_string()).unwrap();
}

fn train(home: &Home, pretrained: &Path) -> Outcome {
    let rows = home.rows(60);
    let train = ["--train", rows.to_str().unwrap(), "--max-len", "24"];
    let from = ["--pretrained-model", pretrained.to_str().unwrap()];
    home.transformer("train", &[&train[..], &from].concat())
}

/// Members with which the tokenizers library panics, when it reads the file or a text.
fn damaged() -> [(&'static str, Value); 2] {
    let word = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let unknown = json!({ "SpecialToken": { "id": "##", "type_id": 0 } });
    [
        (
            "normalizer",
            json!({ "type": "Precompiled", "precompiled_charsmap": "" }),
        ),
        (
            "post_processor",
            json!({ "type": "TemplateProcessing", "single": [unknown, word], "pair": [word],
                "special_tokens": {} }),
        ),
    ]
}

/// ATTACK F8: exit code 1 and a failure file.
#[test]
fn damaged_tokenizer_is_an_error() {
    for (member, value) in damaged() {
        let home = Home::new();
        let dir = home.path("pretrained");
        write(&dir, member, &value);
        let rows = testkit::to_csv(&testkit::movie_rows()[..60]);
        let mut ml = FakeMl::new()
            .hyperparameter("epochs", "1")
            .hyperparameter("max_len", "24")
            .channel("train", "rows.csv", rows);
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            ml = ml.channel("model", name, std::fs::read(dir.join(name)).unwrap());
        }
        let outcome = run(ml.train(env!("CARGO_BIN_EXE_transformer").as_ref(), &["--no-report"]));
        assert_eq!(outcome.code(), Some(1), "{member}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("  help: "), "{}", outcome.stderr);
        let failure = ml.failure().expect("a failure file");
        assert!(failure.contains("tokenizer"), "{failure}");
    }
}

/// ATTACK F8: 2^40 times as long.
#[test]
fn tokenizer_that_lengthens_texts_without_limit_is_refused() {
    let home = Home::new();
    let dir = home.path("pretrained");
    let double = json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "aa" });
    let steps = json!({ "type": "Sequence", "normalizers": vec![double; 40] });
    write(&dir, "normalizer", &steps);
    let outcome = train(&home, &dir);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let said = "at most `1000` times as long";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

/// ATTACK F8: more special tokens than a text may have.
#[test]
fn more_special_tokens_than_the_limit_are_refused() {
    let home = Home::new();
    let dir = home.path("pretrained");
    let token = json!({ "SpecialToken": { "id": "[CLS]", "type_id": 0 } });
    let mut template = vec![token; 30];
    template.push(json!({ "Sequence": { "id": "A", "type_id": 0 } }));
    let processor = json!({ "type": "TemplateProcessing", "single": template, "pair": template,
        "special_tokens": { "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] } } });
    write(&dir, "post_processor", &processor);
    let outcome = train(&home, &dir);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let said = "adds `30` special tokens";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}
