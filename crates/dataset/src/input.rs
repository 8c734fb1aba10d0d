//! Bytes of one file: opened, hashed, decompressed, converted to UTF-8.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use sha2::{Digest, Sha256};

use diagnostics::Diagnostic;

use crate::codes::{self, Code};
use crate::encoding::Transcoder;
use crate::findings::Findings;
use crate::source::{Source, unreadable};

/// Error that ends the reading of a file.
pub(super) struct FileError {
    pub(super) code: &'static Code,
    pub(super) message: String,
    pub(super) help: String,
}

impl FileError {
    /// Returns the error that a file has a type or layout that is not read.
    pub(super) fn unsupported(message: &str, help: &str) -> Self {
        Self {
            code: &codes::UNSUPPORTED,
            message: message.to_owned(),
            help: help.to_owned(),
        }
    }

    /// Adds the error to `findings`, placed at the file.
    pub(super) fn add(self, source: &Source, findings: &mut Findings) {
        findings.error(self.code, self.message, Some(source.place()), self.help);
    }
}

/// Counts and hashes raw bytes while reading. The first few bytes are peeked at, then returned.
struct HashingReader {
    raw: Box<dyn Read + Send>,
    hasher: Option<Sha256>,
    bytes: u64,
    head: Vec<u8>,
    head_at: usize,
}

impl Read for HashingReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.head_at < self.head.len() {
            let n = (&self.head[self.head_at..]).read(to)?;
            self.head_at += n;
            return Ok(n);
        }
        self.pull(to)
    }
}

impl HashingReader {
    /// A reader without bytes.
    fn empty() -> Self {
        Self {
            raw: Box::new(io::empty()),
            hasher: None,
            bytes: 0,
            head: Vec::new(),
            head_at: 0,
        }
    }

    fn pull(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.raw.read(to)?;
        self.bytes += n as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&to[..n]);
        }
        Ok(n)
    }
}

/// Number of bytes that are read ahead to identify the file's type.
pub(super) const HEAD_BYTES: usize = 512;

/// Size of the buffer for compressed bytes.
const COMPRESSED_BUFFER_BYTES: usize = 128 * 1024;

/// Reads the members of a gzip file, one after the other.
struct Gzip(GzDecoder<BufReader<HashingReader>>);

/// Message about bytes after the last member of a gzip file.
pub(super) const OTHER_BYTES: &str = "the compressed data is followed by other bytes";

impl Read for Gzip {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.0.read(to)?;
            if n > 0 || to.is_empty() {
                return Ok(n);
            }
            let rest = self.0.get_mut();
            match rest.fill_buf()? {
                [] => return Ok(0),
                [0x1f, ..] => {
                    let none = BufReader::with_capacity(0, HashingReader::empty());
                    let rest = self.0.reset(none);
                    self.0.reset(rest);
                }
                // Tapes and some disks fill their last block with zeros.
                bytes if bytes.iter().all(|byte| *byte == 0) => {
                    let zeros = bytes.len();
                    rest.consume(zeros);
                }
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, OTHER_BYTES)),
            }
        }
    }
}

enum Decompressor {
    Plain(HashingReader),
    Gzip(Box<Gzip>),
    Zstd(Box<zstd::Decoder<'static, BufReader<HashingReader>>>),
    Bzip2(Box<MultiBzDecoder<BufReader<HashingReader>>>),
    Xz(Box<XzReader<BufReader<HashingReader>>>),
}

/// Memory of xz files that are read, in KiB. `xz -9` needs 64 MiB.
const MAX_XZ_KIB: u32 = 512 * 1024;

/// Starts of bzip2 files after `BZh` and a digit: of the first block, and of the end without one.
const BZIP2_STARTS: [&[u8]; 2] = [b"1AY&SY", b"\x17rE8P\x90"];

impl Decompressor {
    fn hashing(&mut self) -> &mut HashingReader {
        match self {
            Self::Plain(hashing) => hashing,
            Self::Gzip(decoder) => decoder.0.get_mut().get_mut(),
            Self::Zstd(decoder) => decoder.get_mut().get_mut(),
            Self::Bzip2(decoder) => decoder.get_mut().get_mut(),
            Self::Xz(decoder) => decoder.inner_mut().get_mut(),
        }
    }
}

impl Read for Decompressor {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(hashing) => hashing.read(to),
            Self::Gzip(decoder) => decoder.read(to),
            Self::Zstd(decoder) => decoder.read(to),
            Self::Bzip2(decoder) => decoder.read(to),
            Self::Xz(decoder) => decoder.read(to),
        }
    }
}

