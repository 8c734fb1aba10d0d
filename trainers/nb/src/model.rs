//! The trained model: scores and explains texts.

mod files;

use std::path::Path;

use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use harness::Model;
use text::features::{LazyLookup, Lookup, NgramConfig, TermCounter, TermShape, Terms};

use crate::naive_bayes::{NaiveBayes, RowBuffers};

/// Naive Bayes on the terms of texts.
pub struct NbModel {
    pub(crate) classes: Vec<String>,
    /// In code point order.
    pub(crate) terms: Terms,
    pub(crate) words: WordConfig,
    pub(crate) naive_bayes: NaiveBayes,
    pub(crate) lookup: LazyLookup,
}

/// From texts to terms. Part of `config.json`.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct WordConfig {
    #[serde(flatten)]
    pub(crate) ngrams: NgramConfig,
    pub(crate) stop_words: Vec<String>,
}

/// Buffers of one prediction thread.
pub struct Scratch {
    counter: TermCounter,
    buffers: RowBuffers,
}

impl Model for NbModel {
    type Scratch = Scratch;

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn is_multi_label(&self) -> bool {
        self.naive_bayes.multi_label
    }

    fn save(&self, dir: &Path) -> Result<(), Error> {
        files::save(self, dir)
    }

    fn load(dir: &Path) -> Result<Self, Error> {
        files::load(dir)
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            counter: TermCounter::new(self.shape()),
            buffers: RowBuffers::default(),
        }
    }

    fn predict(&self, scratch: &mut Scratch, texts: &[&str]) -> Result<Scores, Error> {
        let classes = self.classes.len();
        let shape = self.shape();
        let lookup = self.lookup.for_batch(texts.len(), &self.terms, shape);
        let mut log_proba = vec![0.0; texts.len() * classes];
        for (text, output) in texts.iter().zip(log_proba.chunks_exact_mut(classes)) {
            self.count(lookup, &mut scratch.counter, text);
            let row = (scratch.counter.columns(), scratch.counter.counts());
            let buffers = &mut scratch.buffers;
            self.naive_bayes.predict_log_proba(row, buffers, output);
        }
        Ok(self.naive_bayes.scores(log_proba))
    }

    /// Returns the terms that raise the log likelihood of a class most above the mean of all
    /// classes: terms of a text, or all terms of the model.
    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error> {
        let Some(text) = text else {
            return self.strongest(top, usize::MAX);
        };
        let mut counter = self.scratch().counter;
        self.count(None, &mut counter, text);
        let (columns, mut values) = (counter.columns(), Vec::new());
        let features = &self.naive_bayes.features;
        features.weigh(columns, counter.counts(), &mut values);
        Ok(self.top_features(columns, &values, top, usize::MAX))
    }

    fn strongest(&self, top: usize, shown: usize) -> Result<Vec<ClassFeatures>, Error> {
        let columns: Vec<u32> = (0..self.terms.len() as u32).collect();
        // One occurrence, before normalisation.
        let values = &self.naive_bayes.features.scale;
        Ok(self.top_features(&columns, values, top, shown))
    }
}

impl NbModel {
    /// Returns how the terms of a text are found.
    fn shape(&self) -> TermShape<'_> {
        TermShape {
            stop_words: &self.words.stop_words,
            analyzer: &self.words.ngrams.analyzer,
            max_ngrams: self.words.ngrams.max_ngrams,
            subwords: None,
        }
    }

    /// Counts the terms of the text.
    fn count(&self, lookup: Option<&Lookup>, counter: &mut TermCounter, text: &str) {
        counter.count(text, &self.terms, lookup, self.shape());
    }

    /// Returns the `top` terms of each class, of terms with these features. Classes from `shown` on
    /// have none.
    fn top_features(
        &self,
        columns: &[u32],
        values: &[f64],
        top: usize,
        shown: usize,
    ) -> Vec<ClassFeatures> {
        let classes = self.classes.len();
        let weights = |column: u32| {
            &self.naive_bayes.feature_log_prob[column as usize * classes..][..classes]
        };
        let multi_label = self.naive_bayes.multi_label;
        let mean = |column: u32| match multi_label {
            true => 0.0,
            false => weights(column).iter().sum::<f64>() / classes as f64,
        };
        let means: Vec<f64> = columns.iter().map(|&column| mean(column)).collect();
        let name = |term: u32| self.terms.get(term as usize).to_owned();
        let of_class = |(class, label): (usize, &String)| {
            if class >= shown {
                return ClassFeatures::none(label);
            }
            let terms = columns.iter().zip(values).zip(&means);
            let lift = |((&column, value), mean): ((&u32, &f64), &f64)| {
                (column, value * (weights(column)[class] - mean))
            };
            ClassFeatures::of_class(label, terms.map(lift).collect(), top, name)
        };
        self.classes.iter().enumerate().map(of_class).collect()
    }
}
