//! Checkpoints: the numbers of the run and its weights.

use diagnostics::Error;
use serde_json::json;
use training::{Run, read_tensors, strange_checkpoint as strange};

use crate::files::{Tensors, net_of};
use crate::train::{Job, Learner, State};

/// The only file of a checkpoint besides its manifest.
const TENSORS: &str = "training.safetensors";

impl Learner {
    /// Writes a checkpoint if one is due.
    pub(crate) fn checkpoint(&self, run: &mut Run, epoch_ended: bool) -> Result<(), Error> {
        if !run.checkpoint_due(self.state.step, epoch_ended) || self.state.step == 0 {
            return Ok(());
        }
        run.checkpoint(self.state.step, &json!(self.state), |dir| {
            let mut tensors = Tensors::default();
            tensors.add("", &self.net);
            if let (Some(good), false) = (&self.good, epoch_ended) {
                tensors.add("good/", good);
            }
            tensors.write(&dir.join(TENSORS))
        })
    }

    /// The learner of the run's checkpoint, if it goes on from one.
    pub(crate) fn restore(run: &Run, job: &Job<'_>) -> Result<Option<Self>, Error> {
        let Some(restored) = run.restored() else {
            return Ok(None);
        };
        let path = restored.dir.join(TENSORS);
        let mut arrays = read_tensors(&path).map_err(|error| strange(&error.to_string()))?;
        let state: State = serde_json::from_value(restored.state.clone())
            .map_err(|error| strange(&error.to_string()))?;
        let net = net_of(&mut arrays, "", job.shape()).map_err(|error| strange(&error))?;
        let saved = arrays.keys().any(|name| name.starts_with("good/"));
        let good = match state.epoch {
            0 => None,
            _ if saved => {
                Some(net_of(&mut arrays, "good/", job.shape()).map_err(|error| strange(&error))?)
            }
            // An epoch's end: the two are the same.
            _ => Some(net.clone()),
        };
        Ok(Some(Self { state, net, good }))
    }
}
