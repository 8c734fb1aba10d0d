//! `trainyard download`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use diagnostics::{Error, ErrorKind, Exit, Result, sanitize};
use sagemaker::limits::check_job_name;

use super::Context;
use crate::cloud;
use crate::job::S3Url;
use crate::output::Format;
use crate::plan::Plan;
use crate::transfer;
use s3::{Download, ModelDownload, Settings, Store, UnpackOptions};

const AFTER_HELP: &str = "\
An object goes to the path, or below it when that is a folder or ends in `/`; all below a prefix goes below the path.
Files that are there with the same size and checksum are not fetched again; other files are replaced. After an
interruption type the same again: it goes on with what has arrived.

With `--job-name` the job's model is unpacked into PATH, which must not exist or be empty. Only regular files and
folders are taken; links, devices, paths that leave PATH and archives that grow beyond measure are refused.";

/// By hand: a job's model needs no URL.
const USAGE: &str = "\
trainyard download [OPTIONS] <S3_URL> <PATH>
       trainyard download [OPTIONS] <PATH> --job-name <JOB>";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, override_usage = USAGE)]
pub(crate) struct DownloadArgs {
    /// Where from: s3://bucket/key or s3://bucket/prefix; with --job-name nothing, or what `train --output` was given
    #[arg(value_name = "S3_URL")]
    first: PathBuf,
    /// File or folder
    #[arg(value_name = "PATH")]
    second: Option<PathBuf>,
    /// Take the model of this job and unpack it: SageMaker knows where it is, or it is S3_URL/JOB/output/model.tar.gz
    #[arg(long, value_name = "JOB")]
    job_name: Option<String>,
    /// Keep model.tar.gz as it is
    #[arg(long, requires = "job_name")]
    no_unpack: bool,
    /// Replace PATH by the unpacked model; what it held is kept beside it as PATH.old, unless the model has all of these files
    #[arg(long, requires = "job_name", conflicts_with = "no_unpack")]
    force: bool,
    /// Let the model unpack to so much, such as 100GB [default: a hundred times the archive's size]
    #[arg(long, value_name = "SIZE", requires = "job_name", value_parser = size)]
    max_unpacked: Option<u64>,
    /// Try a request again when no byte moved for that many seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = patience)]
    stall_timeout: Duration,
    /// Show what would be fetched, and fetch nothing; what there is is looked up in S3, a job in SageMaker
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: DownloadArgs, context: &Context) -> Result<Exit> {
    let (wanted, to) = typed(&args)?;
    let aws = context.aws().await?;
    let from = match wanted {
        Wanted::Url(url) => url,
        Wanted::Job(job) => until_interrupted(cloud::model(&aws, job)).await?,
    };
    let settings = Settings {
        stall: args.stall_timeout,
        progress: context.format == Format::Text,
    };
    let store = transfer::store(&aws, settings);
    if args.job_name.is_some() && !args.no_unpack {
        let options = UnpackOptions {
            force: args.force,
            max_unpacked: args.max_unpacked,
        };
        let model = ModelDownload::new(from, to, options)?;
        return unpacked(model, &store, args.dry_run, context.format).await;
    }
    let fetch = until_interrupted(Download::plan(&store, &from, to)).await?;
    if args.dry_run {
        Plan::from(fetch.dry_run()).print(context.format)?;
        return Ok(Exit::Ok);
    }
    let downloaded = until_interrupted(fetch.run(&store)).await?;
    context.format.answer(&downloaded, |downloaded| {
        format!("downloaded `{from}`: {}", downloaded.summary.text())
    })?;
    Ok(Exit::Ok)
}

/// What is to be fetched, as it was typed.
enum Wanted<'a> {
    Url(S3Url),
    /// Its model is where SageMaker says.
    Job(&'a str),
}

fn typed(args: &DownloadArgs) -> Result<(Wanted<'_>, &Path)> {
    let first = args.first.to_string_lossy();
    let Some(to) = &args.second else {
        return match &args.job_name {
            _ if first.starts_with("s3://") => {
                let message = format!("no path to download `{}` to", sanitize(&first));
                Err(Error::usage(message)
                    .help("add a file or folder: `trainyard download S3_URL PATH`"))
            }
            Some(job) => Ok((Wanted::Job(job), &args.first)),
            None => Err(Error::usage("no S3 URL").help(
                "expected `trainyard download S3_URL PATH`, or for a job's model `trainyard download PATH --job-name JOB`",
            )),
        };
    };
    let url = S3Url::parse(&first)?;
    let Some(job) = &args.job_name else {
        return Ok((Wanted::Url(url), to));
    };
    check_job_name(job).map_err(|error| {
        Error::usage(format!("`--job-name`: {error}")).help("see the jobs: `trainyard list`")
    })?;
    let url = url.join(&format!("{job}/output/model.tar.gz"));
    Ok((Wanted::Url(url), to))
}

async fn unpacked(
    model: ModelDownload,
    store: &Store,
    dry_run: bool,
    format: Format,
) -> Result<Exit> {
    if dry_run {
        let steps = until_interrupted(model.dry_run(store)).await?;
        Plan::from(steps).print(format)?;
        return Ok(Exit::Ok);
    }
    let answer = until_interrupted(model.run(store)).await?;
    format.answer(&answer, |answer| answer.text())?;
    Ok(Exit::Ok)
}

/// Ends the work at Ctrl-C or SIGTERM. Nothing has to be put away: what has arrived is what the next run goes on with.
pub(super) async fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    use tokio::signal::unix::{SignalKind, signal};
    let cannot = |error| {
        Error::new(format!("cannot wait for signals: {error}")).help("try again in a minute")
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => Err(interrupted()),
        _ = terminate.recv() => Err(interrupted()),
    }
}

fn interrupted() -> Error {
    Error::with_kind(ErrorKind::Interrupted, "interrupted")
        .help("type the same again and it goes on where it was")
}

/// Seconds, at least a tenth.
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..1e6).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected seconds, at least 0.1, such as 60".to_owned())
}

/// `10GB`, `512MiB`, `1000`.
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
    fn sizes() {
        assert_eq!(size("1000"), Ok(1000));
        assert_eq!(size("10GB"), Ok(10_000_000_000));
        assert_eq!(size("512 MiB"), Ok(512 << 20));
        for bad in ["", "GB", "-1", "1.5GB", "10 parsecs", "0", "99999999999TB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
