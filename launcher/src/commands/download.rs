//! `trainyard download`

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use diagnostics::{Error, Exit, Result, eprint_line, sanitize};
use sagemaker::limits::check_job_name;

use crate::cloud::{self, PollInterval};
use crate::context::Context;
use crate::interrupt::until_interrupted;
use crate::job::S3Url;
use crate::output::Format;
use crate::plan::Plan;
use crate::util::{TMPDIR_HELP, private_folder};
use s3::{Download, ModelDownload, Store, UnpackOptions};

const EXAMPLES: &str = "\
Examples:
  trainyard download s3://my-bucket/data data/
  trainyard download model --job-name svm-2026-11-30-02-40-00-123";

/// Written by hand: the model of a job needs no URL.
const USAGE: &str = "\
trainyard download [OPTIONS] <S3_URL> <PATH>
       trainyard download [OPTIONS] <PATH> --job-name <JOB>";

/// Download a file or folder from S3, or the model of a job
///
/// An object is written to PATH, or into it if PATH is a folder or ends in `/`; with `-` as PATH to
/// standard output, after its checksum was checked in a temporary file. All objects below a prefix
/// are written below PATH. Files with the same size and checksum are skipped, other files
/// are replaced. After an interruption run the same command again to resume.
///
/// With `--job-name` the model of the job is unpacked into PATH, which must be empty or not exist.
/// Only regular files and folders are unpacked; links, devices, paths outside of PATH and archives
/// that are too large are refused.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct DownloadArgs {
    /// Source: s3://bucket/key or s3://bucket/prefix
    ///
    /// Can be left out with `--job-name`, or is the value of `train --output`.
    #[arg(value_name = "S3_URL")]
    first: PathBuf,
    /// Target file or folder; `-` is standard output, `./-` a file of that name
    #[arg(value_name = "PATH")]
    second: Option<PathBuf>,
    /// Download and unpack the model of this job
    ///
    /// Its location is looked up in SageMaker, or is S3_URL/JOB/output/model.tar.gz.
    #[arg(long, value_name = "JOB")]
    job_name: Option<String>,
    /// Do not unpack model.tar.gz
    #[arg(long, requires = "job_name")]
    no_unpack: bool,
    /// Replace the content of PATH by the unpacked model
    ///
    /// The old content is kept as PATH.old, unless the model has all of its files.
    #[arg(long, requires = "job_name", conflicts_with = "no_unpack")]
    force: bool,
    /// Maximum unpacked size, such as 100GB [default: 100 times the archive]
    #[arg(long, value_name = "SIZE", requires = "job_name", value_parser = size)]
    max_unpacked: Option<u64>,
    /// Retry a request after this many seconds without progress
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = stall_timeout)]
    stall_timeout: Duration,
    /// Show what would be downloaded without downloading it
    ///
    /// Still sends requests to S3 and SageMaker that read.
    #[arg(long)]
    dry_run: bool,
}

impl DownloadArgs {
    /// Returns the job whose model is looked up in SageMaker.
    pub(crate) fn job(&self) -> Option<&str> {
        self.job_name.as_deref().filter(|_| self.second.is_none())
    }
}

pub(crate) async fn run(args: DownloadArgs, context: &Context) -> Result<Exit> {
    let (source, to) = parse_source(&args)?;
    let to_stdout = to == Path::new("-");
    if to_stdout {
        check_stdout(&args, context)?;
    }
    let aws = context.aws().await?;
    let from = match source {
        ModelSource::Url(url) => url,
        ModelSource::Job(job) => {
            let interval = PollInterval::new(&context.env);
            until_interrupted(cloud::model(&aws, job, &interval)).await?
        }
    };
    let progress = context.format == Format::Text;
    let store = aws.store(args.stall_timeout, progress);
    if args.job_name.is_some() && !args.no_unpack {
        let options = UnpackOptions {
            force: args.force,
            max_unpacked: args.max_unpacked,
        };
        let model = ModelDownload::new(from, to, options)?;
        return download_model(model, &store, args.dry_run, context.format).await;
    }
    if to_stdout && !args.dry_run {
        return until_interrupted(print_object(&store, &from)).await;
    }
    let download = until_interrupted(Download::plan(&store, &from, to)).await?;
    if args.dry_run {
        return Plan::from(download.dry_run()).print(context.format);
    }
    let downloaded = until_interrupted(download.run(&store)).await?;
    context.format.print(&downloaded, |summary| {
        format!("downloaded `{from}`: {}", summary.text())
    })
}

