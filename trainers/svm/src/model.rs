//! The trained model: scores and explains texts.

pub(crate) mod files;

use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use harness::Model;

use crate::calibrate::Platt;
use crate::kernel::KernelSvm;
use crate::one_vs_rest::{outputs, positive_class};
use crate::params::Weighting;
use crate::tf_idf::{TermFrequency, weigh};
use crate::weights::OutputWeights;
use text::features::{LazyLookup, Lookup, NgramConfig, TermCounter, TermShape, Terms};

/// A tf-idf SVM. Two classes have one output, more classes one output per class.
pub struct SvmModel {
    pub(crate) classes: Vec<String>,
    /// True if a text may have several labels, or none: then each class has an output.
    pub(crate) multi_label: bool,
    /// In code point order.
    pub(crate) terms: Terms,
    pub(crate) features: FeatureConfig,
    /// Factor of each term's frequency, before the row is normalised to length 1. Shape:
    /// (1 or outputs, terms).
    pub(crate) scale: Vec<Vec<f32>>,
    pub(crate) classifier: Classifier,
    /// One sigmoid per output; empty if the model is not calibrated.
    pub(crate) platt: Vec<Platt>,
    pub(crate) lookup: LazyLookup,
}

/// Feature extraction: from texts to term counts to features. Part of `config.json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct FeatureConfig {
    #[serde(flatten)]
    pub(crate) ngrams: NgramConfig,
    pub(crate) stop_words: Vec<String>,
    pub(crate) term_frequency: TermFrequency,
    pub(crate) weighting: Weighting,
}

/// Decision function of the model.
pub(crate) enum Classifier {
    Linear {
        /// Shape: (outputs, terms).
        coefficients: Vec<OutputWeights>,
        /// Shape: (outputs).
        intercepts: Vec<f32>,
    },
    Kernel(KernelSvm),
}

impl Classifier {
    /// Refuses weights with which the scores of every text would be NaN.
    pub(crate) fn check_finite(&self, classes: &[String]) -> Result<(), Error> {
        // `kernel::fit` checks the solutions of linfa-svm.
        let Self::Linear {
            coefficients,
            intercepts,
        } = self
        else {
            return Ok(());
        };
        let not_finite = |(coefficients, intercept): (&OutputWeights, &f32)| {
            !intercept.is_finite() || !coefficients.is_finite()
        };
        let Some(output) = coefficients.iter().zip(intercepts).position(not_finite) else {
            return Ok(());
        };
        let class = &classes[positive_class(coefficients.len(), output)];
        Err(Error::new(format!(
            "expected finite weights for the class `{class}`, found NaN or infinity"
        ))
        .help("lower --c (or raise --alpha), or choose another --loss"))
    }

    /// Selects terms: column `i` of the result is column `columns[i]` of `self`.
    pub(crate) fn select_columns(self, columns: &[u32]) -> Self {
        match self {
            Self::Linear {
                coefficients,
                intercepts,
            } => Self::Linear {
                coefficients: coefficients
                    .into_iter()
                    .map(|row| row.select(columns))
                    .collect(),
                intercepts,
            },
            Self::Kernel(svm) => Self::Kernel(svm.select_columns(columns)),
        }
    }
}

/// Returns `values[column]` for each of the columns.
pub(crate) fn select(values: &[f32], columns: &[u32]) -> Vec<f32> {
    columns
        .iter()
        .map(|&column| values[column as usize])
        .collect()
}

/// Buffers of one prediction thread.
pub struct Scratch {
    counter: TermCounter,
    values: Vec<f32>,
    decisions: Vec<f32>,
}

impl SvmModel {
    fn outputs(&self) -> usize {
        outputs(self.classes.len(), self.multi_label)
    }

