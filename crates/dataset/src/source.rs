//! A data file: name, format, and errors about it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use diagnostics::{Diagnostic, Place, Severity};

use crate::codes;
use crate::findings::{Finding, Findings};

/// File format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Delimited values with a header; the delimiter is a comma or a tab.
    Csv {
        /// Byte between two fields.
        delimiter: u8,
    },
    /// One JSON object per line, or an array of objects.
    Jsonl,
    /// A text in each line, also in a blank one.
    Lines,
    /// fastText's format: `__label__LABEL TEXT`.
    FastText,
    /// Apache Parquet.
    Parquet,
    /// A file of Apache Arrow, which is also a Feather file of version 2, or its stream.
    Arrow,
}

impl Format {
    /// Comma-separated values.
    pub const CSV: Self = Self::Csv { delimiter: b',' };
    /// Tab-separated values.
    pub const TSV: Self = Self::Csv { delimiter: b'\t' };

    /// Returns the format by file extension, ignoring that of a compression such as `.gz`.
    pub fn of_name(path: &Path) -> Option<Self> {
        match extension(path)?.as_str() {
            "csv" => Some(Self::CSV),
            "tsv" | "tab" => Some(Self::TSV),
            "jsonl" | "ndjson" | "json" | "manifest" => Some(Self::Jsonl),
            "parquet" => Some(Self::Parquet),
            "arrow" | "feather" => Some(Self::Arrow),
            "ft" => Some(Self::FastText),
            _ => None,
        }
    }
}

/// Start of a label in fastText's format.
pub(super) const LABEL_PREFIX: &[u8] = b"__label__";

/// Returns the extension of a file's name in lower case, ignoring that of a compression such as
/// `.gz`.
pub(super) fn extension(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let name = [".gz", ".zst", ".zstd", ".bz2", ".xz"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(&name);
    Some(name.rsplit_once('.')?.1.to_owned())
}

/// A file, or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name for messages.
    pub(super) display: String,
    /// `None` for standard input.
    pub(super) path: Option<PathBuf>,
    pub(super) format: Format,
    /// True if the format is known by the content only.
    pub(super) is_sniffed: bool,
    /// Files of the same folder that are not read; only in the first source of a folder.
    pub(super) skipped: Vec<PathBuf>,
}

impl Source {
    /// A file of a known format.
    pub fn file(path: &Path, format: Format) -> Self {
        Self {
            display: path.display().to_string(),
            path: Some(path.to_owned()),
            format,
            is_sniffed: false,
            skipped: Vec::new(),
        }
    }

    /// Standard input; it can be read only once.
    pub fn stdin(format: Format) -> Self {
        Self {
            display: "standard input".to_owned(),
            path: None,
            format,
            is_sniffed: false,
            skipped: Vec::new(),
        }
    }

    /// Path of the file; `None` for standard input.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The path as the user gave it, or as found below the folder that the user gave.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// True if the name of the file does not show its format.
    pub(super) fn has_no_format(&self) -> bool {
        let path = self.path.as_deref();
        path.is_some_and(|path| Format::of_name(path).is_none())
    }

    /// True for a file without bytes.
    pub(super) fn is_empty(&self) -> bool {
        let meta = self.path.as_deref().map(fs::metadata);
        meta.is_some_and(|meta| meta.is_ok_and(|meta| meta.is_file() && meta.len() == 0))
    }

    /// True for a manifest by its name.
    pub(super) fn is_manifest(&self) -> bool {
        let end = self.path.as_deref().and_then(extension);
        end.as_deref() == Some("manifest")
    }