/// Refuses options that do not go with an object on standard output.
fn check_stdout(args: &DownloadArgs, context: &Context) -> Result<()> {
    if args.job_name.is_some() && !args.no_unpack {
        return Err(
            Error::usage("a model is unpacked to a folder, and `-` is standard output")
                .help("pass a folder, or `--no-unpack` for the archive"),
        );
    }
    if context.format == Format::Json && !args.dry_run {
        return Err(
            Error::usage("`--json` and `-` would both write to standard output")
                .help("leave out `--json`, or pass a file"),
        );
    }
    Ok(())
}

/// Writes an object to standard output. It is complete and checked before its first byte is
/// written.
async fn print_object(store: &Store, from: &S3Url) -> Result<Exit> {
    let folder = private_folder("trainyard-download-")?;
    let file = folder.path().join("object");
    let download = Download::plan(store, from, &file).await?;
    if !download.is_object() {
        return Err(Error::usage(format!(
            "`{from}` is a prefix, and only one object can be written to standard output"
        ))
        .help("pass the key of an object, or a folder instead of `-`"));
    }
    let downloaded = download.run(store).await?;
    let mut out = io::stdout().lock();
    let mut object = File::open(&file).map_err(|error| no_scratch(&error))?;
    match io::copy(&mut object, &mut out).and_then(|_| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(
                Error::new(format!("cannot write to standard output: {error}"))
                    .help("`df -h` shows which disks are full"),
            );
        }
        _ => {}
    }
    eprint_line(format!("downloaded `{from}`: {}", downloaded.text()));
    Ok(Exit::Ok)
}

/// Error for a temporary file.
pub(super) fn no_scratch(error: &io::Error) -> Error {
    Error::new(format!("cannot use a temporary file: {error}")).help(TMPDIR_HELP)
}

/// Source of a download, from the command line.
enum ModelSource<'a> {
    Url(S3Url),
    /// The model of a job, looked up in SageMaker.
    Job(&'a str),
}

fn parse_source(args: &DownloadArgs) -> Result<(ModelSource<'_>, &Path)> {
    let first = args.first.to_string_lossy();
    let Some(to) = &args.second else {
        return match &args.job_name {
            _ if first.starts_with("s3://") => {
                let message = format!("no path to download `{}` to", sanitize(&first));
                Err(Error::usage(message)
                    .help("add a file or folder: `trainyard download S3_URL PATH`"))
            }
            Some(job) => Ok((ModelSource::Job(job), &args.first)),
            None => Err(Error::usage("no S3 URL").help(
                "expected `trainyard download S3_URL PATH`, or for a job's model `trainyard download PATH --job-name JOB`",
            )),
        };
    };
    let url = S3Url::parse(&first)?;
    let Some(job) = &args.job_name else {
        return Ok((ModelSource::Url(url), to));
    };
    check_job_name(job).map_err(|error| {
        Error::usage(format!("`--job-name`: {error}")).help("see the jobs: `trainyard list`")
    })?;
    let url = url.join(&format!("{job}/output/model.tar.gz"));
    Ok((ModelSource::Url(url), to))
}

async fn download_model(
    model: ModelDownload,
    store: &Store,
    dry_run: bool,
    format: Format,
) -> Result<Exit> {
    if dry_run {
        let steps = until_interrupted(model.dry_run(store)).await?;
        return Plan::from(steps).print(format);
    }
    let result = until_interrupted(model.run(store)).await?;
    format.print(&result, |result| result.text())
}

/// Parses seconds, at least 0.1.
pub(super) fn stall_timeout(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..1e6).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected seconds, at least 0.1, such as 60".to_owned())
}

/// Parses a size: `10GB`, `512MiB`, `1000`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "kB" | "KB" | "K" => 1_000,
        "MB" | "M" => 1_000_000,
        "GB" | "G" => 1_000_000_000,
        "TB" | "T" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => 0,
    };
    let bytes = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a size such as 10GB or 512MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_sizes() {
        assert_eq!(size("1000"), Ok(1000));
        assert_eq!(size("10GB"), Ok(10_000_000_000));
        assert_eq!(size("512 MiB"), Ok(512 << 20));
        for bad in ["", "GB", "-1", "1.5GB", "10 parsecs", "0", "99999999999TB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
