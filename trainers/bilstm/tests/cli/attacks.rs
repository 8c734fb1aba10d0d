//! Hostile files; the numbers are those of the list ATTACK.

use serde_json::{Value, json};

use super::{Home, model};

/// ATTACK F8: a tokenizer.json with which the library panics, or that fills the memory.
#[test]
fn damaged_tokenizer_is_an_error() {
    let home = Home::new();
    let rows = home.rows(40);
    let file = model::tokenizer(&home);
    let given: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let double = json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "aa" });
    for (normalizer, said) in [
        (
            json!({ "type": "Precompiled", "precompiled_charsmap": "" }),
            "the file is inconsistent",
        ),
        (
            json!({ "type": "Sequence", "normalizers": vec![double; 40] }),
            "at most `1000` times as long",
        ),
    ] {
        let mut changed = given.clone();
        changed["normalizer"] = normalizer;
        std::fs::write(&file, changed.to_string()).unwrap();
        let flags = ["--epochs", "1", "--tokenizer", file.to_str().unwrap()];
        let outcome = home.train(&rows, &flags);
        assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
}
