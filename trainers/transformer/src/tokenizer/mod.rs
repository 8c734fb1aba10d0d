//! Texts to token ids by a tokenizer.json, and the ids of all rows.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use dataset::{Encode, RowTable};
use diagnostics::Error;
use serde_json::value::RawValue;
use text::tokenizer_json::{catch_panic, check_growth};
use tokenizers::{PostProcessor, Tokenizer, TruncationDirection, TruncationParams};

mod settings;
pub(crate) mod token_cache;

pub(crate) use settings::{ADDED_TOKENS, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG, TokenizerSettings};
use token_cache::{PieceTokenizer, TokenCache};

pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Token range of a word, and its text.
pub(crate) type WordSpan = (Range<usize>, String);

/// A tokenizer.json with truncation, special tokens included.
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    /// `None`: texts are tokenized as a whole.
    pieces: Option<PieceTokenizer>,
    /// Content of the file.
    json: Vec<u8>,
    /// Replaces a text without tokens.
    unknown_id: u32,
    /// Ids that stand around every text.
    pub(crate) around: Vec<u32>,
    /// Ids of special tokens, such as `[CLS]`.
    special: Vec<u32>,
    /// Largest id of the vocabulary.
    pub(crate) max_id: u32,
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max_id = self.max_id;
        formatter
            .debug_struct("Tokens")
            .field("largest", &max_id)
            .finish_non_exhaustive()
    }
}

impl TextTokenizer {
    /// Reads the tokenizer.json of a folder. Its padding and the length of its truncation are
    /// overridden: MiniLM's pads every text to 128.
    pub(crate) fn read(
        dir: &Path,
        settings: &TokenizerSettings,
        max_len: usize,
    ) -> Result<Self, Error> {
        let path = dir.join(TOKENIZER);
        let json = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let parsed = check_growth(&json)
            .and_then(|()| settings.apply(json))
            .and_then(|json| catch_panic(|| Self::parse(json, settings, max_len)));
        parsed.map_err(|error| {
            Error::new(format!("`{}` cannot be used as a tokenizer: {error}", path.display())).help("take the `tokenizer.json` of the pretrained model, made by the Hugging Face tokenizers library")
        })
    }

    fn parse(json: Vec<u8>, settings: &TokenizerSettings, max_len: usize) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(&json).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        let own_side = tokenizer.get_truncation().map(|cut| cut.direction);
        let direction = settings.truncation_side().or(own_side).unwrap_or_default();
        let cut = TruncationParams {
            max_length: max_len,
            direction,
            ..TruncationParams::default()
        };
        // The library would truncate to a negative length.
        let special = tokenizer.get_post_processor();
        let special = special.map_or(0, |processor| processor.added_tokens(false));
        if special >= max_len {
            return Err(format!(
                "it adds `{special}` special tokens to a text, of at most `{max_len}` tokens"
            ));
        }
        tokenizer
            .with_truncation(Some(cut))
            .map_err(|error| error.to_string())?;
        let max_id = max_id(&tokenizer).ok_or("it has no tokens")?;
        let added = tokenizer.get_added_tokens_decoder();
        let special = added
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(&id, _)| id);
        let unknown = ["[UNK]", "<unk>"]
            .iter()
            .find_map(|name| tokenizer.token_to_id(name));
        let around = tokenizer.encode_fast("", true);
        let from_the_start = direction == TruncationDirection::Right;
        let pieces = from_the_start.then(|| PieceTokenizer::new(&tokenizer, max_len));
        Ok(Self {
            unknown_id: unknown.unwrap_or(0),
            around: around
                .map_err(|error| error.to_string())?
                .get_ids()
                .to_vec(),
            special: special.collect(),
            pieces: pieces.flatten(),
            tokenizer,
            json,
            max_id,
        })
    }

    /// Returns the ids of a text, at least one.
    pub(crate) fn encode(&self, text: &str, cache: &mut TokenCache) -> Result<Vec<u32>, Error> {
        self.ids(text, cache).map_err(|error| unreadable(&error))
    }

    fn ids(&self, text: &str, cache: &mut TokenCache) -> Result<Vec<u32>, String> {
        let mut ids = catch_panic(|| {
            let found = match &self.pieces {
                Some(pieces) => pieces.ids(&self.tokenizer, text, cache),
                None => self
                    .tokenizer
                    .encode_fast(text, true)
                    .map(|encoding| encoding.get_ids().to_vec()),
            };
            found.map_err(|error| error.to_string())
        })?;
        if ids.is_empty() {
            ids.push(self.unknown_id);
        }
        Ok(ids)
    }

    /// Returns the ids of a text, and token range and text of each of its words.
    pub(crate) fn encode_words(&self, text: &str) -> Result<(Vec<u32>, Vec<WordSpan>), Error> {
        let encoding = catch_panic(|| {
            let encoding = self.tokenizer.encode(text, true);
            encoding.map_err(|error| error.to_string())
        });
        let encoding = encoding.map_err(|error| unreadable(&error))?;
        let mut words: Vec<(Range<usize>, Range<usize>, Option<u32>)> = Vec::new();
        let places = encoding
            .get_ids()
            .iter()
            .zip(encoding.get_word_ids())
            .zip(encoding.get_offsets());
        for (place, ((id, word), &(start, end))) in places.enumerate() {
            if self.special.contains(id) && word.is_none() {
                continue;
            }
            match words.last_mut() {
                Some((tokens, text, last))
                    if word.is_some() && last == word && tokens.end == place =>
                {
                    (tokens.end, text.end) = (place + 1, end);
                }
                _ => words.push((place..place + 1, start..end, *word)),
            }
        }
        let named = words.into_iter().filter_map(|(tokens, at, _)| {
            let name = text.get(at)?.trim();
            (!name.is_empty()).then(|| (tokens, name.to_owned()))
        });
        Ok((encoding.get_ids().to_vec(), named.collect()))
    }

    /// Returns the side at which texts are truncated, as in tokenizer_config.json.
    pub(crate) fn truncation_side(&self) -> &'static str {
        match self.tokenizer.get_truncation().map(|cut| cut.direction) {
            Some(TruncationDirection::Left) => "left",
            _ => "right",
        }
    }

    /// Returns the id of a token.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// True if the token is matched in a text before words are split.
    pub(crate) fn is_added(&self, token: &str) -> bool {
        let mut added = self.tokenizer.get_added_tokens_decoder().into_values();
        added.any(|added| added.content == token)
    }

    /// Returns tokenizer.json with this truncation and without padding; the rest is unchanged.
    pub(crate) fn trained_json(&self) -> Result<Vec<u8>, Error> {
        let of_file = |error: serde_json::Error| unreadable(&error.to_string());
        let mut file: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&self.json).map_err(of_file)?;
        let cut = serde_json::value::to_raw_value(&self.tokenizer.get_truncation());
        file.insert("truncation".to_owned(), cut.map_err(of_file)?);
        file.insert(
            "padding".to_owned(),
            serde_json::value::to_raw_value(&()).map_err(of_file)?,
        );
        serde_json::to_vec(&file).map_err(of_file)
    }

    /// Returns the checksum of the file and of the truncation side.
    pub(crate) fn sha256(&self) -> String {
        let file = diagnostics::sha256(&self.json);
        format!("{file} {}", self.truncation_side())
    }
}

