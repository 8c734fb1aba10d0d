//! `download --job-name`: downloads a job's model.tar.gz, checks it, unpacks it next to the
//! target and moves it into place.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::client::Store;
use crate::download::{Download, Selection};
use crate::local_files::display;
use crate::progress::format_size;
use crate::targets::{hidden_sibling, sync_folder};
use crate::task_pool::blocking;
use crate::unpack::{Limits, UnpackError, Unpacked, unpack};
use crate::url::S3Url;
use crate::{DryRun, Transferred};
use diagnostics::{Error, Result};

/// Options of unpacking.
#[derive(Debug, Clone, Copy)]
pub struct UnpackOptions {
    /// Replaces an existing folder.
    pub force: bool,
    /// Maximum unpacked size in bytes.
    pub max_unpacked: Option<u64>,
}

/// A model in S3 and its target folder.
#[derive(Debug)]
pub struct ModelDownload {
    from: S3Url,
    target: PathBuf,
    options: UnpackOptions,
}

/// Result of the command.
#[derive(Debug, Serialize)]
pub struct UnpackedModel {
    model: String,
    archive: Transferred,
    unpacked: Unpacked,
    /// Path of the replaced folder, if it had files that the model does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    seconds: f64,
}

impl UnpackedModel {
    pub fn text(&self) -> String {
        let kept = match &self.kept {
            Some(kept) => format!("; the previous files are in `{kept}`"),
            None => String::new(),
        };
        format!(
            "unpacked `{}` into `{}`: {} files, {} in {:.1} s{kept}",
            self.archive.url,
            self.model,
            self.unpacked.files,
            format_size(self.unpacked.bytes),
            self.seconds
        )
    }
}

impl ModelDownload {
    /// Checks the target before anything is downloaded.
    pub fn new(from: S3Url, to: &Path, options: UnpackOptions) -> Result<Self> {
        // `.` and `x/..` have no name to rename to.
        let target = match to.file_name() {
            Some(_) => to.to_owned(),
            None => to.canonicalize().map_err(|error| {
                Error::usage(format!("cannot unpack into `{}`: {error}", display(to)))
                    .help("choose an existing folder, or a new one")
            })?,
        };
        if target.file_name().is_none() {
            return Err(Error::usage("`/` cannot be replaced by a model").help("choose a folder"));
        }
        let model = Self {
            from,
            target,
            options,
        };
        if !options.force && !model.is_free() {
            return Err(Error::usage(format!("`{}` exists", display(&model.target)))
                .help("choose another folder, or replace it: `--force`"));
        }
        if options.force {
            model.refuse_needed()?;
        }
        Ok(model)
    }

    /// Refuses to replace the working directory, the home folder and folders above them.
    fn refuse_needed(&self) -> Result<()> {
        let Ok(target) = self.target.canonicalize() else {
            return Ok(());
        };
        let home = env::var_os("HOME").map(PathBuf::from);
        for (needed, what) in [
            (env::current_dir().ok(), "the working directory"),
            (home, "the home folder"),
        ] {
            let needed = needed.and_then(|path| path.canonicalize().ok());
            if needed.is_some_and(|needed| needed.starts_with(&target)) {
                return Err(Error::usage(format!(
                    "`{}` is {what} or holds it, and is not replaced by a model",
                    display(&self.target)
                ))
                .help("choose a folder for the model only"));
            }
        }
        Ok(())
    }

    fn is_free(&self) -> bool {
        match fs::symlink_metadata(&self.target) {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(meta) => {
                meta.is_dir()
                    && fs::read_dir(&self.target).is_ok_and(|mut all| all.next().is_none())
            }
        }
    }

    /// Returns the steps without doing them.
    pub async fn dry_run(&self, store: &Store) -> Result<DryRun> {
        let mut plan = self.plan_archive(store).await?.dry_run();
        let replaced = if self.is_free() {
            ""
        } else {
            ", which is replaced, and kept next to it if it has files that the model does not have"
        };
        let unpack = format!("unpack it into `{}`{replaced}", display(&self.target));
        plan.push((unpack, None));
        Ok(plan)
    }

    /// Plans the download of the archive into the work folder next to the target.
    async fn plan_archive(&self, store: &Store) -> Result<Download> {
        let download = Download::plan(store, &self.from, &self.work().join("model.tar.gz")).await?;
        match download.selection {
            Selection::Object => Ok(download),
            Selection::Prefix => Err(Error::new(format!("`{}` is not an object", self.from))
                .help("`trainyard describe JOB` shows the location of its model")),
        }
    }

