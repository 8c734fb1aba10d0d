//! Jobs on SageMaker: making them, following them, and what is known of them.

mod create;
mod data;
mod describe;
mod follow;
mod image;
mod limits;
mod logs;
mod pace;
mod request;
mod role;
mod sink;
mod state;

use crate::aws::Aws;
use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::job::{Job, Location};
use crate::plan::Plan;
use crate::say::say;

pub(crate) use describe::{describe, job_name, raw};
pub(crate) use follow::{End, Follow, Interrupt};
pub(crate) use pace::Pace;
pub(crate) use sink::Sink;
pub(crate) use state::{JobState, moment};

use request::Resolved;

/// Makes the job and, unless told otherwise, stays until its end.
pub(crate) async fn train(
    job: &Job,
    no_wait: bool,
    dry_run: bool,
    context: &Context,
) -> Result<Exit> {
    limits::check(job)?;
    let uploads = data::uploads(job)?;
    let aws = context.aws().await?;
    let resolved = Resolved {
        role: role::resolve(&aws, job.cloud.role.as_deref()).await?,
        image: image::resolve(&aws, job).await?,
        output: data::output(job)?.to_string(),
        channels: data::channels(job)?,
        checkpoints: checkpoints(job)?,
    };
    let request = request::build(job, &resolved);
    if dry_run {
        let plan = plan(job, &aws, &uploads, request, no_wait).await?;
        plan.print(context.format)?;
        return Ok(Exit::Ok);
    }
    for upload in &uploads {
        say(format!("{}: uploading it", upload.what()));
        crate::transfer::upload(&aws, &upload.source, &upload.target, true).await?;
    }
    // From here on Ctrl-C must not cut a request in two: it is looked at once the job is there.
    let interrupt = Interrupt::install()?;
    let arn = create::submit(&aws, &request, job.name.as_str()).await?;
    say(format!("job `{}` is submitted", job.name));
    if no_wait {
        return submitted(job, &arn, context);
    }
    stay(job, &aws, interrupt, context).await
}

fn checkpoints(job: &Job) -> Result<Option<String>> {
    match &job.checkpoints {
        None => Ok(None),
        Some(Location::S3(url)) => Ok(Some(url.to_string())),
        Some(Location::File(_)) => Err(Failure::usage(
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
        let reason = answer.err().map(|error| crate::failure::chain(&error));
        return Err(Failure::new(format!(
            "the SDK refuses the request: {}",
            reason.unwrap_or_default()
        )));
    };
    plan.request(format!("make the training job `{}`", job.name), recorded);
    if !no_wait {
        plan.step("show its logs until it ends");
    }
    Ok(plan)
}

fn submitted(job: &Job, arn: &str, context: &Context) -> Result<Exit> {
    say(come_back(job.name.as_str()));
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
            for line in state.next_commands(&data::output(job)?.to_string()) {
                say(line);
            }
            Ok(state.exit())
        }
        Ok(End::Interrupted) => {
            say(format!("Ctrl-C: the job goes on\n{}", come_back(name)));
            Ok(Exit::Interrupted)
        }
        Ok(End::NobodyReads) => Ok(Exit::Ok),
        Err(failure) => Err(failure.help(format!("the job goes on: `trainyard logs {name}`"))),
    }
}

/// The commands for a job that one does not wait for.
pub(crate) fn come_back(name: &str) -> String {
    format!("  help: `trainyard logs {name}` comes back to it, `trainyard stop {name}` ends it")
}
