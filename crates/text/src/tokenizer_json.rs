//! Guards for tokenizer.json files, which may be damaged or malicious.

use std::panic::AssertUnwindSafe;

use serde::Deserialize;
use serde_json::Value;

/// Limit on how many times as long the steps of a file can make a text: XLM-RoBERTa's can make it
/// 80 times as long by the count of [`growth`].
const MAX_GROWTH: f64 = 1000.0;
/// Length of the longest NFKC form of a character, in characters (U+FDFA).
const LONGEST_FORM: f64 = 18.0;

/// Converts panics to errors: the tokenizers library panics on some damaged files, when it reads
/// them or when it encodes a text.
///
/// # Errors
/// Those of `work`, or a message for a panic.
pub fn catch_panic<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the file is inconsistent".to_owned()))
}

/// Refuses a tokenizer.json whose steps can make a text so long that it does not fit into memory,
/// such as forty replacements of `a` by `aa`.
///
/// # Errors
/// The file is not JSON, or a text may become more than 1000 times as long.
pub fn check_growth(json: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Steps {
        #[serde(default)]
        normalizer: Value,
        #[serde(default)]
        pre_tokenizer: Value,
    }
    let steps: Steps = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let factor = growth(&steps.normalizer) * growth(&steps.pre_tokenizer);
    match factor <= MAX_GROWTH {
        true => Ok(()),
        false => Err(format!(
            "expected steps that make a text at most `{MAX_GROWTH}` times as long, found \
             `{factor:.0}` times"
        )),
    }
}

/// Returns a bound on how many times as long a step makes a text, in bytes.
fn growth(step: &Value) -> f64 {
    let steps = ["normalizers", "pretokenizers"].iter();
    let inner = steps
        .filter_map(|name| step.get(name)?.as_array())
        .flatten();
    let inner: f64 = inner.map(growth).product();
    let own = match (
        step.get("pattern"),
        step.get("content").and_then(Value::as_str),
    ) {
        (Some(pattern), Some(content)) => {
            let text = pattern.get("String").and_then(Value::as_str);
            match text.filter(|text| !text.is_empty()) {
                Some(text) => (content.len() as f64 / text.len() as f64).max(1.0),
                // It may match between any two bytes.
                None => 1.0 + content.len() as f64,
            }
        }
        _ => match step.get("type").and_then(Value::as_str) {
            // Two bytes for each that is not ASCII.
            Some("ByteLevel") => 2.0,
            Some("Precompiled") => LONGEST_FORM,
            // Applied twice, the others change nothing.
            _ => 1.0,
        },
    };
    inner * own
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn replacements_that_fill_the_memory_are_refused() {
        let check = |normalizers: Vec<Value>, pre: Value| {
            let normalizer = json!({ "type": "Sequence", "normalizers": normalizers });
            let file = json!({ "normalizer": normalizer, "pre_tokenizer": pre, "model": {} });
            check_growth(file.to_string().as_bytes())
        };
        let replace = |pattern: Value, content: &str| json!({ "type": "Replace", "pattern": pattern, "content": content });
        let double = || replace(json!({ "String": "a" }), "aa");
        assert_eq!(check(vec![double(); 9], Value::Null), Ok(()));
        let error = check(vec![double(); 40], Value::Null).unwrap_err();
        assert!(error.contains("found `1099511627776` times"), "{error}");
        let level = json!({ "type": "ByteLevel" });
        assert!(check(vec![level.clone(); 40], Value::Null).is_err());
        let pre = json!({ "type": "Sequence", "pretokenizers": vec![level; 40] });
        assert!(check(vec![], pre).is_err());
        assert!(
            check(
                vec![replace(json!({ "Regex": "" }), &"x".repeat(5000))],
                Value::Null
            )
            .is_err()
        );
        // XLM-RoBERTa and T5.
        let real = vec![
            replace(json!({ "String": "``" }), "\""),
            json!({ "type": "NFKD" }),
            json!({ "type": "Precompiled", "precompiled_charsmap": "" }),
            replace(json!({ "Regex": " {2,}" }), "▁"),
        ];
        assert_eq!(check(real, json!({ "type": "Metaspace" })), Ok(()));
        assert_eq!(check_growth(b"{}"), Ok(()));
    }

    #[test]
    fn panic_is_an_error() {
        let found: Result<(), String> = catch_panic(|| {
            let numbers: Vec<u8> = Vec::new();
            Err(numbers[numbers.len()].to_string())
        });
        assert_eq!(found, Err("the file is inconsistent".to_owned()));
    }
}
