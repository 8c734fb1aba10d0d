//! Models for tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;

use crate::app::App;
use crate::classifier::{Classifier, Load, ModelInfo, Scorer};
use crate::config::Config;
use crate::engine::Served;

/// Scores of two classes by the length of the text.
pub(crate) fn lengths(texts: &[&str]) -> Scores {
    let scores = texts.iter().map(|text| text.len() as f32);
    Scores {
        classes: 2,
        decision: scores.flat_map(|score| [-score, score]).collect(),
        probability: Some(texts.iter().flat_map(|_| [0.25, 0.75]).collect()),
    }
}

struct LengthModel {
    info: ModelInfo,
    /// True if the texts `panic` and `error` make it fail.
    fails: bool,
}

impl Classifier for LengthModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn scorer(self: Arc<Self>) -> Scorer {
        Box::new(move |texts| {
            assert!(!self.fails || !texts.contains(&"panic"), "a test of panics");
            match self.fails && texts.contains(&"error") {
                true => Err(Error::new("no device")),
                false => Ok(lengths(texts)),
            }
        })
    }

    fn explain(&self, _text: &str, _top: usize) -> Result<Vec<ClassFeatures>, Error> {
        Ok(Vec::new())
    }
}

/// Properties of a model of one text column and the classes `neg` and `pos`.
pub(crate) fn info() -> ModelInfo {
    ModelInfo {
        program: "toy".to_owned(),
        version: "1".to_owned(),
        classes: ["neg", "pos"].map(str::to_owned).to_vec(),
        text_columns: vec!["text".to_owned()],
        max_batch_bytes: 4096,
        ..ModelInfo::default()
    }
}

/// Properties of a model of pairs, in the columns `a` and `b`.
pub(crate) fn pair_info() -> ModelInfo {
    ModelInfo {
        text_pair: true,
        text_columns: ["a", "b"].map(str::to_owned).to_vec(),
        ..info()
    }
}

fn model(fails: bool) -> Arc<Served> {
    let info = info();
    Served::new(Arc::new(LengthModel { info, fails }))
}

/// A model of [`lengths`] with several labels per text, and this text between them.
pub(crate) fn several_labels_model(separator: Option<&str>) -> Arc<Served> {
    let info = ModelInfo {
        multi_label: true,
        label_separator: separator.map(str::to_owned),
        ..info()
    };
    let fails = false;
    Served::new(Arc::new(LengthModel { info, fails }))
}

/// A classifier of [`lengths`].
pub(crate) fn length_classifier() -> Arc<dyn Classifier> {
    Arc::new(LengthModel {
        info: info(),
        fails: false,
    })
}

/// A model of [`lengths`].
pub(crate) fn length_model() -> Arc<Served> {
    model(false)
}

/// A model that panics at the text `panic` and fails at `error`.
pub(crate) fn failing_model() -> Arc<Served> {
    model(true)
}

/// Loads [`length_classifier`] from any folder.
pub(crate) fn length_load() -> Load {
    Arc::new(|_: &Path| -> Result<Arc<dyn Classifier>, Error> { Ok(length_classifier()) })
}

/// Returns an app of one thread, which is not started, and of one model, which is not loaded.
pub(crate) fn app(load: Load, change: impl FnOnce(&mut Config)) -> Arc<App> {
    let mut config = Config {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        threads: 1,
        timeout: Duration::from_secs(10),
        max_queue: 10,
        ui: false,
        api_key: None,
        model_dir: Some(PathBuf::from("model")),
        model_bytes: 1 << 30,
        batch: None,
        collector: None,
    };
    change(&mut config);
    App::new(config, load, None)
}
