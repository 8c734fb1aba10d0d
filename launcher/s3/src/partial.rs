//! The temporary file of a download, and the records of the ranges that it has.
//!
//! A recorded range is read again and checked: a record may survive a crash that the bytes did not
//! survive.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::checksum::PartChecksums;
use crate::local_files::display;
use crate::parts::{Part, split};
use crate::progress::format_size;
use crate::targets::{partial_path, records_path, sync_folder};
use diagnostics::{Error, Result};

/// Version of an object; a download of another version starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectVersion {
    pub(crate) url: String,
    pub(crate) etag: String,
    pub(crate) size: u64,
}

#[derive(Serialize, Deserialize)]
struct PartRecord {
    part: u32,
    crc32: u32,
}

/// A download in progress.
#[derive(Debug)]
pub(crate) struct Partial {
    target: PathBuf,
    path: PathBuf,
    pub(crate) file: Arc<File>,
    size: u64,
    records: Option<File>,
    finished: AtomicBool,
}

impl Partial {
    /// Opens and locks the temporary file.
    pub(crate) fn open(target: &Path, identity: &ObjectVersion) -> Result<Self> {
        if target.is_dir() {
            return Err(Error::new(format!(
                "`{}` is a folder, expected a file or nothing there",
                display(target)
            ))
            .help("choose another target, or remove the folder"));
        }
        check_replaceable(target)?;
        let path = partial_path(target);
        let file = open_locked(&path, target)?;
        Ok(Self {
            target: target.to_owned(),
            path,
            file: Arc::new(file),
            size: identity.size,
            records: None,
            finished: AtomicBool::new(false),
        })
    }

    /// Returns the ranges that are present and valid. Reserves space for the whole file, so that a
    /// full disk is noticed at once.
    pub(crate) fn resume(
        &mut self,
        identity: &ObjectVersion,
    ) -> Result<Vec<(Part, PartChecksums)>> {
        let path = records_path(&self.target);
        let recorded = fs::read_to_string(&path).unwrap_or_default();
        let mut lines = recorded.lines();
        let same = lines
            .next()
            .and_then(|line| serde_json::from_str::<ObjectVersion>(line).ok())
            .is_some_and(|recorded| recorded == *identity);
        // The last record of a part counts. A truncated last line does not parse.
        let records: HashMap<u32, u32> = lines
            .filter_map(|line| serde_json::from_str::<PartRecord>(line).ok())
            .map(|record| (record.part, record.crc32))
            .collect();
        let mut kept = Vec::new();
        if same
            && self
                .file
                .metadata()
                .is_ok_and(|meta| meta.len() == self.size)
        {
            for part in split(self.size) {
                if let Some(crc32) = records.get(&part.number)
                    && let Ok(sums) = PartChecksums::of(&self.file, part, false)
                    && sums.crc.clone().finalize() == *crc32
                {
                    kept.push((part, sums));
                }
            }
        } else {
            self.file.set_len(0).map_err(|error| self.cannot(error))?;
            self.reserve().map_err(|error| self.cannot(error))?;
        }
        let mut file = File::create(&path).map_err(|error| self.cannot(error))?;
        let mut text = serde_json::to_string(identity).unwrap_or_default() + "\n";
        for (part, sums) in &kept {
            text += &record(*part, sums);
        }
        file.write_all(text.as_bytes())
            .map_err(|error| self.cannot(error))?;
        self.records = Some(file);
        Ok(kept)
    }

    fn reserve(&self) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(&*self.file, FallocateFlags::empty(), 0, self.size) {
            Err(rustix::io::Errno::NOSPC) => Err(rustix::io::Errno::NOSPC.into()),
            // Not every file system supports it: then a full disk is noticed later.
            Err(_) => self.file.set_len(self.size),
            Ok(()) => Ok(()),
        }
    }

    pub(crate) fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, at)
            .map_err(|error| self.cannot(error))
    }

    /// Records a range.
    pub(crate) fn record(&self, part: Part, sums: &PartChecksums) {
        if let Some(mut records) = self.records.as_ref() {
            // A range without a record is downloaded again.
            let _ = records.write_all(record(part, sums).as_bytes());
        }
    }

    /// Syncs the file and moves it to its target.
    pub(crate) fn finish(&self) -> Result<()> {
        check_replaceable(&self.target)?;
        let done = self
            .file
            .set_len(self.size)
            .and_then(|()| self.file.sync_all());
        done.and_then(|()| fs::rename(&self.path, &self.target))
            .map_err(|error| self.cannot(error))?;
        self.finished.store(true, Ordering::Relaxed);
        if self.records.is_some() {
            let _ = fs::remove_file(records_path(&self.target));
        }
        sync_folder(&self.target);
        Ok(())
    }

    /// Removes the temporary file and its records.
    pub(crate) fn discard(&self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(records_path(&self.target));
    }

    /// Converts a write error; on a full disk, the temporary file is removed.
    fn cannot(&self, error: io::Error) -> Error {
        if disk_is_full(&error) {
            self.discard();
            return Error::new(format!(
                "cannot write `{}`: the disk is full",
                display(&self.target)
            ))
            .help(format!(
                "make room for {}, then run the same command again",
                format_size(self.size)
            ));
        }
        Error::new(format!("cannot write `{}`: {error}", display(&self.target)))
            .help("check the disk and who may write there, or choose another target")
    }
}

pub(crate) fn disk_is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Refuses to replace devices, pipes and sockets, also through links such as `/dev/stdout`.
fn check_replaceable(target: &Path) -> Result<()> {
    match fs::metadata(target) {
        Ok(meta) if !meta.is_file() => Err(Error::new(format!(
            "`{}` is not a regular file",
            display(target)
        ))
        .help("choose another target")),
        _ => Ok(()),
    }
}

impl Drop for Partial {
    /// Removes a file without records, which cannot be resumed. After `finish` there is no file
    /// with this name.
    fn drop(&mut self) {
        if self.records.is_none() && !self.finished.load(Ordering::Relaxed) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn record(part: Part, sums: &PartChecksums) -> String {
    let record = PartRecord {
        part: part.number,
        crc32: sums.crc.clone().finalize(),
    };
    serde_json::to_string(&record).unwrap_or_default() + "\n"
}

fn open_locked(path: &Path, target: &Path) -> Result<File> {
    let cannot = |error: io::Error| {
        Error::new(format!("cannot write `{}`: {error}", display(target)))
            .help("expected a folder that can be written; choose another target")
    };
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(format!(
                    "`{}` is being downloaded by another process",
                    display(target)
                ))
                .help("wait for its end, or choose another target"));
            }
            // The file system has no locks.
            Err(TryLockError::Error(_)) => {}
        }
        // Another process may have moved the file between open and lock: then this name is a
        // different file.
        let meta = file.metadata().map_err(cannot)?;
        if fs::symlink_metadata(path)
            .is_ok_and(|now| (now.dev(), now.ino()) == (meta.dev(), meta.ino()))
        {
            return Ok(file);
        }
    }
}