/// Returns the largest id. Without gaps it follows from the size, so that the vocabulary is not
/// copied.
fn max_id(tokenizer: &Tokenizer) -> Option<u32> {
    let count = u32::try_from(tokenizer.get_vocab_size(true)).ok()?;
    if (0..count).all(|id| tokenizer.id_to_token(id).is_some()) {
        return count.checked_sub(1);
    }
    tokenizer.get_vocab(true).into_values().max()
}

fn unreadable(error: &str) -> Error {
    Error::new(format!("the tokenizer cannot read a text: {error}"))
        .help("take another pretrained model, or report it to the author of its `tokenizer.json`")
}

/// Token ids of one reading thread.
pub struct Encoder {
    tokens: Option<Arc<TextTokenizer>>,
    cache: TokenCache,
    ids: Ids,
    /// End of each row in `ids`.
    ends: Vec<usize>,
    /// Error of the first text that could not be tokenized.
    unreadable: Option<String>,
}

/// Ids, in two bytes if the vocabulary allows.
enum Ids {
    U16(Vec<u16>),
    U32(Vec<u32>),
}

impl Encoder {
    /// Creates an empty encoder; without a tokenizer it refuses every text.
    pub(crate) fn new(tokens: Option<&Arc<TextTokenizer>>) -> Self {
        let max_id = tokens.map_or(0, |tokens| tokens.max_id);
        Self {
            ids: match u16::try_from(max_id) {
                Ok(_) => Ids::U16(Vec::new()),
                Err(_) => Ids::U32(Vec::new()),
            },
            tokens: tokens.map(Arc::clone),
            cache: TokenCache::default(),
            ends: Vec::new(),
            unreadable: None,
        }
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }
}

impl Encode for Encoder {
    fn encode(&mut self, text: &str) {
        let found = match &self.tokens {
            Some(tokens) => tokens.ids(text, &mut self.cache),
            None => Err("the model has none".to_owned()),
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.unreadable = self.unreadable.take().or(Some(error));
                Vec::new()
            }
        };
        let end = match &mut self.ids {
            Ids::U16(ids) => {
                // No id exceeds `max_id`, which fits.
                ids.extend(found.into_iter().map(|id| id as u16));
                ids.len()
            }
            Ids::U32(ids) => {
                ids.extend(found);
                ids.len()
            }
        };
        self.ends.push(end);
    }
}

/// The token ids of all rows.
pub(crate) struct EncodedRows {
    encoders: Vec<Encoder>,
    /// Encoder and index of each row.
    order: Vec<(u32, u32)>,
}

