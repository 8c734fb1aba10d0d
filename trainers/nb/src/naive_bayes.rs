//! The classifier: sums of features per class, and their logarithms.

use dataset::RowTable;
use evaluation::metrics::Scores;
use text::features::CsrPattern;

use crate::features::Features;
use crate::params::{EventModel, NbParams};

/// Term counts of all rows, and their classes.
#[derive(Clone, Copy)]
pub(crate) struct LabelledRows<'a> {
    pub(crate) pattern: &'a CsrPattern,
    /// Counts, parallel to the pattern's columns.
    pub(crate) counts: &'a [f32],
    /// Classes and weights of the rows.
    pub(crate) table: &'a RowTable,
}

impl<'a> LabelledRows<'a> {
    fn classes(&self) -> usize {
        self.table.classes.len()
    }

    /// Returns the columns and counts of a row.
    fn row(&self, row: u32) -> (&'a [u32], &'a [f32]) {
        let range = self.pattern.range(row as usize);
        (&self.pattern.columns[range.clone()], &self.counts[range])
    }
}

/// A naive Bayes classifier.
pub(crate) struct NaiveBayes {
    pub(crate) features: Features,
    /// Weight of each term in each class, `feature_log_prob_` of scikit-learn. Shape: (terms,
    /// classes), so that the weights of a term are adjacent.
    pub(crate) feature_log_prob: Vec<f64>,
    /// Log of the prior of each class; 0 with [`EventModel::Complement`]. Shape: (classes).
    pub(crate) class_log_prior: Vec<f64>,
    /// Divisor of the joint log likelihood; 1 if the model is not calibrated.
    pub(crate) temperature: f64,
    /// True if rows may have several classes, or none: then weights and priors are differences
    /// between the class and all other rows, and the joint log likelihood is the logit of a class.
    pub(crate) multi_label: bool,
}

/// Sums of the features of rows that may have several classes, times the weights of the rows.
struct SetSums {
    /// Of the rows of each class. Shape: (terms, classes).
    own: Vec<f64>,
    /// Of all rows. Shape: (terms).
    all: Vec<f64>,
    /// Weights of the rows of each class, and of all rows: equal if all rows have the class, since
    /// they are added in the same order.
    sizes: Vec<f64>,
    total: f64,
}

impl SetSums {
    fn new(data: LabelledRows<'_>, train: &[u32], features: &Features) -> Self {
        let (classes, width) = (data.classes(), data.pattern.width);
        let mut sums = Self {
            own: vec![0.0; width * classes],
            all: vec![0.0; width],
            sizes: vec![0.0; classes],
            total: 0.0,
        };
        let mut values = Vec::new();
        for &row in train {
            let (columns, counts) = data.row(row);
            features.weigh(columns, counts, &mut values);
            let set = data.table.classes_of(row);
            let weight = data.table.weight(row);
            sums.total += weight;
            set.iter()
                .for_each(|&class| sums.sizes[class as usize] += weight);
            for (&column, value) in columns.iter().zip(&values) {
                sums.all[column as usize] += weight * value;
                for &class in set {
                    sums.own[column as usize * classes + class as usize] += weight * value;
                }
            }
        }
        sums
    }
}

/// Buffers of one prediction thread.
#[derive(Default)]
pub(crate) struct RowBuffers {
    /// Features of the terms of a row.
    values: Vec<f64>,
    /// Joint log likelihood of each class.
    joint: Vec<f64>,
}

