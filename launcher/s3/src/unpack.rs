//! Unpacks `model.tar.gz`: regular files and folders, below the target, within limits, all or
//! nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use diagnostics::{Error, Result, sanitize};
use flate2::read::MultiGzDecoder;
use serde::Serialize;

use crate::partial::disk_is_full;
use crate::progress::format_size;
use transport::tar_reader::{Entry, Kind, TarReader};

/// Maximum size of an unpacked archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of the tar stream, including headers.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

impl Limits {
    /// Returns the limits for an archive of `packed` bytes, or the user's. Weights compress to a
    /// half, text to a tenth; a factor of 1000 is gzip's maximum, which only bombs reach.
    pub(crate) fn new(packed: u64, max_unpacked: Option<u64>) -> Self {
        let usual = packed.saturating_mul(100).saturating_add(64 << 20);
        Self {
            bytes: max_unpacked.unwrap_or(usual),
            entries: 100_000,
        }
    }
}

/// Number and size of the unpacked files.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unpacked {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Error of unpacking.
#[derive(Debug)]
pub(crate) struct UnpackError {
    pub(crate) error: Error,
    /// True if the same archive may be unpacked after the user changed something.
    pub(crate) retryable: bool,
}

impl From<Error> for UnpackError {
    fn from(error: Error) -> Self {
        Self {
            error,
            retryable: false,
        }
    }
}

/// Unpacks the archive of a model into an existing, empty folder, as
/// [`ModelDownload`](crate::ModelDownload) does.
///
/// # Errors
/// The archive cannot be read, or has other entries than files and folders of usual sizes.
pub fn unpack_model(archive: &Path, into: &Path) -> Result<()> {
    let file = fs::File::open(archive).map_err(Error::io("read", archive))?;
    let packed = file.metadata().map_err(Error::io("read", archive))?.len();
    let file = io::BufReader::with_capacity(128 << 10, file);
    match unpack(file, into, Limits::new(packed, None)) {
        Ok(_) => Ok(()),
        Err(refused) => Err(refused.error),
    }
}

/// Unpacks into an existing, empty folder. On an error the folder is incomplete and must be
/// deleted.
pub(crate) fn unpack(
    archive: impl Read,
    into: &Path,
    limits: Limits,
) -> Result<Unpacked, UnpackError> {
    let stream = Limited {
        source: MultiGzDecoder::new(archive),
        left: limits.bytes,
        over: false,
    };
    let mut unpacker = Unpacker {
        tar: TarReader::new(stream),
        into,
        seen: BTreeMap::new(),
        done: Unpacked { files: 0, bytes: 0 },
    };
    let mut entries = 0;
    while let Some(entry) = unpacker
        .tar
        .next_entry()
        .map_err(|error| broken(&error, limits))?
    {
        entries += 1;
        if entries > limits.entries {
            return Err(Error::new(format!(
                "the archive has more than {} entries",
                limits.entries
            ))
            .help("download it with `--no-unpack` and list it: `tar -tzf model.tar.gz`")
            .into());
        }
        unpacker.take(&entry, limits)?;
    }
    Ok(unpacker.done)
}

struct Unpacker<'a, R: Read> {
    tar: TarReader<Limited<R>>,
    into: &'a Path,
    /// Each path, and how it was created.
    seen: BTreeMap<PathBuf, Seen>,
    done: Unpacked,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    File,
    Folder,
    NeededFolder,
}

