//! Cross-validation: out-of-fold decision values for calibration and for `--tune`.

use std::borrow::Cow;

use dataset::RowTable;
use diagnostics::{Error, ErrorKind, counted};
use evaluation::report::Trials;
use training::Run;

use crate::one_vs_rest::{LabelledRows, fit, parallel};
use crate::params::{C_RANGE, Candidate, SvmParams, Tuning, Weighting};
use crate::tf_idf::TermFrequency;
use text::features::{Counts, CsrPattern};

/// Factor between neighbouring values of C: about two steps per power of ten.
const C_STEP: f64 = 3.0;
/// Start of the search for C: the default of LinearSVC, for rows of length 1. measured on IMDB:
/// out-of-fold macro-F1 at this C, with naive Bayes weights, is 0.890, 0.916 and 0.919 for n-grams
/// up to 1, 2 and 3 words.
const C_START: f64 = 1.0;

/// Duality gap at which the solver of a trial stops: candidates differ by more than the last
/// percent of the objective.
const TRIAL_TOLERANCE: f64 = 1e-2;

/// Training rows and held-out rows of one fold.
struct Fold {
    train: Vec<u32>,
    held_out: Vec<u32>,
}

/// Stratified folds of the training rows; equal texts are in the same fold.
pub(crate) struct Folds(Vec<Fold>);

impl Folds {
    pub(crate) fn new(rows: &RowTable, train: &[u32], folds: usize, run: &Run) -> Self {
        let fold_of = rows.folds(train, folds, run.stream("folds"));
        let side = |fold: usize, inside: bool| {
            let rows = train
                .iter()
                .zip(&fold_of)
                .filter(|(_, of)| (usize::from(**of) == fold) == inside);
            rows.map(|(&row, _)| row).collect()
        };
        Self(
            (0..folds)
                .map(|fold| Fold {
                    train: side(fold, false),
                    held_out: side(fold, true),
                })
                .collect(),
        )
    }

    /// Returns out-of-fold decision values of the training rows, 0 for other rows; `None` after a
    /// stop, since solvers may have ended early. Shape: (rows of the matrix, outputs).
    pub(crate) fn decisions(
        &self,
        data: LabelledRows<'_>,
        counts: &[f32],
        candidate: &Candidate,
        params: &SvmParams,
        run: &Run,
    ) -> Result<Option<Vec<f32>>, Error> {
        let inner = run.with_threads(run.threads().div_ceil(self.0.len()));
        let decisions = self.decisions_by(data, run.threads(), |rows, held_out| {
            Ok(fit(
                data,
                counts.to_vec(),
                candidate,
                (rows, held_out),
                params,
                &inner,
            )?
            .decisions)
        });
        match decisions {
            Err(error) if error.kind() != ErrorKind::Stopped => Err(error),
            Ok(decisions) if !run.stopped() => Ok(Some(decisions)),
            _ => Ok(None),
        }
    }

    /// As [`Folds::decisions`] for any classifier: `decide` trains on its first rows and returns
    /// the decision values of its second rows.
    pub(crate) fn decisions_by(
        &self,
        data: LabelledRows<'_>,
        threads: usize,
        decide: impl Fn(&[u32], &[u32]) -> Result<Vec<f32>, Error> + Sync,
    ) -> Result<Vec<f32>, Error> {
        let folds = parallel(threads, self.0.len(), |fold| {
            decide(&self.0[fold].train, &self.0[fold].held_out)
        })?;
        let outputs = data.outputs();
        let mut decisions = vec![0.0; data.targets.labels.len() * outputs];
        for (fold, decisions_of) in self.0.iter().zip(folds) {
            for (&row, decided) in fold.held_out.iter().zip(decisions_of.chunks_exact(outputs)) {
                decisions[row as usize * outputs..][..outputs].copy_from_slice(decided);
            }
        }
        Ok(decisions)
    }
}

/// Result of one candidate.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Trial {
    #[serde(flatten)]
    pub(crate) candidate: Candidate,
    pub(crate) macro_f1: f64,
}

/// Result of a search.
pub(crate) struct Search {
    pub(crate) best: Candidate,
    /// Out-of-fold decision values of the best candidate.
    pub(crate) decisions: Vec<f32>,
    pub(crate) trials: Vec<Trial>,
    /// Index of the best trial.
    chosen: usize,
}

