//! Local files of an upload.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use diagnostics::{Error, Result, sanitize};

use crate::Skipped;

/// A regular file of the source.
#[derive(Debug, Clone)]
pub(crate) struct LocalFile {
    pub(crate) path: PathBuf,
    /// Path relative to the source, with `/`; for a single file its name.
    pub(crate) key: String,
    pub(crate) size: u64,
}

/// All files of the source.
#[derive(Debug)]
pub(crate) struct SourceTree {
    pub(crate) folder: bool,
    /// Sorted by key.
    pub(crate) files: Vec<LocalFile>,
    pub(crate) skipped_files: Vec<Skipped>,
}

/// Reads the tree. Symbolic links to files inside the folder are followed; other links and special
/// files are skipped, each with a reason.
pub(crate) fn walk(source: &Path) -> Result<SourceTree> {
    let cannot = |error: io::Error| {
        let help = match error.kind() {
            io::ErrorKind::NotFound => "expected a file or folder on this machine",
            _ => "expected a file or folder that you may read",
        };
        Error::usage(format!("cannot read `{}`: {error}", display(source))).help(help)
    };
    let meta = fs::metadata(source).map_err(cannot)?;
    if meta.is_file() {
        let name = source.canonicalize().map_err(cannot)?;
        // The given name: the user sees the link's name.
        let name = source.file_name().or(name.file_name()).unwrap_or_default();
        let key = utf8(name.as_ref(), source)?;
        return Ok(SourceTree {
            folder: false,
            files: vec![LocalFile {
                path: source.to_owned(),
                key,
                size: meta.len(),
            }],
            skipped_files: Vec::new(),
        });
    }
    if !meta.is_dir() {
        return Err(Error::usage(format!(
            "`{}` is neither a file nor a folder",
            display(source)
        ))
        .help("expected a file or folder on this machine"));
    }
    let root = source.canonicalize().map_err(cannot)?;
    let mut found = SourceTree {
        folder: true,
        files: Vec::new(),
        skipped_files: Vec::new(),
    };
    found.read(source, source, &root)?;
    found.files.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

impl SourceTree {
    fn read(&mut self, top: &Path, folder: &Path, root: &Path) -> Result<()> {
        let cannot = |error: io::Error| {
            Error::new(format!("cannot read `{}`: {error}", display(folder)))
                .help("let it be read, or move it out of the folder")
        };
        for entry in fs::read_dir(folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let path = entry.path();
            let kind = entry.file_type().map_err(cannot)?;
            if kind.is_dir() {
                self.read(top, &path, root)?;
            } else if kind.is_file() {
                let meta = entry.metadata().map_err(cannot)?;
                self.add(top, path, &meta)?;
            } else if kind.is_symlink() {
                match target(&path, root) {
                    Ok(meta) if meta.is_file() => self.add(top, path, &meta)?,
                    Ok(_) => self.skip(&path, "a link to a folder"),
                    Err(why) => self.skip(&path, why),
                }
            } else {
                self.skip(&path, "neither a file nor a folder");
            }
        }
        Ok(())
    }

    fn add(&mut self, top: &Path, path: PathBuf, meta: &Metadata) -> Result<()> {
        let key = utf8(path.strip_prefix(top).unwrap_or(&path), &path)?;
        self.files.push(LocalFile {
            path,
            key,
            size: meta.len(),
        });
        Ok(())
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.skipped_files.push(Skipped {
            path: display(path),
            why: why.to_owned(),
        });
    }
}

/// Returns the metadata of a link's target, or why the link is skipped.
fn target(link: &Path, root: &Path) -> Result<Metadata, &'static str> {
    let nothing = |_| "a broken link";
    let target = link.canonicalize().map_err(nothing)?;
    if !target.starts_with(root) {
        return Err("a link to outside of the folder");
    }
    fs::metadata(&target).map_err(nothing)
}

/// Returns the links below `folder` that break when it is mounted alone at another path.
/// Unreadable folders are ignored here.
pub fn escaping_links(folder: &Path) -> Vec<Skipped> {
    let mut found = Vec::new();
    if let Ok(root) = folder.canonicalize() {
        escaping_links_in(folder, 0, &root, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn escaping_links_in(folder: &Path, depth: usize, root: &Path, found: &mut Vec<Skipped>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => escaping_links_in(&path, depth + 1, root, found),
            Ok(kind) if kind.is_symlink() => {
                let why = match target(&path, root) {
                    Ok(_) if fs::read_link(&path).is_ok_and(|to| stays_inside(&to, depth)) => {
                        continue;
                    }
                    Ok(_) => "a link whose path leaves the folder",
                    Err(why) => why,
                };
                found.push(Skipped {
                    path: display(&path),
                    why: why.to_owned(),
                });
            }
            _ => {}
        }
    }
}

/// True if a relative link at this depth never goes above the top.
pub fn stays_inside(to: &Path, mut depth: usize) -> bool {
    to.components().all(|part| {
        match part {
            Component::ParentDir if depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
        true
    })
}

/// Returns the key. Names that are not UTF-8 are an error, since another key would be a surprise at
/// the download.
fn utf8(relative: &Path, path: &Path) -> Result<String> {
    relative.to_str().map(str::to_owned).ok_or_else(|| {
        Error::usage(format!(
            "`{}`: the name is not UTF-8, S3's keys are",
            display(path)
        ))
        .help("rename the file")
    })
}

/// Returns a path, sanitized.
pub(crate) fn display(path: &Path) -> String {
    sanitize(&path.to_string_lossy()).into_owned()
}

/// Size and times of a file, which change when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileStamp {
    pub(crate) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Returns an error if the file changed since it was opened.
    pub(crate) fn check(&self, file: &File, path: &Path) -> Result<()> {
        match Self::of(file) {
            Ok(now) if now == *self => Ok(()),
            _ => Err(self.changed(path)),
        }
    }

    pub(crate) fn changed(&self, path: &Path) -> Error {
        Error::new(format!("`{}` changed while it was read", display(path)))
            .help("wait until no program writes to it, then run the same command again")
    }
}