impl<R: Read> Unpacker<'_, R> {
    fn take(&mut self, entry: &Entry, limits: Limits) -> Result<(), UnpackError> {
        let relative = match path_of(&entry.path) {
            Ok(path) => path,
            Err(why) => return Err(refuse(entry, why)),
        };
        match entry.kind {
            Kind::Link(what) | Kind::Other(what) => {
                return Err(refuse(
                    entry,
                    &format!("it is {what}, expected files and folders"),
                ));
            }
            // `./`, which `tar -C folder .` writes first.
            Kind::Folder if relative.as_os_str().is_empty() => return Ok(()),
            _ if relative.as_os_str().is_empty() => return Err(refuse(entry, "it has no name")),
            Kind::Folder => self.folder(entry, &relative)?,
            Kind::File => self.file(entry, &relative, limits)?,
        }
        Ok(())
    }

    fn folder(&mut self, entry: &Entry, relative: &Path) -> Result<(), UnpackError> {
        match self.seen.get(relative) {
            Some(Seen::NeededFolder) => {}
            Some(_) => return Err(refuse(entry, "it is in the archive twice")),
            None => {
                self.parents(entry, relative)?;
                let path = self.into.join(relative);
                fs::create_dir(&path).map_err(|error| cannot(relative, &error))?;
            }
        }
        self.seen.insert(relative.to_owned(), Seen::Folder);
        Ok(())
    }

    fn file(&mut self, entry: &Entry, relative: &Path, limits: Limits) -> Result<(), UnpackError> {
        if self.seen.contains_key(relative) {
            return Err(refuse(entry, "it is in the archive twice"));
        }
        self.parents(entry, relative)?;
        let runs = entry.mode & 0o100 != 0;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(if runs { 0o755 } else { 0o644 })
            .open(self.into.join(relative))
            .map_err(|error| cannot(relative, &error))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = self
                .tar
                .read(&mut buffer)
                .map_err(|error| broken(&error, limits))?;
            if read == 0 {
                break;
            }
            io::Write::write_all(&mut file, &buffer[..read])
                .map_err(|error| cannot(relative, &error))?;
            self.done.bytes += read as u64;
        }
        file.sync_all().map_err(|error| cannot(relative, &error))?;
        self.done.files += 1;
        self.seen.insert(relative.to_owned(), Seen::File);
        Ok(())
    }

    /// Creates the parent folders; a parent that is a file is an error.
    fn parents(&mut self, entry: &Entry, relative: &Path) -> Result<(), UnpackError> {
        let mut above: Vec<&Path> = relative.ancestors().skip(1).collect();
        above.reverse();
        for folder in above
            .into_iter()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            match self.seen.get(folder) {
                Some(Seen::File) => return Err(refuse(entry, "its folder is a file")),
                Some(_) => {}
                None => {
                    fs::create_dir(self.into.join(folder))
                        .map_err(|error| cannot(folder, &error))?;
                    self.seen.insert(folder.to_owned(), Seen::NeededFolder);
                }
            }
        }
        Ok(())
    }
}

/// Returns the relative path of a name, or why it is refused.
fn path_of(name: &[u8]) -> Result<PathBuf, &'static str> {
    if name.starts_with(b"/") {
        return Err("it is an absolute path");
    }
    if name.contains(&0) {
        return Err("its name has a zero byte");
    }
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("it has `..` in its path"),
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok(path)
}

fn refuse(entry: &Entry, why: &str) -> UnpackError {
    let name = String::from_utf8_lossy(&entry.path);
    Error::new(format!(
        "the archive's entry `{}` is refused: {why}",
        sanitize(&name)
    ))
    .help("nothing was unpacked; `--no-unpack` downloads the archive unchanged")
    .into()
}

fn cannot(relative: &Path, error: &io::Error) -> UnpackError {
    let name = relative.to_string_lossy();
    if disk_is_full(error) {
        let error = Error::new(format!(
            "cannot unpack `{}`: the disk is full",
            sanitize(&name)
        ));
        return UnpackError {
            error: error.help("make room, then run the same command again"),
            retryable: true,
        };
    }
    Error::new(format!("cannot unpack `{}`: {error}", sanitize(&name)))
        .help("nothing was unpacked; `--no-unpack` downloads the archive unchanged")
        .into()
}

fn broken(error: &io::Error, limits: Limits) -> UnpackError {
    if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) {
        let error = Error::new(format!(
            "the archive unpacks to more than {}",
            format_size(limits.bytes)
        ));
        return UnpackError {
            error: error.help("if you trust it, raise the limit: `--max-unpacked 100GB`"),
            retryable: true,
        };
    }
    Error::new(format!("the archive is broken: {error}"))
        .help("nothing was unpacked; `--no-unpack` downloads the archive unchanged")
        .into()
}

/// A stream with a maximum length.
struct Limited<R> {
    source: R,
    left: u64,
    over: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("too long")]
struct TooLong;

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.over |= read as u64 > self.left;
        if self.over {
            return Err(io::Error::other(TooLong));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
