//! Local jobs: the same `/opt/ml`, log stream, results and exit codes as on SageMaker, in the local Docker engine or as
//! a process.

mod archive;
mod become_trainer;
mod copy;
mod docker;
mod folder;
mod giving_up;
mod here;
mod leftover;
mod lines;
mod process;
mod rehearsal;
mod remote;
mod report;
mod request;
mod results;
mod run;
mod signals;
mod trouble;
mod words;

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Context;
use crate::job::{Instance, Job, Location};
use diagnostics::{Error, Exit, Result, eprint_line};

pub(crate) use become_trainer::become_trainer;
pub(crate) use here::{and_here, or_here};
pub(crate) use leftover::{Container, containers, folders, folders_found};

use folder::{Inputs, Setup};
use report::Report;
use results::{Delivered, Results};
use run::{Course, Finished};
use signals::Signals;

/// Runs the job to its end and answers. `binary` is the trainer for this machine, where one was named.
pub(crate) async fn train(
    job: &Job,
    binary: Option<&Path>,
    simulate_interruption: Option<Duration>,
    dry_run: bool,
    context: &Context,
) -> Result<Exit> {
    let inputs = Inputs::check(job)?;
    if dry_run {
        rehearsal::plan(job, &inputs, binary, simulate_interruption).print(context.format)?;
        return Ok(Exit::Ok);
    }
    let created = Instant::now();
    let mut signals = Signals::install()?;
    leftover::name_folders();
    if let Location::S3(url) = &job.output {
        signals.give_up_on(remote::bucket(url, context)).await?;
    }
    let mut results = Results::create(job)?;
    let course = Course {
        max_run: job.max_run,
        interruption: simulate_interruption,
    };
    let mut setup = signals
        .give_up_on(Setup::prepare(job, inputs, context))
        .await?;
    let mut finished = match &job.instance {
        Instance::Docker { gpu } => {
            let image = signals.give_up_on(docker::image(job)).await?;
            let backend = signals
                .give_up_on(docker::Engine::connect(job, &setup, image, *gpu))
                .await?;
            run::run(&backend, course, &results, &setup, &mut signals, context).await?
        }
        Instance::Process => {
            let binary = signals.give_up_on(process::binary(job, binary)).await?;
            let backend = process::Machine::new(&setup, binary);
            run::run(&backend, course, &results, &setup, &mut signals, context).await?
        }
        Instance::Cloud { .. } => {
            return Err(Error::new(format!("`{}` is no local job", job.instance)));
        }
    };
    let delivered = hand_out(
        &mut results,
        &mut setup,
        &mut finished,
        &mut signals,
        context,
    )
    .await;
    let report = Report::new(job, created, &finished, delivered);
    if let Some(ending) = report.ending() {
        eprint_line(ending);
    }
    std::mem::take(&mut finished.trouble).into_result()?;
    eprint_line(report.next(job, context));
    context.format.answer(&report, Report::text)?;
    Ok(report.exit(&finished))
}

/// The archives first, for they took hours, then the checkpoints. What cannot be sent stays here and is named.
async fn hand_out(
    results: &mut Results,
    setup: &mut Setup,
    finished: &mut Finished,
    signals: &mut Signals,
    context: &Context,
) -> Delivered {
    let trouble = &mut finished.trouble;
    let delivered = trouble.note(signals.give_up_on(results.deliver(context)).await);
    let kept = match &delivered {
        None => results.keep(context),
        Some(Delivered { model, .. }) => model
            .as_ref()
            .map(|model| format!("the model is `{model}`")),
    };
    let whole = finished.checkpoints_kept;
    let unsent = match whole {
        true => trouble
            .note(signals.give_up_on(setup.hand_over(context)).await)
            .is_none(),
        false => true,
    };
    let checkpoints = unsent
        .then(|| setup.keep_checkpoints(whole, context))
        .flatten();
    for help in kept.into_iter().chain(checkpoints) {
        trouble.help(help);
    }
    delivered.unwrap_or_default()
}
