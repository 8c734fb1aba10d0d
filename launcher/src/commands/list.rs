//! `trainyard list`

use std::fmt::Write as _;

use aws_sdk_sagemaker::types::{SortBy, SortOrder, TrainingJobStatus, TrainingJobSummary};
use clap::{Args, ValueEnum};
use diagnostics::{Error, Exit, Result, sanitize};
use jiff::Timestamp;
use serde::Serialize;

use crate::aws::{Aws, explain};
use crate::cloud::format_timestamp;
use crate::context::Context;
use crate::util::whole_number;

/// Largest page of ListTrainingJobs.
const PAGE_SIZE: i32 = 100;

/// List the training jobs of a region, newest first
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// Show only jobs whose name starts with this trainer
    trainer: Option<String>,
    /// Maximum number of jobs
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole_number(1..=10_000))]
    max: u32,
    /// Show only jobs in this state
    #[arg(long, value_name = "STATE", value_enum, ignore_case = true)]
    status: Option<Status>,
    /// Show only jobs whose name contains this text
    #[arg(long, value_name = "TEXT")]
    name_contains: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  trainyard list svm --status Failed
  trainyard list --name-contains 2026-11-30 --max 100";

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Status {
    InProgress,
    Completed,
    Failed,
    Stopping,
    Stopped,
}

/// A job in the list.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    status: String,
    secondary_status: String,
    created: Option<String>,
    ended: Option<String>,
    /// Seconds from creation to the end, or until now.
    seconds: Option<i64>,
}

pub(crate) async fn run(args: ListArgs, context: &Context) -> Result<Exit> {
    for text in args.trainer.iter().chain(&args.name_contains) {
        check(text)?;
    }
    let aws = context.aws().await?;
    let jobs = jobs(&aws, &args).await?;
    let now = Timestamp::now();
    let entries: Vec<Entry> = jobs.iter().map(|job| Entry::new(job, now)).collect();
    let result = serde_json::json!({"region": aws.region(), "jobs": entries});
    context
        .format
        .print(&result, |_| text(&entries, aws.region()))
}

/// Checks a part of a name; SageMaker refuses other characters.
fn check(text: &str) -> Result<()> {
    let is_valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if is_valid && text.len() <= sagemaker::limits::MAX_JOB_NAME {
        return Ok(());
    }
    Err(
        Error::usage(format!("`{}` is not part of a job name", sanitize(text)))
            .help("expected letters, digits and hyphens"),
    )
}

/// Lists jobs page by page, until there are enough.
async fn jobs(aws: &Aws, args: &ListArgs) -> Result<Vec<TrainingJobSummary>> {
    let max = usize::try_from(args.max).unwrap_or(usize::MAX);
    let prefix = args.trainer.as_deref().unwrap_or_default();
    let contains = args.name_contains.as_deref().unwrap_or_default();
    // SageMaker filters by one text; the other one is compared here.
    let name_contains = if contains.is_empty() {
        prefix
    } else {
        contains
    };
    // The variants have the names of SageMaker's API.
    let status = args.status.map(|status| format!("{status:?}"));
    let status = status.map(|name| TrainingJobStatus::from(name.as_str()));
    let client = aws.sagemaker();
    let mut found = Vec::new();
    let mut next = None;
    loop {
        let page = client
            .list_training_jobs()
            .sort_by(SortBy::CreationTime)
            .sort_order(SortOrder::Descending)
            .max_results(if prefix.is_empty() {
                PAGE_SIZE.min(args.max.cast_signed())
            } else {
                PAGE_SIZE
            })
            .set_name_contains((!name_contains.is_empty()).then(|| name_contains.to_owned()))
            .set_status_equals(status.clone())
            .set_next_token(next)
            .send()
            .await
            .map_err(|error| explain("cannot list the training jobs", error))?;
        next = page.next_token().map(str::to_owned);
        let jobs = page.training_job_summaries.unwrap_or_default().into_iter();
        found.extend(jobs.filter(|job| {
            job.training_job_name()
                .is_some_and(|name| name.starts_with(prefix) && name.contains(contains))
        }));
        found.truncate(max);
        if next.is_none() || found.len() == max {
            return Ok(found);
        }
    }
}

impl Entry {
    fn new(job: &TrainingJobSummary, now: Timestamp) -> Self {
        let milliseconds =
            |time: Option<&aws_sdk_sagemaker::primitives::DateTime>| time?.to_millis().ok();
        let created = milliseconds(job.creation_time());
        let ended = milliseconds(job.training_end_time());
        let end = ended.unwrap_or(now.as_millisecond());
        Self {
            name: job.training_job_name().unwrap_or_default().to_owned(),
            status: job
                .training_job_status()
                .map_or("", |s| s.as_str())
                .to_owned(),
            secondary_status: job.secondary_status().map_or("", |s| s.as_str()).to_owned(),
            created: created.map(format_timestamp),
            ended: ended.map(format_timestamp),
            // Rounded as in `status`.
            seconds: created.map(|created| ((end - created).max(0) + 500) / 1000),
        }
    }
}

fn text(entries: &[Entry], region: &str) -> String {
    if entries.is_empty() {
        return format!("no matching jobs in region `{region}`");
    }
    let width = entries
        .iter()
        .map(|entry| entry.name.len())
        .max()
        .unwrap_or_default();
    let mut text = format!(
        "{:<width$}  {:<12} {:<16} {:>8}",
        "job", "status", "created (UTC)", "seconds"
    );
    for entry in entries {
        let created = entry
            .created
            .as_deref()
            .and_then(|time| time.get(..16))
            .unwrap_or("-");
        let seconds = entry
            .seconds
            .map_or_else(String::new, |seconds| seconds.to_string());
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{:<width$}  {:<12} {:<16} {seconds:>8}",
            sanitize(&entry.name),
            entry.status,
            created.replace('T', " "),
        );
    }
    text
}