impl NaiveBayes {
    /// Trains on the rows `train`, in one pass.
    pub(crate) fn fit(data: LabelledRows<'_>, train: &[u32], params: &NbParams) -> Self {
        let classes = data.classes();
        let features = Features::fit(data.pattern, train, params);
        if data.table.label_sets.is_some() {
            return Self::fit_sets(data, train, features, params);
        }
        let mut sizes = vec![0.0; classes];
        for &row in train {
            sizes[data.table.labels[row as usize] as usize] += data.table.weight(row);
        }
        let rows: f64 = sizes.iter().sum();
        let all = (rows, classes);
        let weight = |(class, &size): (usize, &f64)| params.class_weight.weight(class, size, all);
        let weights: Vec<f64> = sizes.iter().enumerate().map(weight).collect();
        let mut sums = vec![0.0; data.pattern.width * classes];
        let mut values = Vec::new();
        for &row in train {
            let (columns, counts) = data.row(row);
            features.weigh(columns, counts, &mut values);
            let class = data.table.labels[row as usize] as usize;
            let weight = weights[class] * data.table.weight(row);
            for (&column, value) in columns.iter().zip(&values) {
                sums[column as usize * classes + class] += weight * value;
            }
        }
        let class_log_prior = match params.event_model {
            EventModel::Multinomial { fit_prior: true } => {
                let masses = weights.iter().zip(&sizes);
                let masses: Vec<f64> = masses.map(|(weight, size)| weight * size).collect();
                let total: f64 = masses.iter().sum();
                masses.iter().map(|mass| mass.ln() - total.ln()).collect()
            }
            EventModel::Multinomial { fit_prior: false } => vec![-(classes as f64).ln(); classes],
            EventModel::Complement { .. } => vec![0.0; classes],
        };
        let kept = |term: usize| features.scale[term] > 0.0;
        match params.event_model {
            EventModel::Multinomial { .. } => {
                log_shares(&mut sums, classes, params.alpha, kept);
            }
            EventModel::Complement { norm } => {
                complement(&mut sums, classes, params.alpha);
                let totals = log_shares(&mut sums, classes, 0.0, kept);
                for term in sums.chunks_exact_mut(classes) {
                    for (value, total) in term.iter_mut().zip(&totals) {
                        // A single term has the share 1, whose log is 0.
                        let divisor = if norm && *total < 0.0 { *total } else { -1.0 };
                        *value /= divisor;
                    }
                }
            }
        }
        Self {
            features,
            feature_log_prob: sums,
            class_log_prior,
            temperature: 1.0,
            multi_label: false,
        }
    }

    /// Trains one classifier of two classes per class, as `OneVsRestClassifier` does: the rows of
    /// the class, and all others. A class that all rows have, or none, gets a constant score.
    fn fit_sets(
        data: LabelledRows<'_>,
        train: &[u32],
        features: Features,
        params: &NbParams,
    ) -> Self {
        let classes = data.classes();
        let SetSums {
            mut own,
            all,
            sizes,
            total,
        } = SetSums::new(data, train, &features);
        let side_weights =
            |(class, &size): (usize, &f64)| params.class_weight.side_weights(class, size, total);
        let weights: Vec<[f64; 2]> = sizes.iter().enumerate().map(side_weights).collect();
        let mut rest = vec![0.0; own.len()];
        let terms = own.chunks_exact_mut(classes);
        for ((own, rest), all) in terms.zip(rest.chunks_exact_mut(classes)).zip(&all) {
            for ((own, rest), weights) in own.iter_mut().zip(rest).zip(&weights) {
                // A rounding error may be below 0.
                *rest = weights[1] * (all - *own).max(0.0);
                *own *= weights[0];
            }
        }
        let kept = |term: usize| features.scale[term] > 0.0;
        let own_sums = log_shares(&mut own, classes, params.alpha, kept);
        let rest_sums = log_shares(&mut rest, classes, params.alpha, kept);
        let norm = params.event_model == EventModel::Complement { norm: true };
        // Complement naive Bayes negates the logs: divided by their sums, these have the other sign.
        let divisor = |sum: f64| if norm && sum < 0.0 { -sum } else { 1.0 };
        // `OneVsRestClassifier` predicts the only side of a class without looking at the text.
        let has_both = |class: usize| sizes[class] > 0.0 && sizes[class] < total;
        let terms = own.chunks_exact_mut(classes);
        for (own, rest) in terms.zip(rest.chunks_exact(classes)) {
            for (class, (own, rest)) in own.iter_mut().zip(rest).enumerate() {
                *own = match has_both(class) {
                    true => *own / divisor(own_sums[class]) - rest / divisor(rest_sums[class]),
                    false => 0.0,
                };
            }
        }
        let prior = |(class, [own, rest]): (usize, &[f64; 2])| {
            let size = sizes[class];
            // The odds of n + 1 to 1 of Laplace's rule of succession.
            let sure = (train.len() as f64 + 1.0).ln();
            match params.event_model {
                _ if !has_both(class) && size > 0.0 => sure,
                _ if !has_both(class) => -sure,
                EventModel::Multinomial { fit_prior: true } => {
                    (own * size).ln() - (rest * (total - size)).ln()
                }
                _ => 0.0,
            }
        };
        Self {
            feature_log_prob: own,
            class_log_prior: weights.iter().enumerate().map(prior).collect(),
            temperature: 1.0,
            multi_label: true,
            features,
        }
    }

    /// Returns the scores of classes from what [`Self::predict_log_proba`] writes.
    pub(crate) fn scores(&self, log_proba: Vec<f32>) -> Scores {
        let classes = self.class_log_prior.len();
        Scores::from_logits(log_proba, classes, self.multi_label)
    }

