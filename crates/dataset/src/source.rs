//! Data files of a channel.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _};
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
    /// One JSON object per line.
    Jsonl,
    /// A text in each line, also in a blank one.
    Lines,
    /// fastText's format: `__label__LABEL TEXT`.
    FastText,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// Comma-separated values.
    pub const CSV: Self = Self::Csv { delimiter: b',' };
    /// Tab-separated values.
    pub const TSV: Self = Self::Csv { delimiter: b'\t' };

    /// Returns the format by file extension, ignoring a final `.gz` or `.zst`.
    pub fn of_name(path: &Path) -> Option<Self> {
        match extension(path)?.as_str() {
            "csv" => Some(Self::CSV),
            "tsv" | "tab" => Some(Self::TSV),
            "jsonl" | "ndjson" | "json" | "manifest" => Some(Self::Jsonl),
            "parquet" => Some(Self::Parquet),
            "ft" => Some(Self::FastText),
            _ => None,
        }
    }
}

/// Start of a label in fastText's format.
pub(super) const LABEL_PREFIX: &[u8] = b"__label__";

/// True if the file of this name, which has no other format, is in fastText's format.
fn is_fasttext(path: &Path) -> bool {
    let mut start = [0_u8; LABEL_PREFIX.len()];
    let is_txt = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("txt"));
    let is_read =
        |mut file: fs::File| file.read_exact(&mut start).is_ok() && start == *LABEL_PREFIX;
    is_txt && fs::File::open(path).is_ok_and(is_read)
}

