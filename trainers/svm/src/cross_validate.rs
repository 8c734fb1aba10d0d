//! Cross-validation: out-of-fold decisions for calibration and for `--tune`.

use std::borrow::Cow;

use dataset::RowTable;
use diagnostics::Error;
use training::Run;

use crate::machines::{Labelled, Setting, parallel, train};
use crate::params::{C_RANGE, SvmParams, Tuning, Weighting};
use crate::tf_idf::TermFrequency;
use text::features::{Counts, CsrPattern};

/// Factor between neighbouring values of C: two steps to a power of ten, so that few trials reach far.
const C_STEP: f64 = 3.0;
/// Where the search for C starts: LinearSVC's default, made for rows of length 1. measured on IMDB: macro-F1 out of
/// fold at this C, with naive Bayes weights, is 0.890, 0.916 and 0.919 for n-grams to 1, 2 and 3 words.
const C_START: f64 = 1.0;

/// Duality gap at which a trial's solver stops: settings differ by more than the last percent of the objective.
const TRIAL_TOLERANCE: f64 = 1e-2;

/// The rows of one fold's two sides.
struct Fold {
    train: Vec<u32>,
    held_out: Vec<u32>,
}

/// Stratified folds of the training rows, equal texts in one fold.
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

    /// Decisions (rows of the matrix, outputs) on each training row of the machines that did not see it; 0 elsewhere.
    pub(crate) fn decisions(
        &self,
        data: Labelled<'_>,
        counts: &[f32],
        setting: &Setting,
        params: &SvmParams,
        run: &Run,
    ) -> Result<Vec<f32>, Error> {
        let inner = run.with_threads(run.threads().div_ceil(self.0.len()));
        self.each(data, run.threads(), |rows, held_out| {
            Ok(train(
                data,
                counts.to_vec(),
                setting,
                (rows, held_out),
                params,
                &inner,
            )?
            .decisions)
        })
    }

    /// The same for any machine: `decide` gets the rows to train on and those to decide on.
    pub(crate) fn each(
        &self,
        data: Labelled<'_>,
        threads: usize,
        decide: impl Fn(&[u32], &[u32]) -> Result<Vec<f32>, Error> + Sync,
    ) -> Result<Vec<f32>, Error> {
        let parts = parallel(threads, self.0.len(), |fold| {
            decide(&self.0[fold].train, &self.0[fold].held_out)
        })?;
        let outputs = data.outputs();
        let mut decisions = vec![0.0; data.labels.len() * outputs];
        for (fold, part) in self.0.iter().zip(parts) {
            for (&row, decided) in fold.held_out.iter().zip(part.chunks_exact(outputs)) {
                decisions[row as usize * outputs..][..outputs].copy_from_slice(decided);
            }
        }
        Ok(decisions)
    }
}

/// One setting that was tried.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Trial {
    #[serde(flatten)]
    pub(crate) setting: Setting,
    pub(crate) macro_f1: f64,
}

/// What the search found.
pub(crate) struct Search {
    pub(crate) best: Setting,
    /// Out-of-fold decisions of the best setting.
    pub(crate) decisions: Vec<f32>,
    pub(crate) trials: Vec<Trial>,
}

struct Searcher<'a> {
    folds: &'a Folds,
    counts: &'a Counts,
    data: Labelled<'a>,
    train: &'a [u32],
    params: &'a SvmParams,
    run: &'a Run,
    left: usize,
    trials: Vec<Trial>,
    /// Which of them is the best, and its decisions; those of the others are not kept.
    best: Option<(usize, Vec<f32>)>,
}

