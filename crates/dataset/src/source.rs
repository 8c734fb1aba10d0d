//! Which files a channel consists of.

use super::codes;
use diagnostics::{Diagnostic, Place, Severity};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How a file's rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Delimited values with a header; the delimiter is a comma or a tab.
    Csv {
        /// The byte between two fields.
        delimiter: u8,
    },
    /// One JSON object on each line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// Comma-separated values.
    pub const CSV: Self = Self::Csv { delimiter: b',' };
    /// Tab-separated values.
    pub const TSV: Self = Self::Csv { delimiter: b'\t' };

    /// What a file's name says; `.gz` and `.zst` at its end are looked through.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let name = [".gz", ".zst", ".zstd"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::CSV),
            "tsv" | "tab" => Some(Self::TSV),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// One file to read, or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As the user would recognise it.
    pub(super) display: String,
    /// None for standard input.
    pub(super) path: Option<PathBuf>,
    pub(super) format: Format,
}

impl Source {
    /// A file of a known format.
    pub fn file(path: &Path, format: Format) -> Self {
        Self {
            display: path.display().to_string(),
            path: Some(path.to_owned()),
            format,
        }
    }

    /// Standard input. It can be read once only.
    pub fn stdin(format: Format) -> Self {
        Self {
            display: "standard input".to_owned(),
            path: None,
            format,
        }
    }

    /// The path as the user gave it, or as found below the folder that the user gave.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// How its rows are written.
    pub fn format(&self) -> Format {
        self.format
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

/// The files of a channel: `path` itself, or all data files in it and in the folders below it, sorted by path.
///
/// A file that is named by the user may have any name: CSV is assumed when its ending says nothing. In a folder only
/// files that end in `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.parquet` count, `.gz` and `.zst` added or not.
///
/// # Errors
/// When nothing is there, when it cannot be read, or when the folder has no data files.
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
        others,
        links,
        ..
    } = walk;
    if found.is_empty() {
        return Err(no_files(path, others));
    }
    found.sort_by(|a, b| {
        a.path
            .as_deref()
            .map(bytes)
            .cmp(&b.path.as_deref().map(bytes))
    });
    if links {
        each_once(&found)?;
    }
    Ok(found)
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

#[derive(Default)]
struct Walk {
    found: Vec<Source>,
    /// Names of what is no data file.
    others: Vec<String>,
    /// The folders that the walk is in, without links.
    within: Vec<PathBuf>,
    /// Whether there were links.
    links: bool,
}

impl Walk {
    fn folder(&mut self, folder: &Path) -> Result<(), Box<Diagnostic>> {
        let real = fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
        if self.within.contains(&real) {
            return Err(twice(folder, "this link leads to a folder that it is in"));
        }
        self.within.push(real);
        let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(folder, &error))?.path();
            self.entry(folder, path)?;
        }
        self.within.pop();
        Ok(())
    }

    fn entry(&mut self, folder: &Path, path: PathBuf) -> Result<(), Box<Diagnostic>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            return Ok(());
        }
        self.links |= path.is_symlink();
        // A dangling link is an error: data that the user put there must not be left out in silence.
        let meta = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if meta.is_dir() {
            return self.folder(&path);
        }
        // A lone `.json` file beside the data is more often a description than rows.
        match Format::of_name(&path) {
            Some(format) if !name.ends_with(".json") => {
                self.found.push(Source::file(&path, format));
            }
            _ => {
                let name = path.strip_prefix(folder).unwrap_or(&path);
                self.others.push(name.display().to_string());
            }
        }
        Ok(())
    }
}

/// Refuses links to what is read anyway: its rows would count twice.
fn each_once(found: &[Source]) -> Result<(), Box<Diagnostic>> {
    let mut seen = HashMap::new();
    let paths = found.iter().filter_map(|source| source.path.as_deref());
    for path in paths {
        let real = fs::canonicalize(path).map_err(|error| unreadable(path, &error))?;
        if let Some(other) = seen.insert(real, path) {
            let same = format!(
                "this is the file `{}` once more, by a link",
                other.display()
            );
            return Err(twice(path, &same));
        }
    }
    Ok(())
}