/// Returns the extension of a file's name in lower case, ignoring a final `.gz` or `.zst`.
fn extension(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let name = [".gz", ".zst", ".zstd"]
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
            skipped: Vec::new(),
        }
    }

    /// Standard input; it can be read only once.
    pub fn stdin(format: Format) -> Self {
        Self {
            display: "standard input".to_owned(),
            path: None,
            format,
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

    /// Format of the file.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Reports the files of the folder that are not read.
    pub(super) fn report_skipped(&self, findings: &mut Findings) {
        // If only the first finding is kept, it names all files.
        let all = findings.limit() == 1 && self.skipped.len() > 1;
        for path in &self.skipped {
            findings.add(&codes::SKIPPED_FILE, Severity::Warning, || Finding {
                message: format!(
                    "the file is not read: a data file in a folder is a regular file that ends in \
                     .csv, .tsv, .jsonl or .parquet; its name does not begin with a dot, and that \
                     of its folder neither with a dot nor with an underscore{}",
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

/// Returns the files of a channel: `path` itself, or all data files below it, sorted by path.
///
/// A file passed by the user may have any extension; unknown ones are read as fastText's format if
/// they begin with a label, otherwise as CSV. In a folder, only `.csv`, `.tsv`, `.jsonl`, `.ndjson`,
/// `.ft` and `.parquet` files are read, also with `.gz` or `.zst`, and `.txt` files that begin with a
/// label.
///
/// # Errors
/// If the path does not exist or cannot be read, or if the folder has no data files.
pub fn sources(path: &Path) -> Result<Vec<Source>, Box<Diagnostic>> {
    let meta = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !meta.is_dir() {
        return Ok(vec![Source::file(
            path,
            Format::of_name(path).unwrap_or(Format::CSV),
        )]);
    }
    let mut walk = Walk::default();
    walk.folder(path)?;
    let Walk {
        mut found,
        mut others,
        links,
        ..
    } = walk;
    others.sort();
    if found.is_empty() {
        return Err(no_files(path, &others));
    }
    found.sort_by(|a, b| {
        a.path
            .as_deref()
            .map(bytes)
            .cmp(&b.path.as_deref().map(bytes))
    });
    if links {
        refuse_duplicates(&found)?;
        remove_read(&mut others, &found);
    }
    // Empty files, such as `_SUCCESS`, have no rows.
    let is_empty =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == 0);
    others.retain(|path| !is_empty(path));
    found[0].skipped = others;
    Ok(found)
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

#[derive(Default)]
struct Walk {
    found: Vec<Source>,
    /// Files that are not read.
    others: Vec<PathBuf>,
    /// Canonical paths of the current folder and its parents.
    within: Vec<PathBuf>,
    /// True if there are links.
    links: bool,
}

impl Walk {
    fn folder(&mut self, folder: &Path) -> Result<(), Box<Diagnostic>> {
        let real = fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
        if self.within.contains(&real) {
            return Err(read_twice(
                folder,
                "this link points to a folder that contains it",
            ));
        }
        self.within.push(real);
        let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(folder, &error))?.path();
            self.entry(path)?;
        }
        self.within.pop();
        Ok(())
    }

    /// Notes the data files of a hidden file or folder, such as `.ipynb_checkpoints`, or of Spark's
    /// `_temporary`.
    fn hidden(&mut self, path: PathBuf) {
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        if is_folder {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            entries.for_each(|entry| self.hidden(entry.path()));
        } else if Format::of_name(&path).is_some() {
            self.others.push(path);
        }
    }

    fn entry(&mut self, path: PathBuf) -> Result<(), Box<Diagnostic>> {
        let name = path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let format = Format::of_name(&path);
        if name.starts_with('.') {
            self.hidden(path);
            return Ok(());
        }
        self.links |= path.is_symlink();
        // A dangling link is an error: data must not be skipped silently.
        let meta = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if meta.is_dir() {
            // Partitions of a column whose name begins with an underscore have a `=`.
            if name.starts_with('_') && !name.contains('=') {
                self.hidden(path);
                return Ok(());
            }
            return self.folder(&path);
        }
        // In a data folder, such files usually have metadata, not rows.
        let metadata = matches!(extension(&path).as_deref(), Some("json" | "manifest"));
        // The end of a named pipe or device may never come.
        match format.filter(|_| !metadata && meta.is_file()) {
            Some(format) => self.found.push(Source::file(&path, format)),
            None if meta.is_file() && is_fasttext(&path) => {
                self.found.push(Source::file(&path, Format::FastText));
            }
            None => self.others.push(path),
        }
        Ok(())
    }
}

/// Removes the files that are read by another name, as those of a ConfigMap of Kubernetes.
fn remove_read(others: &mut Vec<PathBuf>, found: &[Source]) {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let read: HashSet<PathBuf> = found
        .iter()
        .filter_map(|source| real(source.path.as_deref()?))
        .collect();
    others.retain(|path| real(path).is_none_or(|path| !read.contains(&path)));
}

/// Refuses links to files that are read anyway: their rows would be read twice.
fn refuse_duplicates(found: &[Source]) -> Result<(), Box<Diagnostic>> {
    let mut seen = HashMap::new();
    let paths = found.iter().filter_map(|source| source.path.as_deref());
    for path in paths {
        let real = fs::canonicalize(path).map_err(|error| unreadable(path, &error))?;
        if let Some(other) = seen.insert(real, path) {
            let same = format!("this is a link to the file `{}`", other.display());
            return Err(read_twice(path, &same));
        }
    }
    Ok(())
}

fn read_twice(path: &Path, what: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic {
        severity: Severity::Error,
        code: codes::UNREADABLE.id,
        message: format!("{what}: its rows would be read twice"),
        place: Some(place_of(path)),
        help: "remove the link, or pass the folder or file itself".to_owned(),
    })
}

/// Names the first of some files.
fn listed(files: &[PathBuf]) -> String {
    const MAX_FILES: usize = 20;
    let names = files.iter().map(|path| path.display().to_string());
    diagnostics::listed(names, MAX_FILES)
}

fn no_files(path: &Path, others: &[PathBuf]) -> Box<Diagnostic> {
    let within = |other: &PathBuf| other.strip_prefix(path).unwrap_or(other).to_owned();
    let others: Vec<PathBuf> = others.iter().map(within).collect();
    let listed = match others.len() {
        0 => "it is empty".to_owned(),
        _ => format!("it contains {}", listed(&others)),
    };
    let help =
        "add .csv, .tsv, .jsonl or .parquet files (or .gz and .zst of these), or pass one file"
            .to_owned();
    let message = format!("the folder contains no data files; {listed}");
    Box::new(Diagnostic {
        severity: Severity::Error,
        code: codes::NO_FILES.id,
        message,
        place: Some(place_of(path)),
        help,
    })
}

fn place_of(path: &Path) -> Place {
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

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "test helper outside a test function")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with `sub/a.csv` and a link at `link`.
    fn refused(link: &str, to: &str) -> Option<String> {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("sub")).unwrap();
        fs::write(home.path().join("sub/a.csv"), "text,label\na,b\n").unwrap();
        symlink(to, home.path().join(link)).unwrap();
        let error = sources(home.path()).err()?;
        let file = &error.place.as_ref().unwrap().file;
        let file = Path::new(file).strip_prefix(home.path()).unwrap();
        Some(
            format!("{}: {}", file.display(), error.message)
                .replace(&format!("{}/", home.path().display()), ""),
        )
    }

    #[test]
    fn links_to_files_that_are_read_anyway_are_refused() {
        let ring =
            "sub/ring: this link points to a folder that contains it: its rows would be read twice";
        assert_eq!(refused("sub/ring", ".").unwrap(), ring);
        assert_eq!(refused("sub/ring", "..").unwrap(), ring);
        let same = "this is a link to the file `alias/a.csv`: its rows would be read twice";
        assert_eq!(
            refused("alias", "sub").unwrap(),
            format!("sub/a.csv: {same}")
        );
        let same = "this is a link to the file `sub/a.csv`: its rows would be read twice";
        assert_eq!(
            refused("sub/b.csv", "a.csv").unwrap(),
            format!("sub/b.csv: {same}")
        );
        let gone = "sub/b.csv: this link points to `gone.csv`, which does not exist";
        assert_eq!(refused("sub/b.csv", "gone.csv").unwrap(), gone);
    }

    #[test]
    fn other_links_are_followed() {
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("b.csv"), "text,label\na,b\n").unwrap();
        assert_eq!(refused("there", elsewhere.path().to_str().unwrap()), None);
        let file = elsewhere.path().join("b.csv");
        assert_eq!(refused("c.csv", file.to_str().unwrap()), None);
    }
}