    /// Writes the log of the probability of each class to `output`, for a row with these counts; of
    /// independent classes the logit.
    pub(crate) fn predict_log_proba(
        &self,
        (columns, counts): (&[u32], &[f32]),
        buffers: &mut RowBuffers,
        output: &mut [f32],
    ) {
        let RowBuffers { values, joint } = buffers;
        let classes = self.class_log_prior.len();
        self.features.weigh(columns, counts, values);
        joint.clone_from(&self.class_log_prior);
        for (&column, value) in columns.iter().zip(values.iter()) {
            let weights = &self.feature_log_prob[column as usize * classes..][..classes];
            for (joint, weight) in joint.iter_mut().zip(weights) {
                *joint += value * weight;
            }
        }
        if self.multi_label {
            for (output, joint) in output.iter_mut().zip(joint.iter()) {
                *output = (joint / self.temperature) as f32;
            }
            return;
        }
        let largest = joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Relative to the largest: the joint log likelihood of a long text is far from 0.
        let scaled = |joint: &f64| (joint - largest) / self.temperature;
        let log_sum = joint
            .iter()
            .map(|joint| scaled(joint).exp())
            .sum::<f64>()
            .ln();
        for (output, joint) in output.iter_mut().zip(joint.iter()) {
            *output = (scaled(joint) - log_sum) as f32;
        }
    }

    /// Scores rows, on up to `threads` threads.
    pub(crate) fn score(&self, data: LabelledRows<'_>, rows: &[u32], threads: usize) -> Scores {
        let classes = data.classes();
        let mut log_proba = vec![0.0; rows.len() * classes];
        let share = rows.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (rows, output) in rows
                .chunks(share)
                .zip(log_proba.chunks_mut(share * classes))
            {
                scope.spawn(move || {
                    let mut buffers = RowBuffers::default();
                    for (&row, output) in rows.iter().zip(output.chunks_exact_mut(classes)) {
                        self.predict_log_proba(data.row(row), &mut buffers, output);
                    }
                });
            }
        });
        self.scores(log_proba)
    }
}

/// Replaces the sums of each class by those of all other classes, smoothed. Shape: (terms,
/// classes).
fn complement(sums: &mut [f64], classes: usize, alpha: f64) {
    for term in sums.chunks_exact_mut(classes) {
        let all: f64 = term.iter().sum();
        for value in term {
            // A rounding error may be larger than a small alpha.
            *value = (all + alpha - *value).max(alpha);
        }
    }
}

/// Adds `alpha` and replaces each value by the log of its share of the sum of its class over the
/// terms that are `kept`. Shape: (terms, classes). Returns the sums of these logs per class.
fn log_shares(
    sums: &mut [f64],
    classes: usize,
    alpha: f64,
    kept: impl Fn(usize) -> bool,
) -> Vec<f64> {
    let mut totals = vec![0.0; classes];
    for (term, values) in sums.chunks_exact_mut(classes).enumerate() {
        for (value, total) in values.iter_mut().zip(&mut totals) {
            *value += alpha;
            *total += if kept(term) { *value } else { 0.0 };
        }
    }
    let mut logs = vec![0.0; classes];
    for (term, values) in sums.chunks_exact_mut(classes).enumerate() {
        for ((value, total), log) in values.iter_mut().zip(&totals).zip(&mut logs) {
            *value = value.ln() - total.ln();
            *log += if kept(term) { *value } else { 0.0 };
        }
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Manning, Raghavan and Schütze 2008, table 13.1, with three terms: Chinese, the
    /// words about Japan, all other words.
    #[test]
    fn log_shares_are_smoothed() {
        let mut sums = vec![5.0, 1.0, 0.0, 2.0, 3.0, 0.0];
        let logs = log_shares(&mut sums, 2, 1.0, |_| true);
        let expected = [
            6.0 / 11.0,
            2.0 / 6.0,
            1.0 / 11.0,
            3.0 / 6.0,
            4.0 / 11.0,
            1.0 / 6.0,
        ];
        for (found, expected) in sums.iter().zip(expected) {
            assert!((found.exp() - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert!((logs[1].exp() - 1.0 / 36.0).abs() < 1e-12);
    }

    /// A term of the validation rows alone is not part of the first model.
    #[test]
    fn other_terms_are_left_out_of_the_sum() {
        let mut sums = vec![3.0, 1.0, 0.0, 0.0];
        log_shares(&mut sums, 2, 1.0, |term| term == 0);
        assert_eq!(sums[..2], [0.0, 0.0]);
    }

    #[test]
    fn complement_has_the_sums_of_the_other_classes() {
        let mut sums = vec![4.0, 1.0, 0.0];
        complement(&mut sums, 3, 0.5);
        assert_eq!(sums, [1.5, 4.5, 5.5]);
    }
}