    /// Returns how the terms of a text are found.
    fn shape(&self) -> TermShape<'_> {
        TermShape {
            stop_words: &self.features.stop_words,
            analyzer: &self.features.ngrams.analyzer,
            max_ngrams: self.features.ngrams.max_ngrams,
            subwords: None,
        }
    }

    /// Counts the terms of the text in `scratch`.
    fn count(&self, lookup: Option<&Lookup>, scratch: &mut Scratch, text: &str) {
        let shape = self.shape();
        scratch.counter.count(text, &self.terms, lookup, shape);
    }

    /// Writes the features of the counted text for `output` to `scratch.values`.
    fn features(&self, scratch: &mut Scratch, output: usize) {
        let scale = &self.scale[output.min(self.scale.len() - 1)];
        let Scratch {
            counter, values, ..
        } = scratch;
        values.clear();
        values.extend_from_slice(counter.counts());
        let tf = self.features.term_frequency;
        weigh(values, counter.columns(), scale, tf);
    }

    /// Writes the decision value of each output to `scratch.decisions`.
    fn decision_function(&self, lookup: Option<&Lookup>, scratch: &mut Scratch, text: &str) {
        self.count(lookup, scratch, text);
        scratch.decisions.clear();
        match &self.classifier {
            Classifier::Linear {
                coefficients,
                intercepts,
            } => {
                for (output, (coefficients, intercept)) in
                    coefficients.iter().zip(intercepts).enumerate()
                {
                    if output < self.scale.len() {
                        self.features(scratch, output);
                    }
                    let terms = scratch.counter.columns().iter().zip(&scratch.values);
                    let sum: f32 = match coefficients {
                        OutputWeights::Dense(weights) => terms
                            .map(|(&column, &value)| weights[column as usize] * value)
                            .sum(),
                        OutputWeights::Sparse { .. } => terms
                            .map(|(&column, &value)| coefficients.get(column) * value)
                            .sum(),
                    };
                    let decision = sum + intercept;
                    scratch.decisions.push(decision);
                }
            }
            Classifier::Kernel(svm) => {
                self.features(scratch, 0);
                let columns = scratch.counter.columns();
                svm.decision_function(columns, &scratch.values, &mut scratch.decisions);
            }
        }
    }

    /// Explains the first `shown` classes; the others have no features.
    fn explain_classes(
        &self,
        text: Option<&str>,
        top: usize,
        shown: usize,
    ) -> Result<Vec<ClassFeatures>, Error> {
        let Classifier::Linear { coefficients, .. } = &self.classifier else {
            return Err(Error::new(
                "expected a linear model, found one with a kernel, which has no term weights",
            )
            .help("train with --kernel linear to see the weights of the terms"));
        };
        let mut scratch = text.map(|text| {
            let mut scratch = self.scratch();
            self.count(None, &mut scratch, text);
            scratch
        });
        // One class after the other: the weights of many classes take gigabytes.
        let of_class = |class: usize| {
            if class >= shown {
                return ClassFeatures::none(&self.classes[class]);
            }
            let output = class.min(self.outputs() - 1);
            let weights = &coefficients[output];
            let pairs: Vec<(u32, f64)> = match &mut scratch {
                Some(scratch) => {
                    self.features(scratch, output);
                    let terms = scratch.counter.columns().iter().zip(&scratch.values);
                    terms
                        .map(|(&term, &value)| (term, f64::from(value * weights.get(term))))
                        .collect()
                }
                // One occurrence, before normalisation.
                None => {
                    let scale = &self.scale[output.min(self.scale.len() - 1)];
                    weights
                        .entries()
                        .map(|(term, weight)| (term, f64::from(weight * scale[term as usize])))
                        .collect()
                }
            };
            self.top_features(class, pairs, top)
        };
        Ok((0..self.classes.len()).map(of_class).collect())
    }

    /// Returns the `top` terms of a class from the (term, weight) pairs of its output.
    fn top_features(&self, class: usize, pairs: Vec<(u32, f64)>, top: usize) -> ClassFeatures {
        // The only output of two classes is positive for the second one.
        let sign = match (self.outputs(), class) {
            (1, 0) => -1.0,
            _ => 1.0,
        };
        let weights = pairs
            .into_iter()
            .map(|(term, weight)| (term, weight * sign));
        let name = |term: u32| self.terms.get(term as usize).to_owned();
        ClassFeatures::of_class(&self.classes[class], weights.collect(), top, name)
    }
}

/// Returns the scores of all classes from decision values of shape (rows, outputs).
pub(crate) fn scores(
    decisions: &[f32],
    (classes, multi_label): (usize, bool),
    platt: &[Platt],
) -> Scores {
    let outputs = outputs(classes, multi_label);
    let probabilities_of = match multi_label {
        true => Platt::independent,
        false => Platt::probabilities,
    };
    let size = decisions.len() / outputs * classes;
    let mut scores = Scores {
        classes,
        decision: Vec::with_capacity(size),
        ..Scores::default()
    };
    let mut probabilities = Vec::with_capacity(if platt.is_empty() { 0 } else { size });
    for row in decisions.chunks_exact(outputs) {
        if outputs == 1 {
            scores.decision.extend([-row[0], row[0]]);
        } else {
            scores.decision.extend(row);
        }
        if !platt.is_empty() {
            probabilities_of(platt, row, &mut probabilities);
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

    fn is_multi_label(&self) -> bool {
        self.multi_label
    }

    fn save(&self, dir: &std::path::Path) -> Result<(), Error> {
        files::save(self, dir)
    }

    fn load(dir: &std::path::Path) -> Result<Self, Error> {
        files::load(dir)
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            counter: TermCounter::new(self.shape()),
            values: Vec::new(),
            decisions: Vec::new(),
        }
    }

    fn predict(&self, scratch: &mut Scratch, texts: &[&str]) -> Result<Scores, Error> {
        let shape = self.shape();
        let lookup = self.lookup.for_batch(texts.len(), &self.terms, shape);
        let mut decisions = Vec::with_capacity(texts.len() * self.outputs());
        for text in texts {
            self.decision_function(lookup, scratch, text);
            decisions.extend_from_slice(&scratch.decisions);
        }
        let classes = (self.classes.len(), self.multi_label);
        Ok(scores(&decisions, classes, &self.platt))
    }

    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error> {
        self.explain_classes(text, top, usize::MAX)
    }

    fn strongest(&self, top: usize, shown: usize) -> Result<Vec<ClassFeatures>, Error> {
        self.explain_classes(None, top, shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_are_not_finite_are_an_error() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let classifier = |weight: f32, intercept: f32| Classifier::Linear {
            coefficients: [[0.0, 1.0], [1.0, weight], [1.0, 2.0]]
                .map(|row| OutputWeights::new(row.to_vec()))
                .to_vec(),
            intercepts: vec![0.0, 0.0, intercept],
        };
        assert!(classifier(1.0, 1.0).check_finite(&classes).is_ok());
        for (weight, intercept, class) in [(f32::NAN, 0.0, "`b`"), (0.0, f32::INFINITY, "`c`")] {
            let error = classifier(weight, intercept)
                .check_finite(&classes)
                .unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(class) && message.contains("help: lower --c"),
                "{message}"
            );
        }
    }
}
