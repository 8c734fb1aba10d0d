//! Metrics of rows that may have several labels, and thresholds of decision values. Definitions
//! and edge cases are scikit-learn's, for indicator matrices.

use super::{ClassMetrics, Evaluation, MAX_CURVES, Scores, counts, ranking, wilson};

/// Metrics of rows that may have several labels, or none.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MultiLabelMetrics {
    /// F1 of all pairs of row and class.
    pub micro_f1: f64,
    /// Mean F1 of the rows; 0 for a row without labels and predictions.
    pub samples_f1: f64,
    /// Share of the pairs of row and class with a wrong prediction.
    pub hamming_loss: f64,
    /// Label ranking average precision: mean over the rows, and over their labels, of the share of
    /// true labels among those ranked as high. By probability, or without probabilities by
    /// decision value minus threshold.
    pub lrap: f64,
    /// Number of rows without labels.
    pub rows_without_labels: u64,
    /// Number of rows for which no label is predicted.
    pub rows_without_predictions: u64,
}

impl Scores {
    /// Takes logits, `(rows, classes)`, as decision values and their sigmoids as probabilities,
    /// which are independent.
    pub(super) fn of_independent_logits(logits: Vec<f32>, classes: usize) -> Self {
        let sigmoid = |&logit: &f32| (1.0 / (1.0 + f64::from(-logit).exp())) as f32;
        Self {
            classes,
            probability: Some(logits.iter().map(sigmoid).collect()),
            decision: logits,
        }
    }

    /// Returns the predicted classes of each row of independent scores, ascending: those with a
    /// positive decision value, as in scikit-learn's `OneVsRestClassifier`.
    pub fn sets(&self) -> impl Iterator<Item = Vec<u32>> {
        let positive = |row: &[f32]| {
            let classes = (0u32..).zip(row).filter(|(_, value)| **value > 0.0);
            classes.map(|(class, _)| class).collect()
        };
        self.decision
            .chunks_exact(self.classes.max(1))
            .map(positive)
    }

    /// Subtracts the threshold of each class from its decision values; nothing without thresholds.
    pub fn subtract(&mut self, thresholds: &[f32]) {
        if thresholds.is_empty() {
            return;
        }
        for row in self.decision.chunks_exact_mut(self.classes.max(1)) {
            for (value, threshold) in row.iter_mut().zip(thresholds) {
                *value -= threshold;
            }
        }
    }
}

/// Compares independent scores with the classes of each row, which are ascending.
///
/// # Panics
/// If the arrays have different lengths: a bug of the caller, never of the data.
pub fn evaluate(truth: &[&[u32]], names: &[String], scores: &Scores) -> Evaluation {
    let (rows, classes) = (truth.len(), names.len());
    assert_eq!(
        scores.decision.len(),
        rows * classes,
        "one row of scores per row"
    );
    let predicted: Vec<Vec<u32>> = scores.sets().collect();
    let mut per_class = per_class(truth, &predicted, names);
    let mut curves = Vec::new();
    for (class, metrics) in (0u32..).zip(&mut per_class) {
        let ranked = ranking::rank_rows(column(truth, scores, class), classes <= MAX_CURVES);
        metrics.roc_auc = ranked.roc_auc;
        metrics.average_precision = ranked.average_precision;
        curves.extend(ranked.curves);
    }
    let sum = |of: fn(&ClassMetrics) -> u64| per_class.iter().map(of).sum::<u64>();
    let named = sum(|class| class.support) + sum(|class| class.predicted);
    let (mut all_hits, mut samples, mut equal) = (0, 0.0, 0);
    for (of, found) in truth.iter().zip(&predicted) {
        let hits = common(of, found);
        all_hits += hits;
        samples += counts::share(2 * hits, (of.len() + found.len()) as u64);
        equal += u64::from(*of == found.as_slice());
    }
    let mean = |sum: f64| if rows == 0 { 0.0 } else { sum / rows as f64 };
    let without = predicted.iter().filter(|of| of.is_empty());
    let multi_label = MultiLabelMetrics {
        micro_f1: counts::share(2 * all_hits, named),
        samples_f1: mean(samples),
        hamming_loss: counts::share(named - 2 * all_hits, (rows * classes) as u64),
        lrap: mean(ranking_precision(truth, scores)),
        rows_without_labels: truth.iter().filter(|of| of.is_empty()).count() as u64,
        rows_without_predictions: without.count() as u64,
    };
    Evaluation {
        rows: rows as u64,
        accuracy: counts::share(equal, rows as u64),
        accuracy_interval: wilson(equal, rows as u64),
        macro_f1: counts::mean(per_class.iter().map(|class| class.f1)).unwrap_or(0.0),
        classes_without_rows: per_class.iter().filter(|c| c.support == 0).count() as u64,
        weighted_f1: counts::weighted_f1(&per_class),
        macro_roc_auc: counts::mean(per_class.iter().filter_map(|class| class.roc_auc)),
        log_loss: scores
            .probability
            .as_ref()
            .map(|p| binary_log_loss(truth, p, classes)),
        ece: None,
        per_class,
        confusion: Vec::new(),
        confused: Vec::new(),
        confused_left_out: 0,
        calibration: Vec::new(),
        curves,
        multi_label: Some(multi_label),
    }
}

