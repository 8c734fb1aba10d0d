//! The trained model: how it scores a text.

pub(crate) mod files;

use std::sync::OnceLock;

use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use harness::Model;

use crate::calibrate::Platt;
use crate::kernel::KernelMachine;
use crate::machines::outputs;
use crate::params::Weighting;
use crate::tf_idf::{TermFrequency, weigh};
use text::features::{Lookup, LookupScratch, Terms};

/// A tf-idf SVM. Terms are in code point order; there is one output for two classes, else one per class.
pub struct SvmModel {
    pub(crate) classes: Vec<String>,
    pub(crate) terms: Terms,
    pub(crate) recipe: Recipe,
    /// (1 or outputs, terms): what a term's frequency is multiplied with, before the row is brought to length 1.
    pub(crate) scale: Vec<Vec<f32>>,
    pub(crate) machine: TrainedMachine,
    /// One per output, or none.
    pub(crate) platt: Vec<Platt>,
    pub(crate) lookup: OnceLock<Lookup>,
}

/// So many texts are not worth a lookup table. measured: with 500,000 terms the table takes a hundred times as long as
/// one text.
const FEW: usize = 16;

/// How texts become term counts and term counts features.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Recipe {
    /// Longest n-gram, in words.
    pub(crate) max_ngrams: usize,
    /// Shortest word, in characters.
    pub(crate) min_word_length: u8,
    pub(crate) stop_words: Vec<String>,
    pub(crate) term_frequency: TermFrequency,
    pub(crate) weighting: Weighting,
}

/// What separates the classes.
pub(crate) enum TrainedMachine {
    Linear {
        /// (outputs, terms)
        coefficients: Vec<Vec<f32>>,
        /// (outputs)
        intercepts: Vec<f32>,
    },
    Kernel(KernelMachine),
}

/// What one predicting thread works in.
pub struct Scratch {
    lookup_scratch: LookupScratch,
    /// How often each term stands in the text at hand; all zero between texts.
    counts: Vec<f32>,
    columns: Vec<u32>,
    values: Vec<f32>,
    decisions: Vec<f32>,
}

impl SvmModel {
    fn outputs(&self) -> usize {
        outputs(self.classes.len())
    }

    fn lookup(&self) -> &Lookup {
        self.lookup
            .get_or_init(|| Lookup::new(&self.terms, &self.recipe.stop_words))
    }

    /// The text's terms and how often each stands in it. Without a `lookup` the terms themselves are searched.
    fn count(&self, lookup: Option<&Lookup>, scratch: &mut Scratch, text: &str) {
        let Scratch {
            lookup_scratch,
            counts,
            columns,
            ..
        } = scratch;
        columns.clear();
        let each = |column: u32| {
            let count = &mut counts[column as usize];
            if *count == 0.0 {
                columns.push(column);
            }
            *count += 1.0;
        };
        match lookup {
            Some(lookup) => lookup.columns(lookup_scratch, text, each),
            None => {
                let shape = (self.recipe.min_word_length, self.recipe.max_ngrams);
                self.terms
                    .columns(text, &self.recipe.stop_words, shape, each);
            }
        }
    }

    /// Leaves the features of the counted text, as `output` sees them, in `scratch.values`.
    fn features(&self, scratch: &mut Scratch, output: usize) {
        let scale = &self.scale[output.min(self.scale.len() - 1)];
        let Scratch {
            counts,
            columns,
            values,
            ..
        } = scratch;
        values.clear();
        values.extend(columns.iter().map(|&column| counts[column as usize]));
        weigh(values, columns, scale, self.recipe.term_frequency);
    }

    /// Leaves one decision per output in `scratch.decisions`.
    fn decide(&self, lookup: Option<&Lookup>, scratch: &mut Scratch, text: &str) {
        self.count(lookup, scratch, text);
        scratch.decisions.clear();
        match &self.machine {
            TrainedMachine::Linear {
                coefficients,
                intercepts,
            } => {
                for (output, (coefficients, intercept)) in
                    coefficients.iter().zip(intercepts).enumerate()
                {
                    if output < self.scale.len() {
                        self.features(scratch, output);
                    }
                    let decision = dot(coefficients, &scratch.columns, &scratch.values) + intercept;
                    scratch.decisions.push(decision);
                }
            }
            TrainedMachine::Kernel(machine) => {
                self.features(scratch, 0);
                machine.decide(&scratch.columns, &scratch.values, &mut scratch.decisions);
            }
        }
        for &column in &scratch.columns {
            scratch.counts[column as usize] = 0.0;
        }
    }

