//! Checkpoints: what a killed run goes on from. A folder per checkpoint, `step-000000001200`, written under another
//! name and renamed, with a manifest that is written last and has the sha256 of every file.
//!
//! A checkpoint belongs to one run: the manifest has that run's data, seed, threads and parameters, and another run is
//! refused. A torn checkpoint is told and passed over for the one before; so two are kept.

mod fingerprint;
mod manifest;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

pub use fingerprint::Fingerprint;
use manifest::{Manifest, Unusable};

use diagnostics::Error;
use diagnostics::atomic_dir::{self, Staged};
use evaluation::history::EpochReport;

/// Begins the name of a checkpoint's folder, before the step in twelve digits.
const PREFIX: &str = "step-";
/// The newest may be torn by the crash that makes it needed.
const KEPT: usize = 2;

/// A whole checkpoint of this run.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// The folder with the files that the trainer wrote, their hashes checked.
    pub dir: PathBuf,
    /// Optimiser steps done.
    pub step: u64,
    /// What the trainer gave to [`Run::checkpoint`](crate::Run::checkpoint); every number is exactly as it was.
    pub state: Value,
}

/// The checkpoints of a run, in a folder that no other process uses meanwhile.
pub struct Checkpoints {
    dir: PathBuf,
    /// Steps between two; 0: at the end of an epoch only.
    every: u64,
    trainer: String,
    run: Fingerprint,
    /// The step of the newest whole checkpoint.
    last: Option<u64>,
    /// Found unusable: removed when there is a new one.
    torn: Vec<u64>,
    /// Holds the lock.
    _lock: File,
}

/// What a folder of checkpoints had in it.
pub struct Found {
    pub restored: Option<Restored>,
    pub history: Vec<EpochReport>,
    /// What is wrong with which checkpoint.
    pub warnings: Vec<String>,
}

impl Checkpoints {
    /// Takes hold of the folder, which is made if there is none, and looks for the newest whole checkpoint.
    pub fn open(
        dir: &Path,
        every: u64,
        trainer: &str,
        run: Fingerprint,
    ) -> Result<(Self, Found), Error> {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let lock = lock(dir)?;
        atomic_dir::remove_stale_locked(dir);
        let mut checkpoints = Self {
            dir: dir.to_owned(),
            every,
            trainer: trainer.to_owned(),
            run,
            last: None,
            torn: Vec::new(),
            _lock: lock,
        };
        let found = checkpoints.latest()?;
        Ok((checkpoints, found))
    }

    /// The newest whole checkpoint; those that are torn are passed over, and told.
    fn latest(&mut self) -> Result<Found, Error> {
        let mut found = Found {
            restored: None,
            history: Vec::new(),
            warnings: Vec::new(),
        };
        for step in self.steps()?.into_iter().rev() {
            let dir = self.folder(step);
            match Manifest::read(&dir, step, &self.trainer, &self.run) {
                Ok(manifest) => {
                    self.last = Some(step);
                    found.history = manifest.history;
                    found.restored = Some(Restored {
                        dir,
                        step,
                        state: manifest.state,
                    });
                    break;
                }
                Err(Unusable::Torn(why)) => {
                    self.torn.push(step);
                    found.warnings.push(format!(
                        "the checkpoint `{}` is torn and is passed over: {why}",
                        dir.display()
                    ));
                }
                Err(Unusable::Refused(failure)) => return Err(failure),
            }
        }
        if let (None, Some(last)) = (&found.restored, found.warnings.last_mut()) {
            last.push_str("\n  help: no checkpoint is whole, so training starts anew");
        }
        Ok(found)
    }

    /// The steps of all checkpoints, whole or not, ascending.
    fn steps(&self) -> Result<Vec<u64>, Error> {
        let failed = |error| Error::io("read", &self.dir)(error);
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let step = digits.and_then(|digits| digits.parse().ok());
            // A name that is not ours to the letter is the user's.
            steps.extend(step.filter(|&step| name == *folder_name(step)));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn folder(&self, step: u64) -> PathBuf {
        self.dir.join(folder_name(step))
    }

    /// The step of the newest whole checkpoint.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Whether one should be written now.
    pub fn due(&self, step: u64, epoch_ended: bool) -> bool {
        let each = self.every > 0 && step.is_multiple_of(self.every);
        (epoch_ended || each) && self.last != Some(step)
    }

    /// Writes one: `write` fills an empty folder, the manifest comes last, and only then the folder gets its name.
    pub fn save(
        &mut self,
        step: u64,
        state: &Value,
        history: &[EpochReport],
        write: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let dir = self.folder(step);
        // The newest kept one is not touched before there is a newer: what is torn only takes room.
        for torn in std::mem::take(&mut self.torn) {
            let folder = self.folder(torn);
            fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
        }
        if self.last == Some(step) {
            return Ok(());
        }
        let staged = Staged::inside(&self.dir).map_err(Error::io("write", &self.dir))?;
        write(staged.path())?;
        Manifest::write(
            staged.path(),
            step,
            &self.trainer,
            &self.run,
            state,
            history,
        )?;
        atomic_dir::sync(staged.path())
            .and_then(|()| fs::rename(staged.path(), &dir))
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(Error::io("write", &dir))?;
        self.last = Some(step);
        let steps = self.steps()?;
        for &old in steps.iter().rev().skip(KEPT) {
            let folder = self.folder(old);
            fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
        }
        Ok(())
    }
}

fn folder_name(step: u64) -> String {
    format!("{PREFIX}{step:012}")
}

/// Two processes that write checkpoints into one folder would remove each other's. The lock ends with the process.
fn lock(dir: &Path) -> Result<File, Error> {
    let folder = File::open(dir).map_err(Error::io("read", dir))?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Err(error) if io::Error::from(error).kind() == io::ErrorKind::WouldBlock => {
            Err(Error::new(format!(
                    "expected `{}` for this run alone, found another process that writes checkpoints there",
                    dir.display()
                )).help("wait for it, or choose another --checkpoint-dir"))
        }
        // A file system without locks: then there is none.
        _ => Ok(folder),
    }
}
