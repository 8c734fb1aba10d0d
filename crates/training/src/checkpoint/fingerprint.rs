//! What makes a run the run that it is: a checkpoint of other data or other settings would be resumed to a model that
//! nobody asked for.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::{Error, sanitize};
use serde::{Deserialize, Serialize};

/// Names and values of all that the result depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(pub BTreeMap<String, String>);

/// More differences than these are counted.
const TOLD: usize = 5;

impl Fingerprint {
    /// Refuses the checkpoint of another run, and says what differs.
    pub(super) fn must_be(
        &self,
        found: &Self,
        (trainer, found_trainer): (&str, &str),
        dir: &Path,
    ) -> Result<(), Error> {
        let mut differences = Vec::new();
        if trainer != found_trainer {
            differences.push(format!(
                "trainer is `{}` there and `{trainer}` here",
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
            if here != there {
                differences.push(format!(
                    "{} is {} there and {} here",
                    sanitize(name),
                    value(there),
                    value(here)
                ));
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        let more = differences.len().saturating_sub(TOLD);
        differences.truncate(TOLD);
        if more > 0 {
            differences.push(format!("{more} more"));
        }
        Err(Error::new(format!(
                "expected a checkpoint of this run, found that of another in `{}`: {}",
                dir.display(),
                differences.join("; ")
            )).help("train with the checkpoint's values to resume it; to start anew, choose another --checkpoint-dir \
             (in a job another S3 folder for checkpoints), or remove the checkpoints"))
    }
}