/// An open file, read as UTF-8 without byte order mark.
pub(super) struct Input {
    body: Decompressor,
    transcoder: Option<Transcoder>,
    /// Bytes that were read to detect a byte order mark.
    head: Vec<u8>,
    head_at: usize,
    /// Name of the encoding, for messages.
    pub(super) encoding: &'static str,
    /// Length of the byte order mark, for offsets in the (uncompressed) file.
    pub(super) skipped: u64,
    pub(super) compressed: bool,
    /// True if the first bytes have many control characters.
    pub(super) binary: bool,
}

impl Input {
    pub(super) fn open(
        source: &Source,
        encoding: Option<&'static Encoding>,
        hash: bool,
    ) -> Result<Self, FileError> {
        let raw: Box<dyn Read + Send> = match &source.path {
            None => Box::new(io::stdin()),
            Some(path) => Box::new(
                File::open(path).map_err(|error| FileError::from(*unreadable(path, &error)))?,
            ),
        };
        Self::new(raw, encoding, hash)
    }

    pub(super) fn new(
        raw: Box<dyn Read + Send>,
        encoding: Option<&'static Encoding>,
        hash: bool,
    ) -> Result<Self, FileError> {
        let hasher = hash.then(Sha256::new);
        let mut hashing = HashingReader {
            raw,
            hasher,
            bytes: 0,
            head: Vec::new(),
            head_at: 0,
        };
        let mut head = [0; HEAD_BYTES];
        let n = peek(&mut head, false, |to| hashing.pull(to))?;
        hashing.head.extend_from_slice(&head[..n]);
        refuse_unsupported(&hashing.head)?;
        let mut body = decompressor(hashing)?;
        let compressed = !matches!(body, Decompressor::Plain(_));
        let mut head = [0; HEAD_BYTES];
        let n = peek(&mut head, compressed, |to| body.read(to))?;
        refuse_unsupported(&head[..n])?;
        refuse_compressed(&head[..n], compressed)?;
        // A byte order mark takes precedence over the user's option.
        let (mark, encoding) = match &head[..n] {
            [0xef, 0xbb, 0xbf, ..] => (3, UTF_8),
            [0xff, 0xfe, ..] => (2, UTF_16LE),
            [0xfe, 0xff, ..] => (2, UTF_16BE),
            _ => (0, encoding.unwrap_or(UTF_8)),
        };
        let head = head[mark..n].to_vec();
        let control = |byte: &&u8| matches!(**byte, 0..=8 | 14..=26 | 28..=31);
        // In random bytes, one byte in ten is a control character; in text, hardly any is.
        let binary = head.iter().filter(control).count() * 50 > head.len();
        let transcoder = (encoding != UTF_8).then(|| Transcoder::new(encoding, &head));
        let head_at = if transcoder.is_some() { head.len() } else { 0 };
        let (encoding, skipped) = (encoding.name(), mark as u64);
        Ok(Self {
            body,
            transcoder,
            head,
            head_at,
            encoding,
            skipped,
            compressed,
            binary,
        })
    }

    /// Reads the bytes unchanged and hashes them.
    #[cfg(feature = "parquet")]
    pub(super) fn raw(raw: Box<dyn Read + Send>) -> Self {
        let hashing = HashingReader {
            raw,
            hasher: Some(Sha256::new()),
            bytes: 0,
            head: Vec::new(),
            head_at: 0,
        };
        let (body, encoding) = (Decompressor::Plain(hashing), UTF_8.name());
        let head = Vec::new();
        Self {
            body,
            transcoder: None,
            head,
            head_at: 0,
            encoding,
            skipped: 0,
            compressed: false,
            binary: false,
        }
    }

    /// True if the bytes are converted, so that offsets differ from those in the file.
    pub(super) fn transcodes(&self) -> bool {
        self.transcoder.is_some()
    }