    fn work(&self) -> PathBuf {
        hidden_sibling(&self.target, "trainyard-model")
    }

    /// Downloads, unpacks and moves into place. The archive is kept until the end, so that an
    /// interruption costs little.
    pub async fn run(self, store: &Store) -> Result<UnpackedModel> {
        let work = self.work();
        if fs::symlink_metadata(&work).is_ok_and(|meta| !meta.is_dir()) {
            return Err(Error::new(format!("`{}` is in the way", display(&work)))
                .help("remove it, or choose another folder"));
        }
        let downloaded = self.plan_archive(store).await?.run(store).await;
        let summary = match downloaded {
            Ok(summary) => summary,
            Err(error) => {
                // Removed only if it is empty.
                let _ = fs::remove_dir(&work);
                return Err(error);
            }
        };
        let seconds = summary.seconds;
        let Some(archive) = summary.objects.into_iter().next() else {
            return Err(Error::new(format!("`{}` was not downloaded", self.from))
                .help("run the same command again"));
        };
        let limits = Limits::new(archive.bytes, self.options.max_unpacked);
        let model = display(&self.target);
        let put = blocking(move || {
            match self.put(limits) {
                // Another download would give the same.
                Err(refused) if refused.retryable => {
                    let _ = fs::remove_dir_all(work.join("tree"));
                    let kept = format!(
                        "the archive is kept in `{}` until then and is not downloaded again",
                        display(&work)
                    );
                    Err(refused.error.help(kept))
                }
                put => {
                    let _ = fs::remove_dir_all(&work);
                    put.map_err(|refused| refused.error)
                }
            }
        });
        let (unpacked, kept) = put.await??;
        Ok(UnpackedModel {
            model,
            archive,
            unpacked,
            kept: kept.as_deref().map(display),
            seconds,
        })
    }

    /// Returns what was unpacked, and the path of the replaced folder.
    fn put(&self, limits: Limits) -> Result<(Unpacked, Option<PathBuf>), UnpackError> {
        let work = self.work();
        let tree = work.join("tree");
        let cannot = |error: io::Error| {
            Error::new(format!(
                "cannot unpack into `{}`: {error}",
                display(&self.target)
            ))
            .help("expected a writable folder; choose another one")
        };
        // May be left by an interrupted run.
        match fs::remove_dir_all(&tree) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(cannot(error).into());
            }
            _ => fs::create_dir(&tree).map_err(cannot)?,
        }
        let archive = File::open(work.join("model.tar.gz")).map_err(cannot)?;
        let unpacked = unpack(
            io::BufReader::with_capacity(128 << 10, archive),
            &tree,
            limits,
        )?;
        let mut kept = None;
        let old = match self.options.force && !self.is_free() {
            // An older version of the model: nothing is lost.
            true if holds_only(&self.target, &tree) => work.join("old"),
            true => kept.insert(free_name(&self.target)).clone(),
            false => PathBuf::new(),
        };
        if !old.as_os_str().is_empty() {
            fs::rename(&self.target, &old).map_err(cannot)?;
        }
        if let Err(error) = fs::rename(&tree, &self.target) {
            // Restore the old folder.
            let _ = fs::rename(&old, &self.target);
            return Err(cannot(error).into());
        }
        sync_folder(&self.target);
        Ok((unpacked, kept))
    }
}

/// True if the folder contains only files and folders that `other` has too.
fn holds_only(folder: &Path, other: &Path) -> bool {
    let known = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let counterpart = fs::symlink_metadata(other.join(entry.file_name())).ok()?;
        let kind = entry.file_type().ok()?;
        let same = (kind.is_file() && counterpart.is_file())
            || (kind.is_dir()
                && counterpart.is_dir()
                && holds_only(&entry.path(), &other.join(entry.file_name())));
        same.then_some(())
    };
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_dir());
    is_folder && fs::read_dir(folder).is_ok_and(|mut all| all.all(|entry| known(entry).is_some()))
}

/// Returns the first free name of `NAME.old`, `NAME.old-2` and so on.
fn free_name(target: &Path) -> PathBuf {
    let named = |number: u32| {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(match number {
            1 => ".old".to_owned(),
            number => format!(".old-{number}"),
        });
        target.with_file_name(name)
    };
    (1..)
        .map(named)
        .find(|path| fs::symlink_metadata(path).is_err())
        .unwrap_or_else(|| named(1))
}
