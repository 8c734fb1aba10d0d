//! Writes `model.tar.gz` reproducibly: the same files give the same bytes.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, EntryType, Header};

use super::cancel::CancelToken;
use diagnostics::{Error, Result, eprint_line};
use transport::tar_reader::{Kind, TarReader};

/// 1980-01-01, the oldest time that all tools accept, in place of each file's time.
const MTIME: u64 = 315_532_800;

/// An archive that is being written. It appears under its name once it is complete.
pub(super) struct Packer {
    tar: Builder<GzEncoder<BufWriter<File>>>,
    entries: usize,
    token: CancelToken,
}

/// Result of packing a folder that an engine sends as a tar stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackResult {
    /// The folder is empty; there is no archive.
    Empty,
    /// The archive is written.
    Written,
    /// The folder has links; there is no archive. Use [`unpack`] and [`Packer::add_folder`].
    HasLinks,
}

/// Writes `archive` with the files that `fill` adds. Returns false, without an archive, if there
/// are none.
pub(super) fn write(
    archive: &Path,
    token: CancelToken,
    fill: impl FnOnce(&mut Packer) -> io::Result<()>,
) -> Result<bool> {
    let fill = |packer: &mut Packer| fill(packer).map(|()| true);
    try_write(archive, token, fill).map_err(|error| cannot_write(archive, &error))
}

/// Writes `archive` from an engine's tar stream, without its top folder.
pub(super) fn repack(archive: &Path, token: CancelToken, tar: impl Read) -> Result<PackResult> {
    let mut linked = false;
    let fill = |packer: &mut Packer| {
        linked = !packer.add_tar(tar)?;
        Ok(!linked)
    };
    let written = try_write(archive, token, fill).map_err(|error| cannot_write(archive, &error))?;
    Ok(match (written, linked) {
        (_, true) => PackResult::HasLinks,
        (true, _) => PackResult::Written,
        (false, _) => PackResult::Empty,
    })
}

/// Unpacks an engine's tar stream into a new folder, with links.
pub(super) fn unpack(tar: impl Read, folder: &Path, token: &CancelToken) -> Result<()> {
    let _guard_end = token.keep_alive();
    let unpack = || {
        fs::create_dir(folder)?;
        // Skips paths outside of the folder, also those through a link.
        Archive::new(token.reader(tar)).unpack(folder)
    };
    unpack().map_err(|error| cannot_write(folder, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    let shown = path.to_string_lossy();
    let cause = error.kind();
    let error = Error::new(format!(
        "cannot write `{}`: {error}",
        diagnostics::sanitize(&shown)
    ));
    match cause {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            error.help("`df -h` shows where there is space")
        }
        _ => error,
    }
}

/// Writes no archive if `fill` returns false.
fn try_write(
    archive: &Path,
    token: CancelToken,
    fill: impl FnOnce(&mut Packer) -> io::Result<bool>,
) -> io::Result<bool> {
    // Dropped last, after the temporary file is removed.
    let _guard_end = token.keep_alive();
    let folder = archive.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".partial-")
        // The mode of any new file; the umask applies.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    let mut packer = Packer::new(temporary.as_file().try_clone()?, token);
    if !fill(&mut packer)? || packer.entries == 0 {
        return Ok(false);
    }
    packer.tar.into_inner()?.finish()?.flush()?;
    temporary.as_file().sync_all()?;
    temporary.persist(archive).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(true)
}

impl Packer {
    fn new(out: File, token: CancelToken) -> Self {
        let out = BufWriter::with_capacity(1 << 16, out);
        Self {
            tar: Builder::new(GzEncoder::new(out, Compression::default())),
            entries: 0,
            token,
        }
    }

