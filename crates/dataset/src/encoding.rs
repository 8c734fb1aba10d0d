//! Names of text encodings, and conversion to UTF-8.

use std::io::{self, Read};
use std::ops::RangeInclusive;

use encoding_rs::{Decoder, DecoderResult, Encoding};

use diagnostics::{Diagnostic, Severity, sanitize};

use crate::codes;
use crate::source::closest;

/// Names that Python and Microsoft use and the WHATWG list does not have, without `-`, `_` and `.`:
/// WHATWG's name, and the others. WHATWG maps latin-1 to windows-1252, its superset.
const OTHER_NAMES: &[(&str, &[&str])] = &[
    (
        "latin1",
        &["latin1", "latin", "8859", "iso8859", "us", "646"],
    ),
    ("latin2", &["latin2"]),
    ("iso-8859-10", &["latin6", "iso885910"]),
    ("iso-8859-13", &["latin7", "l7", "iso885913"]),
    ("iso-8859-14", &["latin8", "l8", "iso885914", "isoceltic"]),
    ("iso-8859-15", &["latin9", "iso885915"]),
    ("iso-8859-16", &["latin10", "l10", "iso885916"]),
    ("utf-8", &["utf8sig", "cp65001", "utf", "u8"]),
    ("utf-16", &["utf16", "u16"]),
    ("utf-16le", &["utf16le"]),
    ("utf-16be", &["utf16be"]),
    ("gb18030", &["gb18030", "gb180302000"]),
    (
        "gbk",
        &["cp936", "936", "ms936", "euccn", "gb231280", "gb23121980"],
    ),
    (
        "big5",
        &["cp950", "950", "ms950", "big5tw", "big5hkscs", "hkscs"],
    ),
    (
        "shift_jis",
        &["shiftjis", "sjis", "cp932", "932", "ms932", "mskanji"],
    ),
    ("euc-jp", &["eucjp", "ujis"]),
    ("iso-2022-jp", &["iso2022jp"]),
    (
        "euc-kr",
        &[
            "cp949",
            "949",
            "ms949",
            "uhc",
            "euckr",
            "ksc5601",
            "ksc56011987",
            "ksx1001",
        ],
    ),
    ("macintosh", &["macroman"]),
    ("x-mac-cyrillic", &["maccyrillic"]),
    ("windows-874", &["cp874", "tis620", "thai", "iso885911"]),
    ("windows-1250", &["cp1250", "1250"]),
    ("windows-1251", &["cp1251", "1251"]),
    ("windows-1252", &["cp1252", "1252"]),
    ("windows-1253", &["cp1253", "1253"]),
    ("windows-1254", &["cp1254", "1254"]),
    ("windows-1255", &["cp1255", "1255"]),
    ("windows-1256", &["cp1256", "1256"]),
    ("windows-1257", &["cp1257", "1257"]),
    ("windows-1258", &["cp1258", "1258"]),
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
    let dashed = lower.replace('_', "-");
    let joined = dashed.replace(['-', '.'], "");
    let other = OTHER_NAMES
        .iter()
        .find(|(_, others)| others.contains(&joined.as_str()));
    let labels = [
        lower.as_str(),
        &dashed,
        other.map_or("", |(label, _)| label),
    ];
    let known = labels.map(|label| Encoding::for_label_no_replacement(label.as_bytes()));
    known.into_iter().flatten().next().ok_or_else(|| {
        Box::new(Diagnostic {
            severity: Severity::Error,
            code: codes::ENCODING.id,
            message: format!("unknown encoding `{}`", sanitize(name)),
            place: None,
            help: match closest(&lower, KNOWN.iter().copied()) {
                _ if joined.starts_with("utf32") => {
                    "convert the file: iconv -f utf-32 -t utf-8 FILE > NEW-FILE".to_owned()
                }
                Some(closest) => format!("did you mean `{closest}`?"),
                None => {
                    "use a name such as utf-8, latin-1, windows-1252, utf-16, gbk, shift_jis or \
                     euc-kr, or convert the file with iconv"
                        .to_owned()
                }
            },
        })
    })
}

/// Encodings of two bytes per character: name, script, and the share of the script in percent at
/// which a text is likely to have the encoding. Chinese read as Korean has 60 % Hangul.
const TWO_BYTE: [(&str, RangeInclusive<char>, usize); 5] = [
    ("shift_jis", '\u{3040}'..='\u{30ff}', 30),
    ("euc-jp", '\u{3040}'..='\u{30ff}', 30),
    ("euc-kr", '\u{ac00}'..='\u{d7a3}', 90),
    ("gbk", '\u{4e00}'..='\u{9fff}', 60),
    ("big5", '\u{4e00}'..='\u{9fff}', 60),
];

