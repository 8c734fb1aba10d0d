//! Comparison of two models on the same rows.

use dataset::random::Random;

use super::counts::share;

/// Two models on the same rows.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// The other model: its folder, or the file with its predictions.
    pub against: String,
    /// Accuracy of the other model; if rows may have several labels, that of whole sets, as all
    /// numbers here.
    pub accuracy: f64,
    /// Accuracy of this model minus that of the other one.
    pub difference: f64,
    /// 95 % interval of the difference: percentiles of a paired bootstrap.
    pub difference_interval: (f64, f64),
    /// Rows that both models predict right.
    pub both_right: u64,
    /// Rows that only this model predicts right.
    pub only_this_right: u64,
    /// Rows that only the other model predicts right.
    pub only_other_right: u64,
    /// Rows that neither model predicts right.
    pub both_wrong: u64,
    /// Two-sided p-value of McNemar's exact test that both models have the same accuracy.
    pub p_value: f64,
    /// Number of resamples of the bootstrap.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;

impl Comparison {
    /// Takes for each row if the predictions of this and of the other model are right.
    pub fn of(against: String, right: impl Iterator<Item = (bool, bool)>, seed: u64) -> Self {
        let mut counts = [0u64; 4];
        for (this, other) in right {
            counts[2 * usize::from(this) + usize::from(other)] += 1;
        }
        let [both_wrong, only_other_right, only_this_right, both_right] = counts;
        let rows = counts.iter().sum();
        let discordant = (only_this_right, only_other_right);
        Self {
            against,
            accuracy: share(both_right + only_other_right, rows),
            difference: share(only_this_right, rows) - share(only_other_right, rows),
            difference_interval: bootstrap(rows, discordant, seed),
            both_right,
            only_this_right,
            only_other_right,
            both_wrong,
            p_value: mcnemar(discordant),
            resamples: RESAMPLES,
            seed,
        }
    }

    /// Formats the p-value for people.
    pub fn p_value_text(&self) -> String {
        match self.p_value {
            p if p < 1e-4 => "below 0.0001".to_owned(),
            p => format!("{p:.4}"),
        }
    }
}

/// Returns the two-sided p-value of McNemar's test for the numbers of rows that only one of the
/// models predicts right. Exact: binomial with probability 1/2, for any number of rows.
fn mcnemar((only_this, only_other): (u64, u64)) -> f64 {
    let (rows, fewer) = (only_this + only_other, only_this.min(only_other));
    // Logarithm of the probability of `fewer`.
    let factor = |index: u64| ((rows - fewer + index) as f64 / index as f64).ln();
    let log = (1..=fewer).map(factor).sum::<f64>() - rows as f64 * std::f64::consts::LN_2;
    // The probabilities of smaller numbers, relative to that.
    let (mut term, mut sum) = (1.0, 1.0);
    for count in (1..=fewer).rev() {
        term *= count as f64 / (rows - count + 1) as f64;
        sum += term;
        if term < f64::EPSILON {
            break;
        }
    }
    (2.0 * sum * log.exp()).min(1.0)
}

/// Returns the percentiles 2.5 and 97.5 of the difference of the accuracies over resamples of the
/// rows.
fn bootstrap(rows: u64, discordant: (u64, u64), seed: u64) -> (f64, f64) {
    if discordant == (0, 0) {
        return (0.0, 0.0);
    }
    let mut random = Random::new(seed, &[]);
    let mut differences: Vec<i64> = (0..RESAMPLES)
        .map(|_| resample(rows, discordant, &mut random))
        .collect();
    differences.sort_unstable();
    let at = |index: usize| differences[index.min(RESAMPLES - 1)] as f64;
    // Linear between two values, as numpy.percentile.
    let percentile = |share: f64| {
        let place = share * (RESAMPLES - 1) as f64;
        let index = place as usize;
        let value = at(index) + (at(index + 1) - at(index)) * place.fract();
        value / rows as f64
    };
    (percentile(0.025), percentile(0.975))
}

/// Draws `rows` rows with replacement; returns how many more of them only this model predicts right
/// than only the other one. Rows that both predict right or wrong do not count, so the number of
/// draws to the next other row is drawn instead of these rows: it is geometric.
fn resample(rows: u64, (only_this, only_other): (u64, u64), random: &mut Random) -> i64 {
    let discordant = only_this + only_other;
    // Negative infinity if all rows are discordant: the next one always is.
    let log_concordant = (-share(discordant, rows)).ln_1p();
    let (mut drawn, mut difference) = (0.0, 0);
    loop {
        drawn += 1.0 + ((1.0 - random.uniform()).ln() / log_concordant).floor();
        if drawn > rows as f64 {
            return difference;
        }
        let this = random.uniform() < share(only_this, discordant);
        difference += if this { 1 } else { -1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binomtest(b, b + c, 0.5).pvalue`, scipy 1.17.1, which is
    /// `statsmodels.stats.contingency_tables.mcnemar(exact=True)`.
    #[test]
    fn mcnemar_is_the_exact_binomial_test() {
        for (discordant, expected) in [
            ((0, 0), 1.0),
            ((1, 0), 1.0),
            ((3, 9), 0.145_996_093_75),
            ((15, 5), 0.041_389_465_332_031_25),
            ((60, 40), 0.056_887_933_640_980_89),
            ((530, 470), 0.062_023_195_098_363_43),
            ((5300, 4700), 2.076_033_695_920_612e-9),
        ] {
            let found = mcnemar(discordant);
            assert!(
                (found / expected - 1.0).abs() < 1e-9,
                "{discordant:?}: {found}"
            );
        }
    }

    /// `scipy.stats.bootstrap((differences,), numpy.mean, method="percentile", n_resamples=19999)`
    /// of a value of 1, -1 or 0 per row, scipy 1.17.1. The bounds are two steps of 1 / rows, or
    /// five standard errors of a percentile of 2,000 resamples.
    #[test]
    fn bootstrap_agrees_with_scipy() {
        for (rows, discordant, expected, bound) in [
            (1000, (60, 40), (0.0, 0.04), 0.002),
            (40, (10, 2), (0.05, 0.35), 0.05),
            (20, (14, 6), (0.0, 0.8), 0.1),
            (25_000, (900, 700), (0.004_88, 0.011_12), 0.0005),
        ] {
            let found = bootstrap(rows, discordant, 0);
            let apart = (found.0 - expected.0)
                .abs()
                .max((found.1 - expected.1).abs());
            assert!(apart <= bound, "{rows}: {found:?}");
            assert_eq!(
                found,
                bootstrap(rows, discordant, 0),
                "the seed determines it"
            );
        }
    }

    #[test]
    fn rows_are_counted_by_who_is_right() {
        let this = [true, true, false, true, false];
        let other = [true, false, true, false, false];
        let found = Comparison::of("other".to_owned(), this.into_iter().zip(other), 0);
        let counts = [
            found.both_right,
            found.only_this_right,
            found.only_other_right,
            found.both_wrong,
        ];
        assert_eq!(counts, [1, 2, 1, 1]);
        assert!((found.accuracy - 0.4).abs() < 1e-12);
        assert!((found.difference - 0.2).abs() < 1e-12);
        let same = Comparison::of("same".to_owned(), this.into_iter().zip(this), 0);
        assert_eq!((same.difference_interval, same.p_value), ((0.0, 0.0), 1.0));
    }
}
