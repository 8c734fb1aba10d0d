//! Cache of tokens per piece of text: words repeat, and their tokens are kept.
//!
//! A piece starts at each single blank between two other characters, and includes it; for BERT's
//! tokenizers also between a letter and a punctuation mark. For tokenizers that split there and
//! have no longer context, the tokens of the pieces are those of the text; other tokenizers read
//! whole texts.

use std::collections::HashMap;
use std::ops::Range;

use tokenizers::{
    AddedToken, Model as _, ModelWrapper, NormalizerWrapper as Normalizer,
    PreTokenizerWrapper as PreTokenizer, Tokenizer,
};

/// Tokenizes texts by pieces.
pub(crate) struct PieceTokenizer {
    /// Special tokens before and after a text.
    before: Vec<u32>,
    after: Vec<u32>,
    /// Maximum tokens of a text, without special ones.
    max_tokens: usize,
    /// ASCII characters that are always a word of their own.
    standalone: [bool; 128],
    /// `Some` if words of ASCII letters in the vocabulary are one token; true if letters are
    /// lowercased.
    direct_lookup: Option<bool>,
}

/// The pieces that a thread has seen, up to a limit.
#[derive(Default)]
pub struct TokenCache {
    ranges: HashMap<Box<str>, Range<usize>>,
    ids: Vec<u32>,
}

impl TokenCache {
    /// All pieces of 25,000 film reviews (96,224 of IMDB), about 100 bytes each.
    const MAX_PIECES: usize = 100_000;
    /// Maximum bytes of a cached piece: longer ones rarely repeat.
    const MAX_PIECE_BYTES: usize = 32;
}

impl PieceTokenizer {
    /// `None` if the tokenizer may read a text differently from its pieces.
    pub(crate) fn new(tokenizer: &Tokenizer, max_len: usize) -> Option<Self> {
        if !splits_into_words(tokenizer) {
            return None;
        }
        let ids = |text: &str, special| {
            let encoding = tokenizer.encode_fast(text, special).ok()?;
            Some(encoding.get_ids().to_vec())
        };
        let (special, with, without) = (ids("", true)?, ids("a", true)?, ids("a", false)?);
        let (before, after) = (0..=special.len())
            .map(|at| special.split_at(at))
            .find(|(before, after)| with == [before, &without[..], after].concat())?;
        let max_tokens = max_len.checked_sub(special.len())?;
        (max_tokens > 0 && !without.is_empty()).then(|| Self {
            before: before.to_vec(),
            after: after.to_vec(),
            max_tokens,
            standalone: standalone(tokenizer),
            direct_lookup: direct_lookup(tokenizer),
        })
    }

    /// Returns the token of a piece that is a word of the vocabulary: the tokenizer's result,
    /// faster.
    fn word(&self, tokenizer: &Tokenizer, piece: &str) -> Option<u32> {
        let small = self.direct_lookup?;
        let word = piece.strip_prefix(' ').unwrap_or(piece);
        let plain = word.bytes().all(|byte| byte.is_ascii_alphabetic());
        if word.is_empty() || word.len() > TokenCache::MAX_PIECE_BYTES || !plain {
            return None;
        }
        let model = tokenizer.get_model();
        match small {
            true => model.token_to_id(&word.to_ascii_lowercase()),
            false => model.token_to_id(word),
        }
    }

    /// Returns the ids that `tokenizer` gives for a text.
    pub(crate) fn ids(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        cache: &mut TokenCache,
    ) -> tokenizers::Result<Vec<u32>> {
        let mut ids = self.before.clone();
        let full = self.before.len() + self.max_tokens;
        for piece in split_pieces(text, &self.standalone) {
            if let Some(range) = cache.ranges.get(piece) {
                ids.extend(&cache.ids[range.clone()]);
            } else {
                let word = self.word(tokenizer, piece);
                let found = match word {
                    Some(id) => vec![id],
                    None => tokenizer.encode_fast(piece, false)?.get_ids().to_vec(),
                };
                ids.extend(&found);
                if piece.len() <= TokenCache::MAX_PIECE_BYTES
                    && cache.ranges.len() < TokenCache::MAX_PIECES
                {
                    let start = cache.ids.len();
                    cache.ids.extend(&found);
                    let range = start..cache.ids.len();
                    cache.ranges.insert(piece.into(), range);
                }
            }
            if ids.len() >= full {
                ids.truncate(full);
                break;
            }
        }
        ids.extend(&self.after);
        Ok(ids)
    }
}

