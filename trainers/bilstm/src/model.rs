//! A trained model of either architecture.

mod files;
mod lstm;

use std::path::Path;

use bag::BagModel;
use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use harness::Model;

use training::DeviceChoice;

use crate::device::find_devices;

pub(crate) use lstm::LstmModel;

/// A trained model.
pub enum TextModel {
    /// The bi-LSTM.
    Bilstm(Box<LstmModel>),
    /// The bag of words and n-grams.
    Bag(Box<BagModel>),
}

/// Working memory of a predicting thread.
pub enum Scratch {
    /// The bi-LSTM's.
    Bilstm(Box<lstm::Scratch>),
    /// The bag's.
    Bag(Box<bag::Scratch>),
}

impl TextModel {
    /// Moves the model to a device. A bag runs on the CPU only.
    pub(crate) fn use_device(&mut self, device: Option<DeviceChoice>) -> Result<(), Error> {
        match self {
            Self::Bilstm(model) => {
                model.devices = find_devices(device.unwrap_or(DeviceChoice::Auto), None)?.all;
                Ok(())
            }
            Self::Bag(_) if device.is_some_and(DeviceChoice::is_gpu) => Err(Error::usage(
                "expected a model of --arch bilstm with --device cuda, found one of --arch `bag`",
            )
            .help("leave out --device: a bag predicts on the CPU, in microseconds")),
            Self::Bag(_) => Ok(()),
        }
    }
}

impl Model for TextModel {
    type Scratch = Scratch;

    fn classes(&self) -> &[String] {
        match self {
            Self::Bilstm(model) => &model.classes,
            Self::Bag(model) => model.classes(),
        }
    }

    fn is_multi_label(&self) -> bool {
        match self {
            Self::Bilstm(model) => model.multi_label,
            Self::Bag(model) => model.is_multi_label(),
        }
    }

    fn save(&self, dir: &Path) -> Result<(), Error> {
        match self {
            Self::Bilstm(model) => model.save(dir),
            Self::Bag(model) => model.save(dir),
        }
    }

    fn load(dir: &Path) -> Result<Self, Error> {
        match files::arch(dir)?.as_str() {
            files::ARCH => LstmModel::load(dir).map(|model| Self::Bilstm(Box::new(model))),
            bag::ARCH => BagModel::load(dir).map(|model| Self::Bag(Box::new(model))),
            other => Err(files::unknown_arch(dir, other)),
        }
    }

    fn scratch(&self) -> Scratch {
        match self {
            Self::Bilstm(model) => Scratch::Bilstm(Box::new(model.scratch())),
            Self::Bag(model) => Scratch::Bag(Box::new(model.scratch())),
        }
    }

    fn predict(&self, scratch: &mut Scratch, texts: &[&str]) -> Result<Scores, Error> {
        match (self, scratch) {
            (Self::Bilstm(model), Scratch::Bilstm(scratch)) => model.predict(scratch, texts),
            (Self::Bag(model), Scratch::Bag(scratch)) => model.predict(scratch, texts),
            // The scratch of another model.
            (_, scratch) => {
                *scratch = self.scratch();
                self.predict(scratch, texts)
            }
        }
    }

    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error> {
        match self {
            Self::Bilstm(model) => model.explain(text, top),
            Self::Bag(model) => model.explain(text, top),
        }
    }
}
