//! `model.tar.gz`: the same files give the same bytes, whoever trained and wherever.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, EntryType, Header};

use super::giving_up::Ticket;
use diagnostics::{Error, Result, eprint_line};
use transport::tar_reader::{Kind, TarReader};

/// 1980-01-01, the oldest time that every tool takes. The real ones would make two equal models differ.
const MTIME: u64 = 315_532_800;

/// An archive under way: it appears whole or not at all.
pub(super) struct Packer {
    tar: Builder<GzEncoder<BufWriter<File>>>,
    entries: usize,
    ticket: Ticket,
}

/// What has become of a folder that an engine has packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    /// There is nothing in it, and no archive.
    Nothing,
    /// The archive is written.
    Whole,
    /// There are links in it, and no archive: `unpack` it and add the folder.
    Linked,
}

/// Writes `archive` with what `fill` adds; false, and no archive, if that is nothing.
pub(super) fn write(
    archive: &Path,
    ticket: Ticket,
    fill: impl FnOnce(&mut Packer) -> io::Result<()>,
) -> Result<bool> {
    let fill = |packer: &mut Packer| fill(packer).map(|()| true);
    try_write(archive, ticket, fill).map_err(|error| unwritten(archive, &error))
}

/// Writes `archive` with what an engine has packed, without the folder that all of it is in.
pub(super) fn write_packed(archive: &Path, ticket: Ticket, tar: impl Read) -> Result<Packed> {
    let mut linked = false;
    let fill = |packer: &mut Packer| {
        linked = !packer.add_packed(tar)?;
        Ok(!linked)
    };
    let written = try_write(archive, ticket, fill).map_err(|error| unwritten(archive, &error))?;
    Ok(match (written, linked) {
        (_, true) => Packed::Linked,
        (true, _) => Packed::Whole,
        (false, _) => Packed::Nothing,
    })
}

/// Unpacks what an engine has packed into a new folder, links as they are.
pub(super) fn unpack(tar: impl Read, folder: &Path, ticket: &Ticket) -> Result<()> {
    let _until_the_end = ticket.held();
    let unpack = || {
        fs::create_dir(folder)?;
        // Whatever is named outside of the folder, or lies behind a link out of it, is left out.
        Archive::new(ticket.counted(tar)).unpack(folder)
    };
    unpack().map_err(|error| unwritten(folder, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> Error {
    let shown = path.to_string_lossy();
    let failure = Error::new(format!(
        "cannot write `{}`: {error}",
        diagnostics::sanitize(&shown)
    ));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.help("`df -h` shows where there is space")
        }
        _ => failure,
    }
}

/// No archive is written if `fill` says so.
fn try_write(
    archive: &Path,
    ticket: Ticket,
    fill: impl FnOnce(&mut Packer) -> io::Result<bool>,
) -> io::Result<bool> {
    // Made first, dropped last: the temporary file is gone by then.
    let _until_the_end = ticket.held();
    let folder = archive.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".partial-")
        // As any new file; the user's umask takes its part.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    let mut packer = Packer::new(temporary.as_file().try_clone()?, ticket);
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
    fn new(out: File, ticket: Ticket) -> Self {
        let out = BufWriter::with_capacity(1 << 16, out);
        Self {
            tar: Builder::new(GzEncoder::new(out, Compression::default())),
            entries: 0,
            ticket,
        }
    }

    /// Adds all below a folder, by name. Of a link inside the folder it adds what that points to: a model is fetched with
    /// tools, ours among them, that take no links.
    pub(super) fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            let root = folder.canonicalize()?;
            self.add_below(&root, Path::new(""), &mut vec![root.clone()])?;
        }
        Ok(())
    }

    /// `inside` are the folders around `below`, without links.
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
                        left_out(&path, why);
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
                left_out(&path, "it is neither a file nor a folder");
            }
        }
        Ok(())
    }

    /// Adds what an engine has packed; false at the first link.
    fn add_packed(&mut self, tar: impl Read) -> io::Result<bool> {
        let mut tar = TarReader::new(tar);
        while let Some(entry) = tar.next()? {
            let Some(path) = without_first(Path::new(OsStr::from_bytes(&entry.path))) else {
                continue;
            };
            match entry.kind {
                Kind::Folder => self.add(&path, EntryType::Directory, 0o755, 0, io::empty())?,
                Kind::File => {
                    self.add(&path, EntryType::Regular, entry.mode, entry.size, &mut tar)?;
                }
                Kind::Link(_) => return Ok(false),
                Kind::Other(_) => left_out(&path, "it is neither a file nor a folder"),
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
        // A file that grows meanwhile must not run into the next entry.
        let mut bytes = self.ticket.counted(bytes.take(size));
        self.tar.append_data(&mut header, path, &mut bytes)?;
        // One that shrinks would leave a tar that no tool reads.
        if bytes.count < size {
            return Err(io::Error::other(format!(
                "`{}` has become shorter while it was read: expected {size} bytes, found {}",
                diagnostics::sanitize(&path.to_string_lossy()),
                bytes.count
            )));
        }
        Ok(())
    }
}

/// What a link below `root` points to, or why that is not packed.
fn target(root: &Path, link: &Path, inside: &[PathBuf]) -> Result<PathBuf, &'static str> {
    match link.canonicalize() {
        Ok(target) if !target.starts_with(root) => Err("it is a link out of the folder"),
        Ok(target) if inside.contains(&target) => Err("it is a link to a folder that it is in"),
        Ok(target) => Ok(target),
        Err(_) => Err("it is a link to nothing"),
    }
}

