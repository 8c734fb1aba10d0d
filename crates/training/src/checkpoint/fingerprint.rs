//! The fingerprint of a run: resuming with other data or settings would give a wrong model.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::{Error, sanitize};
use serde::{Deserialize, Serialize};

/// Names and values of everything that the model depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(pub BTreeMap<String, String>);

/// Differences to list; the others are counted.
const MAX_LISTED: usize = 5;

impl Fingerprint {
    /// Refuses the checkpoint of another run and lists the differences.
    pub(super) fn must_be(
        &self,
        found: &Self,
        (trainer, found_trainer): (&str, &str),
        dir: &Path,
    ) -> Result<(), Error> {
        let mut differences = Vec::new();
        if trainer != found_trainer {
            differences.push(format!(
                "the trainer is `{}` in the checkpoint and `{trainer}` in this run",
                sanitize(found_trainer)
            ));
        }
        let names: std::collections::BTreeSet<&String> =
            self.0.keys().chain(found.0.keys()).collect();
        let value = |value: Option<&String>| match value {
            Some(value) => format!("`{}`", sanitize(value)),
            None => "not set".to_owned(),
        };
        for name in names {
            let (here, there) = (self.0.get(name), found.0.get(name));
            // Older versions did not record a boolean flag that was not given.
            let is_false = |value: Option<&String>| value.is_none_or(|value| value == "false");
            if here != there && !(is_false(here) && is_false(there)) {
                differences.push(format!(
                    "{} is {} in the checkpoint and {} in this run",
                    sanitize(name),
                    value(there),
                    value(here)
                ));
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        let more = differences.len().saturating_sub(MAX_LISTED);
        differences.truncate(MAX_LISTED);
        if more > 0 {
            differences.push(format!("{more} more"));
        }
        let error = Error::new(format!(
                "the checkpoint `{}` belongs to another run: {}",
                dir.display(),
                differences.join("; ")
            )).help(
            "to resume, use the values of the checkpoint; to start over, choose another --checkpoint-dir (in a job, \
             another S3 folder for checkpoints) or delete the checkpoints",
        );
        let takes_models = self.0.contains_key("--pretrained-model");
        Err(match takes_models && self.0.get("--epochs") != found.0.get("--epochs") {
            true => error.help(
                "to train a finished model for more epochs, pass its folder as --pretrained-model, \
                 and another --checkpoint-dir",
            ),
            false => error,
        })
    }
}