/// Returns the decision value of a class for each row, and true if the row has the class.
fn column(truth: &[&[u32]], scores: &Scores, class: u32) -> impl Iterator<Item = (f32, bool)> {
    let values = scores.decision.iter().skip(class as usize);
    let values = values.step_by(scores.classes.max(1)).copied();
    values.zip(truth.iter().map(move |of| of.binary_search(&class).is_ok()))
}

/// Precision, recall and F1 per class; 0 for a division by zero.
fn per_class(truth: &[&[u32]], predicted: &[Vec<u32>], names: &[String]) -> Vec<ClassMetrics> {
    // Hits, rows and predictions of each class.
    let mut found = vec![[0u64; 3]; names.len()];
    for (of, predicted) in truth.iter().zip(predicted) {
        for &class in *of {
            found[class as usize][0] += u64::from(predicted.binary_search(&class).is_ok());
            found[class as usize][1] += 1;
        }
        for &class in predicted {
            found[class as usize][2] += 1;
        }
    }
    let metrics = names.iter().zip(found);
    metrics
        .map(|(name, found)| counts::class_metrics(name, found))
        .collect()
}

/// Returns the mean binary cross entropy of all pairs of row and class, in nats. As in
/// scikit-learn's `log_loss`, probabilities are at least the rounding error of their type.
fn binary_log_loss(truth: &[&[u32]], probability: &[f32], classes: usize) -> f64 {
    let of_row = |(of, row): (&&[u32], &[f32])| -> f64 {
        let losses = (0u32..).zip(row).map(|(class, &p)| {
            let of_truth = match of.binary_search(&class).is_ok() {
                true => p,
                false => 1.0 - p,
            };
            -f64::from(of_truth.clamp(f32::EPSILON, 1.0 - f32::EPSILON)).ln()
        });
        losses.sum()
    };
    let rows = truth.iter().zip(probability.chunks_exact(classes.max(1)));
    let sum: f64 = rows.map(of_row).sum();
    sum / probability.len().max(1) as f64
}

/// Number of classes in both sets, which are ascending.
fn common(a: &[u32], b: &[u32]) -> u64 {
    let both = a.iter().filter(|class| b.binary_search(class).is_ok());
    both.count() as u64
}

/// Returns the sum over the rows of the precision at the rank of each label, as
/// `label_ranking_average_precision_score`: 1 for a row with all classes or none. Ranked by
/// probability if there is one, since decision values of different classes may have other scales.
/// Decision values are ranked as they are: thresholds that were subtracted change the ranking.
fn ranking_precision(truth: &[&[u32]], scores: &Scores) -> f64 {
    let values = scores.probability.as_ref().unwrap_or(&scores.decision);
    let rows = truth.iter().zip(values.chunks_exact(scores.classes.max(1)));
    let precision = |(of, row): (&&[u32], &[f32])| {
        if of.is_empty() || of.len() == row.len() {
            return 1.0;
        }
        let at = |class: &u32| {
            let value = row[*class as usize];
            let true_above = of.iter().filter(|class| row[**class as usize] >= value);
            let above = row.iter().filter(|other| **other >= value);
            true_above.count() as f64 / above.count().max(1) as f64
        };
        of.iter().map(at).sum::<f64>() / of.len() as f64
    };
    rows.map(precision).sum()
}