    /// Format of the file.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Reports the files of the folder that are not read, and a format that the name does not show.
    pub(super) fn report(&self, findings: &mut Findings) {
        if self.is_sniffed {
            let (format, end) = match self.format {
                Format::Csv { delimiter: b'\t' } => ("TSV", ".tsv"),
                Format::Csv { .. } => ("CSV", ".csv"),
                Format::Jsonl => ("JSON", ".jsonl"),
                Format::Parquet => ("Parquet", ".parquet"),
                Format::Arrow => ("Arrow", ".arrow"),
                Format::FastText | Format::Lines => ("fastText's format", ".ft"),
            };
            findings.add(&codes::CONTENT, Severity::Warning, || Finding {
                message: format!("the file is read as {format} because of its content"),
                place: Some(self.place()),
                help: format!("give {{them}} the ending of the format, such as {end}, to confirm"),
            });
        }
        // If only the first finding is kept, it names all files.
        let all = findings.limit() == 1 && self.skipped.len() > 1;
        for path in &self.skipped {
            findings.add(&codes::SKIPPED_FILE, Severity::Warning, || Finding {
                message: format!(
                    "the file is not read: a data file in a folder is a regular file that ends in \
                     .csv, .tsv, .jsonl, .ft, .parquet, .arrow or .feather, or in .json with \
                     several objects, or has no ending and looks like rows; its name does not begin \
                     with a dot, or with `cache-` if it ends in .arrow, and that of its folder \
                     neither with a dot nor with an underscore{}",
                    match (all, self.skipped.len()) {
                        (true, 2) => format!("; nor is {}", listed(&self.skipped[1..])),
                        (true, _) => format!("; nor are {}", listed(&self.skipped[1..])),
                        (false, _) => String::new(),
                    }
                ),
                place: Some(place_of(path)),
                help: "rename {them}, or remove {them} from the folder".to_owned(),
            });
        }
    }

    pub(super) fn place(&self) -> Place {
        Place {
            file: self.display.clone(),
            line: None,
            column: None,
            record: None,
        }
    }
}

/// Names the first of some files.
pub(super) fn listed(files: &[PathBuf]) -> String {
    const MAX_FILES: usize = 20;
    let names = files.iter().map(|path| path.display().to_string());
    diagnostics::listed(names, MAX_FILES)
}

pub(super) fn place_of(path: &Path) -> Place {
    Place {
        file: path.display().to_string(),
        line: None,
        column: None,
        record: None,
    }
}

/// Returns the error that a file or folder cannot be opened; suggests a similar name.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Box<Diagnostic> {
    let (message, help) = match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => (
            format!(
                "this link points to `{}`, which does not exist",
                fs::read_link(path).unwrap_or_default().display()
            ),
            "replace the link with the file, or remove it".to_owned(),
        ),
        io::ErrorKind::NotFound => ("no such file or folder".to_owned(), suggest_file(path)),
        io::ErrorKind::PermissionDenied => (
            "permission denied".to_owned(),
            "grant this user permission to read it".to_owned(),
        ),
        _ => (
            format!("cannot read: {error}"),
            "check the disk and the file".to_owned(),
        ),
    };
    Box::new(Diagnostic {
        severity: Severity::Error,
        code: codes::UNREADABLE.id,
        message,
        place: Some(place_of(path)),
        help,
    })
}

fn suggest_file(path: &Path) -> String {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return format!(
            "the folder `{}` does not exist; pass a path relative to the current folder, or an absolute one",
            folder.display()
        );
    };
    let names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    match closest(&wanted, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{}`?", path.with_file_name(name).display()),
        None => "pass the path of an existing file or folder".to_owned(),
    }
}

/// Minimum normalised Damerau-Levenshtein similarity of a suggestion.
const SIMILARITY_THRESHOLD: f64 = 0.6;

/// Longest name, in bytes, that is compared: time and memory grow with the product of two lengths.
const MAX_COMPARED_BYTES: usize = 200;

/// Most names that are compared.
const MAX_COMPARED_NAMES: usize = 10_000;

/// Returns the most similar name, if any is similar enough.
pub(super) fn closest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let names = names.take(MAX_COMPARED_NAMES);
    let names = names.filter(|name| name.len().max(wanted.len()) <= MAX_COMPARED_BYTES);
    let wanted = wanted.trim().to_lowercase();
    let score = |name: &str| {
        let name = name.trim().to_lowercase();
        // A name inside another ("review" and "review_text") is similar, regardless of length.
        let inside = wanted.len() > 2
            && name.len() > 2
            && (name.contains(&wanted) || wanted.contains(&name));
        strsim::normalized_damerau_levenshtein(&wanted, &name).max(if inside { 0.7 } else { 0.0 })
    };
    let scored = names
        .map(|name| (score(name), name))
        .filter(|(score, _)| *score >= SIMILARITY_THRESHOLD);
    scored
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
