//! `download --job-name`: a job's model.tar.gz, fetched, checked, unpacked beside the target and put in place.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::client::Store;
use super::download::{Fetch, Selection};
use super::progress::size as human;
use super::targets::beside;
use super::unpack::{Limits, Unpacked, unpack};
use super::upload::joined;
use super::walk::display;
use super::{Downloaded, Moved};
use crate::failure::{Failure, Result};
use crate::job::S3Url;
use crate::plan::Plan;

/// What the user may change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) force: bool,
    pub(crate) max_unpacked: Option<u64>,
}

/// A model in S3 and the folder that it is to become.
#[derive(Debug)]
pub(crate) struct Model {
    from: S3Url,
    target: PathBuf,
    options: Options,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    model: String,
    archive: Moved,
    unpacked: Unpacked,
    seconds: f64,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        format!(
            "unpacked `{}` into `{}`: {} files, {} in {:.1} s",
            self.archive.url,
            self.model,
            self.unpacked.files,
            human(self.unpacked.bytes),
            self.seconds
        )
    }
}

impl Model {
    /// Looks at the target before anything is fetched.
    pub(crate) fn new(from: S3Url, to: &Path, options: Options) -> Result<Self> {
        // `.` and `x/..` have no name that could be renamed to.
        let target = match to.file_name() {
            Some(_) => to.to_owned(),
            None => to.canonicalize().map_err(|error| {
                Failure::usage(format!("cannot unpack into `{}`: {error}", display(to)))
            })?,
        };
        if target.file_name().is_none() {
            return Err(Failure::usage("`/` cannot be replaced by a model").help("choose a folder"));
        }
        let model = Self {
            from,
            target,
            options,
        };
        if !options.force && !model.is_free() {
            return Err(
                Failure::usage(format!("`{}` exists", display(&model.target)))
                    .help("choose another folder, or replace it: `--force`"),
            );
        }
        Ok(model)
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

    /// What would be done.
    pub(crate) async fn rehearse(&self, store: &Store) -> Result<Plan> {
        let mut plan = self.fetch(store).await?.rehearse();
        let replaced = if self.is_free() {
            ""
        } else {
            ", which is replaced"
        };
        plan.step(format!(
            "unpack it into `{}`{replaced}",
            display(&self.target)
        ));
        Ok(plan)
    }

    /// The archive, into the folder beside the target where all work is done.
    async fn fetch(&self, store: &Store) -> Result<Fetch> {
        let fetch = Fetch::plan(store, &self.from, &self.work().join("model.tar.gz")).await?;
        match fetch.selection {
            Selection::Object => Ok(fetch),
            Selection::Prefix => Err(Failure::new(format!("`{}` is no object", self.from))
                .help("see what the job left: `trainyard describe JOB`")),
        }
    }

    fn work(&self) -> PathBuf {
        beside(&self.target, "trainyard-model")
    }

    /// Fetches, unpacks, puts in place. What was fetched is kept until then, so that an interruption costs little.
    pub(crate) async fn run(self, store: &Store) -> Result<Answer> {
        let work = self.work();
        if fs::symlink_metadata(&work).is_ok_and(|meta| !meta.is_dir()) {
            return Err(
                Failure::new(format!("`{}` is in the way", display(&work))).help("remove it")
            );
        }
        let fetched = self.fetch(store).await?.run(store).await;
        let Downloaded { sum } = match fetched {
            Ok(fetched) => fetched,
            Err(failure) => {
                // Gone if nothing has arrived.
                let _ = fs::remove_dir(&work);
                return Err(failure);
            }
        };
        let seconds = sum.seconds;
        let Some(archive) = sum.objects.into_iter().next() else {
            return Err(Failure::new(format!("`{}` was not fetched", self.from)));
        };
        let limits = Limits::new(archive.bytes, self.options.max_unpacked);
        let model = display(&self.target);
        let put = spawn_blocking(move || {
            let unpacked = self.put(limits);
            // The archive was checked against S3's checksum: fetching it again would give the same.
            let _ = fs::remove_dir_all(&work);
            unpacked
        });
        let unpacked = joined(put.await)??;
        Ok(Answer {
            model,
            archive,
            unpacked,
            seconds,
        })
    }

    fn put(&self, limits: Limits) -> Result<Unpacked> {
        let work = self.work();
        let tree = work.join("tree");
        let cannot = |error: io::Error| {
            Failure::new(format!(
                "cannot unpack into `{}`: {error}",
                display(&self.target)
            ))
        };
        // An interrupted run may have left one.
        match fs::remove_dir_all(&tree) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
            _ => fs::create_dir(&tree).map_err(cannot)?,
        }
        let archive = File::open(work.join("model.tar.gz")).map_err(cannot)?;
        let unpacked = unpack(
            io::BufReader::with_capacity(128 << 10, archive),
            &tree,
            limits,
        )?;
        let old = work.join("old");
        if self.options.force && fs::symlink_metadata(&self.target).is_ok() {
            fs::rename(&self.target, &old).map_err(cannot)?;
        }
        if let Err(error) = fs::rename(&tree, &self.target) {
            // Give back what was there.
            let _ = fs::rename(&old, &self.target);
            return Err(cannot(error));
        }
        if let Some(folder) = self
            .target
            .parent()
            .and_then(|parent| File::open(parent).ok())
        {
            let _ = folder.sync_all();
        }
        Ok(unpacked)
    }
}