    /// Adds all files below a folder, sorted by name. Links inside the folder are followed, since
    /// many tools that download models refuse links.
    pub(super) fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            let root = folder.canonicalize()?;
            self.add_below(&root, Path::new(""), &mut vec![root.clone()])?;
        }
        Ok(())
    }

    /// `inside` are the folders that contain `below`, as canonical paths.
    fn add_below(
        &mut self,
        root: &Path,
        below: &Path,
        inside: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        let mut names: Vec<_> = fs::read_dir(root.join(below))?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort_unstable();
        for name in names {
            let path = below.join(name);
            let mut full = root.join(&path);
            if full.is_symlink() {
                match target(root, &full, inside) {
                    Ok(target) => full = target,
                    Err(why) => {
                        skip(&path, why);
                        continue;
                    }
                }
            }
            let metadata = fs::metadata(&full)?;
            if metadata.is_dir() {
                self.add(&path, EntryType::Directory, 0o755, 0, io::empty())?;
                inside.push(full.canonicalize()?);
                self.add_below(root, &path, inside)?;
                inside.pop();
            } else if metadata.is_file() {
                let mode = metadata.permissions().mode();
                self.add(
                    &path,
                    EntryType::Regular,
                    mode,
                    metadata.len(),
                    File::open(full)?,
                )?;
            } else {
                skip(&path, "it is neither a file nor a folder");
            }
        }
        Ok(())
    }

    /// Adds an engine's tar stream. Returns false at the first link.
    fn add_tar(&mut self, tar: impl Read) -> io::Result<bool> {
        let mut tar = TarReader::new(tar);
        while let Some(entry) = tar.next_entry()? {
            let Some(path) = strip_first(Path::new(OsStr::from_bytes(&entry.path))) else {
                continue;
            };
            match entry.kind {
                Kind::Folder => self.add(&path, EntryType::Directory, 0o755, 0, io::empty())?,
                Kind::File => {
                    self.add(&path, EntryType::Regular, entry.mode, entry.size, &mut tar)?;
                }
                Kind::Link(_) => return Ok(false),
                Kind::Other(_) => skip(&path, "it is neither a file nor a folder"),
            }
        }
        Ok(true)
    }

    fn add(
        &mut self,
        path: &Path,
        kind: EntryType,
        mode: u32,
        size: u64,
        bytes: impl Read,
    ) -> io::Result<()> {
        let mut header = header(kind, mode);
        header.set_size(size);
        self.entries += 1;
        // A file may grow while it is read: the entry has the size of its header.
        let mut bytes = self.token.reader(bytes.take(size));
        self.tar.append_data(&mut header, path, &mut bytes)?;
        // A file that shrinks would make the tar invalid.
        if bytes.count < size {
            return Err(io::Error::other(format!(
                "`{}` shrank while it was read: expected {size} bytes, found {}",
                diagnostics::sanitize(&path.to_string_lossy()),
                bytes.count
            )));
        }
        Ok(())
    }
}

/// Resolves a link below `root`, or returns why it is skipped.
fn target(root: &Path, link: &Path, inside: &[PathBuf]) -> Result<PathBuf, &'static str> {
    match link.canonicalize() {
        Ok(target) if !target.starts_with(root) => Err("it is a link out of the folder"),
        Ok(target) if inside.contains(&target) => Err("it is a link to a folder that contains it"),
        Ok(target) => Ok(target),
        Err(_) => Err("it is a broken link"),
    }
}

/// Header without owner and time. Only the executable bit of the mode is kept.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if mode & 0o100 == 0 { 0o644 } else { 0o755 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header
}

fn skip(path: &Path, why: &str) {
    eprint_line(format!(
        "warning: `{}` is not in the archive: {why}",
        diagnostics::sanitize(&path.to_string_lossy())
    ));
}

