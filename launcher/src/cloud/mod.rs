//! Jobs on SageMaker: making them, following them, and what is known of them.

mod create;
mod data;
mod describe;
mod follow;
mod image;
mod limits;
mod logs;
mod model;
mod pace;
mod ready;
mod request;
mod role;
mod sink;
mod state;

use std::time::Duration;

use crate::aws::Aws;
use crate::commands::Context;
use crate::job::{Job, Location};
use crate::output::{Format, quoted};
use crate::plan::Plan;
use crate::transfer;
use diagnostics::{Error, ErrorKind, Exit, Result, eprint_line};
use s3::{STALL_TIMEOUT, Settings, Store, UnfinishedUploads};

pub(crate) use describe::{describe, job_name, job_name_unasked, raw};
pub(crate) use follow::{End, Follow, Interrupt};
pub(crate) use model::model;
pub(crate) use pace::Pace;
pub(crate) use ready::bucket_is_there;
pub(crate) use sink::Sink;
pub(crate) use state::{JobState, moment};

use request::Resolved;

/// So long an upload is tidied up after Ctrl-C.
const TIDY: Duration = Duration::from_secs(5);

/// Makes the job and, unless told otherwise, stays until its end.
pub(crate) async fn train(
    job: &Job,
    no_wait: bool,
    dry_run: bool,
    context: &Context,
) -> Result<Exit> {
    limits::check(job)?;
    // What this machine can see is looked at before anybody is asked.
    let output = data::output(job)?.to_string();
    let checkpoints = checkpoints(job)?;
    let uploads = data::uploads(job)?;
    warn(job);
    let aws = context.aws().await?;
    let role = role::typed(job.cloud.role.as_deref())?;
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
        plan.print(context.format)?;
        return Ok(Exit::Ok);
    }
    ready::check(&aws, job).await?;
    let store = transfer::store(
        &aws,
        Settings {
            stall: STALL_TIMEOUT,
            progress: true,
        },
    );
    let name = job.name.as_str();
    let mut interrupt = Interrupt::install()?;
    for upload in uploads {
        eprint_line(format!("{}: uploading it", upload.what()));
        let leftover = UnfinishedUploads::of(&upload.files);
        let again = upload.again();
        tokio::select! {
            sent = upload.files.run(&store) => drop(sent?),
            () = interrupt.pressed() => {
                let failure = not_submitted(&aws, job);
                let given_up = give_up(&leftover, &store, &mut interrupt).await;
                return Err(match given_up {
                    true => failure,
                    false => failure.help(format!(
                        "parts of them may be left in S3, which are paid for: {} removes them",
                        aws.next(&again)
                    )),
                });
            }
        }
    }
    let submit = create::submit(&aws, &request, name);
    let (arn, interrupted) = undivided(&aws, submit, &mut interrupt, name).await?;
    eprint_line(format!("job `{name}` is submitted"));
    if interrupted {
        return left(&aws, name, context);
    }
    if no_wait {
        return submitted(job, &aws, &arn, context);
    }
    stay(job, &aws, interrupt, context).await
}

/// Nobody goes on with an upload below this job's own name: its parts are removed. False if they may still be there.
async fn give_up(leftover: &UnfinishedUploads, store: &Store, interrupt: &mut Interrupt) -> bool {
    eprint_line("Ctrl-C: giving up the upload; once more leaves at once");
    tokio::select! {
        done = tokio::time::timeout(TIDY, leftover.abort_all(store)) => matches!(done, Ok(Ok(()))),
        () = interrupt.pressed() => false,
    }
}

/// After Ctrl-C in an upload. The data have the job's name in their key, so the next job would not find them.
fn not_submitted(aws: &Aws, job: &Job) -> Error {
    let failure = Error::with_kind(
        ErrorKind::Interrupted,
        "interrupted while the data were uploaded: no job was made",
    );
    let data = job
        .channels
        .iter()
        .find_map(|channel| match &channel.source {
            Location::File(path) => Some(path.to_string_lossy().into_owned()),
            Location::S3(_) => None,
        });
    failure.help(format!(
        "{} once, then `--data s3://BUCKET/data` in every job, sends them one time only",
        aws.next(&format!(
            "upload {} s3://BUCKET/data",
            quoted(&data.unwrap_or_default())
        ))
    ))
}

/// For a plan: what cannot be found out now, as before the first `push`, does not keep the rest from being shown.
fn placeholder(what: &str, found: Result<String>) -> String {
    found.unwrap_or_else(|failure| {
        let placeholder = format!("<{what}: not known yet>");
        eprint_line(format!(
            "{failure}\n  help: the plan has `{placeholder}` instead, and the job would fail"
        ));
        placeholder
    })
}