/// True if a tokenizer splits at blanks and has no longer context.
fn splits_into_words(tokenizer: &Tokenizer) -> bool {
    let by_character = matches!(
        tokenizer.get_normalizer(),
        None | Some(Normalizer::BertNormalizer(_) | Normalizer::Lowercase(_))
    );
    let at_blanks = match tokenizer.get_pre_tokenizer() {
        Some(PreTokenizer::BertPreTokenizer(_) | PreTokenizer::Whitespace(_)) => true,
        Some(PreTokenizer::ByteLevel(level)) => level.use_regex,
        _ => false,
    };
    let certain = match tokenizer.get_model() {
        ModelWrapper::BPE(model) => model.dropout.is_none(),
        ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) => true,
        ModelWrapper::Unigram(_) => false,
    };
    // Such a token would extend into the next piece.
    let reaches = tokenizer
        .get_added_tokens_decoder()
        .into_values()
        .any(|token| token.rstrip || token.content.contains(char::is_whitespace));
    by_character && at_blanks && certain && !reaches
}

fn is_bert(tokenizer: &Tokenizer) -> bool {
    let found = tokenizer.get_pre_tokenizer();
    matches!(found, Some(PreTokenizer::BertPreTokenizer(_)))
}

/// True if an added token, which is matched before words are split, may look different in a
/// normalized text.
fn changed_by_normalizer(token: &AddedToken) -> bool {
    token.normalized && !token.content.is_ascii()
}

/// See `PieceTokenizer::standalone`.
fn standalone(tokenizer: &Tokenizer) -> [bool; 128] {
    let added = tokenizer.get_added_tokens_decoder();
    let parts = is_bert(tokenizer) && !added.values().any(changed_by_normalizer);
    // A single-word token depends on its neighbours, and `_` may be part of a word.
    let words = added.values().any(|token| token.single_word);
    std::array::from_fn(|code| {
        let mark = char::from(code as u8);
        // Added tokens such as `[MASK]` must stay in one piece.
        let inside = added.values().any(|token| token.content.contains(mark));
        parts && mark.is_ascii_punctuation() && !inside && !(mark == '_' && words)
    })
}

/// See `PieceTokenizer::direct_lookup`: WordPiece tries the whole word first.
fn direct_lookup(tokenizer: &Tokenizer) -> Option<bool> {
    let ModelWrapper::WordPiece(model) = tokenizer.get_model() else {
        return None;
    };
    let letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let added = tokenizer.get_added_tokens_decoder();
    let within = added
        .values()
        .any(|token| changed_by_normalizer(token) || letters(&token.content));
    if !is_bert(tokenizer) || within || model.max_input_chars_per_word < TokenCache::MAX_PIECE_BYTES
    {
        return None;
    }
    Some(match tokenizer.get_normalizer() {
        Some(Normalizer::BertNormalizer(normalizer)) => normalizer.lowercase,
        Some(_) => true,
        None => false,
    })
}

/// Splits a text into pieces.
fn split_pieces<'a>(text: &'a str, standalone: &[bool; 128]) -> impl Iterator<Item = &'a str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, others) = rest.split_at(piece_end(rest, standalone));
        rest = others;
        Some(piece)
    })
}