impl Search {
    /// States what was chosen, and by which measure.
    pub(crate) fn selected(&self, folds: usize) -> String {
        format!(
            "selected: {} (macro-F1 {:.4}, {folds}-fold cross-validation, {})",
            self.best,
            self.trials[self.chosen].macro_f1,
            counted(self.trials.len() as u64, "candidate")
        )
    }

    /// Returns the table of the report.
    pub(crate) fn table(&self) -> Trials {
        let row = |trial: &Trial| {
            let candidate = &trial.candidate;
            vec![
                candidate.weights().to_owned(),
                candidate.max_ngrams.to_string(),
                short(candidate.c),
                format!("{:.4}", trial.macro_f1),
            ]
        };
        Trials {
            columns: vec!["weighting", "n-grams up to", "C", "macro-F1, out of fold"],
            rows: self.trials.iter().map(row).collect(),
            chosen: self.chosen,
        }
    }
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (weights, c) = (self.weights(), short(self.c));
        write!(out, "{weights}, n-grams up to {}, C {c}", self.max_ngrams)
    }
}

/// Formats a C with four digits.
fn short(c: f64) -> String {
    let decimals = (3.0 - c.log10().floor()).clamp(0.0, 30.0);
    let text = format!("{c:.*}", decimals as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

struct Searcher<'a> {
    folds: &'a Folds,
    counts: &'a Counts,
    data: LabelledRows<'a>,
    train: &'a [u32],
    params: &'a SvmParams,
    run: &'a Run,
    trials_left: usize,
    trials: Vec<Trial>,
    /// Index and decision values of the best trial; those of the others are dropped to save memory.
    best: Option<(usize, Vec<f32>)>,
}

/// Tries the candidates of `--search`, or the built-in ones. The limit is a number of trials, not a
/// time, so that the result does not depend on the speed of the machine.
pub(crate) fn search(
    folds: &Folds,
    counts: &Counts,
    data: LabelledRows<'_>,
    train: &[u32],
    tuning: &Tuning,
    params: &SvmParams,
    run: &Run,
) -> Result<Search, Error> {
    let trial_params = SvmParams {
        tolerance: params.tolerance.max(TRIAL_TOLERANCE),
        ..params.clone()
    };
    let params = &trial_params;
    let mut searcher = Searcher {
        folds,
        counts,
        data,
        train,
        params,
        run,
        trials_left: tuning.trials,
        trials: Vec::new(),
        best: None,
    };
    match &tuning.grid {
        Some(grid) => {
            for candidate in grid.candidates(Candidate::from_params(params, train.len())) {
                searcher.try_candidate(candidate)?;
            }
        }
        None => searcher.try_built_in()?,
    }
    let none = || Error::stopped().because("no candidate was evaluated");
    let (chosen, decisions) = searcher.best.ok_or_else(none)?;
    Ok(Search {
        best: searcher.trials[chosen].candidate,
        decisions,
        trials: searcher.trials,
        chosen,
    })
}

impl Searcher<'_> {
    /// Tries weightings and n-grams at one C, then C at the best of them.
    fn try_built_in(&mut self) -> Result<(), Error> {
        // Most promising candidates first, as there may be few trials. Duplicates are skipped.
        let analysis = &self.params.analysis;
        let (shortest, longest) = (analysis.min_ngrams, analysis.max_ngrams);
        let lengths = [2, longest, 1].map(|length| length.clamp(shortest, longest));
        for weighting in [Weighting::Nbsvm, Weighting::Tfidf] {
            let tf = if weighting == Weighting::Nbsvm {
                TermFrequency::Binary
            } else {
                TermFrequency::Sublinear
            };
            for max_ngrams in lengths {
                self.try_candidate(Candidate {
                    max_ngrams,
                    weighting,
                    tf,
                    c: C_START,
                })?;
            }
        }
        for factor in [C_STEP, 1.0 / C_STEP] {
            while let Some(best) = self.best() {
                let next = Candidate {
                    c: best.c * factor,
                    ..best
                };
                if !C_RANGE.contains(&next.c)
                    || !self.try_candidate(next)?
                    || self.best() != Some(next)
                {
                    break;
                }
            }
        }
        Ok(())
    }

    fn best(&self) -> Option<Candidate> {
        let (best, _) = self.best.as_ref()?;
        Some(self.trials[*best].candidate)
    }

    /// Records a trial. Of equal trials the first one stays the best.
    fn add(&mut self, trial: Trial, decisions: Vec<f32>) {
        let better = match &self.best {
            Some((best, _)) => trial.macro_f1 > self.trials[*best].macro_f1,
            None => true,
        };
        if better {
            self.best = Some((self.trials.len(), decisions));
        }
        self.trials.push(trial);
    }

    /// Evaluates a candidate. Returns false if it was not evaluated: it is not new, no trials are
    /// left, or the run was stopped.
    fn try_candidate(&mut self, candidate: Candidate) -> Result<bool, Error> {
        if self.trials_left == 0
            || self.run.stopped()
            || self.trials.iter().any(|trial| trial.candidate == candidate)
        {
            return Ok(false);
        }
        self.trials_left -= 1;
        let (pattern, values) = restrict_ngrams(self.counts, candidate.max_ngrams);
        let data = LabelledRows {
            pattern: &pattern,
            ..self.data
        };
        let decisions = self
            .folds
            .decisions(data, &values, &candidate, self.params, self.run)?;
        let Some(decisions) = decisions else {
            return Ok(false);
        };
        let macro_f1 = macro_f1(&decisions, self.data, self.train);
        self.run.progress(&format!(
            "tune: trial {}, {candidate}: macro-F1 {macro_f1:.4} out of fold",
            self.trials.len() + 1,
        ));
        self.add(
            Trial {
                candidate,
                macro_f1,
            },
            decisions,
        );
        Ok(true)
    }
}

