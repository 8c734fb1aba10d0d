//! The bi-LSTM as a model. Weights are plain vectors, which the threads that predict on CPUs share.
//! Tensors cannot be shared between threads, so on GPUs each thread builds its own network.

use std::sync::atomic::{AtomicUsize, Ordering};

use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use tch::Device;
use text::{Analyzer, WordReader};
use training::Arrays;

use crate::device::torch_error;
use crate::evaluate::{cpu_logits, logits};
use crate::explain;
use crate::forward::{Buffers, Forward, Recurrent};
use crate::net::Shape;
use crate::replicas::Replicas;
use crate::tokenizer::{MIN_WORD_LENGTH, Tokenizer};

/// The bi-LSTM.
pub struct LstmModel {
    pub(crate) classes: Vec<String>,
    /// True if a text may have several labels, or none.
    pub(crate) multi_label: bool,
    pub(crate) tokenizer: Tokenizer,
    /// Maximum number of ids of a text.
    pub(crate) seq_len: usize,
    pub(crate) shape: Shape,
    pub(crate) arrays: Arrays,
    /// Devices to predict on, at least one; threads are assigned round robin.
    pub(crate) devices: Vec<Device>,
    pub(crate) next_device: AtomicUsize,
    pub(crate) recurrent: Recurrent,
}

/// Working memory of a predicting thread.
pub struct Scratch {
    words: WordReader,
    device: Device,
    /// For a GPU.
    net: Option<Replicas>,
    /// For a CPU.
    buffers: Buffers,
}

impl LstmModel {
    pub(super) fn scratch(&self) -> Scratch {
        let index = self.next_device.fetch_add(1, Ordering::Relaxed);
        Scratch {
            words: WordReader::new(&Analyzer::words(MIN_WORD_LENGTH)),
            device: self.devices[index % self.devices.len()],
            net: None,
            buffers: Buffers::default(),
        }
    }

    pub(super) fn predict(&self, scratch: &mut Scratch, texts: &[&str]) -> Result<Scores, Error> {
        let rows: Result<Vec<Vec<u32>>, Error> = texts
            .iter()
            .map(|text| {
                self.tokenizer
                    .encode(&mut scratch.words, text, self.seq_len)
            })
            .collect();
        let rows = rows?;
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let logits = if scratch.device == Device::Cpu {
            let forward = Forward::new(&self.shape, &self.arrays, &self.recurrent);
            let forward = forward.ok_or_else(Self::unfit)?;
            cpu_logits(&forward, &mut scratch.buffers, &rows)
        } else {
            let net = match scratch.net.take() {
                Some(net) => net,
                None => self.net(scratch.device)?,
            };
            let net = scratch.net.insert(net);
            logits(net, &rows, &|| false)
                .map_err(torch_error)?
                .unwrap_or_default()
        };
        let classes = self.classes.len();
        Ok(Scores::from_logits(logits, classes, self.multi_label))
    }

    pub(super) fn explain(
        &self,
        text: Option<&str>,
        top: usize,
    ) -> Result<Vec<ClassFeatures>, Error> {
        let net = self.net(self.devices[0])?;
        let weights = match text {
            None => explain::words(&net, &self.tokenizer),
            Some(text) => {
                let ids = self.tokenizer.encode(
                    &mut WordReader::new(&Analyzer::words(MIN_WORD_LENGTH)),
                    text,
                    self.seq_len,
                )?;
                explain::text(&net, &self.tokenizer, &ids)
            }
        };
        Ok(ClassFeatures::strongest(
            &self.classes,
            weights.map_err(torch_error)?,
            top,
        ))
    }

    /// Builds the network in full precision, on a GPU too: devices differ by rounding only.
    fn net(&self, device: Device) -> Result<Replicas, Error> {
        // libtorch's own threads, per calling thread: the harness has one predicting thread per
        // core.
        tch::set_num_threads(1);
        let net =
            Replicas::new(&self.shape, &self.arrays, &[device], false).map_err(torch_error)?;
        net.ok_or_else(Self::unfit)
    }

    fn unfit() -> Error {
        Error::new("the model's weights do not fit its shape").help("train again")
    }
}
