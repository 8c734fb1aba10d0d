//! Files of a channel: a file, or all data files in a folder.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use diagnostics::{Diagnostic, Severity, quoted_for_shell};

use crate::codes;
use crate::sniff;
use crate::source::{Format, Source, extension, listed, place_of, unreadable};

/// Returns the files of a channel: `path` itself, or all data files below it, sorted by path.
///
/// A file passed by the user may have any extension; with an unknown one, its content decides, and
/// is CSV if in doubt. In a folder, only `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.ft`, `.parquet`,
/// `.arrow` and `.feather` files are read, also with `.gz`, `.zst`, `.bz2` or `.xz`, `.json` and
/// `.manifest` files with several objects, `.txt` files that begin with a label, and files without
/// an extension that look like rows.
///
/// # Errors
/// If the path does not exist or cannot be read, or if the folder has no data files.
pub fn sources(path: &Path) -> Result<Vec<Source>, Box<Diagnostic>> {
    let meta = fs::metadata(path)
        .map_err(|error| address(path).unwrap_or_else(|| unreadable(path, &error)))?;
    if !meta.is_dir() {
        let known = Format::of_name(path);
        // The delimiter is found in the header.
        let content = || sniff::format(path).filter(|format| SNIFFED.contains(format));
        // A pipe can be read once.
        let sniffed = (known.is_none() && meta.is_file()).then(content).flatten();
        let format = known.or(sniffed).unwrap_or(Format::CSV);
        return Ok(vec![Source {
            // Labels show fastText's format in any file.
            is_sniffed: sniffed.is_some_and(|format| format != Format::FastText),
            ..Source::file(path, format)
        }]);
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
    others.retain(|path| !is_empty(path) && !is_of_datasets(path, &found));
    found[0].skipped = others;
    Ok(found)
}

/// Formats that replace CSV if the name of a file does not show one.
const SNIFFED: [Format; 4] = [
    Format::Jsonl,
    Format::Parquet,
    Format::Arrow,
    Format::FastText,
];

/// Files of `save_to_disk` of Hugging Face's datasets, beside its `.arrow` files or above them.
const OF_DATASETS: [&str; 3] = ["state.json", "dataset_info.json", "dataset_dict.json"];

/// True for a file that belongs to the Arrow files among those found, and has no rows.
fn is_of_datasets(path: &Path, found: &[Source]) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_below = |source: &Source| {
        let folder = path.parent().unwrap_or(path);
        let file = source.path.as_deref();
        source.format == Format::Arrow && file.is_some_and(|file| file.starts_with(folder))
    };
    name.is_some_and(|name| OF_DATASETS.contains(&name)) && found.iter().any(is_below)
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
        // In a data folder, such files often have metadata, not rows.
        let may_be_metadata = matches!(extension(&path).as_deref(), Some("json" | "manifest"));
        // The results of `map` in Hugging Face's datasets, beside the rows they were made of.
        let is_cache = format == Some(Format::Arrow) && name.starts_with("cache-");
        // The end of a named pipe or device may never come.
        let by_name = format
            .filter(|_| !may_be_metadata && !is_cache && meta.is_file())
            .map(|known| (known, false));
        let by_content = || meta.is_file().then(|| format_in_folder(&path)).flatten();
        match by_name.or_else(by_content) {
            Some((format, is_sniffed)) => self.found.push(Source {
                is_sniffed,
                ..Source::file(&path, format)
            }),
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

/// Returns the format of a regular file in a folder whose name does not decide it, and true if the
/// format is known by the content only. `None` if the file has no rows: JSON is often metadata.
fn format_in_folder(path: &Path) -> Option<(Format, bool)> {
    let name = path.file_name().unwrap_or_default();
    // As for Spark, other names with an underscore have metadata.
    let is_data = !name.as_encoded_bytes().starts_with(b"_");
    let content = || sniff::format(path);
    match extension(path).as_deref() {
        None if is_data => content().map(|format| (format, true)),
        Some("json" | "manifest") => Some((content().filter(|f| *f == Format::Jsonl)?, false)),
        Some("txt") => Some((content().filter(|f| *f == Format::FastText)?, false)),
        _ => None,
    }
}

fn no_files(path: &Path, others: &[PathBuf]) -> Box<Diagnostic> {
    let within = |other: &PathBuf| other.strip_prefix(path).unwrap_or(other).to_owned();
    let others: Vec<PathBuf> = others.iter().map(within).collect();
    let listed = match others.len() {
        0 => "it is empty".to_owned(),
        _ => format!("it contains {}", listed(&others)),
    };
    let help =
        "add .csv, .tsv, .jsonl, .ft, .parquet or .arrow files, also compressed (.gz, .zst, \
                .bz2, .xz), or pass one file"
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

/// Splits an address, such as `s3://bucket/key`, into its scheme in lower case and what follows `:/`.
pub fn split_scheme(address: &str) -> Option<(String, &str)> {
    let (scheme, rest) = address.split_once(":/")?;
    // A single letter is a drive of Windows.
    let is_scheme = scheme.len() > 1 && scheme.chars().all(|char| char.is_ascii_alphanumeric());
    is_scheme.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// Returns the error that a path is an address, if it is one; its help has the command that fetches
/// the file.
fn address(path: &Path) -> Option<Box<Diagnostic>> {
    let (scheme, rest) = split_scheme(path.to_str()?)?;
    let is_address = rest.starts_with('/') || scheme == "dbfs" || scheme == "file";
    let rest = rest.trim_start_matches('/');
    let command = match scheme.as_str() {
        "s3" | "s3a" | "s3n" => Some(s3_command(rest)),
        "gs" => {
            let address = quoted_for_shell(&format!("gs://{rest}"));
            Some(format!("gcloud storage cp --recursive {address} ."))
        }
        "http" | "https" => Some(web_command(&scheme, rest)),
        "hf" => hub_command(rest),
        _ if !is_address => return None,
        _ => None,
    };
    let help = match command {
        Some(command) => format!("fetch it, and pass the file: {command}"),
        None if scheme == "file" => {
            format!("pass its path: {}", quoted_for_shell(&format!("/{rest}")))
        }
        None => "fetch it, and pass the file".to_owned(),
    };
    Some(Box::new(Diagnostic {
        severity: Severity::Error,
        code: codes::UNREADABLE.id,
        message: "expected a file or folder, found an address".to_owned(),
        place: Some(place_of(path)),
        help,
    }))
}

/// Characters of patterns.
const PATTERN: [char; 3] = ['*', '?', '['];

/// Returns the command that fetches an object, a prefix or the objects of a pattern.
fn s3_command(rest: &str) -> String {
    let quoted = |rest: &str| quoted_for_shell(&format!("s3://{rest}"));
    if let Some(at) = rest.find(PATTERN) {
        // Only keys have patterns.
        let Some(slash) = rest[..at].rfind('/') else {
            return "aws s3 cp --recursive s3://BUCKET/PREFIX data".to_owned();
        };
        let (prefix, pattern) = rest.split_at(slash + 1);
        return format!(
            "aws s3 cp --recursive {} data --exclude '*' --include {}",
            quoted(prefix),
            quoted_for_shell(pattern)
        );
    }
    // `data-v1.2` is a prefix, and `my.bucket` a bucket.
    let is_file = rest.rsplit_once('/').is_some_and(|(_, name)| {
        let end = name.rsplit_once('.').map(|(_, end)| end);
        end.is_some_and(|end| end.starts_with(|first: char| first.is_ascii_alphabetic()))
    });
    match is_file {
        true => format!("aws s3 cp {} .", quoted(rest)),
        false => format!("aws s3 cp --recursive {} data", quoted(rest)),
    }
}

/// Returns the command that fetches a file from the web; of pages about a file or a data set, which
/// are not the data, the one that fetches the data.
fn web_command(scheme: &str, rest: &str) -> String {
    let mut file = rest.to_owned();
    if let Some(path) = rest.strip_prefix("huggingface.co/") {
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        if let ["datasets", owner, name] = parts[..] {
            let repository = quoted_for_shell(&format!("{owner}/{name}"));
            return format!("hf download {repository} --repo-type dataset --local-dir data");
        }
        file = rest.replacen("/blob/", "/resolve/", 1);
    } else if rest.starts_with("github.com/") {
        file = rest.replacen("/blob/", "/raw/", 1);
    }
    format!(
        "curl -LO {}",
        quoted_for_shell(&format!("{scheme}://{file}"))
    )
}

/// Returns the command that fetches a file, the files of a pattern or all files of a repository of
/// the Hugging Face hub; `None` without a repository.
fn hub_command(rest: &str) -> Option<String> {
    let (kind, rest) = match rest.split_once('/') {
        Some(("datasets", rest)) => (" --repo-type dataset", rest),
        Some(("spaces", rest)) => (" --repo-type space", rest),
        _ => ("", rest),
    };
    let mut parts = rest.splitn(3, '/');
    let owner = parts.next().filter(|owner| !owner.is_empty())?;
    // Some have no owner.
    let repository = match parts.next() {
        Some(name) => format!("{owner}/{name}"),
        None => owner.to_owned(),
    };
    let (repository, revision) = repository
        .split_once('@')
        .unwrap_or((repository.as_str(), ""));
    let file = parts.next().unwrap_or_default();
    // Such a revision may have slashes, and its end is not known.
    let is_ref = revision == "refs" || revision.contains(['%', '~']);
    let (file, revision) = match is_ref {
        true => ("FILE", "REVISION"),
        false => (file, revision),
    };
    let option = match file.contains(PATTERN) {
        true => " --include",
        false => "",
    };
    let words = [("", repository), (option, file), (" --revision", revision)];
    let words: String = words
        .into_iter()
        .filter(|(_, word)| !word.is_empty())
        .map(|(option, word)| format!("{option} {}", quoted_for_shell(word)))
        .collect();
    Some(format!("hf download{words}{kind} --local-dir data"))
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