/// Returns the end of a text's first piece.
fn piece_end(text: &str, standalone: &[bool; 128]) -> usize {
    let is_standalone = |letter: char| standalone.get(letter as usize) == Some(&true);
    let mut letters = text.char_indices().peekable();
    let mut before = None;
    while let Some((at, letter)) = letters.next() {
        let after = letters.peek().map(|&(_, after)| after);
        let parts = match (before, letter, after) {
            (Some(before), ' ', Some(after)) => {
                !char::is_whitespace(before) && !after.is_whitespace()
            }
            (Some(before), letter, _) => {
                (is_standalone(before) && letter.is_ascii_alphanumeric())
                    || (before.is_ascii_alphanumeric() && is_standalone(letter))
            }
            (None, ..) => false,
        };
        if parts {
            return at;
        }
        before = Some(letter);
    }
    text.len()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn pieces_start_at_single_blanks() {
        let pieces = |text| split_pieces(text, &[false; 128]).collect::<Vec<_>>();
        assert_eq!(pieces("a film  I\n saw."), ["a", " film  I\n saw."]);
        assert_eq!(pieces(" so it is "), [" so", " it", " is "]);
        assert_eq!(pieces(""), [""; 0]);
        assert_eq!(pieces("é à, b"), ["é", " à,", " b"]);
    }

    #[test]
    fn bert_punctuation_is_separate() {
        let mut tokenizer = words();
        tokenizer.with_padding(None);
        let pieces = PieceTokenizer::new(&tokenizer, 64).unwrap();
        assert_eq!(
            (pieces.direct_lookup, pieces.word(&tokenizer, " Film")),
            (Some(true), Some(6))
        );
        let standalone = pieces.standalone;
        let found: Vec<&str> = split_pieces("a (good) film, it's [SEP].", &standalone).collect();
        let expected = [
            "a", " (", "good", ")", " film", ",", " it", "'", "s", " [SEP].",
        ];
        assert_eq!(found, expected);
    }

    /// Byte-level BPE as RoBERTa's, with a mask token that includes the blank before it.
    pub(crate) fn bytes() -> Tokenizer {
        let vocab = serde_json::json!({ "<s>": 0, "</s>": 1, "<mask>": 2, "Ġ": 3, "a": 4, "b": 5, "Ġa": 6, "ab": 7, "'": 8,
            "s": 9, "Ċ": 10, "1": 11, "!": 12 });
        let token = |id: u32, content: &str, lstrip: bool| {
            serde_json::json!({ "id": id, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": false,
                "normalized": false, "special": true })
        };
        let file = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "added_tokens": [token(0, "<s>", false), token(1, "</s>", false), token(2, "<mask>", true)],
            "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
            "post_processor": { "type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0],
                "trim_offsets": true, "add_prefix_space": false },
            "decoder": null,
            "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab,
                "merges": [["Ġ", "a"], ["a", "b"]] },
        });
        Tokenizer::from_bytes(file.to_string()).unwrap()
    }

    fn words() -> Tokenizer {
        Tokenizer::from_bytes(crate::tokenizer::tests::json()).unwrap()
    }

    /// With added tokens: a single-word one, and one that is matched in normalized text.
    fn more_words() -> Tokenizer {
        let mut tokenizer = words();
        let standalone = AddedToken::from("covid", false).single_word(true);
        let normalised = AddedToken::from("É-x", false).normalized(true);
        tokenizer.add_tokens([standalone, normalised]).unwrap();
        tokenizer
    }

    /// Returns texts of characters at which splitting could go wrong.
    fn texts() -> Vec<String> {
        const PARTS: [&str; 32] = [
            "covid", "_", "É-x", "-x", ".", ",", "-", "(", " ", " ", " ", "  ", "\n", "\t", "a",
            "b", "the", "Films", "good", "'s", "!", "1", "[MASK]", "[SEP]", "<mask>", "</s>",
            "\u{301}", "\u{0}", "\u{200b}", "\u{a0}", "野", "É",
        ];
        let mut random = training::Random::new(3, &[]);
        let mut draw = |most: usize| (random.uniform() * most as f64) as usize;
        (0..3000)
            .map(|_| (0..draw(14)).map(|_| PARTS[draw(PARTS.len())]).collect())
            .collect()
    }

    #[test]
    fn pieces_have_same_tokens_as_text() {
        for mut tokenizer in [words(), more_words(), bytes()] {
            tokenizer.with_padding(None);
            for max_len in [3, 6, 64] {
                let cut = tokenizers::TruncationParams {
                    max_length: max_len,
                    ..Default::default()
                };
                tokenizer.with_truncation(Some(cut)).unwrap();
                let pieces = PieceTokenizer::new(&tokenizer, max_len).unwrap();
                let mut cache = TokenCache::default();
                for text in texts() {
                    let expected = tokenizer.encode_fast(text.as_str(), true).unwrap();
                    let found = pieces.ids(&tokenizer, &text, &mut cache).unwrap();
                    assert_eq!(found, expected.get_ids(), "{text:?}, {max_len}");
                }
                assert!(!cache.ranges.is_empty());
            }
        }
    }

    #[test]
    fn context_dependent_tokenizers_have_no_pieces() {
        let with = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut file = serde_json::from_str(&crate::tokenizer::tests::json()).unwrap();
            change(&mut file);
            let mut tokenizer = Tokenizer::from_bytes(file.to_string()).unwrap();
            tokenizer.with_padding(None);
            PieceTokenizer::new(&tokenizer, 64).is_some()
        };
        assert!(with(&|_| {}));
        assert!(!with(
            &|file| file["added_tokens"][1]["rstrip"] = true.into()
        ));
        assert!(!with(
            &|file| file["pre_tokenizer"] = serde_json::Value::Null
        ));
        assert!(!with(
            &|file| file["normalizer"] = serde_json::json!({ "type": "NFKC" })
        ));
        assert!(
            PieceTokenizer::new(&words(), 2).is_none(),
            "no room for a text"
        );
    }
}
