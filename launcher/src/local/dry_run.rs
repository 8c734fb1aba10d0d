//! `--dry-run` of a local job.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::layout::{BASE, WRITABLE};
use super::request;
use super::setup::{Inputs, Setup};
use super::{docker, process};
use crate::job::{Instance, Job, Location};
use crate::plan::Plan;

/// Returns the steps of the job, with all files and requests. Sends nothing.
pub(super) fn plan(
    job: &Job,
    inputs: &Inputs,
    binary: Option<&Path>,
    interruption: Option<Duration>,
) -> Plan {
    let mut plan = Plan::default();
    // The name of a temporary folder has a random part.
    let scratch = std::env::temp_dir().join("trainyard-XXXXXX");
    let setup = Setup::plan(job, inputs, &scratch);
    let builds = job.image.is_none() && job.trainer.source.is_some();
    if builds && matches!(job.instance, Instance::Docker { .. }) {
        plan.step(format!(
            "build the image of `{}` and load it into the engine",
            job.trainer.name
        ));
    }
    for (what, url) in inputs.downloads() {
        plan.step(format!("download {what} from {url}"));
    }
    let in_docker = matches!(job.instance, Instance::Docker { .. });
    let base = if in_docker { Path::new(BASE) } else { &scratch };
    plan.request(
        format!("write the job's folder `{}`", base.display()),
        layout(&setup, base),
    );
    match &job.instance {
        Instance::Docker { gpu } => {
            let image = job
                .image
                .clone()
                .unwrap_or_else(|| docker::default_image(job));
            // The job is started by another process.
            let launcher = Some("<process>");
            let request = request::container(job, &setup, &image, *gpu, launcher);
            plan.request(
                format!("create and start the container `{}` of `{image}`", job.name),
                json!(request),
            );
        }
        _ => {
            let named = binary.map(Path::to_owned);
            let binary = named.unwrap_or_else(|| Path::new(&job.trainer.name).to_owned());
            plan.request(
                "start the trainer as a process",
                command(&setup, base, &binary),
            );
        }
    }
    if let Some(after) = interruption {
        plan.step(format!(
            "send SIGTERM after {} s, wait for the end, and start again with the checkpoints",
            after.as_secs()
        ));
    }
    plan.step(format!(
        "send SIGTERM after {} s, and SIGKILL 120 s later, if it still runs",
        job.max_run.as_secs()
    ));
    let target = match &job.output {
        Location::S3(url) => url.join(&format!("{}/output", job.name)).to_string(),
        Location::File(folder) => format!("{}/{}/output", folder.display(), job.name),
    };
    plan.step(format!(
        "write `{target}/model.tar.gz`, and `output.tar.gz` if there are such files"
    ));
    plan
}

fn layout(setup: &Setup, base: &Path) -> Value {
    let files: BTreeMap<String, Value> = setup
        .config_files(base)
        .into_iter()
        .map(|(path, content)| (path.display().to_string(), content))
        .collect();
    let data: BTreeMap<String, String> = setup
        .channels
        .iter()
        .map(|input| {
            let target = input.target(base).display().to_string();
            (target, input.path.display().to_string())
        })
        .collect();
    json!({
        "files": files,
        "data": data,
        "folders": WRITABLE.map(|name| base.join(name)),
        "checkpoints": setup.checkpoints,
    })
}

fn command(setup: &Setup, base: &Path, binary: &Path) -> Value {
    let text = |value: OsString| value.to_string_lossy().into_owned();
    let environment: BTreeMap<String, String> = process::environment(setup, base)
        .into_iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    json!({
        "command": [binary.to_string_lossy(), "train"],
        "environment": environment,
        "folder": base,
    })
}
