//! The bi-LSTM as a model. Weights are plain numbers here: tensors cannot be shared between threads, so each thread
//! that predicts builds a network of its own.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use tch::Device;
use text::WordReader;
use training::Arrays;

use super::files;
use crate::device::failed;
use crate::evaluate::logits;
use crate::explain;
use crate::net::Shape;
use crate::tokenizer::{MIN_WORD_LENGTH, Tokenizer};
use crate::replicas::Replicas;

/// The bi-LSTM.
pub struct LstmModel {
    pub(crate) classes: Vec<String>,
    pub(crate) reader: Tokenizer,
    /// EncodedRows of a text that are read.
    pub(crate) seq_len: usize,
    pub(crate) shape: Shape,
    pub(crate) arrays: Arrays,
    /// Where it predicts, at least one; threads take turns.
    pub(crate) devices: Vec<Device>,
    pub(crate) turn: AtomicUsize,
}

/// What one predicting thread works in.
pub struct Scratch {
    words: WordReader,
    device: Device,
    net: Option<Replicas>,
}

impl LstmModel {
    pub(super) fn save(&self, dir: &Path) -> Result<(), Error> {
        files::save(self, dir)
    }

    pub(super) fn load(dir: &Path) -> Result<Self, Error> {
        files::load(dir)
    }

    pub(super) fn scratch(&self) -> Scratch {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Scratch {
            words: WordReader::new(MIN_WORD_LENGTH),
            device: self.devices[turn % self.devices.len()],
            net: None,
        }
    }

    pub(super) fn predict(&self, scratch: &mut Scratch, texts: &[&str]) -> Result<Scores, Error> {
        let net = match scratch.net.take() {
            Some(net) => net,
            None => self.net(scratch.device)?,
        };
        let rows: Result<Vec<Vec<u32>>, Error> = texts
            .iter()
            .map(|text| self.reader.read(&mut scratch.words, text, self.seq_len))
            .collect();
        let rows = rows?;
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let logits = logits(&net, &rows, &|| false)
            .map_err(failed)?
            .unwrap_or_default();
        scratch.net = Some(net);
        Ok(Scores::of_logits(logits, self.classes.len()))
    }

    pub(super) fn explain(
        &self,
        text: Option<&str>,
        top: usize,
    ) -> Result<Vec<ClassFeatures>, Error> {
        let net = self.net(self.devices[0])?;
        let weights = match text {
            None => explain::words(&net, &self.reader),
            Some(text) => {
                let ids =
                    self.reader
                        .read(&mut WordReader::new(MIN_WORD_LENGTH), text, self.seq_len)?;
                explain::text(&net, &self.reader, &ids)
            }
        };
        Ok(ClassFeatures::strongest(
            &self.classes,
            weights.map_err(failed)?,
            top,
        ))
    }

    /// Full precision on a GPU too: answers do not depend on where they are worked out, beyond rounding.
    fn net(&self, device: Device) -> Result<Replicas, Error> {
        // Of libtorch's own, which each thread sets for itself: the harness gives each core a thread that predicts.
        tch::set_num_threads(1);
        let net = Replicas::new(&self.shape, &self.arrays, &[device], false).map_err(failed)?;
        net.ok_or_else(|| {
            Error::new("the model's weights do not fit its shape").help("train again")
        })
    }
}
