//! A trained model: of either architecture.

mod files;
mod lstm;

use std::path::Path;

use harness::metrics::Scores;
use harness::report::ClassFeatures;
use harness::{Failure, Model};

pub(crate) use files::{deserialize, serialize};
pub(crate) use lstm::LstmModel;

/// A trained model.
pub enum TextModel {
    /// The bi-LSTM.
    Bilstm(Box<LstmModel>),
}

/// What one predicting thread works in.
pub enum Scratch {
    /// The bi-LSTM's.
    Bilstm(Box<lstm::Scratch>),
}

impl Model for TextModel {
    type Scratch = Scratch;

    fn classes(&self) -> &[String] {
        match self {
            Self::Bilstm(model) => &model.classes,
        }
    }

    fn save(&self, dir: &Path) -> Result<(), Failure> {
        match self {
            Self::Bilstm(model) => model.save(dir),
        }
    }

    fn load(dir: &Path) -> Result<Self, Failure> {
        match files::arch(dir)?.as_str() {
            "bilstm" => LstmModel::load(dir).map(|model| Self::Bilstm(Box::new(model))),
            other => Err(files::unknown_arch(dir, other)),
        }
    }

    fn scratch(&self) -> Scratch {
        match self {
            Self::Bilstm(_) => Scratch::Bilstm(Box::default()),
        }
    }

    fn predict(&self, scratch: &mut Scratch, texts: &[&str]) -> Result<Scores, Failure> {
        match (self, scratch) {
            (Self::Bilstm(model), Scratch::Bilstm(scratch)) => model.predict(scratch, texts),
        }
    }

    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Failure> {
        match self {
            Self::Bilstm(model) => model.explain(text, top),
        }
    }
}
