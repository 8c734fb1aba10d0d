//! Weights and counters of a run, and their checkpoints.

use diagnostics::Error;
use serde::{Deserialize, Serialize};
use serde_json::json;
use training::{Run, incompatible_checkpoint, not_finite, read_tensors};

use crate::net::Net;
use crate::tensors::{net_of, write_nets};

/// Help for a run that diverged.
pub(crate) const DIVERGED_HELP: &str = "lower --learning-rate";

/// The only file of a checkpoint besides its manifest.
const TENSORS: &str = "training.safetensors";
/// Prefix of the tensors of `last_good`.
const LAST_GOOD: &str = "good/";

/// Counters of a run. With the weights they are all that a resume needs: random streams are
/// functions of the counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct BagState {
    /// Finished epochs.
    pub(crate) epoch: u64,
    /// Rows trained on, of all epochs.
    pub(crate) step: u64,
    /// Sum of the losses of the current epoch.
    pub(crate) loss_sum: f64,
}

/// Everything that changes during training.
pub(crate) struct BagLearner {
    pub(crate) state: BagState,
    pub(crate) net: Net,
    /// The network at the end of the last epoch; saved if the current epoch diverges.
    pub(crate) last_good: Option<Net>,
}

impl BagLearner {
    /// Writes a checkpoint if one is due.
    pub(crate) fn checkpoint(&self, run: &mut Run, epoch_ended: bool) -> Result<(), Error> {
        if !run.checkpoint_due(self.state.step, epoch_ended) || self.state.step == 0 {
            return Ok(());
        }
        run.checkpoint(self.state.step, &json!(self.state), |dir| {
            let mut nets = vec![("", &self.net)];
            if let (Some(good), false) = (&self.last_good, epoch_ended) {
                nets.push((LAST_GOOD, good));
            }
            write_nets(&dir.join(TENSORS), &nets)
        })
    }

    /// Loads the checkpoint of the run, if it resumes from one. `shape` is (terms, width, classes).
    ///
    /// # Errors
    ///
    /// The checkpoint is not one of this network.
    pub(crate) fn restore(run: &Run, shape: (usize, usize, usize)) -> Result<Option<Self>, Error> {
        let Some(restored) = run.restored() else {
            return Ok(None);
        };
        let path = restored.dir.join(TENSORS);
        let mut arrays =
            read_tensors(&path).map_err(|error| incompatible_checkpoint(&error.to_string()))?;
        let state: BagState = serde_json::from_value(restored.state.clone())
            .map_err(|error| incompatible_checkpoint(&error.to_string()))?;
        // A checkpoint at the end of an epoch has no `LAST_GOOD`: it equals the network.
        let within_epoch = arrays.keys().any(|name| name.starts_with(LAST_GOOD));
        let mut take = |prefix: &str| {
            net_of(&mut arrays, prefix, shape).map_err(|error| incompatible_checkpoint(&error))
        };
        let net = take("")?;
        let last_good = match state.epoch {
            0 => None,
            _ if within_epoch => Some(take(LAST_GOOD)?),
            _ => Some(net.clone()),
        };
        Ok(Some(Self {
            state,
            net,
            last_good,
        }))
    }

    /// Returns the network of the last finished epoch of `epochs`, and the error that ended
    /// training.
    ///
    /// # Errors
    ///
    /// No epoch was finished.
    pub(crate) fn finished(
        self,
        epochs: u64,
        error: Option<Error>,
    ) -> Result<(Net, Option<Error>), Error> {
        let error = error.or_else(|| self.diverged());
        let good = match error.is_none() && self.state.epoch == epochs {
            true => Some(self.net),
            false => self.last_good,
        };
        match (good, error) {
            (Some(net), error) => Ok((net, error)),
            (None, Some(error)) => Err(error),
            (None, None) => {
                let reason = format!("epoch 1 of {epochs} was not finished");
                Err(Error::stopped().because(&reason))
            }
        }
    }

    /// Returns the error of a network with weights that are not finite, which no further step of
    /// the epoch would detect.
    pub(crate) fn diverged(&self) -> Option<Error> {
        let BagState { epoch, step, .. } = self.state;
        (!self.net.is_finite())
            .then(|| not_finite("a weight", "after", step, epoch + 1, DIVERGED_HELP))
    }
}
