//! Training jobs on SageMaker: submission, following and state.

mod consistency_window;
mod data;
mod follow;
mod image;
mod logs;
mod lookup;
mod objects;
mod poll_interval;
mod preflight;
mod request;
mod request_limits;
mod role;
mod sink;
mod state;
mod submit;

use std::time::Duration;

use crate::aws::Aws;
use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::job::{Job, Location};
use crate::output::{Format, quoted};
use crate::plan::Plan;
use diagnostics::{Error, ErrorKind, Exit, Result, eprint_line};
use s3::{STALL_TIMEOUT, Store, UnfinishedUploads};

pub(crate) use consistency_window::retry_new;
pub(crate) use follow::{Follow, FollowOutcome};
pub(crate) use lookup::{describe_raw, job_name, job_name_offline, job_state, model};
pub(crate) use objects::warn_of_siblings;
pub(crate) use poll_interval::PollInterval;
pub(crate) use preflight::bucket_is_there;
pub(crate) use request_limits::MAX_RUN_TIME;
pub(crate) use sink::Sink;
pub(crate) use state::{JobState, format_timestamp};

use request::Resolved;

/// Time limit for aborting an upload after Ctrl-C.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Submits the job and follows it to its end, unless `no_wait`.
pub(crate) async fn train(
    job: &Job,
    no_wait: bool,
    dry_run: bool,
    context: &Context,
) -> Result<Exit> {
    request_limits::check(job)?;
    // Local checks come before requests.
    let output = data::output(job)?.to_string();
    let checkpoints = checkpoints(job)?;
    let uploads = data::uploads(job)?;
    warn(job);
    let aws = context.aws().await?;
    let role = role::check(job.cloud.role.as_deref())?;
    let (role, image) = if dry_run {
        (
            placeholder("role", role::resolve(&aws, role).await),
            placeholder("image", image::resolve(&aws, job).await),
        )
    } else {
        (
            role::resolve(&aws, role).await?,
            image::resolve(&aws, job).await?,
        )
    };
    let resolved = Resolved {
        role,
        image,
        output,
        channels: data::channels(job)?,
        checkpoints,
    };
    let request = request::build(job, &resolved);
    if dry_run {
        let plan = plan(job, &aws, &uploads, request, no_wait).await?;
        return plan.print(context.format);
    }
    preflight::check(&aws, job).await?;
    let name = job.name.as_str();
    let mut interrupt = Interrupt::install()?;
    upload_data(&aws, job, uploads, &mut interrupt).await?;
    let interval = PollInterval::new(&context.env);
    let submit = submit::submit(&aws, &request, name, interval);
    let (arn, interrupted) = submit_uncancelled(&aws, submit, &mut interrupt, name).await?;
    eprint_line(format!("job `{name}` is submitted"));
    if interrupted {
        return report_interrupt(name, &keeps_running(&aws, name), context);
    }
    if no_wait {
        return submitted(job, &aws, &arn, context);
    }
    follow_to_end(job, &aws, interrupt, context).await
}

/// Uploads local data. Ctrl-C aborts the current upload.
async fn upload_data(
    aws: &Aws,
    job: &Job,
    uploads: Vec<data::ChannelUpload>,
    interrupt: &mut Interrupt,
) -> Result<()> {
    let store = aws.store(STALL_TIMEOUT, true);
    for upload in uploads {
        eprint_line(format!("{}: uploading", upload.description()));
        let unfinished = UnfinishedUploads::of(&upload.files);
        let abort_command = upload.abort_command();
        tokio::select! {
            sent = upload.files.run(&store) => drop(sent?),
            () = interrupt.pressed() => {
                let error = not_submitted(aws, job);
                if abort_upload(&unfinished, &store, interrupt).await {
                    return Err(error);
                }
                return Err(error.help(format!(
                    "uploaded parts may remain in S3 and cost money: {} removes them",
                    aws.suggest(&abort_command)
                )));
            }
        }
    }
    Ok(())
}

/// Aborts an upload: it goes below the prefix of this job, so no later job resumes it. Returns
/// false if uploaded parts may remain.
async fn abort_upload(
    unfinished: &UnfinishedUploads,
    store: &Store,
    interrupt: &mut Interrupt,
) -> bool {
    eprint_line("Ctrl-C: aborting the upload; press again to exit at once");
    tokio::select! {
        done = tokio::time::timeout(ABORT_TIMEOUT, unfinished.abort_all(store)) => matches!(done, Ok(Ok(()))),
        () = interrupt.pressed() => false,
    }
}

/// Error after Ctrl-C during an upload. Keys contain the name of the job, so the next job cannot
/// reuse them.
fn not_submitted(aws: &Aws, job: &Job) -> Error {
    let error = Error::with_kind(
        ErrorKind::Interrupted,
        "interrupted while uploading data: no job was created",
    );
    let data = job
        .channels
        .iter()
        .find_map(|channel| match &channel.source {
            Location::File(path) => Some(path.to_string_lossy().into_owned()),
            Location::S3(_) => None,
        });
    error.help(format!(
        "to upload them only once, run {}, then pass `--data s3://BUCKET/data` to each job",
        aws.suggest(&format!(
            "upload {} s3://BUCKET/data",
            quoted(&data.unwrap_or_default())
        ))
    ))
}

