//! Local jobs: the same `/opt/ml`, log stream, results and exit codes as on SageMaker, in the local Docker engine or as
//! a process.

mod archive;
mod become_trainer;
mod copy;
mod docker;
mod folder;
mod lines;
mod process;
mod rehearsal;
mod remote;
mod report;
mod request;
mod results;
mod run;
mod signals;
mod tar_stream;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::job::{Instance, Job};
use crate::say::say;

pub(crate) use become_trainer::become_trainer;

use folder::{Inputs, Setup};
use report::Report;
use results::Results;
use run::Course;
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
    let started = Instant::now();
    let mut signals = Signals::install()?;
    let results = Results::create(job)?;
    let course = Course {
        max_run: job.max_run,
        interruption: simulate_interruption,
    };
    let setup = signals
        .give_up_on(Setup::prepare(job, inputs, context))
        .await?;
    let finished = match &job.instance {
        Instance::Docker { gpu } => {
            let image = signals.give_up_on(docker::image(job)).await?;
            let backend = signals
                .give_up_on(docker::Engine::connect(job, &setup, image, *gpu))
                .await?;
            run::run(&backend, course, &results, &mut signals).await?
        }
        Instance::Process => {
            let binary = signals.give_up_on(process::binary(job, binary)).await?;
            let backend = process::Machine::new(&setup, binary);
            run::run(&backend, course, &results, &mut signals).await?
        }
        Instance::Cloud { .. } => {
            return Err(Failure::new(format!("`{}` is no local job", job.instance)));
        }
    };
    setup.hand_over(context).await?;
    let delivered = results.deliver(context).await?;
    let report = Report::new(job, &finished, delivered, started.elapsed());
    for line in report.epilogue(job) {
        say(line);
    }
    context.format.answer(&report, Report::text)?;
    Ok(report.exit(&finished))
}