/// Encodings of one byte per character with an alphabet of their own: name, common letters, other
/// letters. Letters that are rare in the languages are in neither.
const ALPHABETS: [Alphabet; 5] = [
    ("windows-1251", "оеаинтсрвлк", "мдпуяыьгзбчйхжшюцфёіїєґ"),
    ("koi8-r", "оеаинтсрвлк", "мдпуяыьгзбчйхжшюцфё"),
    ("windows-1253", "αοιετσςνηυρπκάίόέήύώ", "λμωδγχθφβϊϋ"),
    ("windows-1255", "יוהלאשרמתבנ", "עחדקפצגטכסזםןךףץ"),
    ("windows-1256", "اليمنوترةعدسفهبكقأ", "حجشصطخضذثزغظءىؤئإآپ"),
];

/// As [`ALPHABETS`], for letters with diacritics among those of ASCII. The first is the most
/// frequent encoding.
const DIACRITICS: [Alphabet; 4] = [
    ("latin-1", "éèàäöüçáíóñãêâôåæßúìòùï", "ëîûœõøþðýÿ"),
    ("windows-1250", CENTRAL_EUROPE, "ýďľĺŕôđşţëçß"),
    ("iso-8859-2", CENTRAL_EUROPE, "ýďľĺŕôđşţëçß"),
    ("windows-1254", "ışğçöüi\u{307}", "âîû"),
];
/// Of Polish, Czech, Slovak, Hungarian, Croatian and Romanian.
const CENTRAL_EUROPE: &str = "ąęłóśżćńźáíéěščřžůúťňőűäöüăîâ";

type Alphabet = (&'static str, &'static str, &'static str);

/// Points of a common letter of the languages, another letter, a usual symbol, and any other
/// character: roughly their log-probabilities.
const COMMON: f64 = 3.0;
const LETTER: f64 = 1.0;
const SYMBOL: f64 = 2.5;
const OTHER: f64 = -4.0;
/// Symbols in texts of most languages.
const SYMBOLS: &str = "“”‘’‚„–—…«»‹›€£©®™•·°§¡¿№\u{a0}";
/// Points that an uppercase letter loses: KOI8-R has capital letters where windows-1251 has small
/// ones.
const UPPERCASE: f64 = 1.5;
/// Points of latin-1 because it is frequent.
const FREQUENT: f64 = 0.5;
/// An encoding with this many points fewer per letter than the best one is unlikely.
const MARGIN: f64 = 0.4;
/// Fewer points per letter do not look like the language.
const MIN_POINTS: f64 = 1.0;

/// Returns the help for rows that are not valid UTF-8: an encoding, or several if unsure.
pub(super) fn help(rows: &[u8]) -> String {
    let start = "save the file as UTF-8, or pass its encoding";
    match candidates(rows).as_slice() {
        [first, others @ ..] if !others.is_empty() => format!(
            "{start} with --encoding: ask who wrote the file whether it is {first} or {}",
            others.join(" or ")
        ),
        names => format!(
            "{start}, such as --encoding {}",
            names.first().unwrap_or(&"latin-1")
        ),
    }
}

/// Returns the names of encodings in which the rows are plausible, the most likely ones first.
fn candidates(bytes: &[u8]) -> Vec<&'static str> {
    let runs: Vec<&[u8]> = bytes.chunk_by(|a, b| kind(*a) == kind(*b)).collect();
    let high = || runs.iter().filter(|run| kind(run[0]) == Kind::High);
    let all: usize = high().map(|run| run.len()).sum();
    let pairs: usize = high()
        .map(|run| run.len())
        .filter(|length| *length > 1)
        .sum();
    // Bytes of two-byte characters and of other alphabets are neighbours; accented letters rarely
    // are.
    if pairs * 2 <= all {
        return ranked(bytes, &DIACRITICS);
    }
    let mut likely: Vec<_> = TWO_BYTE
        .iter()
        .filter_map(|encoding| two_byte(bytes, encoding))
        .collect();
    // Those before it are recognised by their script.
    if likely.first() != Some(&"gbk") {
        likely.truncate(1);
    }
    if !likely.is_empty() {
        return likely;
    }
    // Words of another alphabet have no ASCII letters.
    let is_mixed = |pair: &&[&[u8]]| {
        let kinds = [kind(pair[0][0]), kind(pair[1][0])];
        kinds.contains(&Kind::High) && kinds.contains(&Kind::Letter)
    };
    match runs.windows(2).filter(is_mixed).count() * 2 > high().count() {
        true => ranked(bytes, &DIACRITICS),
        false => ranked(bytes, &ALPHABETS),
    }
}