fn twice(path: &Path, what: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic {
        severity: Severity::Error,
        code: codes::UNREADABLE.id,
        message: format!("{what}: its rows would count twice"),
        place: Some(whole(path)),
        help: "remove the link, or name the folder or file that is meant".to_owned(),
    })
}

fn no_files(path: &Path, mut others: Vec<String>) -> Box<Diagnostic> {
    others.sort();
    let listed = match others.len() {
        0 => "it is empty".to_owned(),
        n if n > 5 => format!("it holds `{}` and {} more", others[..5].join("`, `"), n - 5),
        _ => format!("it holds `{}`", others.join("`, `")),
    };
    let help =
        "put .csv, .tsv, .jsonl or .parquet files there (.gz and .zst too), or name one file"
            .to_owned();
    let message = format!("folder has no data files, {listed}");
    Box::new(Diagnostic {
        severity: Severity::Error,
        code: codes::NO_FILES.id,
        message,
        place: Some(whole(path)),
        help,
    })
}

fn whole(path: &Path) -> Place {
    Place {
        file: path.display().to_string(),
        line: None,
        column: None,
        record: None,
    }
}

/// A file or folder that cannot be opened, with the name it may have been meant to have.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Box<Diagnostic> {
    let (message, help) = match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => (
            format!(
                "this link leads to `{}`, which is not there",
                fs::read_link(path).unwrap_or_default().display()
            ),
            "put the file itself there, or remove the link".to_owned(),
        ),
        io::ErrorKind::NotFound => ("no such file or folder".to_owned(), near_file(path)),
        io::ErrorKind::PermissionDenied => (
            "the file may not be read".to_owned(),
            "give this user the right to read it".to_owned(),
        ),
        _ => (
            format!("cannot read: {error}"),
            "look whether the disk and the file are in order".to_owned(),
        ),
    };
    Box::new(Diagnostic {
        severity: Severity::Error,
        code: codes::UNREADABLE.id,
        message,
        place: Some(whole(path)),
        help,
    })
}

fn near_file(path: &Path) -> String {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return format!(
            "there is no folder `{}`; give the path from where you are, or a full one",
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
        None => "give the path of a file or folder that exists".to_owned(),
    }
}

/// The name that was most likely meant, if any is closest.
pub(super) fn closest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.trim().to_lowercase();
    let score = |name: &str| {
        let name = name.trim().to_lowercase();
        // One name inside the other ("review" and "review_text") is closest too, however many letters differ.
        let inside = wanted.len() > 2
            && name.len() > 2
            && (name.contains(&wanted) || wanted.contains(&name));
        strsim::normalized_damerau_levenshtein(&wanted, &name).max(if inside { 0.7 } else { 0.0 })
    };
    let scored = names
        .map(|name| (score(name), name))
        .filter(|(score, _)| *score >= 0.6);
    scored
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(all(test, unix))]
#[expect(
    clippy::unwrap_used,
    reason = "a helper of tests, outside of a test function"
)]
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
    fn links_to_what_is_read_anyway_are_refused() {
        let ring =
            "sub/ring: this link leads to a folder that it is in: its rows would count twice";
        assert_eq!(refused("sub/ring", ".").unwrap(), ring);
        assert_eq!(refused("sub/ring", "..").unwrap(), ring);
        let same =
            "this is the file `alias/a.csv` once more, by a link: its rows would count twice";
        assert_eq!(
            refused("alias", "sub").unwrap(),
            format!("sub/a.csv: {same}")
        );
        let same = "this is the file `sub/a.csv` once more, by a link: its rows would count twice";
        assert_eq!(
            refused("sub/b.csv", "a.csv").unwrap(),
            format!("sub/b.csv: {same}")
        );
        let gone = "sub/b.csv: this link leads to `gone.csv`, which is not there";
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
