//! The metrics of `metrics.json` and the report.
//!
//! Definitions and edge cases are scikit-learn's; the tests quote the snippets that computed the
//! expected numbers.

mod calibration;
mod comparison;
mod counts;
mod curve;
pub mod multilabel;
mod ranking;
#[cfg(test)]
mod tests;

use dataset::LabelSets;

pub use calibration::Bin;
pub use comparison::Comparison;
pub use counts::wilson;
pub(crate) use curve::thin;

/// The scores of a model for a set of rows.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// Number of classes, the width of both arrays.
    pub classes: usize,
    /// `(rows, classes)`, row-major. For two classes both columns are present: `[-d, d]`.
    pub decision: Vec<f32>,
    /// `(rows, classes)`, row-major, each row sums to 1 unless rows may have several classes;
    /// absent when the model is not calibrated.
    pub probability: Option<Vec<f32>>,
}

impl Scores {
    /// Takes logits, `(rows, classes)`, as decision values; as probabilities their sigmoids if rows
    /// may have several classes, else their softmax.
    pub fn from_logits(logits: Vec<f32>, classes: usize, multi_label: bool) -> Self {
        match multi_label {
            true => Self::of_independent_logits(logits, classes),
            false => Self::of_logits(logits, classes),
        }
    }

    /// Takes logits, `(rows, classes)`, as decision values and their softmax as probabilities.
    pub fn of_logits(logits: Vec<f32>, classes: usize) -> Self {
        let mut probability = Vec::with_capacity(logits.len());
        for row in logits.chunks_exact(classes) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let shares = row.iter().map(|&logit| f64::from(logit - largest).exp());
            let sum: f64 = shares.clone().sum();
            probability.extend(shares.map(|share| (share / sum) as f32));
        }
        Self {
            classes,
            decision: logits,
            probability: Some(probability),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.decision.len().checked_div(self.classes).unwrap_or(0)
    }

    /// Returns the predicted class of each row: the largest decision value, as in scikit-learn; the
    /// first of equal ones. NaN is never the largest.
    ///
    /// Calibration does not change it: sigmoids fitted per class on few rows move the boundary, and
    /// undo class weights. Neither is always more accurate: `svm` on AG News has 0.8756 by decision
    /// values and 0.8775 by probabilities.
    pub fn predictions(&self) -> Vec<u32> {
        largest(&self.decision, self.classes)
    }
}

/// Returns the column of the largest value of each row of `classes` values.
fn largest(values: &[f32], classes: usize) -> Vec<u32> {
    values.chunks_exact(classes.max(1)).map(argmax).collect()
}

/// Returns the index of the largest value; the first of equal ones.
fn argmax(row: &[f32]) -> u32 {
    let mut best = 0;
    let mut largest = f32::NEG_INFINITY;
    for (class, &value) in (0u32..).zip(row) {
        if value > largest {
            (best, largest) = (class, value);
        }
    }
    best
}

/// The quality of a model on one set of rows.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// Number of rows.
    pub rows: u64,
    /// Share of rows with the right prediction; 0 without rows.
    pub accuracy: f64,
    /// 95 % Wilson score interval of the accuracy.
    pub accuracy_interval: (f64, f64),
    /// Mean F1 of the classes that are in the labels or in the predictions.
    pub macro_f1: f64,
    /// Number of classes without rows: no metric measures how well the model finds them.
    pub classes_without_rows: u64,
    /// Mean F1 of the classes, weighted by their rows.
    pub weighted_f1: f64,
    /// Mean of the classes' areas under the ROC curve (one against the rest).
    pub macro_roc_auc: Option<f64>,
    /// Cross-entropy of the probabilities, in nats.
    pub log_loss: Option<f64>,
    /// Expected calibration error of the most probable class, 15 equal bins (Guo et al. 2017).
    pub ece: Option<f64>,
    /// One entry per class, in the order of the class numbers.
    pub per_class: Vec<ClassMetrics>,
    /// Rows by `[true class][predicted class]`; empty above [`MAX_CONFUSION`] classes.
    pub confusion: Vec<Vec<u64>>,
    /// The most frequent errors, at most [`MAX_CONFUSED`].
    pub confused: Vec<ConfusedPair>,
    /// Number of less frequent pairs of classes with errors.
    pub confused_left_out: u64,
    /// Bins of the calibration plot; empty without probabilities.
    pub calibration: Vec<Bin>,
    /// One entry per class, or none above [`MAX_CURVES`] classes. Too long for `metrics.json`.
    #[serde(skip)]
    pub curves: Vec<ClassCurves>,
    /// Present if rows may have several labels: `accuracy` is that of whole sets, and `confusion`,
    /// `confused` and `calibration` are empty.
    #[serde(flatten)]
    pub multi_label: Option<multilabel::MultiLabelMetrics>,
}