/// Measure by which a threshold is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdMetric {
    /// Harmonic mean of precision and recall.
    F1,
    /// Share of right predictions.
    Accuracy,
    /// Mean of the recalls of both sides.
    BalancedAccuracy,
}

impl ThresholdMetric {
    /// Returns the measure for `hits` right of `predicted` positive predictions, and `positive` of
    /// `rows` rows.
    fn of(self, hits: usize, predicted: usize, positive: usize, rows: usize) -> f64 {
        let share = |part: usize, whole: usize| counts::share(part as u64, whole as u64);
        let rejected = rows + hits - positive - predicted;
        match self {
            Self::F1 => share(2 * hits, positive + predicted),
            Self::Accuracy => share(hits + rejected, rows),
            Self::BalancedAccuracy => {
                (share(hits, positive) + share(rejected, rows - positive)) / 2.0
            }
        }
    }
}

/// Returns the threshold of each class with the highest measure for these independent scores; 0 for
/// a class with rows on one side only.
pub fn thresholds(truth: &[&[u32]], scores: &Scores, metric: ThresholdMetric) -> Vec<f32> {
    let of_class = |class: u32| threshold(column(truth, scores, class).collect(), metric);
    (0..scores.classes as u32).map(of_class).collect()
}

/// Returns the thresholds of two exclusive classes: 0 for the first one, and that of the difference
/// of the decision values for the second one.
pub fn two_class_thresholds(labels: &[u32], scores: &Scores, metric: ThresholdMetric) -> Vec<f32> {
    let differences = scores.decision.chunks_exact(2).map(|row| row[1] - row[0]);
    let positive = labels.iter().map(|&label| label == 1);
    vec![0.0, threshold(differences.zip(positive).collect(), metric)]
}