/// Nobody's file, at no time; executable or not is all that is kept of the mode.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if mode & 0o100 == 0 { 0o644 } else { 0o755 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header
}

fn left_out(path: &Path, why: &str) {
    eprint_line(format!(
        "warning: `{}` is left out of the archive: {why}",
        diagnostics::sanitize(&path.to_string_lossy())
    ));
}

/// The path without its first part; nothing for the folder itself and for names that climb.
pub(super) fn without_first(path: &Path) -> Option<PathBuf> {
    let mut parts = path.components();
    while parts.next()? == Component::CurDir {}
    let rest: PathBuf = parts.as_path().to_owned();
    let sound = rest
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (sound && rest != Path::new("")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use flate2::read::GzDecoder;

    use super::super::giving_up;
    use super::*;

    fn write(archive: &Path, fill: impl FnOnce(&mut Packer) -> io::Result<()>) -> Result<bool> {
        let (_guard, ticket) = giving_up::guard();
        super::write(archive, ticket, fill)
    }

    fn write_packed(archive: &Path, tar: &[u8]) -> Result<Packed> {
        let (_guard, ticket) = giving_up::guard();
        super::write_packed(archive, ticket, tar)
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

    /// As an engine packs it: all below the folder's name, real owners and times, links as links.
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
    fn the_same_bytes_from_a_folder_and_from_an_engine() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        fill(&model);
        let own = dir.path().join("own.tar.gz");
        assert!(write(&own, |packer| packer.add_folder(&model)).unwrap());
        let long = format!("sub/{}", "x".repeat(150));
        assert_eq!(names(&own), ["a ä.bin", "b.json", "sub", &long]);
        let other = dir.path().join("other.tar.gz");
        assert_eq!(
            write_packed(&other, &packed(&model)).unwrap(),
            Packed::Whole
        );
        assert_eq!(fs::read(&own).unwrap(), fs::read(&other).unwrap());
    }

    #[test]
    fn what_links_point_to_is_packed() {
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

        // An engine's links come as links, and as the same in the end.
        let mut linked = Builder::new(Vec::new());
        let mut link = header(EntryType::Link, 0o644);
        link.set_size(0);
        linked.append_link(&mut link, "model/a", "model/b").unwrap();
        let other = dir.path().join("other.tar.gz");
        for tar in [packed(&model), linked.into_inner().unwrap()] {
            assert_eq!(write_packed(&other, &tar).unwrap(), Packed::Linked);
            assert!(!other.exists());
        }
        let (_guard, ticket) = giving_up::guard();
        let unpacked = dir.path().join("unpacked");
        unpack(packed(&model).as_slice(), &unpacked, &ticket).unwrap();
        let there = unpacked.join("model");
        assert!(write(&other, |packer| packer.add_folder(&there)).unwrap());
        assert_eq!(fs::read(&own).unwrap(), fs::read(&other).unwrap());
    }

    #[test]
    fn nothing_makes_no_archive_and_a_failure_leaves_none() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("model.tar.gz");
        assert!(
            !write(&archive, |packer| packer
                .add_folder(&dir.path().join("none")))
            .unwrap()
        );
        write_packed(&archive, &[1_u8; 700]).unwrap_err();
        assert_eq!(
            write_packed(&archive, &[0_u8; 1024]).unwrap(),
            Packed::Nothing
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_shrinks_is_no_archive() {
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
    fn what_is_given_up_leaves_no_half_archive() {
        let dir = tempfile::tempdir().unwrap();
        let (guard, ticket) = giving_up::guard();
        let archive = dir.path().join("model.tar.gz");
        let packing = std::thread::spawn(move || {
            super::write(&archive, ticket, |packer| {
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
    fn names_that_climb_are_nothing() {
        assert_eq!(without_first(Path::new("model/a/b")), Some("a/b".into()));
        assert_eq!(without_first(Path::new("./model/a")), Some("a".into()));
        for path in ["model", "model/", "model/../../x", "/model/x/..", ""] {
            assert_eq!(without_first(Path::new(path)), None, "{path}");
        }
    }
}
