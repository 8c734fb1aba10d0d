//! `download --job-name`: downloads a job's model.tar.gz, checks it, unpacks it next to the
//! target and moves it into place. A model that SageMaker did not compress is a folder in S3.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::client::Store;
use crate::download::Download;
use crate::local_files::display;
use crate::progress::format_size;
use crate::targets::{create_folder, hidden_sibling, sync_folder};
use crate::task_pool::blocking;
use crate::unpack::{Limits, UnpackError, Unpacked, unpack};
use crate::url::S3Url;
use crate::{DryRun, Summary, Transferred};
use diagnostics::{Error, Result};

/// Options of unpacking.
#[derive(Debug, Clone, Copy)]
pub struct UnpackOptions {
    /// Replaces an existing folder.
    pub force: bool,
    /// Maximum unpacked size in bytes.
    pub max_unpacked: Option<u64>,
}

/// Name in the work folder: the archive, or the folder of a model that is not compressed.
const ARCHIVE: &str = "model.tar.gz";

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
    /// Absent for a model that is not compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<Transferred>,
    #[serde(skip)]
    from: String,
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
        let done = match &self.archive {
            Some(_) => "unpacked",
            None => "downloaded",
        };
        format!(
            "{done} `{}` into `{}`: {} files, {} in {:.1} s{kept}",
            self.from,
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
        let (_, download) = self.plan_download(store).await?;
        let mut plan = download.dry_run();
        let replaced = if self.is_free() {
            ""
        } else {
            ", which is replaced, and kept next to it if it has files that the model does not have"
        };
        let done = match download.is_object() {
            true => "unpack it into",
            false => "move them to",
        };
        let unpack = format!("{done} `{}`{replaced}", display(&self.target));
        plan.push((unpack, None));
        Ok(plan)
    }

    /// Plans the download into the work folder next to the target. Returns the source, too: the
    /// archive, or the folder of a model that is not compressed.
    async fn plan_download(&self, store: &Store) -> Result<(S3Url, Download)> {
        let archive = self.work().join(ARCHIVE);
        let missing = match Download::plan(store, &self.from, &archive).await {
            Ok(download) => return Ok((self.from.clone(), download)),
            Err(missing) => missing,
        };
        let Some(folder) = self.from.key.strip_suffix("/model.tar.gz") else {
            return Err(missing);
        };
        let folder = self.from.with_key(format!("{folder}/model/"));
        match Download::plan(store, &folder, &archive).await {
            Ok(download) => Ok((folder, download)),
            Err(_) => Err(missing),
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
        let (from, download) = self.plan_download(store).await?;
        let is_archive = download.is_object();
        create_private(&work)?;
        let summary = match download.run(store).await {
            Ok(summary) => summary,
            Err(error) => {
                // Removed only if it is empty.
                let _ = fs::remove_dir(&work);
                return Err(error);
            }
        };
        let seconds = summary.seconds;
        let limits = Limits::new(summary.bytes, self.options.max_unpacked);
        let files = (!is_archive).then(|| Unpacked::of(&summary));
        let archive = summary.objects.into_iter().next().filter(|_| is_archive);
        let model = display(&self.target);
        let put = blocking(move || {
            match self.put(limits, files) {
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
            from: from.to_string(),
            unpacked,
            kept: kept.as_deref().map(display),
            seconds,
        })
    }

    /// Returns what was unpacked, and the path of the replaced folder. `files` are those of a model
    /// that is not compressed.
    fn put(
        &self,
        limits: Limits,
        files: Option<Unpacked>,
    ) -> Result<(Unpacked, Option<PathBuf>), UnpackError> {
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
            _ => {}
        }
        let archive = work.join(ARCHIVE);
        let unpacked = if let Some(files) = files {
            fs::rename(&archive, &tree).map_err(cannot)?;
            files
        } else {
            fs::create_dir(&tree).map_err(cannot)?;
            let archive = File::open(&archive).map_err(cannot)?;
            let archive = io::BufReader::with_capacity(128 << 10, archive);
            unpack(archive, &tree, limits)?
        };
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

/// Makes the work folder, which only its user can read. It may exist, if it is this user's.
fn create_private(work: &Path) -> Result<()> {
    create_folder(work.parent().unwrap_or(work))?;
    let made = match fs::DirBuilder::new().mode(0o700).create(work) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::set_permissions(work, fs::Permissions::from_mode(0o700)),
    };
    made.map_err(|error| {
        Error::new(format!(
            "cannot use the folder `{}`: {error}",
            display(work)
        ))
        .help("expected a folder of your own; choose another target")
    })
}

impl Unpacked {
    fn of(files: &Summary) -> Self {
        Self {
            files: u64::try_from(files.files).unwrap_or(u64::MAX),
            bytes: files.bytes,
        }
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
