//! What is typed for a job and its trainer does not take, as the trainer's own manual has it.

use std::time::Duration;

use diagnostics::{eprint_line, sanitize};
use tokio::process::Command;

use super::Job;

/// A manual is printed at once.
const LIMIT: Duration = Duration::from_secs(10);

/// Channels that trainers read; the manual says which.
const CHANNELS: [&str; 4] = ["train", "validation", "test", "model"];

/// How like a channel's name must be to be offered.
const NEAR: f64 = 0.85;

/// Warns of what the job would only say when it is paid for. A trainer without a manual of this kind has no say.
pub(super) async fn warn(job: &Job, mut command: Command) {
    let more = job.channels.iter().any(|channel| !is_usual(&channel.name));
    if job.checkpoints.is_none() && !(more && job.instance.is_cloud()) {
        return;
    }
    // What knows no `--help` does not train for all that.
    command.args(["train", "--check", "--help"]);
    let Ok(Ok(output)) = tokio::time::timeout(LIMIT, command.output()).await else {
        return;
    };
    if !output.status.success() {
        return;
    }
    let manual = String::from_utf8_lossy(&output.stdout);
    for warning in warnings(job, &manual) {
        eprint_line(warning);
    }
}

fn is_usual(channel: &str) -> bool {
    CHANNELS[..3].contains(&channel)
}

fn warnings(job: &Job, manual: &str) -> Vec<String> {
    // Its lines are broken anywhere.
    let manual: Vec<&str> = manual.split_whitespace().collect();
    let manual = manual.join(" ");
    let mut found = Vec::new();
    if !reads(&manual, "train") {
        return found;
    }
    let trainer = &job.trainer.name;
    if job.checkpoints.is_some() && !manual.contains("--checkpoint") {
        found.push(format!(
            "warning: `{trainer}` writes no checkpoints: `--checkpoints` has no effect\n  help: leave it out"
        ));
    }
    if !job.instance.is_cloud() {
        // The trainer says it at once.
        return found;
    }
    for channel in &job.channels {
        if reads(&manual, &channel.name) {
            continue;
        }
        let known = CHANNELS.iter().filter(|known| reads(&manual, known));
        let near = known
            .clone()
            .find(|known| strsim::jaro_winkler(known, &channel.name) > NEAR);
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let all: Vec<_> = known.map(|known| format!("`{known}`")).collect();
                format!("the channels are {}", all.join(", "))
            }
        };
        found.push(format!(
            "warning: `{trainer}` does not read the channel `{}`\n  help: {help}",
            sanitize(&channel.name)
        ));
    }
    found
}

/// Whether the manual speaks of the channel.
fn reads(manual: &str, channel: &str) -> bool {
    manual.contains(&format!("`{channel}` channel"))
        || manual.contains(&format!("channel `{channel}`"))
}
