//! Compares word characters with Python and stop words with scikit-learn.

use std::path::Path;

use regex::Regex;
use testkit::{judge, python};

#[test]
fn word_characters_match_python() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/text/src/word_ranges.rs");
    let compared = judge("word_ranges", &[Path::new("compare"), &table]);
    // The table is that of Unicode 14. A newer Python has more letters; those of Unicode 14 must
    // agree.
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
fn english_stop_words_match_scikit_learn() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/judges/word_ranges.py");
    let outcome = python(&script, &["english"]);
    let theirs: Vec<&str> = outcome.expect_code(0).stdout.lines().collect();
    assert_eq!(text::english().iter().collect::<Vec<_>>(), theirs);
}