/// Searches weighting and n-grams at one C, then C at the best of them. The number of fits is bounded, not the time:
/// the same data and seed give the same choice on any machine.
pub(crate) fn search(
    folds: &Folds,
    counts: &Counts,
    data: Labelled<'_>,
    train: &[u32],
    tuning: Tuning,
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
        left: tuning.trials,
        trials: Vec::new(),
        best: None,
    };
    // What helps most often comes first: there may be few trials. A setting that stands here twice is tried once.
    let longest = params.features.max_ngrams;
    let lengths = [longest.min(2), longest, 1];
    for weighting in [Weighting::Nbsvm, Weighting::Tfidf] {
        let tf = if weighting == Weighting::Nbsvm {
            TermFrequency::Binary
        } else {
            TermFrequency::Sublinear
        };
        for max_ngrams in lengths {
            searcher.try_setting(Setting {
                max_ngrams,
                weighting,
                tf,
                c: C_START,
            })?;
        }
    }
    for factor in [C_STEP, 1.0 / C_STEP] {
        while let Some(best) = searcher.best() {
            let next = Setting {
                c: best.c * factor,
                ..best
            };
            if !C_RANGE.contains(&next.c)
                || !searcher.try_setting(next)?
                || searcher.best() != Some(next)
            {
                break;
            }
        }
    }
    let (best, decisions) = searcher.best.ok_or(Error::stopped())?;
    Ok(Search {
        best: searcher.trials[best].setting,
        decisions,
        trials: searcher.trials,
    })
}

impl Searcher<'_> {
    fn best(&self) -> Option<Setting> {
        let (best, _) = self.best.as_ref()?;
        Some(self.trials[*best].setting)
    }

    /// Of equals the one that was tried first stays the best.
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

    /// Whether the setting was tried: it is new, and there are trials left.
    fn try_setting(&mut self, setting: Setting) -> Result<bool, Error> {
        if self.left == 0
            || self.run.stopped()
            || self.trials.iter().any(|trial| trial.setting == setting)
        {
            return Ok(false);
        }
        self.left -= 1;
        let (pattern, values) = limited(self.counts, setting.max_ngrams);
        let data = Labelled {
            pattern: &pattern,
            ..self.data
        };
        let decisions = self
            .folds
            .decisions(data, &values, &setting, self.params, self.run)?;
        if self.run.stopped() && !self.trials.is_empty() {
            // Cut short: not to be compared with the others.
            return Ok(false);
        }
        let macro_f1 = macro_f1(&decisions, self.data, self.train);
        self.run.progress(&format!(
            "tune: trial {}, {:?}, n-grams to {}, C {:.3}: macro-F1 {macro_f1:.4} out of fold",
            self.trials.len() + 1,
            setting.weighting,
            setting.max_ngrams,
            setting.c,
        ));
        self.add(Trial { setting, macro_f1 }, decisions);
        Ok(true)
    }
}

/// As [`limited`], but the counts are taken, not copied: they are most of the memory.
pub(crate) fn take_limited(counts: &mut Counts, max_ngrams: usize) -> (CsrPattern, Vec<f32>) {
    if let (Cow::Owned(pattern), Cow::Owned(values)) = limited(counts, max_ngrams) {
        return (pattern, values);
    }
    (
        std::mem::take(&mut counts.pattern),
        std::mem::take(&mut counts.values),
    )
}

/// The counts of the terms of at most `max_ngrams` words.
fn limited(counts: &Counts, max_ngrams: usize) -> (Cow<'_, CsrPattern>, Cow<'_, [f32]>) {
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

fn macro_f1(decisions: &[f32], data: Labelled<'_>, rows: &[u32]) -> f64 {
    let outputs = data.outputs();
    let mut hits = vec![0u64; data.classes];
    let mut sizes = vec![0u64; data.classes];
    for &row in rows {
        let scores = &decisions[row as usize * outputs..][..outputs];
        let predicted = if outputs == 1 {
            usize::from(scores[0] > 0.0)
        } else {
            argmax(scores)
        };
        let label = data.labels[row as usize] as usize;
        sizes[predicted] += 1;
        sizes[label] += 1;
        hits[label] += u64::from(predicted == label);
    }
    // F1 is twice the hits over rows of the class plus rows predicted as it.
    let f1 = hits
        .iter()
        .zip(&sizes)
        .map(|(&hits, &sizes)| 2.0 * hits as f64 / sizes.max(1) as f64);
    f1.sum::<f64>() / data.classes as f64
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
