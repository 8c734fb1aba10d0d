//! Names of text encodings, and conversion to UTF-8.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding};

use diagnostics::{Diagnostic, Severity};

use crate::codes;
use crate::source::closest;

/// Common names that the WHATWG list does not have. WHATWG maps latin-1 to windows-1252, its
/// superset.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("latin-1", "latin1"),
    ("latin_1", "latin1"),
    ("iso_8859_1", "latin1"),
    ("cp-1252", "cp1252"),
    ("utf_8", "utf-8"),
    ("utf_16", "utf-16"),
    ("utf16", "utf-16"),
    ("utf16le", "utf-16le"),
    ("utf16be", "utf-16be"),
    ("gb-18030", "gb18030"),
    ("shift-jis", "shift_jis"),
];

/// Names for suggestions.
const KNOWN: &[&str] = &[
    "utf-8",
    "latin-1",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-15",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "cp1252",
    "utf-16",
    "utf-16le",
    "utf-16be",
    "koi8-r",
    "gbk",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-jp",
    "euc-kr",
    "macintosh",
    "ascii",
];

/// Returns the encoding with this name, as given to `--encoding`.
///
/// # Errors
/// If there is no such encoding; the help line suggests a similar name.
pub fn encoding(name: &str) -> Result<&'static Encoding, Box<Diagnostic>> {
    let lower = name.trim().to_ascii_lowercase();
    let label = OTHER_NAMES
        .iter()
        .find(|(other, _)| *other == lower)
        .map_or(lower.as_str(), |(_, label)| label);
    Encoding::for_label_no_replacement(label.as_bytes()).ok_or_else(|| {
        Box::new(Diagnostic {
            severity: Severity::Error,
            code: codes::ENCODING.id,
            message: format!("unknown encoding `{name}`"),
            place: None,
            help: match closest(&lower, KNOWN.iter().copied()) {
                Some(closest) => format!("did you mean `{closest}`?"),
                None => "use a name such as utf-8, latin-1, windows-1252, utf-16, gbk or shift_jis"
                    .to_owned(),
            },
        })
    })
}

/// Size of the input and output buffers.
const BUFFER_BYTES: usize = 64 * 1024;

/// Converts another encoding to UTF-8 while reading. Invalid input becomes the byte 0xff, which is
/// never valid UTF-8, so that the row is refused later, when its place is known.
pub(super) struct Transcoder {
    decoder: Decoder,
    raw: Vec<u8>,
    raw_at: usize,
    raw_end: usize,
    last: bool,
    finished: bool,
    out: Vec<u8>,
    out_at: usize,
    out_end: usize,
}

impl Transcoder {
    /// `head`: bytes that were already read, without byte order mark.
    pub(super) fn new(encoding: &'static Encoding, head: &[u8]) -> Self {
        let mut raw = vec![0; BUFFER_BYTES.max(head.len())];
        raw[..head.len()].copy_from_slice(head);
        Self {
            decoder: encoding.new_decoder_without_bom_handling(),
            raw,
            raw_at: 0,
            raw_end: head.len(),
            last: false,
            finished: false,
            out: vec![0; BUFFER_BYTES],
            out_at: 0,
            out_end: 0,
        }
    }

    pub(super) fn read(&mut self, input: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
        while self.out_at == self.out_end && !self.finished {
            if self.raw_at == self.raw_end && !self.last {
                self.raw_end = input.read(&mut self.raw)?;
                self.raw_at = 0;
                self.last = self.raw_end == 0;
            }
            self.decode();
        }
        let n = to.len().min(self.out_end - self.out_at);
        to[..n].copy_from_slice(&self.out[self.out_at..self.out_at + n]);
        self.out_at += n;
        Ok(n)
    }

    fn decode(&mut self) {
        let raw = &self.raw[self.raw_at..self.raw_end];
        // Reserve one byte to mark a malformed sequence.
        let room = self.out.len() - 1;
        let (result, read, wrote) =
            self.decoder
                .decode_to_utf8_without_replacement(raw, &mut self.out[..room], self.last);
        self.raw_at += read;
        (self.out_at, self.out_end) = (0, wrote);
        match result {
            DecoderResult::InputEmpty => self.finished = self.last,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                self.out[wrote] = 0xff;
                self.out_end += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_encoding_names_resolve() {
        for (name, expected) in [
            ("latin-1", "windows-1252"),
            ("Latin1", "windows-1252"),
            ("ISO-8859-1", "windows-1252"),
            ("cp1252", "windows-1252"),
            ("utf8", "UTF-8"),
            ("utf-16", "UTF-16LE"),
            ("utf-16be", "UTF-16BE"),
        ] {
            assert_eq!(encoding(name).unwrap().name(), expected, "{name}");
        }
        insta::assert_snapshot!(encoding("latn-1").unwrap_err(), @r"
        error[D008]: unknown encoding `latn-1`
          help: did you mean `latin-1`?
        ");
        insta::assert_snapshot!(encoding("klingon").unwrap_err(), @r"
        error[D008]: unknown encoding `klingon`
          help: use a name such as utf-8, latin-1, windows-1252, utf-16, gbk or shift_jis
        ");
    }

    #[test]
    fn suggested_names_resolve() {
        for name in KNOWN {
            assert!(encoding(name).is_ok(), "{name}");
        }
    }
}
