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
/// Ids of added tokens, in folders of older versions of transformers.
pub(crate) const ADDED_TOKENS: &str = "added_tokens.json";
/// The key of added tokens, by id.
const ADDED_TOKENS_DECODER: &str = "added_tokens_decoder";

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
const OF_TRANSFORMERS: [&str; 2] = ["backend", ADDED_TOKENS_DECODER];
/// Class names with which transformers uses a tokenizer.json as it is.
const AS_IT_IS: [&str; 2] = ["PreTrainedTokenizerFast", "TokenizersBackend"];
/// Setting of RoBERTa's tokenizers: a blank before the text.
const PREFIX: &str = "add_prefix_space";
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
        let mut settings = Self(settings);
        if !settings.0.contains_key(ADDED_TOKENS_DECODER) {
            let mut decoder = Map::new();
            for (token, id) in read(dir, ADDED_TOKENS)? {
                let special = SPECIAL_TOKENS.map(|key| settings.token(key));
                let special = special.contains(&Some(token.as_str()));
                decoder.insert(
                    id.to_string(),
                    json!({ "content": token, "special": special }),
                );
            }
            settings
                .0
                .insert(ADDED_TOKENS_DECODER.to_owned(), decoder.into());
        }
        Ok(settings)
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

    /// Returns a tokenizer.json with the added tokens of these settings, in which explicit settings
    /// of BERT's, RoBERTa's and XLM-RoBERTa's tokenizers replace those of the file, as in
    /// transformers.
    pub(super) fn apply(&self, json: Vec<u8>) -> Result<Vec<u8>, String> {
        let text = |error: serde_json::Error| error.to_string();
        let class = self.0.get("tokenizer_class").and_then(Value::as_str);
        let as_it_is = class.is_some_and(|class| AS_IT_IS.contains(&class));
        let added = self.0.get(ADDED_TOKENS_DECODER).and_then(Value::as_object);
        let added = added.filter(|added| !added.is_empty());
        if as_it_is && added.is_none() {
            return Ok(json);
        }
        let mut file: BTreeMap<String, Value> = BTreeMap::new();
        let mut raw: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&json).map_err(text)?;
        for part in ["added_tokens", "normalizer", "pre_tokenizer"] {
            if let Some(found) = raw.get(part) {
                let found = serde_json::from_str(found.get()).map_err(text)?;
                file.insert(part.to_owned(), found);
            }
        }
        let before = file.clone();
        if let Some(added) = added {
            add_tokens(&mut file, added);
        }
        for part in ["normalizer", "pre_tokenizer"] {
            if let Some(step) = file.get_mut(part).filter(|_| !as_it_is) {
                self.set_members(step);
            }
        }
        if file == before {
            return Ok(json);
        }
        for (part, value) in file {
            raw.insert(part, to_raw_value(&value).map_err(text)?);
        }
        serde_json::to_vec(&raw).map_err(text)
    }

    /// Sets the members of a step of a tokenizer, or of the steps in a sequence.
    fn set_members(&self, step: &mut Value) {
        for inner in ["normalizers", "pretokenizers"] {
            let inner = step.get_mut(inner).and_then(Value::as_array_mut);
            for step in inner.into_iter().flatten() {
                self.set_members(step);
            }
        }
        let is = |kind: &str| step.get("type").is_some_and(|found| found == kind);
        let (is_bert, is_bytes, is_metaspace) =
            (is("BertNormalizer"), is("ByteLevel"), is("Metaspace"));
        let set = |key: &str| self.0.get(key).filter(|value| value.is_boolean());
        for (key, member) in BERT.into_iter().filter(|_| is_bert) {
            if let Some(value) = set(key) {
                step[member] = value.clone();
            }
        }
        match set(PREFIX) {
            Some(prefix) if is_bytes => step[PREFIX] = prefix.clone(),
            Some(prefix) if is_metaspace => {
                let always = prefix.as_bool() == Some(true);
                step["prepend_scheme"] = json!(if always { "always" } else { "never" });
                // Older files have this member too, and both must agree.
                if let Some(member) = step.get_mut(PREFIX) {
                    *member = prefix.clone();
                }
            }
            _ => {}
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
        let inputs: &[&str] = match tokens.has_types() {
            true => &["input_ids", "token_type_ids", "attention_mask"],
            // All tokens have type 0, which is the default.
            false => &["input_ids", "attention_mask"],
        };
        for (key, value) in [
            ("tokenizer_class", json!("PreTrainedTokenizerFast")),
            ("model_max_length", json!(max_len)),
            ("truncation_side", json!(tokens.truncation_side())),
            ("model_input_names", json!(inputs)),
            ("clean_up_tokenization_spaces", json!(false)),
        ] {
            json.insert(key.to_owned(), value);
        }
        format!("{:#}\n", Value::Object(json)).into_bytes()
    }
}

/// Adds the tokens that a tokenizer.json does not have, in order of their ids, and replaces the
/// settings of the others.
fn add_tokens(file: &mut BTreeMap<String, Value>, added: &Map<String, Value>) {
    let tokens = file
        .entry("added_tokens".to_owned())
        .or_insert_with(|| json!([]));
    let Some(tokens) = tokens.as_array_mut() else {
        return;
    };
    let number = |(id, token)| Some((String::as_str(id).parse::<u32>().ok()?, token));
    let added: BTreeMap<u32, &Value> = added.iter().filter_map(number).collect();
    for (id, token) in added {
        let Some(content) = token.get("content").and_then(Value::as_str) else {
            continue;
        };
        let flag = |key: &str| token.get(key).and_then(Value::as_bool);
        let special = flag("special").unwrap_or(false);
        let known = tokens.iter().position(|known| known["content"] == content);
        let id = known.map_or(json!(id), |place| tokens[place]["id"].clone());
        let new = json!({
            "id": id, "content": content, "special": special,
            "single_word": flag("single_word").unwrap_or(false),
            "lstrip": flag("lstrip").unwrap_or(false), "rstrip": flag("rstrip").unwrap_or(false),
            "normalized": flag("normalized").unwrap_or(!special),
        });
        match known {
            Some(place) => tokens[place] = new,
            None => tokens.push(new),
        }
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