/// What is allowed and seldom meant.
fn warn(job: &Job) {
    if job.cloud.spot.is_some() && job.checkpoints.is_none() {
        eprint_line(
            "warning: `--spot` without `--checkpoints`: an interrupted job starts again from nothing\n  \
             help: pass `--checkpoints s3://bucket/prefix`",
        );
    }
}

fn checkpoints(job: &Job) -> Result<Option<String>> {
    match &job.checkpoints {
        None => Ok(None),
        Some(Location::S3(url)) => Ok(Some(url.to_string())),
        Some(Location::File(_)) => Err(Error::usage(
            "`--checkpoints` is a local folder, and the job runs in the cloud",
        )
        .help("pass `--checkpoints s3://bucket/prefix`")),
    }
}

async fn plan(
    job: &Job,
    aws: &Aws,
    uploads: &[data::Upload],
    request: request::Request,
    no_wait: bool,
) -> Result<Plan> {
    let mut plan = Plan::default();
    for upload in uploads {
        plan.step(format!("upload {}", upload.what()));
    }
    let (rehearsal, recorder) = aws.rehearsal();
    // It ends in an error by design; what counts is what the recorder has.
    let answer = request.send_with(&rehearsal.sagemaker()).await;
    let Some(recorded) = recorder.take() else {
        let reason = answer.err().map(|error| diagnostics::chain(&error));
        return Err(Error::new(format!(
            "the SDK refuses the request: {}",
            reason.unwrap_or_default()
        ))
        .help("check what was typed after `train`"));
    };
    plan.request(format!("make the training job `{}`", job.name), recorded);
    if !no_wait {
        plan.step("show its logs until it ends");
    }
    Ok(plan)
}

fn submitted(job: &Job, aws: &Aws, arn: &str, context: &Context) -> Result<Exit> {
    eprint_line(come_back(aws, job.name.as_str()));
    let answer = serde_json::json!({
        "name": job.name.as_str(),
        "arn": arn,
        "status": "InProgress",
        "model": data::output(job)?.join(&format!("{}/output/model.tar.gz", job.name)).to_string(),
    });
    context.format.answer(&answer, |_| job.name.to_string())?;
    Ok(Exit::Ok)
}

async fn stay(job: &Job, aws: &Aws, interrupt: Interrupt, context: &Context) -> Result<Exit> {
    let name = job.name.as_str();
    let follow = Follow::new(aws, name, Pace::new(&context.env), Sink::beside());
    match follow.until_the_end(interrupt).await {
        Ok(End::Ended(state)) => {
            context.format.answer(&state, |state| state.text())?;
            for line in state.next_commands(aws) {
                eprint_line(line);
            }
            Ok(state.exit())
        }
        Ok(End::Interrupted) => left(aws, name, context),
        Ok(End::NobodyReads) => Ok(Exit::Ok),
        Err(failure) => Err(failure.help(format!(
            "the job goes on: {}",
            aws.next(&format!("logs {name}"))
        ))),
    }
}

/// Ctrl-C must not cut the request in two: the first one waits for the answer, the second one leaves.
async fn undivided(
    aws: &Aws,
    submit: impl Future<Output = Result<String>>,
    interrupt: &mut Interrupt,
    name: &str,
) -> Result<(String, bool)> {
    let mut submit = std::pin::pin!(submit);
    tokio::select! {
        answer = &mut submit => return Ok((answer?, false)),
        () = interrupt.pressed() => {}
    }
    eprint_line(
        "Ctrl-C: the job is being made, waiting for SageMaker's answer; once more leaves without it",
    );
    tokio::select! {
        answer = &mut submit => Ok((answer?, true)),
        () = interrupt.pressed() => Err(Error::with_kind(
            ErrorKind::Interrupted,
            format!("left before SageMaker answered: job `{name}` may have been made"),
        )
        .help(format!(
            "{} says whether it was",
            aws.next(&format!("status {name}"))
        ))),
    }
}

/// After Ctrl-C.
fn left(aws: &Aws, name: &str, context: &Context) -> Result<Exit> {
    eprint_line(format!("Ctrl-C: the job goes on\n{}", come_back(aws, name)));
    if context.format == Format::Json {
        let answer = serde_json::json!({"name": name, "interrupted": true});
        context.format.answer(&answer, |_| String::new())?;
    }
    Ok(Exit::Interrupted)
}

/// The commands for a job that one does not wait for.
pub(crate) fn come_back(aws: &Aws, name: &str) -> String {
    let (logs, stop) = (format!("logs {name}"), format!("stop {name}"));
    format!(
        "  help: {} comes back to it, {} ends it",
        aws.next(&logs),
        aws.next(&stop)
    )
}
