//! The trained model: scores and explains texts.

pub(crate) mod files;

use std::collections::HashMap;
use std::path::Path;

use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use harness::Model;
use text::WordReader;
use text::features::{LazyLookup, Lookup, NgramConfig, Subwords, TermCounter, TermShape, Terms};

use crate::net::{Net, NetScratch};
use crate::rows::{Row, weigh};

/// A bag of embeddings of words and n-grams.
pub struct BagModel {
    pub(crate) classes: Vec<String>,
    /// True if a text may have several labels, or none.
    pub(crate) multi_label: bool,
    /// In code point order.
    pub(crate) terms: Terms,
    /// Settings by which the terms of a text are found.
    pub(crate) features: FeatureConfig,
    pub(crate) net: Net,
    pub(crate) lookup: LazyLookup,
}

/// Feature extraction: from texts to terms and buckets. Part of `config.json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct FeatureConfig {
    #[serde(flatten)]
    pub(crate) ngrams: NgramConfig,
    /// Character n-grams of words; their buckets follow the terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subwords: Option<Subwords>,
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

    fn is_multi_label(&self) -> bool {
        self.multi_label
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
            terms: Vec::new(),
            weights: Vec::new(),
            buffers: NetScratch::default(),
        }
    }

    fn predict(&self, scratch: &mut Scratch, texts: &[&str]) -> Result<Scores, Error> {
        let shape = self.shape();
        let lookup = self.lookup.for_batch(texts.len(), &self.terms, shape);
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
        let classes = self.classes.len();
        Ok(Scores::from_logits(logits, classes, self.multi_label))
    }

    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error> {
        Ok(self.explain_classes(text, top, usize::MAX))
    }

    fn strongest(&self, top: usize, shown: usize) -> Result<Vec<ClassFeatures>, Error> {
        Ok(self.explain_classes(None, top, shown))
    }
}

impl BagModel {
    /// Returns the terms that raise the logit of a class most above the mean of all classes (if a text
    /// has one of them): terms of a text, or all terms of the model. Classes from `shown` on have none.
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
        let subwords = self.subwords_of(text);
        let name = |term: u32| match term.checked_sub(self.terms.len() as u32) {
            None => self.terms.get(term as usize).to_owned(),
            Some(bucket) => subwords.get(&bucket).cloned().unwrap_or_default(),
        };
        let names = self.classes.iter().enumerate();
        names
            .map(|(class, label)| match class < shown {
                true => self.top_features(class, row, top, name),
                false => ClassFeatures::none(label),
            })
            .collect()
    }

    /// Returns a character n-gram of the text for each bucket: the first one.
    fn subwords_of(&self, text: Option<&str>) -> HashMap<u32, String> {
        let mut of_bucket = HashMap::new();
        if let (Some(text), Some(subwords)) = (text, self.features.subwords) {
            WordReader::new(&self.features.ngrams.analyzer).each(text, |word| {
                subwords.each(word, |ngram, bucket| {
                    of_bucket.entry(bucket).or_insert_with(|| ngram.to_owned());
                });
            });
        }
        of_bucket
    }

    /// Returns how the terms of a text are found.
    fn shape(&self) -> TermShape<'_> {
        TermShape {
            stop_words: &[],
            analyzer: &self.features.ngrams.analyzer,
            max_ngrams: self.features.ngrams.max_ngrams,
            subwords: self.features.subwords,
        }
    }

    /// Writes the terms of the text and their weights to `scratch`.
    fn count_terms(&self, lookup: Option<&Lookup>, scratch: &mut Scratch, text: &str) {
        let Scratch {
            counter,
            terms,
            weights,
            ..
        } = scratch;
        counter.count(text, &self.terms, lookup, self.shape());
        terms.clear();
        terms.extend_from_slice(counter.columns());
        weights.clear();
        weights.extend_from_slice(counter.counts());
        weigh(weights);
    }

    fn top_features(
        &self,
        class: usize,
        row: Row<'_>,
        top: usize,
        name: impl Fn(u32) -> String,
    ) -> ClassFeatures {
        let classes = self.classes.len();
        let mut weight: Vec<f64> = self
            .net
            .weight(class)
            .iter()
            .map(|&value| value.into())
            .collect();
        let others = if self.multi_label { 0 } else { classes };
        for other in 0..others {
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
        ClassFeatures::of_class(&self.classes[class], lifts.collect(), top, name)
    }
}
