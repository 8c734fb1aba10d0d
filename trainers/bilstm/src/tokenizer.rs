//! Texts to ids: by a list of words, or by a tokenizer.json.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::Path;

use diagnostics::Error;
use text::{WordList, WordReader};
use tokenizers::Tokenizer;

/// The id of padding, in a vocabulary of words.
pub(crate) const PAD: u32 = 0;
/// The id of words that have none, in a vocabulary of words.
pub(crate) const UNKNOWN: u32 = 1;
/// The id of the first word.
pub(crate) const FIRST: u32 = 2;

/// Shortest word, in characters: `I` is a word.
pub(crate) const MIN_WORD_LENGTH: u8 = 1;

/// Turns texts into ids.
pub(crate) enum Reader {
    /// Words of a list, from the id [`FIRST`] on.
    Words { words: Vec<String>, list: WordList },
    /// A tokenizer's own ids.
    Pieces(std::sync::Arc<FileTokenizer>),
}

impl Reader {
    /// `None` if a word stands in the list twice.
    pub(crate) fn of_words(words: Vec<String>) -> Option<Self> {
        let list = WordList::new(words.iter().map(String::as_str))?;
        Some(Self::Words { words, list })
    }

    /// How many ids there are, padding among them.
    pub(crate) fn ids(&self) -> usize {
        match self {
            Self::Words { words, .. } => words.len() + FIRST as usize,
            Self::Pieces(pieces) => pieces.ids,
        }
    }

    /// The id of padding.
    pub(crate) fn pad(&self) -> u32 {
        match self {
            Self::Words { .. } => PAD,
            Self::Pieces(pieces) => pieces.pad,
        }
    }

    /// What stands for a text of which nothing is known.
    pub(crate) fn unknown(&self) -> u32 {
        match self {
            Self::Words { .. } => UNKNOWN,
            Self::Pieces(pieces) => pieces.unknown,
        }
    }

    /// The first `limit` ids of a text; [`Reader::unknown`] for a text without any.
    pub(crate) fn read(
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
            Self::Pieces(pieces) => {
                let mut ids = pieces.encode(text).map_err(FileTokenizer::refused)?;
                ids.truncate(limit);
                ids
            }
        };
        if ids.is_empty() {
            ids.push(self.unknown());
        }
        Ok(ids)
    }

    /// The word or piece of an id, if it has one that texts can hold.
    pub(crate) fn name(&self, id: u32) -> Option<String> {
        match self {
            Self::Words { words, .. } => words.get(id.checked_sub(FIRST)? as usize).cloned(),
            Self::Pieces(pieces) => pieces.name(id),
        }
    }
}

/// A tokenizer.json.
pub struct FileTokenizer {
    tokenizer: Tokenizer,
    /// The file as it was, for the model folder.
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
        Self::parse(json).map_err(|error| {
            Error::new(format!(
                "`{}` is not a tokenizer file: {error}",
                path.display()
            ))
            .help("give --tokenizer a `tokenizer.json` of the Hugging Face tokenizers library")
        })
    }

    /// Padding and cutting that the file may ask for is left to us: some files pad every text to 128.
    fn parse(json: Vec<u8>) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(&json).map_err(|error| error.to_string())?;
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
        // Some files pad with the unknown token or with a word: texts hold these, and could not learn them.
        let no_text_holds = |id: &u32| special.contains(id) && Some(*id) != unknown;
        let padding = tokenizer.get_padding().map(|padding| padding.pad_id);
        let largest = tokenizer
            .get_vocab(true)
            .into_values()
            .max()
            .ok_or("it has no tokens")?;
        let beyond = |id: u32| id.checked_add(1).ok_or("its ids are too large");
        // A text holds no padding, so where the file names none, any id beyond the others will do.
        let pad = padding
            .filter(no_text_holds)
            .or_else(|| named(&["[PAD]", "<pad>", "<|padding|>"]).filter(no_text_holds));
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

    /// The ids of a text, without the special ones that the file may add at its ends.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Of the file.
    pub(crate) fn sha256(&self) -> String {
        diagnostics::sha256(&self.json)
    }

    pub(crate) fn refused(error: String) -> Error {
        Error::new(format!("the tokenizer cannot read a text: {error}"))
            .help("give --tokenizer another file, or leave it out")
    }

    fn name(&self, id: u32) -> Option<String> {
        (!self.special.contains(&id) && id != self.pad)
            .then(|| self.tokenizer.id_to_token(id))
            .flatten()
    }
}
