//! The trained model: scores and explains texts.

pub(crate) mod files;

use std::path::Path;

use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use harness::Model;
use text::features::{LazyLookup, Lookup, TermCounter, TermShape, Terms};

use crate::net::{Net, NetScratch};
use crate::rows::{MIN_WORD_LENGTH, Row, weigh};

/// A bag of embeddings of words and n-grams.
pub struct BagModel {
    pub(crate) classes: Vec<String>,
    /// In code point order.
    pub(crate) terms: Terms,
    /// Maximum n-gram length, in words.
    pub(crate) max_ngrams: usize,
    pub(crate) net: Net,
    pub(crate) lookup: LazyLookup,
}

/// Buffers of one prediction thread.
pub struct Scratch {
    counter: TermCounter,
    terms: Vec<u32>,
    weights: Vec<f32>,
    buffers: NetScratch,
}

impl Model for BagModel {
    type Scratch = Scratch;

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn save(&self, dir: &Path) -> Result<(), Error> {
        files::save(self, dir)
    }

    fn load(dir: &Path) -> Result<Self, Error> {
        files::load(dir)
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            counter: TermCounter::new(self.terms.len(), MIN_WORD_LENGTH),
            terms: Vec::new(),
            weights: Vec::new(),
            buffers: NetScratch::default(),
        }
    }

    fn predict(&self, scratch: &mut Scratch, texts: &[&str]) -> Result<Scores, Error> {
        let lookup = self.lookup.for_batch(texts.len(), &self.terms, &[]);
        let mut logits = Vec::with_capacity(texts.len() * self.classes.len());
        for text in texts {
            self.count_terms(lookup, scratch, text);
            let row = Row {
                terms: &scratch.terms,
                weights: &scratch.weights,
            };
            self.net.forward(row, &mut scratch.buffers);
            logits.extend_from_slice(&scratch.buffers.outputs);
        }
        Ok(Scores::of_logits(logits, self.classes.len()))
    }

    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error> {
        Ok(self.explain_classes(text, top, usize::MAX))
    }

    fn strongest(&self, top: usize, shown: usize) -> Result<Vec<ClassFeatures>, Error> {
        Ok(self.explain_classes(None, top, shown))
    }
}

impl BagModel {
    /// Returns the terms that raise the logit of a class most above the mean of all classes: terms
    /// of a text, or all terms of the model. Classes from `shown` on have none.
    fn explain_classes(&self, text: Option<&str>, top: usize, shown: usize) -> Vec<ClassFeatures> {
        let mut scratch = self.scratch();
        match text {
            Some(text) => self.count_terms(None, &mut scratch, text),
            None => {
                scratch.terms = (0..self.terms.len() as u32).collect();
                scratch.weights = vec![1.0; self.terms.len()];
            }
        }
        let row = Row {
            terms: &scratch.terms,
            weights: &scratch.weights,
        };
        let names = self.classes.iter().enumerate();
        names
            .map(|(class, name)| match class < shown {
                true => self.top_features(class, row, top),
                false => ClassFeatures::none(name),
            })
            .collect()
    }

    /// Writes the terms of the text and their weights to `scratch`.
    fn count_terms(&self, lookup: Option<&Lookup>, scratch: &mut Scratch, text: &str) {
        let Scratch {
            counter,
            terms,
            weights,
            ..
        } = scratch;
        let shape = TermShape {
            stop_words: &[],
            min_word_length: MIN_WORD_LENGTH,
            max_ngrams: self.max_ngrams,
        };
        counter.count(text, &self.terms, lookup, shape);
        terms.clear();
        terms.extend_from_slice(counter.columns());
        weights.clear();
        weights.extend_from_slice(counter.counts());
        weigh(weights);
    }

    fn top_features(&self, class: usize, row: Row<'_>, top: usize) -> ClassFeatures {
        let classes = self.classes.len();
        let mut weight: Vec<f64> = self
            .net
            .weight(class)
            .iter()
            .map(|&value| value.into())
            .collect();
        for other in 0..classes {
            let others = self.net.weight(other).iter();
            weight
                .iter_mut()
                .zip(others)
                .for_each(|(value, other)| *value -= f64::from(*other) / classes as f64);
        }
        let lift = |term: u32| -> f64 {
            let embedding = self.net.embedding(term as usize);
            weight
                .iter()
                .zip(embedding)
                .map(|(weight, &value)| weight * f64::from(value))
                .sum()
        };
        let terms = row.terms.iter().zip(row.weights);
        let lifts = terms.map(|(&term, &weight)| (term, lift(term) * f64::from(weight)));
        let name = |term: u32| self.terms.get(term as usize).to_owned();
        ClassFeatures::of_class(&self.classes[class], lifts.collect(), top, name)
    }
}
