//! Checkpoints, from which a killed run resumes. Each is a folder, `step-000000001200`, written
//! under a temporary name and renamed, with a manifest that is written last and has the SHA-256 of
//! each file.
//!
//! A checkpoint belongs to one run: the manifest has the fingerprint of its data, seed, threads and
//! arguments, and other runs are refused. A damaged checkpoint is skipped with a warning and the
//! previous one is used; therefore two are kept.

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

/// Prefix of the folder names, before the step in twelve digits.
const PREFIX: &str = "step-";
/// Checkpoints to keep: the crash may have damaged the newest.
const MAX_CHECKPOINTS: usize = 2;

/// A valid checkpoint of this run.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Folder with the files of the trainer; their checksums are verified.
    pub dir: PathBuf,
    /// Number of finished optimizer steps.
    pub step: u64,
    /// The state that was passed to [`Run::checkpoint`](crate::Run::checkpoint); numbers are exact.
    pub state: Value,
}

/// The checkpoints of a run, in a folder that this process has locked.
pub struct Checkpoints {
    dir: PathBuf,
    /// Steps between checkpoints; 0: only at the end of each epoch.
    every: u64,
    trainer: String,
    run: Fingerprint,
    /// Step of the newest valid checkpoint.
    last: Option<u64>,
    /// Damaged checkpoints; removed when a new one is written.
    damaged: Vec<u64>,
    /// Keeps the folder locked.
    _lock: File,
}

/// The contents of a folder of checkpoints.
pub struct Found {
    /// The checkpoint to resume from.
    pub restored: Option<Restored>,
    /// The epochs before it.
    pub history: Vec<EpochReport>,
    /// One per damaged checkpoint.
    pub warnings: Vec<String>,
}

impl Checkpoints {
    /// Creates and locks the folder and finds the newest valid checkpoint.
    ///
    /// # Errors
    /// The folder is locked or not writable, or its checkpoint belongs to another run.
    pub fn open(
        dir: &Path,
        every: u64,
        trainer: &str,
        run: Fingerprint,
    ) -> Result<(Self, Found), Error> {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let lock = lock(dir)?;
        atomic_dir::remove_stale(dir);
        let mut checkpoints = Self {
            dir: dir.to_owned(),
            every,
            trainer: trainer.to_owned(),
            run,
            last: None,
            damaged: Vec::new(),
            _lock: lock,
        };
        let found = checkpoints.latest()?;
        Ok((checkpoints, found))
    }

    /// Finds the newest valid checkpoint; damaged ones are skipped with a warning.
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
                Err(Unusable::Damaged(why)) => {
                    self.damaged.push(step);
                    found.warnings.push(format!(
                        "skipped the damaged checkpoint `{}`: {why}",
                        dir.display()
                    ));
                }
                Err(Unusable::Refused(error)) => return Err(error),
            }
        }
        if let (None, Some(last)) = (&found.restored, found.warnings.last_mut()) {
            last.push_str("\n  help: no checkpoint is valid, training starts from the beginning");
        }
        Ok(found)
    }

    /// Returns the steps of all checkpoints, valid or not, ascending.
    fn steps(&self) -> Result<Vec<u64>, Error> {
        let failed = |error| Error::io("read", &self.dir)(error);
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let step = digits.and_then(|digits| digits.parse().ok());
            // Any other name is a file of the user.
            steps.extend(step.filter(|&step| name == *folder_name(step)));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn folder(&self, step: u64) -> PathBuf {
        self.dir.join(folder_name(step))
    }

    /// Returns the step of the newest valid checkpoint.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// True if a checkpoint is due after this step.
    pub fn due(&self, step: u64, epoch_ended: bool) -> bool {
        let each = self.every > 0 && step.is_multiple_of(self.every);
        (epoch_ended || each) && self.last != Some(step)
    }

    /// Writes a checkpoint: `write` fills an empty folder, the manifest follows, then the folder is
    /// renamed.
    ///
    /// # Errors
    /// A file cannot be written, or `write` fails.
    pub fn save(
        &mut self,
        step: u64,
        state: &Value,
        history: &[EpochReport],
        write: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let dir = self.folder(step);
        // Damaged checkpoints only waste space; valid ones stay until there is a newer one.
        for damaged in std::mem::take(&mut self.damaged) {
            let folder = self.folder(damaged);
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
        for &old in steps.iter().rev().skip(MAX_CHECKPOINTS) {
            let folder = self.folder(old);
            fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
        }
        Ok(())
    }
}

fn folder_name(step: u64) -> String {
    format!("{PREFIX}{step:012}")
}

/// Locks the folder until the process ends: two processes would remove each other's checkpoints.
fn lock(dir: &Path) -> Result<File, Error> {
    let folder = File::open(dir).map_err(Error::io("read", dir))?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Err(error) if io::Error::from(error).kind() == io::ErrorKind::WouldBlock => {
            Err(Error::new(format!(
                "another process writes checkpoints to `{}`",
                dir.display()
            ))
            .help("wait for it, or choose another --checkpoint-dir"))
        }
        // The file system has no locks.
        _ => Ok(folder),
    }
}