    /// Fills `to`. Fewer bytes mean the end of the input, or the returned error.
    pub(super) fn fill(&mut self, to: &mut [u8]) -> (usize, Option<FileError>) {
        let compressed = self.compressed;
        let (n, error) = fill(to, |to| self.read(to));
        (n, error.map(|error| file_error(&error, compressed)))
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if let Some(transcoder) = &mut self.transcoder {
            return transcoder.read(&mut self.body, to);
        }
        if self.head_at < self.head.len() {
            let n = (&self.head[self.head_at..]).read(to)?;
            self.head_at += n;
            return Ok(n);
        }
        self.body.read(to)
    }

    /// Number of raw bytes read so far.
    pub(super) fn bytes(&mut self) -> u64 {
        self.body.hashing().bytes
    }

    /// Returns the SHA-256 of the raw bytes read so far, in hexadecimal digits.
    pub(super) fn sha256(&mut self) -> Option<String> {
        let hasher = self.body.hashing().hasher.take()?;
        Some(diagnostics::hex(hasher.finalize()))
    }
}

/// Returns the decompressor that the first bytes ask for.
fn decompressor(hashing: HashingReader) -> Result<Decompressor, FileError> {
    let head = hashing.head.clone();
    let buffered = |hashing| BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, hashing);
    Ok(match head.as_slice() {
        [0x1f, 0x8b, ..] => Decompressor::Gzip(Box::new(Gzip(GzDecoder::new(buffered(hashing))))),
        // The second pattern is a skippable frame, which some tools write first.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let decoder = zstd::Decoder::with_buffer(buffered(hashing));
            Decompressor::Zstd(Box::new(decoder.map_err(|error| file_error(&error, true))?))
        }
        [b'B', b'Z', b'h', _, rest @ ..] if BZIP2_STARTS.iter().any(|s| rest.starts_with(s)) => {
            Decompressor::Bzip2(Box::new(MultiBzDecoder::new(buffered(hashing))))
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let decoder = XzReader::new_mem_limit(buffered(hashing), true, MAX_XZ_KIB);
            Decompressor::Xz(Box::new(decoder))
        }
        _ => Decompressor::Plain(hashing),
    })
}

