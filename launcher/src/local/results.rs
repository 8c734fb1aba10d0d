//! `OUTPUT/JOB/output/{model,output}.tar.gz`, as SageMaker writes them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::remote;
use super::scratch::Scratch;
use crate::context::Context;
use crate::job::{Job, Location, S3Url};
use crate::output::quoted;
use diagnostics::{Error, Result, eprint_line};
use transport::tar_reader::TarReader;

const MODEL: &str = "model.tar.gz";
const OUTPUT: &str = "output.tar.gz";

/// Bytes of the output that are searched for the report.
const SEARCH_LIMIT: u64 = 64 << 20;

/// Destination of the results.
pub(super) struct Results {
    /// `OUTPUT/JOB/output`, or a temporary folder before the upload.
    folder: PathBuf,
    /// For S3: `OUTPUT/JOB/output`.
    upload: Option<(S3Url, Scratch)>,
}

/// Results at their destination.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) model: Option<String>,
    pub(super) output: Option<String>,
    /// The trainer's report: its path, or its name in `output` if that is in S3.
    pub(super) report: Option<String>,
}

impl Results {
    /// Makes the folder before the training, so that an output without permission fails at once.
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
                let folder = create_folders(parent, &own).map_err(|error| {
                    if own.exists() && error.kind() == std::io::ErrorKind::AlreadyExists {
                        return Error::usage(format!(
                            "`--output` already has a job `{}`",
                            job.name
                        ))
                        .help("start it again, or pass another `--job-name-prefix`");
                    }
                    let parent_shown = diagnostics::sanitize(&parent.to_string_lossy()).into_owned();
                    // The system's error would be `File exists`.
                    if parent.exists() && !parent.is_dir() {
                        return Error::usage(format!("`--output {parent_shown}` is not a folder"))
                            .help("pass a folder, such as `--output file://out`: each job makes a folder in it");
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

    /// Returns the folder or prefix of the results.
    pub(super) fn location(&self) -> String {
        match &self.upload {
            Some((url, _)) => url.to_string(),
            None => {
                let absolute = std::path::absolute(&self.folder);
                absolute
                    .as_ref()
                    .unwrap_or(&self.folder)
                    .to_string_lossy()
                    .into_owned()
            }
        }
    }

    /// Folders of the trainer, below `/opt/ml`, and their archives; the most important first.
    pub(super) fn archives(&self) -> [(&'static str, PathBuf); 2] {
        [("model", MODEL), ("output/data", OUTPUT)]
            .map(|(folder, name)| (folder, self.folder.join(name)))
    }

    /// Keeps results that could not be delivered, and returns a help line about them.
    pub(super) fn keep(&mut self, context: &Context) -> Option<String> {
        if !self.archives().iter().any(|(_, file)| file.is_file()) {
            return None;
        }
        match &mut self.upload {
            Some((url, scratch)) => {
                let folder = quoted(&scratch.keep().to_string_lossy());
                let upload =
                    context.suggest(&format!("upload {folder} {}", quoted(&url.to_string())));
                Some(format!(
                    "the results are kept in `{folder}`: {upload} uploads them"
                ))
            }
            None => Some(format!(
                "the results are in `{}`",
                quoted(&self.folder.to_string_lossy())
            )),
        }
    }

    /// Uploads the archives, if they belong in S3, and returns their locations.
    pub(super) async fn deliver(&self, context: &Context) -> Result<Delivered> {
        Ok(Delivered {
            model: self.deliver_one(MODEL, context).await?,
            report: self.deliver_report(),
            output: self.deliver_one(OUTPUT, context).await?,
        })
    }

    /// Copies the trainer's report out of its archive, unless that goes to S3.
    fn deliver_report(&self) -> Option<String> {
        let (name, page) = find_report(&self.folder.join(OUTPUT))?;
        if self.upload.is_some() {
            return Some(name);
        }
        let path = self.folder.join("report.html");
        fs::write(&path, page).ok()?;
        Some(path.to_string_lossy().into_owned())
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
        remote::upload(&file, &target, context).await?;
        Ok(Some(target.to_string()))
    }
}

/// Returns name and content of the trainer's report in an archive.
fn find_report(archive: &Path) -> Option<(String, Vec<u8>)> {
    let file = fs::File::open(archive).ok()?;
    let bytes = io::Read::take(flate2::read::GzDecoder::new(file), SEARCH_LIMIT);
    let mut tar = TarReader::new(bytes);
    while let Ok(Some(entry)) = tar.next_entry() {
        let path = Path::new(OsStr::from_bytes(&entry.path));
        if path.file_name().is_some_and(|name| name == "report.html") {
            let name = path.to_string_lossy().into_owned();
            let mut page = Vec::new();
            io::Read::read_to_end(&mut tar, &mut page).ok()?;
            return Some((name, page));
        }
    }
    None
}

impl Drop for Results {
    fn drop(&mut self) {
        // Removes the folders of a job without results; neither call removes a file.
        if self.upload.is_none()
            && fs::remove_dir(&self.folder).is_ok()
            && let Some(job) = self.folder.parent()
        {
            let _ = fs::remove_dir(job);
        }
    }
}

/// Makes `OUTPUT/JOB/output`. Fails if `OUTPUT/JOB` exists: it belongs to another job.
fn create_folders(parent: &Path, own: &Path) -> std::io::Result<PathBuf> {
    fs::create_dir_all(parent)?;
    fs::create_dir(own)?;
    let folder = own.join("output");
    fs::create_dir(&folder)?;
    Ok(folder)
}
