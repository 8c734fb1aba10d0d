//! `OUTPUT/JOB/output/{model,output}.tar.gz`, as the cloud leaves them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::Scratch;
use super::remote;
use crate::context::Context;
use crate::job::{Job, Location, S3Url};
use crate::output::quoted;
use diagnostics::{Error, Result, eprint_line};

const MODEL: &str = "model.tar.gz";
const OUTPUT: &str = "output.tar.gz";

/// So much of the output is looked through for the report.
const LOOK: u64 = 64 << 20;

/// Where the results are put.
pub(super) struct Results {
    /// `OUTPUT/JOB/output`, or a temporary folder before the upload.
    folder: PathBuf,
    /// For S3: `OUTPUT/JOB/output`.
    upload: Option<(S3Url, Scratch)>,
}

/// A folder of the trainer and what it is packed into.
pub(super) struct Packed {
    /// Below `/opt/ml`.
    pub(super) folder: &'static str,
    pub(super) file: PathBuf,
}

/// What there is at the end.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) model: Option<String>,
    pub(super) output: Option<String>,
    /// The name of the report in `output`.
    pub(super) page: Option<String>,
}

impl Results {
    /// Makes the folder, so that a job does not train for hours to find that it cannot be written.
    pub(super) fn create(job: &Job) -> Result<Self> {
        match &job.output {
            Location::S3(url) => {
                let scratch = Scratch::new()?;
                Ok(Self {
                    folder: scratch.path().to_owned(),
                    upload: Some((url.join(&format!("{}/output", job.name)), scratch)),
                })
            }
            Location::File(parent) => {
                let own = parent.join(job.name.as_str());
                let folder = make(parent, &own).map_err(|error| {
                    if own.exists() && error.kind() == std::io::ErrorKind::AlreadyExists {
                        return Error::usage(format!(
                            "there is a job `{}` in `--output` already",
                            job.name
                        ))
                        .help("start it again, or tell them apart by `--job-name-prefix`");
                    }
                    let parent_shown = diagnostics::sanitize(&parent.to_string_lossy()).into_owned();
                    // The system says `File exists` of it.
                    if parent.exists() && !parent.is_dir() {
                        return Error::usage(format!("`--output {parent_shown}` is no folder"))
                            .help("pass a folder, such as `--output file://out`: each job has one of its own in it");
                    }
                    Error::usage(format!("cannot write to `--output {parent_shown}`: {error}"))
                    .help("pass a folder that you may write, such as `--output file://out`")
                })?;
                Ok(Self {
                    folder,
                    upload: None,
                })
            }
        }
    }

    /// What is packed here, most important first.
    pub(super) fn archives(&self) -> [Packed; 2] {
        [("model", MODEL), ("output/data", OUTPUT)].map(|(folder, name)| Packed {
            folder,
            file: self.folder.join(name),
        })
    }

    /// Of results that could not be delivered: leaves what there is, and tells where.
    pub(super) fn keep(&mut self, context: &Context) -> Option<String> {
        if !self.archives().iter().any(|archive| archive.file.is_file()) {
            return None;
        }
        match &mut self.upload {
            Some((url, scratch)) => {
                let folder = quoted(&scratch.keep().to_string_lossy());
                let next = context.next(&format!("upload {folder} {}", quoted(&url.to_string())));
                Some(format!(
                    "the results are kept in `{folder}`: {next} sends them"
                ))
            }
            None => Some(format!(
                "the results are in `{}`",
                quoted(&self.folder.to_string_lossy())
            )),
        }
    }

    /// Uploads the archives where they are wanted in S3, and says where they are.
    pub(super) async fn deliver(&self, context: &Context) -> Result<Delivered> {
        Ok(Delivered {
            model: self.deliver_one(MODEL, context).await?,
            page: page(&self.folder.join(OUTPUT)),
            output: self.deliver_one(OUTPUT, context).await?,
        })
    }

    async fn deliver_one(&self, name: &str, context: &Context) -> Result<Option<String>> {
        let file = self.folder.join(name);
        if !file.is_file() {
            return Ok(None);
        }
        let Some((url, _)) = &self.upload else {
            return Ok(Some(file.to_string_lossy().into_owned()));
        };
        let target = url.join(name);
        eprint_line(format!("uploading `{name}` to {target}"));
        remote::store(&file, &target, context).await?;
        Ok(Some(target.to_string()))
    }
}

/// The trainer's report in an archive, by its name there.
fn page(archive: &Path) -> Option<String> {
    let file = fs::File::open(archive).ok()?;
    let bytes = io::Read::take(flate2::read::GzDecoder::new(file), LOOK);
    let mut archive = tar::Archive::new(bytes);
    let mut entries = archive.entries().ok()?.flatten();
    entries.find_map(|entry| {
        let path = entry.path().ok()?;
        let found = path.file_name()? == "report.html";
        found.then(|| path.to_string_lossy().into_owned())
    })
}

impl Drop for Results {
    fn drop(&mut self) {
        // A job without results leaves no empty folders; neither call removes a file.
        if self.upload.is_none()
            && fs::remove_dir(&self.folder).is_ok()
            && let Some(job) = self.folder.parent()
        {
            let _ = fs::remove_dir(job);
        }
    }
}

/// `OUTPUT/JOB/output`; a job's folder that is there already belongs to another job.
fn make(parent: &Path, own: &Path) -> std::io::Result<PathBuf> {
    fs::create_dir_all(parent)?;
    fs::create_dir(own)?;
    let folder = own.join("output");
    fs::create_dir(&folder)?;
    Ok(folder)
}