/// Returns the threshold with the highest measure: a value is predicted as positive if it is above.
/// Of equally good ones that next to 0.
fn threshold(mut values: Vec<(f32, bool)>, metric: ThresholdMetric) -> f32 {
    values.retain(|(value, _)| value.is_finite());
    let rows = values.len();
    let positive = values.iter().filter(|(_, positive)| *positive).count();
    if positive == 0 || positive == rows {
        return 0.0;
    }
    values.sort_by(|a, b| b.0.total_cmp(&a.0));
    // Above all values nothing is predicted as positive.
    let none = (metric.of(0, 0, positive, rows), values[0].0.max(0.0));
    let (mut best, mut hits) = (none, 0);
    for (at, (value, is_positive)) in values.iter().enumerate() {
        hits += usize::from(*is_positive);
        let next = values.get(at + 1).map(|(next, _)| *next);
        if next == Some(*value) {
            continue;
        }
        let below = match next {
            // The middle, which rounding must not move up to the value.
            Some(next) => Some(next + (*value - next) / 2.0)
                .filter(|middle| middle.is_finite() && middle < value)
                .unwrap_or(next),
            None => value.next_down(),
        };
        let measure = metric.of(hits, at + 1, positive, rows);
        if measure > best.0 || (measure == best.0 && below.abs() < best.1.abs()) {
            best = (measure, below);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use dataset::random::Random;

    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-9,
            "found {found}, scikit-learn has {expected}"
        );
    }

    fn names() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    const TRUTH: [&[u32]; 5] = [&[0, 1], &[], &[1], &[2], &[0, 1, 2]];

    #[rustfmt::skip]
    const DECISION: [f32; 15] = [
        0.5, -0.25, -1.0,   -0.5, -0.5, -0.5,   0.25, 0.25, -2.0,
        -1.0, 0.5, 0.75,   1.0, 2.0, -0.5,
    ];

    fn scores() -> Scores {
        Scores {
            classes: 3,
            decision: DECISION.to_vec(),
            probability: None,
        }
    }

    /// ```python
    /// Y = np.array([[1,1,0],[0,0,0],[0,1,0],[0,0,1],[1,1,1]])
    /// D = np.array([[.5,-.25,-1],[-.5,-.5,-.5],[.25,.25,-2],[-1,.5,.75],[1,2,-.5]])
    /// P = (D > 0).astype(int)
    /// for a in ["micro", "macro", "weighted", "samples"]:
    ///     print(f1_score(Y, P, average=a, zero_division=0))
    /// print(hamming_loss(Y, P), accuracy_score(Y, P),
    ///     label_ranking_average_precision_score(Y, D))
    /// print(precision_recall_fscore_support(Y, P, zero_division=0))
    /// for k in range(3):
    ///     print(roc_auc_score(Y[:, k], D[:, k]), average_precision_score(Y[:, k], D[:, k]))
    /// ```
    #[test]
    fn metrics_are_those_of_scikit_learn() {
        let found = evaluate(&TRUTH, &names(), &scores());
        let multi = found.multi_label.unwrap();
        close(multi.micro_f1, 0.7142857142857143);
        close(found.macro_f1, 0.7111111111111111);
        close(found.weighted_f1, 0.7047619047619048);
        close(multi.samples_f1, 0.56);
        close(multi.hamming_loss, 0.26666666666666666);
        close(found.accuracy, 0.2);
        close(multi.lrap, 0.9);
        assert_eq!(
            (multi.rows_without_labels, multi.rows_without_predictions),
            (1, 1)
        );
        assert!(found.most_frequent().is_none());
        let expected = [
            (2.0 / 3.0, 1.0, 0.8, 2, 1.0, 1.0),
            (
                2.0 / 3.0,
                2.0 / 3.0,
                2.0 / 3.0,
                3,
                0.6666666666666666,
                0.8055555555555556,
            ),
            (
                1.0,
                0.5,
                2.0 / 3.0,
                2,
                0.9166666666666667,
                0.8333333333333333,
            ),
        ];
        for (class, expected) in found.per_class.iter().zip(expected) {
            let (precision, recall, f1, support, auc, ap) = expected;
            close(class.precision, precision);
            close(class.recall, recall);
            close(class.f1, f1);
            assert_eq!(class.support, support);
            close(class.roc_auc.unwrap(), auc);
            close(class.average_precision.unwrap(), ap);
        }
    }

    #[test]
    fn independent_sigmoids_keep_the_ranking() {
        let scores = Scores::of_independent_logits(DECISION.to_vec(), 3);
        let probability = scores.probability.as_ref().unwrap();
        assert!((probability[0] - 0.622_46).abs() < 1e-5, "{probability:?}");
        let found = evaluate(&TRUTH, &names(), &scores);
        close(found.multi_label.unwrap().lrap, 0.9);
        // The mean of `log_loss(Y[:, k], 1 / (1 + np.exp(-D[:, k])))` of the classes.
        let log_loss = found.log_loss.unwrap();
        assert!((log_loss - 0.510_186_150_4).abs() < 1e-6, "{log_loss}");
    }

    #[test]
    fn no_rows_have_no_metrics() {
        let scores = Scores {
            classes: 3,
            ..Scores::default()
        };
        let found = evaluate(&[], &names(), &scores);
        assert_eq!((found.rows, found.accuracy, found.macro_f1), (0, 0.0, 0.0));
    }

    /// By hand: all eight cuts of seven rows. Nothing predicted has the highest accuracy, 5/7, all
    /// rows the highest F1, 4/9, and the three highest values the highest balanced accuracy, 0.55.
    #[test]
    fn thresholds_have_the_highest_measure() {
        let values = [4.0f32, 3.0, 2.0, 1.0, -1.0, -2.0, -3.0];
        let positive = [false, false, true, false, false, false, true];
        let rows = || values.into_iter().zip(positive).collect();
        assert_eq!(threshold(rows(), ThresholdMetric::Accuracy), 4.0);
        assert_eq!(
            threshold(rows(), ThresholdMetric::F1),
            (-3.0f32).next_down()
        );
        assert_eq!(threshold(rows(), ThresholdMetric::BalancedAccuracy), 1.5);
        // Of the thresholds above all values that next to 0.
        let rows_below_0 = vec![(-1.0, false), (-2.0, true), (-3.0, false)];
        assert_eq!(threshold(rows_below_0, ThresholdMetric::Accuracy), 0.0);
        let one_side = values.into_iter().map(|value| (value, true)).collect();
        assert_eq!(threshold(one_side, ThresholdMetric::F1), 0.0);
        // Equal values are on one side; the highest F1 has the cut below all.
        let rows = vec![(1.0, true), (1.0, false), (1.0, true), (0.5, true)];
        let found = threshold(rows, ThresholdMetric::F1);
        assert!(found < 0.5 && found > 0.49, "{found}");
        // The middle of neighbours is not above the lower one.
        let rows = vec![(1.0f32.next_up(), true), (1.0, false)];
        assert_eq!(threshold(rows, ThresholdMetric::F1), 1.0);
    }

    /// Each measure by its definition.
    fn measure(metric: ThresholdMetric, rows: &[(f32, bool)], threshold: f32) -> f64 {
        let count = |predicted: bool, positive: bool| {
            let is = |row: &&(f32, bool)| (row.0 > threshold, row.1) == (predicted, positive);
            rows.iter().filter(is).count() as f64
        };
        let [tp, fp, wrong, tn] = [(true, true), (true, false), (false, true), (false, false)]
            .map(|(predicted, positive)| count(predicted, positive));
        match metric {
            ThresholdMetric::F1 => 2.0 * tp / (2.0 * tp + fp + wrong),
            ThresholdMetric::Accuracy => (tp + tn) / rows.len() as f64,
            ThresholdMetric::BalancedAccuracy => (tp / (tp + wrong) + tn / (tn + fp)) / 2.0,
        }
    }

    #[test]
    fn no_other_threshold_has_a_higher_measure() {
        let mut random = Random::new(17, &[]);
        for case in 0..300 {
            let share = 0.1 + 0.8 * random.uniform();
            let row = |_| {
                let value = (random.uniform() * 12.0).floor() as f32 / 4.0 - 1.5;
                (value, random.uniform() < share)
            };
            let rows: Vec<(f32, bool)> = (0..2 + case % 20).map(row).collect();
            if rows.iter().all(|row| row.1) || rows.iter().all(|row| !row.1) {
                continue;
            }
            for metric in [
                ThresholdMetric::F1,
                ThresholdMetric::Accuracy,
                ThresholdMetric::BalancedAccuracy,
            ] {
                let found = threshold(rows.clone(), metric);
                let all = rows.iter().map(|row| row.0).chain([-9.0]);
                let highest = all.map(|cut| measure(metric, &rows, cut));
                let highest = highest.fold(0.0, f64::max);
                let found_measure = measure(metric, &rows, found);
                assert!(
                    (found_measure - highest).abs() < 1e-12,
                    "{metric:?}: {found} has {found_measure}, not {highest}: {rows:?}"
                );
            }
        }
    }

    #[test]
    fn subtracted_thresholds_are_the_boundary() {
        let mut scores = scores();
        let thresholds = thresholds(&TRUTH, &scores, ThresholdMetric::F1);
        scores.subtract(&thresholds);
        let found = evaluate(&TRUTH, &names(), &scores);
        // The highest F1 of scikit-learn's `precision_recall_curve` for each class.
        let f1: Vec<f64> = found.per_class.iter().map(|class| class.f1).collect();
        for (found, expected) in f1.into_iter().zip([1.0, 0.8571428571428571, 0.8]) {
            close(found, expected);
        }
        let unchanged = DECISION.to_vec();
        let mut two = Scores {
            classes: 2,
            decision: vec![-1.0, 1.0, 0.5, -0.5, 0.25, -0.25],
            probability: None,
        };
        let chosen = two_class_thresholds(&[1, 1, 0], &two, ThresholdMetric::F1);
        two.subtract(&chosen);
        // F1 1 is not possible: 0.8 with all rows, 2/3 with the first one.
        assert_eq!(two.predictions(), [1, 1, 1]);
        scores.decision.clone_from(&unchanged);
        scores.subtract(&[]);
        assert_eq!(scores.decision, unchanged);
    }
}