    /// What each term of the text adds to each output; for a linear machine.
    fn contributions(&self, text: &str) -> Option<Vec<Vec<(u32, f64)>>> {
        let TrainedMachine::Linear { coefficients, .. } = &self.machine else {
            return None;
        };
        let mut scratch = self.scratch();
        self.count(None, &mut scratch, text);
        let each = coefficients
            .iter()
            .enumerate()
            .map(|(output, coefficients)| {
                self.features(&mut scratch, output);
                let terms = scratch.columns.iter().zip(&scratch.values);
                terms
                    .map(|(&column, &value)| {
                        (column, f64::from(value * coefficients[column as usize]))
                    })
                    .collect()
            });
        Some(each.collect())
    }

    /// The weight of every term in each output, for one occurrence before the row is brought to length 1.
    fn term_weights(&self) -> Option<Vec<Vec<(u32, f64)>>> {
        let TrainedMachine::Linear { coefficients, .. } = &self.machine else {
            return None;
        };
        let each = coefficients
            .iter()
            .enumerate()
            .map(|(output, coefficients)| {
                let scale = &self.scale[output.min(self.scale.len() - 1)];
                let weights = coefficients.iter().zip(scale).zip(0..);
                weights
                    .map(|((&coefficient, &scale), column)| {
                        (column, f64::from(coefficient * scale))
                    })
                    .collect()
            });
        Some(each.collect())
    }

    /// The `top` strongest per class, from each output's (term, weight) pairs.
    fn strongest(&self, outputs: &[Vec<(u32, f64)>], top: usize) -> Vec<ClassFeatures> {
        let for_class = |class: usize| {
            // With two classes the only output speaks for the second one.
            let (output, sign) = if self.outputs() == 1 {
                (0, [-1.0, 1.0][class])
            } else {
                (class, 1.0)
            };
            let mut weights: Vec<(u32, f64)> = outputs[output]
                .iter()
                .map(|&(term, w)| (term, w * sign))
                .collect();
            weights.retain(|&(_, weight)| weight > 0.0);
            weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            weights.truncate(top);
            let named = weights
                .into_iter()
                .map(|(term, weight)| (self.terms.get(term as usize).to_owned(), weight));
            ClassFeatures {
                label: self.classes[class].clone(),
                features: named.collect(),
            }
        };
        (0..self.classes.len()).map(for_class).collect()
    }
}

/// A sparse row times a dense vector.
pub(crate) fn dot(weights: &[f32], columns: &[u32], values: &[f32]) -> f32 {
    columns
        .iter()
        .zip(values)
        .map(|(&column, &value)| weights[column as usize] * value)
        .sum()
}

/// One decision per output to the scores of all classes.
pub(crate) fn scores(decisions: &[f32], classes: usize, platt: &[Platt]) -> Scores {
    let outputs = outputs(classes);
    let mut scores = Scores {
        classes,
        ..Scores::default()
    };
    let mut probabilities = Vec::new();
    for row in decisions.chunks_exact(outputs) {
        if outputs == 1 {
            scores.decision.extend([-row[0], row[0]]);
        } else {
            scores.decision.extend(row);
        }
        if !platt.is_empty() {
            Platt::probabilities(platt, row, &mut probabilities);
        }
    }
    scores.probability = (!platt.is_empty()).then_some(probabilities);
    scores
}

impl Model for SvmModel {
    type Scratch = Scratch;

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn save(&self, dir: &std::path::Path) -> Result<(), Error> {
        files::save(self, dir)
    }

    fn load(dir: &std::path::Path) -> Result<Self, Error> {
        files::load(dir)
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            lookup_scratch: LookupScratch::new(self.recipe.min_word_length),
            counts: vec![0.0; self.terms.len()],
            columns: Vec::new(),
            values: Vec::new(),
            decisions: Vec::new(),
        }
    }

    fn predict(&self, scratch: &mut Scratch, texts: &[&str]) -> Result<Scores, Error> {
        let few = texts.len() <= FEW && self.lookup.get().is_none();
        let lookup = (!few).then(|| self.lookup());
        let mut decisions = Vec::with_capacity(texts.len() * self.outputs());
        for text in texts {
            self.decide(lookup, scratch, text);
            decisions.extend_from_slice(&scratch.decisions);
        }
        Ok(scores(&decisions, self.classes.len(), &self.platt))
    }

    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error> {
        let weights = match text {
            Some(text) => self.contributions(text),
            None => self.term_weights(),
        };
        let help = "train with --kernel linear to see which terms decide";
        let none = || {
            Error::new(
                "expected a linear model, found a kernel: its weights are not those of terms",
            )
            .help(help)
        };
        Ok(self.strongest(&weights.ok_or_else(none)?, top))
    }
}