/// Removes the first component. None for the top folder itself and for paths with `..`.
pub(super) fn strip_first(path: &Path) -> Option<PathBuf> {
    let mut parts = path.components();
    while parts.next()? == Component::CurDir {}
    let rest: PathBuf = parts.as_path().to_owned();
    let is_valid = rest
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (is_valid && rest != Path::new("")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use flate2::read::GzDecoder;

    use super::super::cancel;
    use super::*;

    fn write(archive: &Path, fill: impl FnOnce(&mut Packer) -> io::Result<()>) -> Result<bool> {
        let (_guard, token) = cancel::guard();
        super::write(archive, token, fill)
    }

    fn repack(archive: &Path, tar: &[u8]) -> Result<PackResult> {
        let (_guard, token) = cancel::guard();
        super::repack(archive, token, tar)
    }

    fn names(archive: &Path) -> Vec<String> {
        let mut tar = Archive::new(GzDecoder::new(File::open(archive).unwrap()));
        let entries = tar.entries().unwrap();
        entries
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect()
    }

    fn fill(folder: &Path) {
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("b.json"), "{}").unwrap();
        fs::write(folder.join("a ä.bin"), [0_u8, 255]).unwrap();
        fs::write(folder.join("sub").join("x".repeat(150)), "long").unwrap();
    }

    fn fill_with_links(folder: &Path) {
        fill(folder);
        symlink("../b.json", folder.join("sub/inside")).unwrap();
        symlink("sub", folder.join("again")).unwrap();
        symlink("..", folder.join("sub/circle")).unwrap();
        symlink("gone", folder.join("sub/nothing")).unwrap();
        symlink("../../../../etc/passwd", folder.join("sub/outside")).unwrap();
        symlink("/etc/passwd", folder.join("absolute")).unwrap();
        fs::hard_link(folder.join("b.json"), folder.join("same")).unwrap();
    }

    /// A tar stream as an engine sends it: below the folder's name, with owners, times and links.
    fn packed(model: &Path) -> Vec<u8> {
        fn add(tar: &mut Builder<Vec<u8>>, full: &Path, name: &Path) {
            tar.append_path_with_name(full, name).unwrap();
            if full.is_dir() && !full.is_symlink() {
                let mut names: Vec<_> = fs::read_dir(full)
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name())
                    .collect();
                names.sort_unstable();
                for below in names {
                    add(tar, &full.join(&below), &name.join(&below));
                }
            }
        }
        let mut tar = Builder::new(Vec::new());
        tar.follow_symlinks(false);
        add(&mut tar, model, Path::new("model"));
        tar.into_inner().unwrap()
    }

    #[test]
    fn folder_and_tar_stream_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        fill(&model);
        let own = dir.path().join("own.tar.gz");
        assert!(write(&own, |packer| packer.add_folder(&model)).unwrap());
        let long = format!("sub/{}", "x".repeat(150));
        assert_eq!(names(&own), ["a ä.bin", "b.json", "sub", &long]);
        let other = dir.path().join("other.tar.gz");
        assert_eq!(
            repack(&other, &packed(&model)).unwrap(),
            PackResult::Written
        );
        assert_eq!(fs::read(&own).unwrap(), fs::read(&other).unwrap());
    }

    #[test]
    fn links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        fill_with_links(&model);
        let own = dir.path().join("own.tar.gz");
        assert!(write(&own, |packer| packer.add_folder(&model)).unwrap());
        let long = "x".repeat(150);
        let expected = [
            "a ä.bin",
            "again",
            "again/inside",
            &format!("again/{long}"),
            "b.json",
            "same",
            "sub",
            "sub/inside",
            &format!("sub/{long}"),
        ];
        assert_eq!(names(&own), expected);
        let mut tar = Archive::new(GzDecoder::new(File::open(&own).unwrap()));
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let kind = entry.header().entry_type();
            assert!(kind.is_file() || kind.is_dir(), "{kind:?}");
            let mut text = String::new();
            if entry.path().unwrap().ends_with("inside") {
                entry.read_to_string(&mut text).unwrap();
                assert_eq!(text, "{}");
            }
        }

        // A tar stream with links gives the same archive in the end.
        let mut linked = Builder::new(Vec::new());
        let mut link = header(EntryType::Link, 0o644);
        link.set_size(0);
        linked.append_link(&mut link, "model/a", "model/b").unwrap();
        let other = dir.path().join("other.tar.gz");
        for tar in [packed(&model), linked.into_inner().unwrap()] {
            assert_eq!(repack(&other, &tar).unwrap(), PackResult::HasLinks);
            assert!(!other.exists());
        }
        let (_guard, token) = cancel::guard();
        let unpacked = dir.path().join("unpacked");
        unpack(packed(&model).as_slice(), &unpacked, &token).unwrap();
        let there = unpacked.join("model");
        assert!(write(&other, |packer| packer.add_folder(&there)).unwrap());
        assert_eq!(fs::read(&own).unwrap(), fs::read(&other).unwrap());
    }

    #[test]
    fn empty_folder_or_error_leaves_no_archive() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("model.tar.gz");
        assert!(
            !write(&archive, |packer| packer
                .add_folder(&dir.path().join("none")))
            .unwrap()
        );
        repack(&archive, &[1_u8; 700]).unwrap_err();
        assert_eq!(repack(&archive, &[0_u8; 1024]).unwrap(), PackResult::Empty);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn file_that_shrinks_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let add = |bytes: &'static [u8]| {
            write(&dir.path().join("model.tar.gz"), move |packer| {
                packer.add(Path::new("a"), EntryType::Regular, 0o644, 9, bytes)
            })
        };
        let (message, _) = add(b"too few").unwrap_err().into_parts();
        assert!(message.contains("expected 9 bytes, found 7"), "{message}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(add(b"enough and more").unwrap());
    }

    #[test]
    fn cancelled_write_leaves_no_partial_archive() {
        let dir = tempfile::tempdir().unwrap();
        let (guard, token) = cancel::guard();
        let archive = dir.path().join("model.tar.gz");
        let packing = std::thread::spawn(move || {
            super::write(&archive, token, |packer| {
                packer.add(
                    Path::new("a"),
                    EntryType::Regular,
                    0o644,
                    u64::MAX >> 1,
                    io::repeat(0),
                )
            })
        });
        while fs::read_dir(dir.path()).unwrap().count() == 0 {
            std::thread::yield_now();
        }
        drop(guard);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        packing.join().unwrap().unwrap_err();
    }

    #[test]
    fn strip_first_refuses_parent_paths() {
        assert_eq!(strip_first(Path::new("model/a/b")), Some("a/b".into()));
        assert_eq!(strip_first(Path::new("./model/a")), Some("a".into()));
        for path in ["model", "model/", "model/../../x", "/model/x/..", ""] {
            assert_eq!(strip_first(Path::new(path)), None, "{path}");
        }
    }
}
