//! Texts to token ids by a tokenizer.json, and the ids of all rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use dataset::{Encode, RowTable, split_pair};
use diagnostics::Error;
use serde_json::value::RawValue;
use text::tokenizer_json::{catch_panic, check_growth};
use tokenizers::{
    EncodeInput, Encoding, PostProcessor, Tokenizer, TruncationDirection, TruncationParams,
};

use crate::engine::Tokens;

mod settings;
pub(crate) mod token_cache;

pub(crate) use settings::{ADDED_TOKENS, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG, TokenizerSettings};
use token_cache::{PieceTokenizer, TokenCache};

pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Token range of a word, and its text.
pub(crate) type WordSpan = (Range<usize>, String);

/// A text, or the first text of a pair, and the second one.
type Texts<'a> = (Cow<'a, str>, Option<&'a str>);

/// A tokenizer.json with truncation, special tokens included.
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    /// `None`: texts are tokenized as a whole.
    pieces: Option<PieceTokenizer>,
    /// Set if texts are pairs: the number of token types of the network.
    pair: Option<usize>,
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
    /// overridden: MiniLM's pads every text to 128. `pair`: texts are pairs, for a network with this
    /// number of token types.
    pub(crate) fn read(
        dir: &Path,
        settings: &TokenizerSettings,
        max_len: usize,
        pair: Option<usize>,
    ) -> Result<Self, Error> {
        let path = dir.join(TOKENIZER);
        let json = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let parsed = check_growth(&json)
            .and_then(|()| settings.apply(json))
            .and_then(|json| catch_panic(|| Self::parse(json, settings, max_len, pair)));
        let other = match pair {
            None => "",
            Some(_) => ", or train without --text-pair",
        };
        parsed.map_err(|error| {
            let path = path.display();
            Error::new(format!("`{path}` cannot be used as a tokenizer: {error}")).help(format!(
                "take the `tokenizer.json` of the pretrained model, made by the Hugging Face \
                 tokenizers library{other}"
            ))
        })
    }

    fn parse(
        json: Vec<u8>,
        settings: &TokenizerSettings,
        max_len: usize,
        pair: Option<usize>,
    ) -> Result<Self, String> {
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
        let special = special.map_or(0, |processor| processor.added_tokens(pair.is_some()));
        if special >= max_len {
            return Err(format!(
                "it adds `{special}` special tokens to a text, of at most `{max_len}` tokens"
            ));
        }
        if let Some(types) = pair {
            check_pair(&mut tokenizer, types)?;
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
        let by_pieces = direction == TruncationDirection::Right && pair.is_none();
        let pieces = by_pieces.then(|| PieceTokenizer::new(&tokenizer, max_len));
        Ok(Self {
            unknown_id: unknown.unwrap_or(0),
            around: around
                .map_err(|error| error.to_string())?
                .get_ids()
                .to_vec(),
            special: special.collect(),
            pieces: pieces.flatten(),
            pair,
            tokenizer,
            json,
            max_id,
        })
    }

    /// Returns the tokens of a text, at least one.
    pub(crate) fn encode(&self, text: &str, cache: &mut TokenCache) -> Result<Tokens, Error> {
        self.tokens(text, cache).map_err(|error| unreadable(&error))
    }

    fn tokens(&self, text: &str, cache: &mut TokenCache) -> Result<Tokens, String> {
        let texts = self.texts(text)?;
        let mut tokens = catch_panic(|| {
            let found = match &self.pieces {
                Some(pieces) => pieces.ids(&self.tokenizer, text, cache).map(Tokens::from),
                None => self
                    .tokenizer
                    .encode_fast(input(texts), true)
                    .map(|encoding| self.tokens_of(&encoding)),
            };
            found.map_err(|error| error.to_string())
        })?;
        if tokens.ids.is_empty() {
            tokens.ids.push(self.unknown_id);
            tokens.types.resize(self.has_types().into(), 0);
        }
        Ok(tokens)
    }

    /// Takes a pair apart.
    fn texts<'a>(&self, text: &'a str) -> Result<Texts<'a>, String> {
        match self.pair {
            None => Ok((text.into(), None)),
            Some(_) => {
                let (first, second) = split_pair(text).ok_or("expected two texts, found one")?;
                Ok((first, Some(second)))
            }
        }
    }

    fn tokens_of(&self, encoding: &Encoding) -> Tokens {
        let types = encoding.get_type_ids().iter();
        Tokens {
            ids: encoding.get_ids().to_vec(),
            types: match self.has_types() {
                // `check_pair` has refused larger ones.
                true => types.map(|&kind| kind as u8).collect(),
                false => Vec::new(),
            },
        }
    }

    /// True if tokens have types other than 0.
    fn has_types(&self) -> bool {
        self.pair.is_some_and(|types| types > 1)
    }

    /// Returns the tokens of a text, and token range and text of each of its words.
    pub(crate) fn encode_words(&self, text: &str) -> Result<(Tokens, Vec<WordSpan>), Error> {
        let texts = self.texts(text).map_err(|error| unreadable(&error))?;
        let encoding = catch_panic(|| {
            let encoding = self.tokenizer.encode(input(texts.clone()), true);
            encoding.map_err(|error| error.to_string())
        });
        let encoding = encoding.map_err(|error| unreadable(&error))?;
        // Words are numbered in each text of a pair.
        let words_of = encoding.get_sequence_ids().into_iter();
        let words_of: Vec<_> = words_of.zip(encoding.get_word_ids()).collect();
        let mut words: Vec<(Range<usize>, Range<usize>, usize)> = Vec::new();
        let places = encoding.get_ids().iter().zip(encoding.get_offsets());
        for (place, (id, &(start, end))) in places.enumerate() {
            let word = words_of[place].1;
            if self.special.contains(id) && word.is_none() {
                continue;
            }
            match words.last_mut() {
                Some((tokens, text, first))
                    if word.is_some()
                        && words_of[*first] == words_of[place]
                        && tokens.end == place =>
                {
                    (tokens.end, text.end) = (place + 1, end);
                }
                _ => words.push((place..place + 1, start..end, place)),
            }
        }
        let named = words.into_iter().filter_map(|(tokens, at, first)| {
            let text = match words_of[first].0 {
                Some(1) => texts.1?,
                _ => &*texts.0,
            };
            let name = text.get(at)?.trim();
            (!name.is_empty()).then(|| (tokens, name.to_owned()))
        });
        let words = named.collect();
        Ok((self.tokens_of(&encoding), words))
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

/// Returns the input of a tokenizer.
fn input((first, second): Texts<'_>) -> EncodeInput<'_> {
    match second {
        None => first.into(),
        Some(second) => (first, second).into(),
    }
}

/// Refuses a tokenizer without a template for pairs, or with more token types than the network.
/// Removes the truncation.
fn check_pair(tokenizer: &mut Tokenizer, types: usize) -> Result<(), String> {
    let text = |error: tokenizers::Error| error.to_string();
    tokenizer.with_truncation(None).map_err(text)?;
    let encoding = tokenizer.encode(("a", "a"), true).map_err(text)?;
    if !encoding.get_sequence_ids().contains(&Some(1)) {
        return Err("it has no template for pairs of texts".to_owned());
    }
    let largest = encoding.get_type_ids().iter().copied().max().unwrap_or(0);
    if types > 1 && (largest as usize >= types || u8::try_from(largest).is_err()) {
        return Err(format!(
            "expected token types below `{types}`, as the network has them, found `{largest}`"
        ));
    }
    Ok(())
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

/// Tokens of one reading thread.
pub struct Encoder {
    tokens: Option<Arc<TextTokenizer>>,
    cache: TokenCache,
    ids: Ids,
    /// Token types of the ids; empty if all are 0.
    types: Vec<u8>,
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
            types: Vec::new(),
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
            Some(tokens) => tokens.tokens(text, &mut self.cache),
            None => Err("the model has none".to_owned()),
        };
        let Tokens { ids: found, types } = match found {
            Ok(found) => found,
            Err(error) => {
                self.unreadable = self.unreadable.take().or(Some(error));
                Tokens::default()
            }
        };
        self.types.extend(types);
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

/// The tokens of all rows.
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

    /// Returns the tokens of a row.
    pub(crate) fn tokens(&self, row: u32) -> Tokens {
        let (encoder, index) = self.order[row as usize];
        let encoder = &self.encoders[encoder as usize];
        let range = encoder.range(index as usize);
        let types = encoder.types.get(range.clone()).unwrap_or_default();
        Tokens {
            ids: match &encoder.ids {
                Ids::U16(ids) => ids[range].iter().map(|&id| id.into()).collect(),
                Ids::U32(ids) => ids[range].to_vec(),
            },
            types: types.to_vec(),
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
        let text =
            |id: &str, kind: u32| serde_json::json!({ "Sequence": { "id": id, "type_id": kind } });
        let single = serde_json::json!([token("[CLS]"), text("A", 0), token("[SEP]")]);
        let end = serde_json::json!({ "SpecialToken": { "id": "[SEP]", "type_id": 1 } });
        let pair = serde_json::json!([
            token("[CLS]"),
            text("A", 0),
            token("[SEP]"),
            text("B", 1),
            end
        ]);
        let of = |id: &str, number: u32| serde_json::json!({ "id": id, "ids": [number], "tokens": [id] });
        serde_json::json!({
            "version": "1.0",
            "truncation": { "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 },
            "padding": { "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                "pad_type_id": 0, "pad_token": "[PAD]" },
            "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
            "normalizer": { "type": "Lowercase" },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": { "type": "TemplateProcessing", "single": single, "pair": pair,
                "special_tokens": { "[CLS]": of("[CLS]", 2), "[SEP]": of("[SEP]", 3) } },
            "decoder": null,
            "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab },
        })
        .to_string()
    }

    pub(crate) fn tokens(max_len: usize) -> TextTokenizer {
        let settings = TokenizerSettings::default();
        TextTokenizer::parse(json().into_bytes(), &settings, max_len, None).unwrap()
    }

    #[test]
    fn truncation_keeps_special_tokens() {
        assert_eq!(
            tokens(5)
                .encode("the good films of it", &mut TokenCache::default())
                .unwrap()
                .ids,
            [2, 4, 7, 6, 3]
        );
        assert_eq!(
            tokens(64)
                .encode("the good films", &mut TokenCache::default())
                .unwrap()
                .ids,
            [2, 4, 7, 6, 9, 3]
        );
        assert_eq!(
            tokens(64)
                .encode("", &mut TokenCache::default())
                .unwrap()
                .ids,
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
        assert_eq!(ids.get_ids(), expected.ids);
    }

    #[test]
    fn words_are_spans_of_text() {
        let (found, words) = tokens(64).encode_words("The Films, not").unwrap();
        assert_eq!(found.ids, [2, 4, 6, 9, 1, 15, 3]);
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
        assert_eq!((rows.tokens(0).ids, rows.length(0)), (vec![2, 8, 8, 3], 4));
        assert_eq!(rows.tokens(1), Tokens::from(vec![2, 7, 3]));
    }

    fn pairs(json: &str, max_len: usize, types: usize) -> Result<TextTokenizer, String> {
        let settings = TokenizerSettings::default();
        TextTokenizer::parse(json.as_bytes().to_vec(), &settings, max_len, Some(types))
    }

    /// Issue 17: words of both texts are found by their own positions, and types follow the ids.
    #[test]
    fn pairs_have_types_and_words_of_both_texts() {
        let pair = dataset::join_pair("The film", "good, film");
        let mut encoder = Encoder::new(Some(&Arc::new(pairs(&json(), 64, 2).unwrap())));
        encoder.encode(&dataset::join_pair("", ""));
        encoder.encode(&pair);
        let rows = EncodedRows {
            encoders: vec![encoder],
            order: vec![(0, 1), (0, 0)],
        };
        assert_eq!(rows.tokens(0).ids, [2, 4, 6, 3, 7, 1, 6, 3]);
        assert_eq!(rows.tokens(0).types, [0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(rows.tokens(1).types, [0, 0, 1]);
        let (found, words) = pairs(&json(), 64, 2).unwrap().encode_words(&pair).unwrap();
        assert_eq!(found, rows.tokens(0));
        let words: Vec<&str> = words.iter().map(|(_, word)| word.as_str()).collect();
        assert_eq!(words, ["The", "film", "good", ",", "film"]);
        // A network without token types.
        let untyped = pairs(&json(), 64, 1)
            .unwrap()
            .encode_words(&pair)
            .unwrap()
            .0;
        assert_eq!(untyped, Tokens::from(found.ids));
        assert!(tokens(64).encode(&pair, &mut TokenCache::default()).is_ok());
        let text = pairs(&json(), 64, 2).unwrap();
        assert!(text.encode("good", &mut TokenCache::default()).is_err());
    }

    /// A template without the second text would drop it.
    #[test]
    fn tokenizers_without_pairs_are_refused() {
        let mut file: serde_json::Value = serde_json::from_str(&json()).unwrap();
        file["post_processor"]["pair"] = file["post_processor"]["single"].clone();
        let error = pairs(&file.to_string(), 64, 2).unwrap_err();
        assert!(error.contains("no template for pairs"), "{error}");
        let mut file: serde_json::Value = serde_json::from_str(&json()).unwrap();
        file["post_processor"]["pair"][3]["Sequence"]["type_id"] = 2.into();
        let error = pairs(&file.to_string(), 64, 2).unwrap_err();
        assert!(error.contains("token types below `2`"), "{error}");
        // Three special tokens leave no room.
        assert!(pairs(&json(), 3, 2).is_err() && pairs(&json(), 4, 2).is_ok());
    }

    /// Issue 17: the same ids and types as in Python, and the longer text is truncated first.
    #[test]
    fn pairs_have_the_tokens_of_transformers() {
        const TEXTS: [&str; 7] = [
            "",
            "A good film, I shall remember it.",
            "bad",
            "The story of a man who walks home. It is long, and it is dull; it is not a film.",
            "[SEP] <mask> \u{1f} \u{1e} caf\u{e9} \u{91ce}",
            "a\u{1f}b",
            " it  is\n",
        ];
        let firsts = TEXTS.iter();
        let list: Vec<(&str, &str)> = firsts
            .flat_map(|first| TEXTS.map(|second| (*first, second)))
            .collect();
        let minilm = testkit::torch_judge::<&str>("minilm", &[]);
        let minilm = Path::new(minilm["folder"].as_str().unwrap());
        let minilm = std::fs::read_to_string(minilm.join(TOKENIZER)).unwrap();
        let roberta = token_cache::tests::bytes().to_string(false).unwrap();
        for (json, types, max_len, side) in [
            (&json(), 2, 13, "right"),
            (&minilm, 2, 14, "right"),
            (&minilm, 2, 9, "left"),
            (&roberta, 1, 11, "right"),
        ] {
            let home = tempfile::tempdir().unwrap();
            let path = |name: &str| home.path().join(name);
            std::fs::write(path(TOKENIZER), json).unwrap();
            let settings = serde_json::json!({ "truncation_side": side });
            std::fs::write(path(TOKENIZER_CONFIG), settings.to_string()).unwrap();
            let settings = TokenizerSettings::read(home.path()).unwrap();
            let tokenizer = TextTokenizer::read(home.path(), &settings, max_len, Some(types));
            let tokenizer = tokenizer.unwrap();
            let trained = settings.trained(&tokenizer, max_len);
            std::fs::write(path(TOKENIZER_CONFIG), trained).unwrap();
            std::fs::write(path(TOKENIZER), tokenizer.trained_json().unwrap()).unwrap();
            let file = path("pairs.json");
            std::fs::write(&file, serde_json::json!(list).to_string()).unwrap();
            let theirs = testkit::torch_judge("pairs", &[home.path(), file.as_path()]);
            for (row, (first, second)) in list.iter().enumerate() {
                let pair = dataset::join_pair(first, second);
                let found = tokenizer.encode(&pair, &mut TokenCache::default()).unwrap();
                let theirs = &theirs["rows"][row];
                assert_eq!(
                    serde_json::json!(found.ids),
                    theirs["input_ids"],
                    "{pair:?}"
                );
                let expected = match types {
                    1 => serde_json::Value::Null,
                    _ => serde_json::json!(found.types),
                };
                assert_eq!(expected, theirs["token_type_ids"], "{pair:?}");
            }
        }
    }
}
