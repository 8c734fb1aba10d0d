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
use crate::output::Format;
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
    let name = job.name.as_str();
    let mut interrupt = Interrupt::install()?;
    let submit = create::submit(&aws, &request, name);
    let (arn, interrupted) = undivided(submit, &mut interrupt, name).await?;
    say(format!("job `{name}` is submitted"));
    if interrupted {
        return left(name, context);
    }
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
        Ok(End::Interrupted) => left(name, context),
        Ok(End::NobodyReads) => Ok(Exit::Ok),
        Err(failure) => Err(failure.help(format!("the job goes on: `trainyard logs {name}`"))),
    }
}

/// Ctrl-C must not cut the request in two: the first one waits for the answer, the second one leaves.
async fn undivided(
    submit: impl Future<Output = Result<String>>,
    interrupt: &mut Interrupt,
    name: &str,
) -> Result<(String, bool)> {
    let mut submit = std::pin::pin!(submit);
    tokio::select! {
        answer = &mut submit => return Ok((answer?, false)),
        () = interrupt.pressed() => {}
    }
    say(
        "Ctrl-C: the job is being made, waiting for SageMaker's answer; once more leaves without it",
    );
    tokio::select! {
        answer = &mut submit => Ok((answer?, true)),
        () = interrupt.pressed() => Err(Failure::with(
            Exit::Interrupted,
            format!("left before SageMaker answered: job `{name}` may have been made"),
        )
        .help(format!("`trainyard status {name}` says whether it was"))),
    }
}

/// After Ctrl-C.
fn left(name: &str, context: &Context) -> Result<Exit> {
    say(format!("Ctrl-C: the job goes on\n{}", come_back(name)));
    if context.format == Format::Json {
        let answer = serde_json::json!({"name": name, "interrupted": true});
        context.format.answer(&answer, |_| String::new())?;
    }
    Ok(Exit::Interrupted)
}

/// The commands for a job that one does not wait for.
pub(crate) fn come_back(name: &str) -> String {
    format!("  help: `trainyard logs {name}` comes back to it, `trainyard stop {name}` ends it")
}