impl Evaluation {
    /// Returns the name of the accuracy: if rows may have several labels, it is that of whole sets.
    pub fn accuracy_name(&self) -> &'static str {
        match self.multi_label {
            None => "accuracy",
            Some(_) => "subset accuracy",
        }
    }

    /// Returns the most frequent class and its share of the rows: the accuracy of always predicting
    /// it, as `DummyClassifier(strategy="most_frequent")`. `None` if rows may have several labels.
    pub fn most_frequent(&self) -> Option<(&ClassMetrics, f64)> {
        if self.multi_label.is_some() {
            return None;
        }
        // The first of equals.
        let class = self
            .per_class
            .iter()
            .rev()
            .max_by_key(|class| class.support)?;
        (self.rows > 0).then(|| (class, counts::share(class.support, self.rows)))
    }

    /// States which classes the macro-F1 is the mean of, if some have no rows.
    pub fn macro_f1_note(&self) -> Option<String> {
        let (missing, classes) = (self.classes_without_rows, self.per_class.len());
        let is_part = |class: &&ClassMetrics| class.support + class.predicted > 0;
        let of = match self.multi_label {
            None => format!("{} of ", self.per_class.iter().filter(is_part).count()),
            // A class without rows counts as 0.
            Some(_) => String::new(),
        };
        (missing > 0).then(|| format!("of {of}{classes} classes ({missing} without rows)"))
    }

    /// Returns the macro-F1 for people, with [`Self::macro_f1_note`].
    pub fn macro_f1_text(&self) -> String {
        match self.macro_f1_note() {
            Some(note) => format!("{:.4} {note}", self.macro_f1),
            None => format!("{:.4}", self.macro_f1),
        }
    }

    /// Returns the warning about classes without rows, if there are any. `rows` names the rows.
    pub fn missing_classes(&self, rows: &str, help: &str) -> Option<String> {
        let (missing, classes) = (self.classes_without_rows, self.per_class.len());
        let effect = match self.multi_label {
            None => "accuracy and macro-F1 do not include them",
            Some(_) => "macro-F1 counts them as 0",
        };
        (missing > 0 && self.rows > 0).then(|| {
            format!("{missing} of {classes} classes without {rows}: {effect}\n  help: {help}")
        })
    }
}

/// Accuracy on the rows of a split whose text is not in the training data, if others are.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct UnseenTexts {
    /// Number of these rows.
    pub rows: u64,
    /// Share of them with the right prediction; none without rows.
    pub accuracy: Option<f64>,
}

impl UnseenTexts {
    /// Takes for each row if its text is in the training data and if its prediction is right.
    /// Returns `None` if no text is in the training data.
    pub fn of(rows: impl Iterator<Item = (bool, bool)>) -> Option<Self> {
        let (mut seen, mut unseen, mut right) = (0, 0, 0);
        for (is_seen, is_right) in rows {
            seen += u64::from(is_seen);
            unseen += u64::from(!is_seen);
            right += u64::from(!is_seen && is_right);
        }
        (seen > 0).then(|| Self {
            rows: unseen,
            accuracy: (unseen > 0).then(|| counts::share(right, unseen)),
        })
    }
}

/// The quality of a model on one class.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ClassMetrics {
    /// The class as the user wrote it.
    pub label: String,
    /// Share of the predictions of this class that are right; 0 when it was never predicted.
    pub precision: f64,
    /// Share of the rows of this class that were found; 0 when it has no rows.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 when both are 0.
    pub f1: f64,
    /// Rows of this class.
    pub support: u64,
    /// Rows predicted as this class.
    pub predicted: u64,
    /// Area under the ROC curve, against all other classes; absent when one side has no rows.
    pub roc_auc: Option<f64>,
    /// Average precision, against all other classes; absent when the class has no rows.
    pub average_precision: Option<f64>,
}