/// Returns a placeholder for a value that cannot be resolved yet, as before the first `push`: the
/// rest of the dry run is still useful.
fn placeholder(what: &str, found: Result<String>) -> String {
    found.unwrap_or_else(|error| {
        let placeholder = format!("<{what}: unknown>");
        eprint_line(format!(
            "{error}\n  help: the plan shows `{placeholder}`; a real job would fail"
        ));
        placeholder
    })
}

/// Warns of options that are allowed but rarely intended.
fn warn(job: &Job) {
    if job.cloud.spot.is_some() && job.checkpoints.is_none() {
        eprint_line(
            "warning: `--spot` without `--checkpoints`: an interrupted job restarts from scratch\n  \
             help: pass `--checkpoints s3://bucket/prefix`",
        );
    }
}

fn checkpoints(job: &Job) -> Result<Option<String>> {
    match &job.checkpoints {
        None => Ok(None),
        Some(Location::S3(url)) => Ok(Some(url.to_string())),
        Some(Location::File(_)) => Err(Error::usage(
            "`--checkpoints` is a local folder, but the job runs in the cloud",
        )
        .help("pass `--checkpoints s3://bucket/prefix`")),
    }
}

async fn plan(
    job: &Job,
    aws: &Aws,
    uploads: &[data::ChannelUpload],
    request: request::Request,
    no_wait: bool,
) -> Result<Plan> {
    let mut plan = Plan::default();
    for upload in uploads {
        plan.step(format!("upload {}", upload.description()));
    }
    let (recording, recorder) = aws.dry_run();
    // Always fails: the recorder does not send the request.
    let response = request.send_with(&recording.sagemaker()).await;
    let Some(recorded) = recorder.take() else {
        let reason = response.err().map(|error| diagnostics::chain(&error));
        return Err(Error::new(format!(
            "the SDK rejects the request: {}",
            reason.unwrap_or_default()
        ))
        .help("check the options of `train`"));
    };
    plan.request(format!("create the training job `{}`", job.name), recorded);
    if !no_wait {
        plan.step("show its logs until it ends");
    }
    Ok(plan)
}

fn submitted(job: &Job, aws: &Aws, arn: &str, context: &Context) -> Result<Exit> {
    eprint_line(follow_up_help(aws, job.name.as_str()));
    let result = serde_json::json!({
        "name": job.name.as_str(),
        "arn": arn,
        "status": "InProgress",
        "model": data::output(job)?.join(&format!("{}/output/model.tar.gz", job.name)).to_string(),
    });
    context.format.print(&result, |_| job.name.to_string())
}

async fn follow_to_end(
    job: &Job,
    aws: &Aws,
    interrupt: Interrupt,
    context: &Context,
) -> Result<Exit> {
    let name = job.name.as_str();
    let interval = PollInterval::new(&context.env);
    let follow = Follow::new(aws, name, interval, Sink::stderr()).created_now();
    match follow.run_to_end(interrupt).await {
        Ok(FollowOutcome::Ended(state)) => {
            context.format.print(&state, |state| state.text())?;
            for line in state.suggestions(aws) {
                eprint_line(line);
            }
            Ok(state.exit())
        }
        Ok(FollowOutcome::Interrupted) => {
            report_interrupt(name, &keeps_running(aws, name), context)
        }
        Ok(FollowOutcome::ReaderGone) => Ok(Exit::Ok),
        Err(error) => Err(error.help(format!(
            "the job keeps running: {}",
            aws.suggest(&format!("logs {name}"))
        ))),
    }
}

/// Waits for the response of a submission. The first Ctrl-C keeps waiting, the second one exits:
/// otherwise a job might run unnoticed. Returns ARN and true after Ctrl-C.
async fn submit_uncancelled(
    aws: &Aws,
    submit: impl Future<Output = Result<String>>,
    interrupt: &mut Interrupt,
    name: &str,
) -> Result<(String, bool)> {
    let mut submit = std::pin::pin!(submit);
    tokio::select! {
        arn = &mut submit => return Ok((arn?, false)),
        () = interrupt.pressed() => {}
    }
    eprint_line(
        "Ctrl-C: the job is being created, waiting for SageMaker; press again to exit at once",
    );
    tokio::select! {
        arn = &mut submit => Ok((arn?, true)),
        () = interrupt.pressed() => Err(Error::with_kind(
            ErrorKind::Interrupted,
            format!("interrupted before SageMaker responded: job `{name}` may have been created"),
        )
        .help(format!(
            "{} shows if it was",
            aws.suggest(&format!("status {name}"))
        ))),
    }
}

/// Reports a job after Ctrl-C.
pub(crate) fn report_interrupt(name: &str, text: &str, context: &Context) -> Result<Exit> {
    eprint_line(format!("Ctrl-C: {text}"));
    if context.format == Format::Json {
        let result = serde_json::json!({"name": name, "interrupted": true});
        context.format.print(&result, |_| String::new())?;
    }
    Ok(Exit::Interrupted)
}

/// Describes a running job that is not followed any more.
pub(crate) fn keeps_running(aws: &Aws, name: &str) -> String {
    format!("the job keeps running\n{}", follow_up_help(aws, name))
}

/// Suggests commands for a running job.
pub(crate) fn follow_up_help(aws: &Aws, name: &str) -> String {
    let (logs, stop) = (format!("logs {name}"), format!("stop {name}"));
    format!(
        "  help: {} follows it, {} stops it",
        aws.suggest(&logs),
        aws.suggest(&stop)
    )
}
