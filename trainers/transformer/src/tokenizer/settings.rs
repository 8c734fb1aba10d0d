//! tokenizer_config.json: settings that transformers applies to a tokenizer.json.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::{Error, sanitize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use tokenizers::TruncationDirection;

use super::TextTokenizer;

/// Tokenizer settings of Python.
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Special tokens, in folders of older versions of transformers.
pub(crate) const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";

/// Keys of special tokens.
const SPECIAL_TOKENS: [&str; 7] = [
    "pad_token",
    "unk_token",
    "cls_token",
    "sep_token",
    "mask_token",
    "bos_token",
    "eos_token",
];
/// Usual names of the padding token.
const PADDING: [&str; 2] = ["[PAD]", "<pad>"];
/// Keys that transformers writes and a trained model does not have.
const OF_TRANSFORMERS: [&str; 2] = ["backend", "added_tokens_decoder"];
/// Class names with which transformers uses a tokenizer.json as it is.
const AS_IT_IS: [&str; 2] = ["PreTrainedTokenizerFast", "TokenizersBackend"];
/// Settings of BERT's tokenizers, and the members of a `BertNormalizer` that they set.
const BERT: [(&str, &str); 3] = [
    ("do_lower_case", "lowercase"),
    ("strip_accents", "strip_accents"),
    ("tokenize_chinese_chars", "handle_chinese_chars"),
];

/// The settings of a folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenizerSettings(Map<String, Value>);

impl TokenizerSettings {
    /// Reads the settings; a folder may have none.
    pub(crate) fn read(dir: &Path) -> Result<Self, Error> {
        let mut settings = read(dir, TOKENIZER_CONFIG)?;
        for (name, token) in read(dir, SPECIAL_TOKENS_MAP)? {
            settings.entry(name).or_insert(token);
        }
        Ok(Self(settings))
    }

    /// True if transformers wrote the settings of the folder: trained models have others.
    pub(crate) fn is_of_transformers(dir: &Path) -> bool {
        let settings = read(dir, TOKENIZER_CONFIG).unwrap_or_default();
        OF_TRANSFORMERS
            .iter()
            .any(|key| settings.contains_key(*key))
    }

    /// Returns the maximum tokens of a text. Very large numbers are no limit, as in transformers.
    pub(crate) fn max_len(&self) -> Option<usize> {
        let found = ["model_max_length", "max_len"].iter();
        let found = found.filter_map(|key| self.0.get(*key)?.as_f64()).next()?;
        (found < 1e9).then_some(found as usize)
    }

    /// Returns the side at which texts are truncated, if it is set.
    pub(crate) fn truncation_side(&self) -> Option<TruncationDirection> {
        match self.0.get("truncation_side")?.as_str()? {
            "left" => Some(TruncationDirection::Left),
            "right" => Some(TruncationDirection::Right),
            _ => None,
        }
    }

    /// Returns the name of a special token.
    fn token(&self, key: &str) -> Option<&str> {
        let found = self.0.get(key)?;
        found.as_str().or_else(|| found.get("content")?.as_str())
    }

    /// Returns the padding token of the tokenizer and its id.
    pub(crate) fn padding(&self, tokens: &TextTokenizer) -> Option<(String, u32)> {
        let names = self.token("pad_token").into_iter().chain(PADDING);
        let mut known = names.filter_map(|name| Some((name.to_owned(), tokens.id(name)?)));
        known.next()
    }

    /// Returns a tokenizer.json in which explicit settings of BERT's and RoBERTa's tokenizers
    /// replace those of the file, as in transformers.
    pub(super) fn apply(&self, json: Vec<u8>) -> Result<Vec<u8>, String> {
        let text = |error: serde_json::Error| error.to_string();
        let class = self.0.get("tokenizer_class").and_then(Value::as_str);
        if self.0.is_empty() || class.is_some_and(|class| AS_IT_IS.contains(&class)) {
            return Ok(json);
        }
        let mut file: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&json).map_err(text)?;
        let mut changed = false;
        for (part, kind, keys) in [
            ("normalizer", "BertNormalizer", &BERT[..]),
            (
                "pre_tokenizer",
                "ByteLevel",
                &[("add_prefix_space", "add_prefix_space")][..],
            ),
        ] {
            let Some(raw) = file.get(part) else {
                continue;
            };
            let mut step: Value = serde_json::from_str(raw.get()).map_err(text)?;
            if step.get("type").is_none_or(|found| found != kind) {
                continue;
            }
            for (key, member) in keys {
                if let Some(value) = self.0.get(*key).filter(|value| value.is_boolean())
                    && step[*member] != *value
                {
                    step[*member] = value.clone();
                    changed = true;
                }
            }
            file.insert(part.to_owned(), to_raw_value(&step).map_err(text)?);
        }
        match changed {
            true => serde_json::to_vec(&file).map_err(text),
            false => Ok(json),
        }
    }

    /// Returns the tokenizer_config.json of a trained model, with which transformers uses its
    /// tokenizer.json as it is. Classes such as `BertTokenizer` would build another from the
    /// vocabulary.
    pub(crate) fn trained(&self, tokens: &TextTokenizer, max_len: usize) -> Vec<u8> {
        let mut json = Map::new();
        for key in SPECIAL_TOKENS {
            // transformers would add any other, so that texts are split at it.
            if let Some(token) = self.token(key).filter(|token| tokens.is_added(token)) {
                json.insert(key.to_owned(), token.into());
            }
        }
        if let Some((padding, _)) = self.padding(tokens) {
            json.insert("pad_token".to_owned(), padding.into());
        }
        for (key, value) in [
            ("tokenizer_class", json!("PreTrainedTokenizerFast")),
            ("model_max_length", json!(max_len)),
            ("truncation_side", json!(tokens.truncation_side())),
            // All tokens have type 0, which is the default.
            ("model_input_names", json!(["input_ids", "attention_mask"])),
            ("clean_up_tokenization_spaces", json!(false)),
        ] {
            json.insert(key.to_owned(), value);
        }
        format!("{:#}\n", Value::Object(json)).into_bytes()
    }
}

/// Reads the object in a file; an empty one if there is no file.
fn read(dir: &Path, name: &str) -> Result<Map<String, Value>, Error> {
    let path = dir.join(name);
    if !path.exists() {
        return Ok(Map::new());
    }
    let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| {
        let error = error.to_string();
        Error::new(format!(
            "`{}` cannot be used: {}",
            path.display(),
            sanitize(&error)
        ))
        .help("copy or download the model again, or remove the file")
    })
}