/// Kind of a byte: beyond ASCII, an ASCII letter, or another ASCII character.
#[derive(PartialEq, Eq)]
enum Kind {
    High,
    Letter,
    Other,
}

/// Returns the kind of a byte in a text of an unknown encoding.
fn kind(byte: u8) -> Kind {
    match byte {
        0x80.. => Kind::High,
        _ if byte.is_ascii_alphabetic() => Kind::Letter,
        _ => Kind::Other,
    }
}

/// Returns the name of an encoding of two bytes per character if the text is likely to have it.
fn two_byte(
    bytes: &[u8],
    (name, script, share): &(&'static str, RangeInclusive<char>, usize),
) -> Option<&'static str> {
    let encoding = Encoding::for_label(name.as_bytes())?;
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    let chars = text.chars().filter(|char| !char.is_ascii()).count();
    let typical = text.chars().filter(|char| script.contains(char)).count();
    (typical * 100 >= chars * share).then_some(*name)
}

/// Returns the names of the encodings whose letters fit best; several if unsure.
fn ranked(bytes: &[u8], alphabets: &[Alphabet]) -> Vec<&'static str> {
    let mut texts = Vec::new();
    let mut scored: Vec<(f64, &'static str)> = Vec::new();
    for (name, common, others) in alphabets {
        let Some(text) = Encoding::for_label(label(name).as_bytes()).and_then(|encoding| {
            encoding.decode_without_bom_handling_and_without_replacement(bytes)
        }) else {
            continue;
        };
        // Encodings with the same result are one.
        if texts.contains(&text) {
            continue;
        }
        let frequent = if *name == "latin-1" { FREQUENT } else { 0.0 };
        scored.push((frequent + points(&text, common, others), *name));
        texts.push(text);
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = scored.first().map_or(f64::MIN, |(points, _)| *points);
    let is_likely = |points: f64| best < MIN_POINTS || best - points < MARGIN;
    let likely = scored.iter().filter(|(points, _)| is_likely(*points));
    likely.map(|(_, name)| *name).collect()
}

/// Returns the mean points of the characters that are not ASCII.
fn points(text: &str, common: &str, others: &str) -> f64 {
    let of = |char: char| {
        let is_in = |letters: &str| char.to_lowercase().all(|char| letters.contains(char));
        let points = if is_in(common) {
            COMMON
        } else if is_in(others) {
            LETTER
        } else if SYMBOLS.contains(char) {
            SYMBOL
        } else {
            OTHER
        };
        points - if char.is_uppercase() { UPPERCASE } else { 0.0 }
    };
    let chars = text.chars().filter(|char| !char.is_ascii());
    let points: Vec<f64> = chars.map(of).collect();
    points.iter().sum::<f64>() / points.len().max(1) as f64
}

/// Returns WHATWG's name of an encoding in this file.
fn label(name: &str) -> &str {
    if name == "latin-1" { "latin1" } else { name }
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
            ("cp949", "EUC-KR"),
            ("ISO8859_15", "ISO-8859-15"),
            ("mac_roman", "macintosh"),
            ("utf_8_sig", "UTF-8"),
            ("cp932", "Shift_JIS"),
            ("shift_jis", "Shift_JIS"),
        ] {
            assert_eq!(encoding(name).unwrap().name(), expected, "{name}");
        }
        insta::assert_snapshot!(encoding("latn-1").unwrap_err(), @r"
        error[D008]: unknown encoding `latn-1`
          help: did you mean `latin-1`?
        ");
        insta::assert_snapshot!(encoding("klingon").unwrap_err(), @r"
        error[D008]: unknown encoding `klingon`
          help: use a name such as utf-8, latin-1, windows-1252, utf-16, gbk, shift_jis or euc-kr, or convert the file with iconv
        ");
    }

    #[test]
    fn suggested_names_resolve() {
        for name in KNOWN {
            assert!(encoding(name).is_ok(), "{name}");
        }
    }
}
