//! Local jobs in the Docker engine or as a process, with the `/opt/ml`, log, results and exit codes
//! of SageMaker.

mod archive;
mod backend;
mod cancel;
mod container;
mod copy;
mod docker;
mod docker_error;
mod dry_run;
mod failure_reason;
mod first_error;
mod launcher_id;
mod layout;
mod local_jobs;
mod log;
mod orphans;
mod process;
mod records;
mod reexec;
mod remote;
mod report;
mod request;
mod results;
mod run;
mod scratch;
mod serve;
mod setup;
mod signals;

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Context;
use crate::job::{Instance, Job, Location};
use diagnostics::stdio::eprint_text;
use diagnostics::{Error, Exit, Result};

pub(crate) use local_jobs::{or_local_job, with_local_jobs};
pub(crate) use orphans::{JobContainer, containers, describe_folders};
pub(crate) use reexec::exec_trainer;
pub(crate) use scratch::orphan_folders;
pub(crate) use serve::{Serving, serve};

use report::LocalJobReport;
use results::{Delivered, Results};
use run::{JobOutcome, RunSchedule};
use setup::{Inputs, Setup};
use signals::Signals;

/// Runs a job and prints its report. `binary` is the trainer for this machine, if it was given.
pub(crate) async fn train(
    job: &Job,
    binary: Option<&Path>,
    simulate_interruption: Option<Duration>,
    dry_run: bool,
    context: &Context,
) -> Result<Exit> {
    let inputs = Inputs::check(job)?;
    if dry_run {
        return dry_run::plan(job, &inputs, binary, simulate_interruption).print(context.format);
    }
    let created = Instant::now();
    let mut signals = Signals::install()?;
    orphans::report_folders();
    if let Location::S3(url) = &job.output {
        signals
            .run_or_cancel(remote::check_bucket(url, context))
            .await?;
    }
    let mut results = Results::create(job)?;
    records::write(job, &results.location());
    let schedule = RunSchedule {
        max_run: job.max_run,
        interruption: simulate_interruption,
    };
    let mut setup = signals
        .run_or_cancel(Setup::prepare(job, inputs, context))
        .await?;
    let mut outcome = match &job.instance {
        Instance::Docker { gpu } => {
            let image = signals.run_or_cancel(docker::image(job)).await?;
            let backend = signals
                .run_or_cancel(docker::DockerBackend::connect(job, &setup, image, *gpu))
                .await?;
            run::run(&backend, schedule, &results, &setup, &mut signals, context).await?
        }
        Instance::Process => {
            let binary = signals.run_or_cancel(process::binary(job, binary)).await?;
            let backend = process::ProcessBackend::new(&setup, binary);
            run::run(&backend, schedule, &results, &setup, &mut signals, context).await?
        }
        Instance::Cloud { .. } => {
            return Err(Error::new(format!("`{}` is not a local job", job.instance)));
        }
    };
    let delivered = deliver(
        &mut results,
        &mut setup,
        &mut outcome,
        &mut signals,
        context,
    )
    .await;
    let report = LocalJobReport::new(job, created, &outcome, delivered);
    if let Some(ending) = report.ending() {
        eprint_text(ending);
    }
    std::mem::take(&mut outcome.errors).into_result()?;
    eprint_text(report.suggestion(job, context));
    context.format.print(&report, LocalJobReport::text)?;
    Ok(report.exit(&outcome))
}

/// Delivers the archives, which took hours, then the checkpoints. What cannot be uploaded stays on
/// this machine, with a help line about it.
async fn deliver(
    results: &mut Results,
    setup: &mut Setup,
    outcome: &mut JobOutcome,
    signals: &mut Signals,
    context: &Context,
) -> Delivered {
    let errors = &mut outcome.errors;
    let delivered = errors.record(signals.run_or_cancel(results.deliver(context)).await);
    let results_help = match &delivered {
        None => results.keep(context),
        Some(Delivered { model, .. }) => model
            .as_ref()
            .map(|model| format!("the model is `{model}`")),
    };
    let complete = outcome.checkpoints_saved;
    let uploaded = complete
        && errors
            .record(
                signals
                    .run_or_cancel(setup.upload_checkpoints(context))
                    .await,
            )
            .is_some();
    let checkpoints_help = match uploaded {
        true => None,
        false => setup.keep_checkpoints(complete, context),
    };
    for help in results_help.into_iter().chain(checkpoints_help) {
        errors.help(help);
    }
    delivered.unwrap_or_default()
}
