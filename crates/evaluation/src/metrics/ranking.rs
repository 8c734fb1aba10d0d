//! Metrics that need the order of the scores: one sort per class.

use super::curve::Thinner;
use super::{ClassCurves, Scores};

/// Metrics of one class that depend on the order of the rows.
pub(super) struct Ranked {
    pub(super) roc_auc: Option<f64>,
    pub(super) average_precision: Option<f64>,
    pub(super) curves: Option<ClassCurves>,
}

/// Ranks all rows by the score of `class`, best first.
pub(super) fn rank(labels: &[u32], scores: &Scores, class: u32, curves: bool) -> Ranked {
    let (classes, column) = (scores.classes, class as usize);
    let table = match &scores.probability {
        Some(probability) if classes > 2 => probability,
        _ => &scores.decision,
    };
    let rows = table.chunks_exact(classes).zip(labels);
    let scored = rows.map(|(row, &label)| {
        let score = match classes {
            2 => row[column] - row[1 - column],
            _ => row[column],
        };
        (score, label == class)
    });
    rank_rows(scored, curves)
}

/// Ranks rows, given as score and true if the row is of the class.
pub(super) fn rank_rows(rows: impl Iterator<Item = (f32, bool)>, curves: bool) -> Ranked {
    let (positive, negative) = sorted(rows);
    let (p, n) = (positive.len() as f64, negative.len() as f64);

    let mut roc = Thinner::new((0.0, 0.0));
    let mut pr = Thinner::new((0.0, 1.0));
    // Twice the area in units of one positive times one negative: an integer, so the sum is exact.
    let mut area = 0u128;
    let mut average_precision = 0.0;
    let mut last = (0usize, 0usize);
    for_each_threshold(&positive, &negative, |hits, misses| {
        area += ((misses - last.1) as u128) * ((hits + last.0) as u128);
        let precision = hits as f64 / (hits + misses) as f64;
        average_precision += (hits - last.0) as f64 / p * precision;
        last = (hits, misses);
        if curves {
            roc.push((misses as f64 / n, hits as f64 / p));
            pr.push((hits as f64 / p, precision));
        }
    });

    let two_sided = !positive.is_empty() && !negative.is_empty();
    Ranked {
        roc_auc: two_sided.then(|| area as f64 / (2.0 * p * n)),
        average_precision: (!positive.is_empty()).then_some(average_precision),
        curves: curves.then(|| ClassCurves {
            roc: if two_sided { roc.finish() } else { Vec::new() },
            pr: if positive.is_empty() {
                Vec::new()
            } else {
                pr.finish()
            },
        }),
    }
}

/// The keys of the rows of the class and of all others, each ascending.
fn sorted(rows: impl Iterator<Item = (f32, bool)>) -> (Vec<u32>, Vec<u32>) {
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    for (score, is_positive) in rows {
        if is_positive {
            &mut positive
        } else {
            &mut negative
        }
        .push(key(score));
    }
    positive.sort_unstable();
    negative.sort_unstable();
    (positive, negative)
}

/// An integer that orders as the score does, since integers sort twice as fast. NaN comes last.
fn key(score: f32) -> u32 {
    if score.is_nan() {
        return 0;
    }
    // Adding zero turns -0.0 into 0.0: the two are a tie.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 {
        bits | 0x8000_0000
    } else {
        !bits
    }
}

/// Walks the thresholds from the highest down; calls `step` with the rows of the class and the
/// other rows at or above each. Rows of equal score are counted together.
fn for_each_threshold(positive: &[u32], negative: &[u32], mut step: impl FnMut(usize, usize)) {
    let (mut p, mut n) = (positive.len(), negative.len());
    while p > 0 || n > 0 {
        let threshold = positive[..p].last().max(negative[..n].last());
        while p > 0 && Some(&positive[p - 1]) == threshold {
            p -= 1;
        }
        while n > 0 && Some(&negative[n - 1]) == threshold {
            n -= 1;
        }
        step(positive.len() - p, negative.len() - n);
    }
}
