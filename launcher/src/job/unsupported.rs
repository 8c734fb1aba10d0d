//! Warns of parts of a job that its trainer does not support.

use diagnostics::{eprint_line, sanitize};
use sagemaker::TrainerDescription;

use super::Job;

/// Similarity from which a channel's name is suggested.
const SIMILARITY_THRESHOLD: f64 = 0.85;

/// Warns before the job is paid for.
pub(super) fn warn(job: &Job, trainer: &TrainerDescription) {
    let name = &job.trainer.name;
    if job.checkpoints.is_some() && !trainer.supports.checkpoints {
        eprint_line(format!(
            "warning: `{name}` writes no checkpoints: `--checkpoints` has no effect\n  \
             help: leave it out"
        ));
    }
    if !job.instance.is_cloud() {
        // A local trainer fails at once.
        return;
    }
    for channel in &job.channels {
        if !trainer.has_channel(&channel.name) {
            eprint_line(format!(
                "warning: `{name}` does not read the channel `{}`\n  help: {}",
                sanitize(&channel.name),
                suggestion(&channel.name, trainer)
            ));
        }
    }
}

fn suggestion(channel: &str, trainer: &TrainerDescription) -> String {
    let known = trainer.channels.iter().map(|channel| &channel.name);
    let similar = |known: &&String| strsim::jaro_winkler(known, channel) > SIMILARITY_THRESHOLD;
    match known.clone().find(similar) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => {
            let all: Vec<_> = known.map(|known| format!("`{known}`")).collect();
            format!("the channels are {}", all.join(", "))
        }
    }
}