/// Rows of one class that are predicted as another one.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ConfusedPair {
    /// The class as the user wrote it.
    pub label: String,
    /// The predicted class.
    pub predicted: String,
    /// Number of such rows.
    pub rows: u64,
    /// Their share of the rows of the class.
    pub share: f64,
}

/// The curves of one class, thinned to [`MAX_POINTS`] points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassCurves {
    /// (false positive rate, true positive rate), from (0, 0) to (1, 1).
    pub roc: Vec<(f64, f64)>,
    /// (recall, precision), from (0, 1) to (1, share of the class).
    pub pr: Vec<(f64, f64)>,
}

/// Maximum classes of a confusion matrix: that of 5,000 classes has 500 MB as JSON.
pub const MAX_CONFUSION: usize = 100;

/// Maximum length of [`Evaluation::confused`].
pub const MAX_CONFUSED: usize = 100;

/// Maximum classes with curves: a plot of more would be unreadable.
pub const MAX_CURVES: usize = 30;

/// Maximum points of a thinned curve; more would not be visible.
pub const MAX_POINTS: usize = 200;

/// Compares scores with labels: with the class of each row, or the number of its set if there are
/// `sets`.
pub fn evaluate_labels(
    labels: &[u32],
    sets: Option<&LabelSets>,
    names: &[String],
    scores: &Scores,
) -> Evaluation {
    let Some(sets) = sets else {
        return evaluate(labels, names, scores);
    };
    let truth: Vec<&[u32]> = labels.iter().map(|set| sets.get(*set)).collect();
    multilabel::evaluate(&truth, names, scores)
}

/// Compares scores with labels.
///
/// With two classes, rows are ranked by the difference of the decision values, which keeps the
/// order of rows whose probability rounds to 1. With more classes they are ranked by probability if
/// there is one, as in `roc_auc_score(multi_class="ovr")`.
///
/// # Panics
/// If the arrays have different lengths, or a label is not below `scores.classes`: a bug of the
/// caller, never of the data.
pub fn evaluate(labels: &[u32], names: &[String], scores: &Scores) -> Evaluation {
    let (rows, classes) = (labels.len(), names.len());
    assert_eq!(scores.classes, classes, "one column of scores per class");
    assert_eq!(
        scores.decision.len(),
        rows * classes,
        "one row of scores per label"
    );
    if let Some(probability) = &scores.probability {
        assert_eq!(
            probability.len(),
            rows * classes,
            "one row of probabilities per label"
        );
    }

    let predicted = scores.predictions();
    let mut per_class = counts::per_class(labels, &predicted, names);
    let mut curves = Vec::new();
    for (class, metrics) in (0u32..).zip(&mut per_class) {
        let ranked = ranking::rank(labels, scores, class, classes <= MAX_CURVES);
        metrics.roc_auc = ranked.roc_auc;
        metrics.average_precision = ranked.average_precision;
        curves.extend(ranked.curves);
    }

    let (confused, confused_left_out) = counts::confused(labels, &predicted, &per_class);
    let right = labels
        .iter()
        .zip(&predicted)
        .filter(|(a, b)| a == b)
        .count() as u64;
    let probability = scores.probability.as_deref();
    let calibration = probability
        .map(|p| calibration::bins(labels, &largest(p, classes), p, classes))
        .unwrap_or_default();
    Evaluation {
        rows: rows as u64,
        accuracy: counts::share(right, rows as u64),
        accuracy_interval: wilson(right, rows as u64),
        macro_f1: counts::macro_f1(&per_class),
        classes_without_rows: per_class.iter().filter(|c| c.support == 0).count() as u64,
        weighted_f1: counts::weighted_f1(&per_class),
        macro_roc_auc: counts::mean(per_class.iter().filter_map(|c| c.roc_auc)),
        log_loss: probability.and_then(|p| calibration::log_loss(labels, p, classes)),
        ece: probability.and_then(|_| calibration::ece(&calibration)),
        confused,
        confused_left_out,
        per_class,
        confusion: counts::confusion(labels, &predicted, classes),
        calibration,
        curves,
        multi_label: None,
    }
}
