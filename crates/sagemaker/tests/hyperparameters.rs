//! Reading, converting to arguments, and encoding.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;

use sagemaker::hyperparameters::{encode, read, to_arguments};
use sagemaker::{Hyperparameter, Value, limits};

/// A file in a temporary folder.
struct File(tempfile::TempDir);

impl File {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("hyperparameters.json"), text).unwrap();
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("hyperparameters.json")
    }
}

fn arguments(text: &str) -> Vec<String> {
    to_arguments(&read(&File::new(text).path()).unwrap())
}

fn error(text: impl AsRef<[u8]>) -> String {
    let file = File::new(text);
    let error = read(&file.path()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("hyperparameters.json`"), "{message}");
    assert!(!error.help().is_empty(), "{message}");
    message
}

#[test]
fn reads_file_of_sagemaker() {
    let text = r#"{"min_df": "5", "stopwords": "\"english\"", "balanced": "True", "alpha": "-1e-5",
        "max-ngram": "\"2\"", "sublinear_tf": "false", "max_features": "None", "C": "null",
        "grid": "[1, 10]", "sagemaker_program": "\"train.py\"", "sagemaker_job_name": "\"x\"",
        "_tuning_objective_metric": "validation:accuracy"}"#;
    let expected = [
        "--min-df=5",
        "--stopwords=english",
        "--balanced=true",
        "--alpha=-1e-5",
        "--max-ngram=2",
        "--sublinear-tf=false",
        "--grid=1",
        "--grid=10",
    ];
    assert_eq!(arguments(text), expected);
}

#[test]
fn reads_hand_written_file() {
    let text =
        "\u{feff}{\"min_df\": 5, \"c\": 0.10, \"fast\": true, \"x\": null, \"g\": [1, \"a b\"]}\n";
    assert_eq!(
        arguments(text),
        ["--min-df=5", "--c=0.10", "--fast=true", "--g=1", "--g=a b"]
    );
    assert_eq!(arguments("{}"), [""; 0]);
}

#[test]
fn missing_file_is_empty() {
    assert_eq!(
        read(Path::new("/nowhere/hyperparameters.json")).unwrap(),
        []
    );
}

#[test]
fn folder_is_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = read(dir.path()).unwrap_err();
    assert!(
        matches!(error, sagemaker::ContractError::Read { .. }),
        "{error:?}"
    );
}

#[test]
fn errors_have_file_key_and_help() {
    let cases = [
        ("[1]", "expected an object at line 1 column 0"),
        ("{\"a\": 1,}", "line 1 column 9"),
        ("", "EOF"),
        (
            r#"{"min_df": "1", "min_df": "2"}"#,
            "hyperparameter `min_df`",
        ),
        (
            r#"{"min_df": "1", "min-df": null}"#,
            "twice (first as `min_df`)",
        ),
        (r#"{"": "1"}"#, "hyperparameter `` in"),
        (r#"{"--help": "1"}"#, "hyperparameter `--help`"),
        (r#"{"a=b": "1"}"#, "hyperparameter `a=b`"),
        (r#"{"a\nb": "1"}"#, "hyperparameter `a\\nb`"),
        (r#"{"train:accuracy=1;": ""}"#, "`train:accuracy\\u{3d}1;`"),
    ];
    for (text, part) in cases {
        let message = error(text);
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(error(b"{\"a\": \"\xff\"}").contains("byte 7 is not UTF-8"));
}

#[test]
fn limits_of_sagemaker_are_checked() {
    let file = |names: usize, name: usize, value: usize| {
        let entries: Vec<_> = (0..names)
            .map(|i| {
                format!(
                    "\"{}\": \"{}\"",
                    format!("{i:03}").repeat(90)[..name].to_owned(),
                    "ü".repeat(value)
                )
            })
            .collect();
        format!("{{{}}}", entries.join(", "))
    };
    assert_eq!(arguments(&file(100, 3, 1)).len(), 100);
    assert!(error(file(101, 3, 1)).contains("101 hyperparameters; SageMaker allows 100"));
    assert_eq!(arguments(&file(1, 256, 2500)).len(), 1);
    assert!(error(file(1, 257, 1)).contains("at most 256 characters, found 257"));
    assert!(error(file(1, 3, 2501)).contains("at most 2500 characters, found 2501"));
}

#[test]
fn text_is_encoded_unquoted_if_possible() {
    let values = json!({
        "min_df": 5, "alpha": 1e-9, "stopwords": "english", "fast": true, "absent": null,
        "number": "10", "word": "None", "quoted": "\"x\"", "lines": "a\nb", "list": [1, "a\u{2028}"],
        "separator": "a\u{85}b",
    });
    let encoded = encode(
        values
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.as_str(), v)),
    );
    let expected = [
        ("alpha", "1e-9"),
        ("fast", "true"),
        ("lines", r#""a\nb""#),
        ("list", r#"[1,"a\u2028"]"#),
        ("min_df", "5"),
        ("number", "10"),
        ("quoted", r#""\"\\\"x\\\"\"""#),
        ("separator", r#""a\u0085b""#),
        ("stopwords", "english"),
        ("word", "\"None\""),
    ];
    let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(encoded.clone().into_iter().collect::<Vec<_>>(), expected);
    limits::check_hyperparameters(&encoded).unwrap();
}

/// Arbitrary texts, and texts that look like other JSON values.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ \"\\\\\\[\\]{},:0-9eE.+\\-nultrueNoneFalsT\n]{0,24}",
        prop::sample::select(vec![
            "null",
            "None",
            "True",
            "\"\"",
            "\"null\"",
            "[]",
            "{}",
            " 1 ",
            "-0",
            "\"\\\"x\\\"\""
        ])
        .prop_map(str::to_owned),
    ]
}

fn round_trip(values: &serde_json::Value) -> Vec<Hyperparameter> {
    let encoded = encode(
        values
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.as_str(), v)),
    );
    for value in encoded.values() {
        assert!(
            !value.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']),
            "{value:?}"
        );
    }
    read(&File::new(serde_json::to_string(&encoded).unwrap()).path()).unwrap()
}

proptest! {
    #[test]
    fn texts_round_trip(name in "[a-zA-Z0-9][a-zA-Z0-9_]{0,9}", text in text()) {
        let expected = Hyperparameter { name: name.clone(), value: Value::One(text.clone()) };
        prop_assert_eq!(round_trip(&json!({ name.clone(): text.clone() })), [expected.clone()]);
        let argument = format!("--{}={text}", name.replace('_', "-"));
        prop_assert_eq!(to_arguments(&[expected]), [argument]);
    }

    #[test]
    fn lists_round_trip(texts in prop::collection::vec(text(), 0..5)) {
        let expected = Hyperparameter { name: "k".to_owned(), value: Value::Many(texts.clone()) };
        prop_assert_eq!(round_trip(&json!({ "k": texts })), [expected]);
    }

    #[test]
    fn numbers_round_trip(float in any::<f64>(), integer in any::<i64>()) {
        prop_assume!(float.is_finite());
        let got = round_trip(&json!({ "a": float, "b": integer }));
        let [Value::One(a), Value::One(b)] = [&got[0].value, &got[1].value] else {
            return Err(TestCaseError::fail("not one value"));
        };
        prop_assert_eq!(a.parse::<f64>(), Ok(float));
        prop_assert_eq!(b.parse::<i64>(), Ok(integer));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in any::<Vec<u8>>(), text in text()) {
        let _ = read(&File::new(bytes).path());
        let _ = read(&File::new(&text).path());
        let _ = read(&File::new(format!("{{\"a\": {text}}}")).path());
    }
}