impl EncodedRows {
    /// Joins the encoders of all threads.
    pub(crate) fn new(table: &RowTable, mut encoders: Vec<Encoder>) -> Result<Self, Error> {
        if let Some(error) = encoders
            .iter_mut()
            .find_map(|encoder| encoder.unreadable.take())
        {
            return Err(unreadable(&error));
        }
        for encoder in &mut encoders {
            encoder.cache = TokenCache::default();
        }
        let order = table
            .order
            .iter()
            .map(|row| (row.encoder, row.index))
            .collect();
        Ok(Self { encoders, order })
    }

    /// Returns the number of tokens of a row.
    pub(crate) fn length(&self, row: u32) -> usize {
        let (encoder, index) = self.order[row as usize];
        self.encoders[encoder as usize].range(index as usize).len()
    }

    /// Returns the ids of a row.
    pub(crate) fn ids(&self, row: u32) -> Vec<u32> {
        let (encoder, index) = self.order[row as usize];
        let encoder = &self.encoders[encoder as usize];
        let range = encoder.range(index as usize);
        match &encoder.ids {
            Ids::U16(ids) => ids[range].iter().map(|&id| id.into()).collect(),
            Ids::U32(ids) => ids[range].to_vec(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a small tokenizer with padding and truncation, as MiniLM's.
    pub(crate) fn json() -> String {
        let names = "[PAD] [UNK] [CLS] [SEP] the a film good bad ##s of is and movie it not";
        let vocab: serde_json::Map<String, serde_json::Value> = names
            .split(' ')
            .zip(0u32..)
            .map(|(name, id)| (name.to_owned(), id.into()))
            .collect();
        let special = |id: u32, content: &str| {
            serde_json::json!({ "id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true })
        };
        let token = |id: &str| serde_json::json!({ "SpecialToken": { "id": id, "type_id": 0 } });
        let single = serde_json::json!([token("[CLS]"), { "Sequence": { "id": "A", "type_id": 0 } }, token("[SEP]")]);
        let of = |id: &str, number: u32| serde_json::json!({ "id": id, "ids": [number], "tokens": [id] });
        serde_json::json!({
            "version": "1.0",
            "truncation": { "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 },
            "padding": { "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                "pad_type_id": 0, "pad_token": "[PAD]" },
            "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
            "normalizer": { "type": "Lowercase" },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": { "type": "TemplateProcessing", "single": single, "pair": single,
                "special_tokens": { "[CLS]": of("[CLS]", 2), "[SEP]": of("[SEP]", 3) } },
            "decoder": null,
            "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab },
        })
        .to_string()
    }

    pub(crate) fn tokens(max_len: usize) -> TextTokenizer {
        let settings = TokenizerSettings::default();
        TextTokenizer::parse(json().into_bytes(), &settings, max_len).unwrap()
    }

    #[test]
    fn truncation_keeps_special_tokens() {
        assert_eq!(
            tokens(5)
                .encode("the good films of it", &mut TokenCache::default())
                .unwrap(),
            [2, 4, 7, 6, 3]
        );
        assert_eq!(
            tokens(64)
                .encode("the good films", &mut TokenCache::default())
                .unwrap(),
            [2, 4, 7, 6, 9, 3]
        );
        assert_eq!(
            tokens(64).encode("", &mut TokenCache::default()).unwrap(),
            [2, 3]
        );
    }

    #[test]
    fn trained_tokenizer_truncates_without_padding() {
        let trained = tokens(7).trained_json().unwrap();
        let (before, after): (serde_json::Value, serde_json::Value) = (
            serde_json::from_str(&json()).unwrap(),
            serde_json::from_slice(&trained).unwrap(),
        );
        assert_eq!(after["truncation"]["max_length"], 7);
        assert_eq!(after["truncation"]["strategy"], "LongestFirst");
        assert!(after["padding"].is_null());
        assert_eq!(before["model"], after["model"]);
        let again = Tokenizer::from_bytes(&trained).unwrap();
        let ids = again.encode("the good films of it and not", true).unwrap();
        let expected = tokens(7)
            .encode("the good films of it and not", &mut TokenCache::default())
            .unwrap();
        assert_eq!(ids.get_ids(), expected);
    }

    #[test]
    fn words_are_spans_of_text() {
        let (ids, words) = tokens(64).encode_words("The Films, not").unwrap();
        assert_eq!(ids, [2, 4, 6, 9, 1, 15, 3]);
        let found: Vec<(Range<usize>, &str)> = words
            .iter()
            .map(|(range, name)| (range.clone(), name.as_str()))
            .collect();
        assert_eq!(
            found,
            [(1..2, "The"), (2..4, "Films"), (4..5, ","), (5..6, "not")]
        );
    }

    #[test]
    fn small_vocabulary_has_u16_ids() {
        let mut encoder = Encoder::new(Some(&Arc::new(tokens(64))));
        encoder.encode("good");
        encoder.encode("");
        encoder.encode("bad bad");
        assert!(matches!(&encoder.ids, Ids::U16(ids) if ids.len() == 9));
        let rows = EncodedRows {
            encoders: vec![encoder],
            order: vec![(0, 2), (0, 0)],
        };
        assert_eq!((rows.ids(0), rows.length(0)), (vec![2, 8, 8, 3], 4));
        assert_eq!(rows.ids(1), [2, 7, 3]);
    }
}
