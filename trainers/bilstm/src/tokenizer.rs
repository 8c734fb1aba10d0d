//! Tokenizers: a list of words, or a tokenizer.json.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use diagnostics::Error;
use text::tokenizer_json::{catch_panic, check_growth};
use text::{WordList, WordReader};

/// Id of padding, in a vocabulary of words.
pub(crate) const PAD: u32 = 0;
/// Id of out-of-vocabulary words, in a vocabulary of words.
pub(crate) const UNKNOWN: u32 = 1;
/// Id of the first word.
pub(crate) const FIRST: u32 = 2;

/// Minimum length of a word, in characters: `I` is a word.
pub(crate) const MIN_WORD_LENGTH: u8 = 1;

/// Encodes texts as ids.
pub(crate) enum Tokenizer {
    /// A list of words, with ids from [`FIRST`].
    Words { words: Vec<String>, list: WordList },
    /// A tokenizer.json.
    File(Arc<FileTokenizer>),
}

impl Tokenizer {
    /// Returns `None` if a word occurs twice.
    pub(crate) fn of_words(words: Vec<String>) -> Option<Self> {
        let list = WordList::new(words.iter().map(String::as_str))?;
        Some(Self::Words { words, list })
    }

    /// Number of ids, padding included.
    pub(crate) fn ids(&self) -> usize {
        match self {
            Self::Words { words, .. } => words.len() + FIRST as usize,
            Self::File(file) => file.ids,
        }
    }

    /// Id of padding.
    pub(crate) fn pad(&self) -> u32 {
        match self {
            Self::Words { .. } => PAD,
            Self::File(file) => file.pad,
        }
    }

    /// Id of unknown words, and of texts without any.
    pub(crate) fn unknown(&self) -> u32 {
        match self {
            Self::Words { .. } => UNKNOWN,
            Self::File(file) => file.unknown,
        }
    }

    /// Returns the first `limit` ids of a text; [`Tokenizer::unknown`] for a text without any.
    pub(crate) fn encode(
        &self,
        words: &mut WordReader,
        text: &str,
        limit: usize,
    ) -> Result<Vec<u32>, Error> {
        let mut ids: Vec<u32> = match self {
            Self::Words { list, .. } => words
                .read(list, text)
                .take(limit)
                .map(|place| place.map_or(UNKNOWN, |place| place + FIRST))
                .collect(),
            Self::File(file) => {
                let mut ids = file.encode(text).map_err(FileTokenizer::cannot_encode)?;
                ids.truncate(limit);
                ids
            }
        };
        if ids.is_empty() {
            ids.push(self.unknown());
        }
        Ok(ids)
    }

    /// Returns the token of an id, unless it is a special one.
    pub(crate) fn token(&self, id: u32) -> Option<String> {
        match self {
            Self::Words { words, .. } => words.get(id.checked_sub(FIRST)? as usize).cloned(),
            Self::File(file) => file.token(id),
        }
    }
}

/// The tokenizer of a tokenizer.json.
pub struct FileTokenizer {
    tokenizer: tokenizers::Tokenizer,
    /// Content of the file, for the model folder.
    pub(crate) json: Vec<u8>,
    ids: usize,
    pad: u32,
    unknown: u32,
    special: HashSet<u32>,
}

impl fmt::Debug for FileTokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileTokenizer")
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}

impl FileTokenizer {
    /// Reads a tokenizer.json.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let json = fs::read(path).map_err(Error::io("read", path))?;
        let tokenizer = check_growth(&json).and_then(|()| catch_panic(|| Self::parse(json)));
        tokenizer.map_err(|error| {
            Error::new(format!(
                "`{}` is not a tokenizer file: {error}",
                path.display()
            ))
            .help("give --tokenizer a `tokenizer.json` of the Hugging Face tokenizers library")
        })
    }

    /// Disables padding and truncation of the file: some pad every text to 128 tokens.
    fn parse(json: Vec<u8>) -> Result<Self, String> {
        let mut tokenizer =
            tokenizers::Tokenizer::from_bytes(&json).map_err(|error| error.to_string())?;
        tokenizer
            .with_truncation(None)
            .map_err(|error| error.to_string())?;
        let named = |names: &[&str]| names.iter().find_map(|name| tokenizer.token_to_id(name));
        let special: HashSet<u32> = tokenizer
            .get_added_tokens_decoder()
            .iter()
            .filter_map(|(&id, token)| token.special.then_some(id))
            .collect();
        let unknown = named(&["[UNK]", "<unk>", "<|endoftext|>"]);
        // Some files pad with the unknown token or with a word. These occur in texts, so padding
        // needs another id.
        let only_padding = |id: &u32| special.contains(id) && Some(*id) != unknown;
        let padding = tokenizer.get_padding().map(|padding| padding.pad_id);
        let largest = tokenizer
            .get_vocab(true)
            .into_values()
            .max()
            .ok_or("it has no tokens")?;
        let beyond = |id: u32| id.checked_add(1).ok_or("its ids are too large");
        // Texts contain no padding, so without a padding token any unused id will do.
        let pad = padding
            .filter(only_padding)
            .or_else(|| named(&["[PAD]", "<pad>", "<|padding|>"]).filter(only_padding));
        let pad = pad.map_or_else(|| beyond(largest), Ok)?;
        let largest = largest.max(pad);
        let unknown = unknown.map_or_else(|| beyond(largest), Ok)?;
        let ids = largest.max(unknown) as usize + 1;
        tokenizer.with_padding(None);
        Ok(Self {
            tokenizer,
            json,
            ids,
            pad,
            unknown,
            special,
        })
    }

    /// Returns the ids of a text, without the special tokens of the file.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        catch_panic(|| {
            let encoding = self.tokenizer.encode_fast(text, false);
            let encoding = encoding.map_err(|error| error.to_string())?;
            Ok(encoding.get_ids().to_vec())
        })
    }

    /// Checksum of the file.
    pub(crate) fn sha256(&self) -> String {
        diagnostics::sha256(&self.json)
    }

    /// Returns the error for a text that the tokenizer cannot encode.
    pub(crate) fn cannot_encode(error: String) -> Error {
        Error::new(format!("the tokenizer cannot encode a text: {error}"))
            .help("give --tokenizer another file, or leave it out")
    }

    fn token(&self, id: u32) -> Option<String> {
        (!self.special.contains(&id) && id != self.pad)
            .then(|| self.tokenizer.id_to_token(id))
            .flatten()
    }
}
