//! Python's word characters and scikit-learn's stop words.

use std::path::Path;

use regex::Regex;
use testkit::{judge, python};

#[test]
fn word_characters_are_pythons() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/text/src/word_ranges.rs");
    let compared = judge("word_ranges", &[Path::new("compare"), &table]);
    // The table is Unicode 14's. A newer Python knows more letters; of those that 14 knows, each must agree.
    let assigned = Regex::new(r"\p{age:14.0}").unwrap();
    for side in ["python_only", "table_only"] {
        let codes = compared[side].as_array().unwrap().iter();
        let letters = codes.filter_map(|code| char::from_u32(code.as_u64()?.try_into().ok()?));
        let wrong: Vec<_> = letters
            .filter(|letter| assigned.is_match(letter.encode_utf8(&mut [0; 4])))
            .collect();
        assert!(wrong.is_empty(), "{side}: {wrong:?}");
    }
    if compared["unicode"] == "14.0.0" {
        assert_eq!(compared["equal"], true);
    }
}

#[test]
fn english_is_scikit_learns() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/judges/word_ranges.py");
    let outcome = python(&script, &["english"]);
    let theirs: Vec<&str> = outcome.expect_code(0).stdout.lines().collect();
    assert_eq!(text::english().iter().collect::<Vec<_>>(), theirs);
}