/// As [`restrict_ngrams`], but moves the counts where it can: they take most of the memory.
pub(crate) fn take_ngrams(counts: &mut Counts, max_ngrams: usize) -> (CsrPattern, Vec<f32>) {
    if let (Cow::Owned(pattern), Cow::Owned(values)) = restrict_ngrams(counts, max_ngrams) {
        return (pattern, values);
    }
    (
        std::mem::take(&mut counts.pattern),
        std::mem::take(&mut counts.values),
    )
}

/// Returns the counts of n-grams of at most `max_ngrams` tokens.
fn restrict_ngrams(counts: &Counts, max_ngrams: usize) -> (Cow<'_, CsrPattern>, Cow<'_, [f32]>) {
    if counts
        .length
        .iter()
        .all(|&length| usize::from(length) <= max_ngrams)
    {
        return (
            Cow::Borrowed(&counts.pattern),
            Cow::Borrowed(&counts.values),
        );
    }
    let mut pattern = CsrPattern {
        starts: vec![0],
        width: counts.pattern.width,
        ..CsrPattern::default()
    };
    let mut values = Vec::new();
    for row in 0..counts.pattern.rows() {
        for index in counts.pattern.range(row) {
            let column = counts.pattern.columns[index];
            if usize::from(counts.length[column as usize]) <= max_ngrams {
                pattern.columns.push(column);
                values.push(counts.values[index]);
            }
        }
        pattern.starts.push(pattern.columns.len());
    }
    (Cow::Owned(pattern), Cow::Owned(values))
}

fn macro_f1(decisions: &[f32], data: LabelledRows<'_>, rows: &[u32]) -> f64 {
    let outputs = data.outputs();
    let classes = data.targets.classes;
    let mut hits = vec![0u64; classes];
    let mut sizes = vec![0u64; classes];
    for &row in rows {
        let scores = &decisions[row as usize * outputs..][..outputs];
        if data.targets.sets.is_some() {
            for (class, score) in scores.iter().enumerate() {
                let (predicted, positive) = (*score > 0.0, data.is_positive(row, class));
                sizes[class] += u64::from(predicted) + u64::from(positive);
                hits[class] += u64::from(predicted && positive);
            }
            continue;
        }
        let predicted = if outputs == 1 {
            usize::from(scores[0] > 0.0)
        } else {
            argmax(scores)
        };
        let label = data.targets.labels[row as usize] as usize;
        sizes[predicted] += 1;
        sizes[label] += 1;
        hits[label] += u64::from(predicted == label);
    }
    // F1 = 2 hits / (rows of the class + rows predicted as the class).
    let f1 = hits
        .iter()
        .zip(&sizes)
        .map(|(&hits, &sizes)| 2.0 * hits as f64 / sizes.max(1) as f64);
    f1.sum::<f64>() / classes as f64
}

fn argmax(scores: &[f32]) -> usize {
    (0..scores.len())
        .reduce(|best, index| {
            if scores[index] > scores[best] {
                index
            } else {
                best
            }
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_c_have_four_digits() {
        let steps = [27.0, 1.0, 1.0 / 3.0, 1.0 / 27.0, 1.0 / 2187.0, 59049.0];
        let expected = ["27", "1", "0.3333", "0.03704", "0.0004572", "59049"];
        assert_eq!(steps.map(short), expected);
    }
}
