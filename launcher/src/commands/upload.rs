//! `trainyard upload`

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use diagnostics::{Error, Exit, Result, eprint_line, sanitize};
use tempfile::TempDir;

use super::download::{no_scratch, stall_timeout};
use crate::context::Context;
use crate::interrupt::until_interrupted;
use crate::job::S3Url;
use crate::output::Format;
use crate::plan::Plan;
use crate::util::private_folder;
use s3::{SKIPPED_HELP, Skipped, UnfinishedUploads, Upload};

const EXAMPLES: &str = "\
Examples:
  trainyard upload data s3://my-bucket/data/
  gzip < rows.csv | trainyard upload - s3://my-bucket/data/rows.csv.gz
  trainyard upload data s3://my-bucket/data/ --abort";

/// Upload a file or folder to S3
///
/// A file is stored under the key, or below it if the URL ends in `/` or is a bucket. With `-` as
/// PATH, standard input is stored under the key. The files of a folder are stored below the URL.
/// Files with the same size and checksum are skipped. After an interruption run the same command
/// again to resume.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct UploadArgs {
    /// Source file or folder; `-` is standard input, `./-` a file of that name
    #[arg(value_name = "PATH")]
    source: PathBuf,
    /// Target: s3://bucket/key or s3://bucket/prefix/
    #[arg(value_name = "S3_URL")]
    to: String,
    /// Remove unfinished uploads to these keys and upload nothing
    ///
    /// Removes only uploads of trainyard that were interrupted. PATH need not exist any more.
    #[arg(long)]
    abort: bool,
    /// Retry a request after this many seconds without progress
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = stall_timeout)]
    stall_timeout: std::time::Duration,
    /// Show what would be uploaded or removed, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: UploadArgs, context: &Context) -> Result<Exit> {
    let to = S3Url::parse(&args.to)?;
    let (stall, progress) = (args.stall_timeout, context.format == Format::Text);
    if args.abort {
        let unfinished = UnfinishedUploads::plan(&args.source, &to)?;
        let store = context.aws().await?.store(stall, progress);
        if args.dry_run {
            let steps = until_interrupted(unfinished.dry_run(&store)).await?;
            return Plan::from(steps).print(context.format);
        }
        let aborted = until_interrupted(unfinished.abort(&store)).await?;
        return context.format.print(&aborted, |aborted| aborted.text());
    }
    let stdin = match args.source == Path::new("-") {
        true => Some(until_interrupted(save_stdin(&to)).await?),
        false => None,
    };
    let source = stdin
        .as_ref()
        .map_or(args.source.clone(), |folder| folder.path().join(STDIN));
    let upload = Upload::plan(&source, &to)?;
    not_empty(&upload, &args.source)?;
    let aws = context.aws().await?;
    if args.dry_run {
        let (aws, recorder) = aws.dry_run();
        let steps = upload.dry_run(&aws.s3(), || recorder.take()).await;
        return Plan::from(steps).print(context.format);
    }
    let store = aws.store(stall, progress);
    let uploaded = until_interrupted(upload.run(&store)).await;
    let mut uploaded = uploaded.map_err(|error| match error.exit() {
        Exit::Interrupted => {
            error.help("or remove the uploaded parts: `trainyard upload .. --abort`")
        }
        _ => error,
    })?;
    if stdin.is_some() {
        for object in &mut uploaded.summary.objects {
            "-".clone_into(&mut object.path);
        }
    }
    for file in &uploaded.skipped_files {
        eprint_line(format!("skipped: `{}` is {}", file.path, file.why));
    }
    context.format.print(&uploaded, |uploaded| {
        format!("uploaded to `{to}`: {}", uploaded.summary.text())
    })
}

/// Name of the file with standard input.
const STDIN: &str = "standard input";

/// Saves standard input to a temporary folder: its size and checksum are sent before it.
async fn save_stdin(to: &S3Url) -> Result<TempDir> {
    if to.key.is_empty() || to.key.ends_with('/') {
        return Err(
            Error::usage(format!("standard input has no name for a key below `{to}`"))
                .help("pass the key itself: `trainyard upload - s3://bucket/key`"),
        );
    }
    let folder = private_folder("trainyard-upload-")?;
    let path = folder.path().join(STDIN);
    let save = tokio::task::spawn_blocking(|| {
        let mut file = File::create_new(path)?;
        io::copy(&mut io::stdin().lock(), &mut file)
    });
    let saved = save.await.map_err(io::Error::other).flatten();
    saved.map_err(|error| no_scratch(&error))?;
    Ok(folder)
}

/// Refuses a folder without files to upload: it is probably the wrong one.
fn not_empty(upload: &Upload, source: &Path) -> Result<()> {
    if upload.count() > 0 {
        return Ok(());
    }
    let given = source.to_string_lossy();
    let given = sanitize(&given);
    Err(match upload.skipped_files() {
        [] => Error::usage(format!("there is no file in the folder `{given}`"))
            .help("put the data there, or pass another folder"),
        skipped => Error::usage(format!(
            "no file of the folder `{given}` can be uploaded:{}",
            Skipped::lines(skipped)
        ))
        .help(SKIPPED_HELP),
    })
}