/// Reads until `to` is full, the input ends, or an error occurs.
fn fill(
    to: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < to.len() {
        match read(&mut to[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

/// Like [`fill`], for the first few bytes; an error is final.
fn peek(
    to: &mut [u8],
    compressed: bool,
    read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> Result<usize, FileError> {
    match fill(to, read) {
        (n, None) => Ok(n),
        (_, Some(error)) => Err(file_error(&error, compressed)),
    }
}

fn file_error(error: &io::Error, compressed: bool) -> FileError {
    use io::ErrorKind::{
        InvalidData, InvalidInput, Other, OutOfMemory, UnexpectedEof, Unsupported,
    };
    if compressed && error.kind() == UnexpectedEof {
        let message = "the compressed data ends too early".to_owned();
        return FileError {
            code: &codes::DAMAGED,
            message,
            help: "download the file again; it is truncated".to_owned(),
        };
    }
    if compressed && error.to_string() == OTHER_BYTES {
        return FileError {
            code: &codes::DAMAGED,
            message: OTHER_BYTES.to_owned(),
            help:
                "check whether files were joined; to leave the other bytes out: gunzip -c FILE > \
                   NEW-FILE"
                    .to_owned(),
        };
    }
    let is_damage = [InvalidData, InvalidInput, Other, OutOfMemory, Unsupported];
    if compressed && is_damage.contains(&error.kind()) {
        let message = format!("the compressed data is damaged: {error}");
        return FileError {
            code: &codes::DAMAGED,
            message,
            help: "download the file again, or compress it again".to_owned(),
        };
    }
    let message = format!("cannot read: {error}");
    FileError {
        code: &codes::UNREADABLE,
        message,
        help: "check the disk and the file".to_owned(),
    }
}

/// File types whose bytes would be read as text: offset and bytes that identify them, name, help.
#[rustfmt::skip]
const OTHER_TYPES: &[(usize, &[u8], &str, &str)] = &[
    (257, b"ustar\0", "a tar archive", "unpack it with tar -xf, and pass the file inside"),
    (257, b"ustar ", "a tar archive", "unpack it with tar -xf, and pass the file inside"),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", "decompress it, or use gzip or zstd"),
    (0, b"\x5d\0\0", "compressed with lzma", "decompress it, or use gzip or zstd"),
    (0, b"\x1f\x9d", "compressed with compress", "decompress it, or use gzip or zstd"),
    (0, b"\xff\xfe\0\0", "text in UTF-32", "convert it: iconv -f utf-32 -t utf-8 FILE > NEW-FILE"),
    (0, b"\0\0\xfe\xff", "text in UTF-32", "convert it: iconv -f utf-32 -t utf-8 FILE > NEW-FILE"),
    (0, b"Obj\x01", "an Avro file", "convert it to CSV or parquet"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, and pass the file inside"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook (xls)", "save the sheet as CSV UTF-8 in Excel"),
    (0, b"PAR1", "a parquet file", "pass it as a file whose name ends in .parquet"),
    (0, b"ARROW1", "an Arrow (Feather) file", ARROW_HELP),
    (0, b"\xff\xff\xff\xff", "an Arrow stream, as in data sets of Hugging Face", ARROW_HELP),
    (0, b"FEA1", "a Feather file of version 1", "convert it: pandas.read_feather(FILE).to_feather(NEW)"),
    (0, b"\x80\x02", PICKLE, PICKLE_HELP),
    (0, b"\x80\x03", PICKLE, PICKLE_HELP),
    (0, b"\x80\x04", PICKLE, PICKLE_HELP),
    (0, b"\x80\x05", PICKLE, PICKLE_HELP),
    (0, b"\x93NUMPY", "a NumPy array", "convert it to CSV"),
    (0, b"\x89HDF", "an HDF5 file", "convert it: pandas.read_hdf(FILE).to_parquet(NEW)"),
    (0, b"SQLite format 3", "an SQLite database", "export the table as CSV: sqlite3 -header -csv FILE 'select * from TABLE'"),
    (0, b"%PDF-", "a PDF document", "convert it to CSV"),
];

/// Text files that are not CSV, by their first words in any case, and help.
const OTHER_TEXTS: &[(&[u8], &str, &str)] = &[
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the data",
        "fetch the data with git lfs pull",
    ),
    (b"<!doctype html", HTML, HTML_HELP),
    (b"<html", HTML, HTML_HELP),
    (
        b"<?xml",
        "an XML document",
        "convert it to CSV; if it has an error of a server, download the file again",
    ),
];
const ARROW_HELP: &str = "pass it as a file whose name ends in .arrow";
const PICKLE: &str = "a Python pickle";
const PICKLE_HELP: &str = "convert it: pandas.read_pickle(FILE).to_parquet(NEW)";
const HTML: &str = "a web page, not the data";
const HTML_HELP: &str = "download the file itself; the page may have a link to it";

/// Refuses content that is still compressed after decompression.
fn refuse_compressed(head: &[u8], is_decompressed: bool) -> Result<(), FileError> {
    match head {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] if is_decompressed => {
            let message = "the file is compressed twice";
            Err(FileError::unsupported(message, "decompress it once"))
        }
        _ => Ok(()),
    }
}

/// Refuses common file types that are not supported.
pub(super) fn refuse_unsupported(head: &[u8]) -> Result<(), FileError> {
    let has = |part: &[u8]| memchr::memmem::find(head, part).is_some();
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    let begins = |(words, ..): &&(&[u8], _, _)| {
        let start = text.get(..words.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(words))
    };
    let (kind, help) = if head.starts_with(b"PK\x03\x04") {
        if has(b"[Content_Types].xml") || has(b"docProps/") || has(b"xl/") {
            (
                "an Excel workbook (xlsx)",
                "save the sheet as CSV UTF-8 in Excel",
            )
        } else if has(b"vnd.oasis.opendocument") {
            (
                "a LibreOffice document",
                "save the sheet as CSV in LibreOffice",
            )
        } else {
            ("a zip archive", "unpack it, and pass the file inside")
        }
    } else if let Some(&(_, kind, help)) = OTHER_TEXTS.iter().find(begins) {
        (kind, help)
    } else {
        let found = |(at, magic, ..): &&(usize, &[u8], _, _)| {
            head.get(*at..).is_some_and(|rest| rest.starts_with(magic))
        };
        match OTHER_TYPES.iter().find(found) {
            Some(&(_, _, kind, help)) => (kind, help),
            None => return Ok(()),
        }
    };
    Err(FileError::unsupported(&format!("the file is {kind}"), help))
}

impl From<Diagnostic> for FileError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            code: &codes::UNREADABLE,
            message: diagnostic.message,
            help: diagnostic.help,
        }
    }
}
