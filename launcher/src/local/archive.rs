//! `model.tar.gz`: the same files give the same bytes, whoever trained and wherever.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, EntryType, Header};

use super::giving_up::Ticket;
use crate::failure::{Failure, Result};
use crate::say::say;

/// 1980-01-01, the oldest time that every tool takes. The real ones would make two equal models differ.
const MTIME: u64 = 315_532_800;

/// An archive under way: it appears whole or not at all.
pub(super) struct Packer {
    tar: Builder<GzEncoder<BufWriter<File>>>,
    entries: usize,
    ticket: Ticket,
}

/// Writes `archive` with what `fill` adds; false, and no archive, if that is nothing.
pub(super) fn write(
    archive: &Path,
    ticket: Ticket,
    fill: impl FnOnce(&mut Packer) -> io::Result<()>,
) -> Result<bool> {
    try_write(archive, ticket, fill).map_err(|error| {
        let shown = archive.to_string_lossy();
        let failure = Failure::new(format!(
            "cannot write `{}`: {error}",
            contract::shown(&shown)
        ));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                failure.help("`df -h` shows where there is space")
            }
            _ => failure,
        }
    })
}

fn try_write(
    archive: &Path,
    ticket: Ticket,
    fill: impl FnOnce(&mut Packer) -> io::Result<()>,
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
    fill(&mut packer)?;
    if packer.entries == 0 {
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

    /// Adds all below a folder, by name.
    pub(super) fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            self.add_below(folder, Path::new(""))?;
        }
        Ok(())
    }

    fn add_below(&mut self, root: &Path, below: &Path) -> io::Result<()> {
        let mut names: Vec<_> = fs::read_dir(root.join(below))?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort_unstable();
        for name in names {
            let path = below.join(name);
            let full = root.join(&path);
            let metadata = fs::symlink_metadata(&full)?;
            let kind = metadata.file_type();
            if kind.is_dir() {
                self.add(&path, EntryType::Directory, 0o755, 0, io::empty())?;
                self.add_below(root, &path)?;
            } else if kind.is_file() {
                let mode = metadata.permissions().mode();
                self.add(
                    &path,
                    EntryType::Regular,
                    mode,
                    metadata.len(),
                    File::open(full)?,
                )?;
            } else if kind.is_symlink() {
                self.add_link(&path, EntryType::Symlink, &fs::read_link(full)?)?;
            } else {
                left_out(&path, "it is neither a file nor a folder");
            }
        }
        Ok(())
    }

    /// Adds what an engine has packed, without the folder that all of it is in.
    pub(super) fn add_packed(&mut self, tar: impl Read) -> io::Result<()> {
        for entry in Archive::new(tar).entries()? {
            let entry = entry?;
            let Some(path) = without_first(&entry.path()?) else {
                continue;
            };
            let (kind, mode, size) = (
                entry.header().entry_type(),
                entry.header().mode()?,
                entry.size(),
            );
            match kind {
                EntryType::Directory => {
                    self.add(&path, kind, 0o755, 0, io::empty())?;
                }
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                    self.add(&path, EntryType::Regular, mode, size, entry)?;
                }
                EntryType::Symlink => {
                    let target = entry.link_name()?.unwrap_or_default().into_owned();
                    self.add_link(&path, kind, &target)?;
                }
                // Its target is the name of another entry, so it has lost its folder too.
                EntryType::Link => match entry.link_name()?.and_then(|name| without_first(&name)) {
                    Some(target) => self.add_link(&path, kind, &target)?,
                    None => left_out(&path, "it is a link out of the folder"),
                },
                _ => left_out(&path, "it is neither a file nor a folder"),
            }
        }
        Ok(())
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
                contract::shown(&path.to_string_lossy()),
                bytes.count
            )));
        }
        Ok(())
    }

    fn add_link(&mut self, path: &Path, kind: EntryType, target: &Path) -> io::Result<()> {
        if kind == EntryType::Symlink && !stays_inside(path, target) {
            left_out(path, "it is a link out of the folder");
            return Ok(());
        }
        let mut header = header(kind, 0o777);
        header.set_size(0);
        self.entries += 1;
        self.tar.append_link(&mut header, path, target)
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
    say(format!(
        "warning: `{}` is left out of the archive: {why}",
        contract::shown(&path.to_string_lossy())
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

/// Whether a symlink's target is below the folder that the link's path counts from.
fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
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
        symlink("../b.json", folder.join("sub/inside")).unwrap();
        symlink("../../etc/passwd", folder.join("sub/outside")).unwrap();
        symlink("/etc/passwd", folder.join("absolute")).unwrap();
    }

    #[test]
    fn the_same_bytes_from_a_folder_and_from_an_engine() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        fill(&model);
        let own = dir.path().join("own.tar.gz");
        assert!(write(&own, |packer| packer.add_folder(&model)).unwrap());
        let long = format!("sub/{}", "x".repeat(150));
        assert_eq!(
            names(&own),
            ["a ä.bin", "b.json", "sub", "sub/inside", &long]
        );

        // As an engine packs it: all below the folder's name, real owners and times.
        let mut packed = Builder::new(Vec::new());
        packed.follow_symlinks(false);
        packed.append_dir("model/", &model).unwrap();
        for name in [
            "absolute",
            "a ä.bin",
            "b.json",
            "sub",
            "sub/inside",
            "sub/outside",
            &long,
        ] {
            let in_tar = Path::new("model").join(name);
            packed
                .append_path_with_name(model.join(name), in_tar)
                .unwrap();
        }
        let packed = packed.into_inner().unwrap();
        let other = dir.path().join("other.tar.gz");
        assert!(write(&other, |packer| packer.add_packed(packed.as_slice())).unwrap());
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
        let broken = |packer: &mut Packer| packer.add_packed([1_u8; 700].as_slice());
        write(&archive, broken).unwrap_err();
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
