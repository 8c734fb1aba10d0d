//! `trainyard upload`

use std::path::{Path, PathBuf};

use clap::Args;
use diagnostics::{Error, Exit, Result, eprint_line, sanitize};

use super::Context;
use super::download::{patience, until_interrupted};
use crate::job::S3Url;
use crate::output::Format;
use crate::plan::Plan;
use crate::transfer;
use s3::{SKIPPED_HELP, Settings, Skipped, UnfinishedUploads, Upload};

const AFTER_HELP: &str = "\
A file goes to the key, or below it when the URL ends in `/` or is a bucket; the files of a folder go below the URL.
Files that are there with the same size and checksum are not sent again. After an interruption type the same again:
it goes on with the parts that S3 has.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct UploadArgs {
    /// File or folder
    #[arg(value_name = "PATH")]
    source: PathBuf,
    /// Where to: s3://bucket/key, or s3://bucket/prefix/
    #[arg(value_name = "S3_URL")]
    to: String,
    /// Give up the unfinished uploads of trainyard to these keys that an interruption left in S3, and send nothing; PATH may
    /// be gone
    #[arg(long)]
    abort: bool,
    /// Try a request again when no byte moved for that many seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = patience)]
    stall_timeout: std::time::Duration,
    /// Show what would be sent, or given up, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: UploadArgs, context: &Context) -> Result<Exit> {
    let to = S3Url::parse(&args.to)?;
    let settings = Settings {
        stall: args.stall_timeout,
        progress: context.format == Format::Text,
    };
    if args.abort {
        let leftover = UnfinishedUploads::plan(&args.source, &to)?;
        let store = transfer::store(&context.aws().await?, settings);
        if args.dry_run {
            let steps = until_interrupted(leftover.dry_run(&store)).await?;
            Plan::from(steps).print(context.format)?;
            return Ok(Exit::Ok);
        }
        let aborted = until_interrupted(leftover.abort(&store)).await?;
        context.format.answer(&aborted, |aborted| aborted.text())?;
        return Ok(Exit::Ok);
    }
    let sending = Upload::plan(&args.source, &to)?;
    something(&sending, &args.source)?;
    let aws = context.aws().await?;
    if args.dry_run {
        let (aws, recorder) = aws.rehearsal();
        let steps = sending.dry_run(&aws.s3(), || recorder.take()).await;
        Plan::from(steps).print(context.format)?;
        return Ok(Exit::Ok);
    }
    let store = transfer::store(&aws, settings);
    let uploaded = until_interrupted(sending.run(&store)).await;
    let uploaded = uploaded.map_err(|failure| match failure.exit() {
        Exit::Interrupted => {
            failure.help("or remove what it left in S3: `trainyard upload .. --abort`")
        }
        _ => failure,
    })?;
    for left in &uploaded.left_out {
        eprint_line(format!("left out: `{}` is {}", left.path, left.why));
    }
    context.format.answer(&uploaded, |uploaded| {
        format!("uploaded to `{to}`: {}", uploaded.summary.text())
    })?;
    Ok(Exit::Ok)
}

/// A folder of which nothing would be sent is seldom the one that was meant.
fn something(sending: &Upload, source: &Path) -> Result<()> {
    if sending.count() > 0 {
        return Ok(());
    }
    let typed = source.to_string_lossy();
    let typed = sanitize(&typed);
    Err(match sending.left_out() {
        [] => Error::usage(format!("there is no file in the folder `{typed}`"))
            .help("put the data there, or pass another one"),
        left => Error::usage(format!(
            "nothing of the folder `{typed}` can be sent:{}",
            Skipped::lines(left)
        ))
        .help(SKIPPED_HELP),
    })
}
