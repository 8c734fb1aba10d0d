//! The training run, from the data set to the model.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::Ordering;

use dataset::{RowTable, Split};
use diagnostics::Error;
use evaluation::fit_temperature;
use evaluation::metrics::Scores;
use harness::Trained;
use harness::features::count_terms;
use harness::trainer::{SplitScores, Summary};
use serde_json::{Map, json};
use text::TokenizedRows;
use text::features::{Counts, LazyLookup};
use training::{Run, memory};

use crate::model::{NbModel, WordConfig};
use crate::naive_bayes::{LabelledRows, NaiveBayes};
use crate::params::NbParams;

/// Range of the temperature. measured on test rows with 1- and 2-grams: 2 to 16 for counts, 0.4 to
/// 1 for tf-idf; 1e-5 with `--norm`, whose weights have a sum of 1.
const TEMPERATURE_RANGE: RangeInclusive<f64> = 1e-9..=1e9;

/// Copies of the weights while they are saved: the weights, and the bytes of the file.
const COPIES: u64 = 2;

pub(crate) fn train(
    params: &NbParams,
    table: &RowTable,
    encoders: Vec<TokenizedRows>,
    run: &mut Run,
) -> Result<Trained<NbModel>, Error> {
    table.check_classes()?;
    let params = &NbParams {
        class_weight: params.class_weight.resolve(&table.classes, run)?,
        ..params.clone()
    };
    let train = table.of(Split::Train);
    let all = table.unsplit().filter(|_| params.refit);
    let (vocabulary, analysis) = (&params.vocabulary, &params.analysis);
    vocabulary.warn_stop_words(&analysis.analyzer, run);
    let count = || count_terms(vocabulary, analysis, table, encoders, all.is_some());
    let counts = run.prepare(|| count().map(in_term_order))?;
    let classes = table.classes.len();
    check_memory(
        counts.terms.len(),
        classes,
        memory::available(Path::new("/")),
    )?;
    run.progress(&format!(
        "{} terms in {} training rows",
        counts.terms.len(),
        all.as_ref().unwrap_or(&train).len()
    ));
    if run.stopped() {
        return Err(Error::stopped());
    }
    let data = LabelledRows {
        pattern: &counts.pattern,
        counts: &counts.values,
        table,
    };
    let sides = (train.as_slice(), all);
    let (naive_bayes, scores, temperature) = fit(params, table, data, sides, run)?;
    let mut details = Map::new();
    details.insert("terms".to_owned(), json!(counts.terms.len()));
    details.insert("temperature".to_owned(), json!(temperature));
    let model = NbModel {
        classes: table.classes.clone(),
        terms: counts.terms,
        words: WordConfig {
            ngrams: analysis.ngram_config(),
            stop_words: vocabulary.stop_words.to_vec(),
        },
        naive_bayes,
        lookup: LazyLookup::default(),
    };
    Ok(Trained {
        model,
        scores,
        details,
        summary: Summary::default(),
        error: None,
    })
}

/// Trains on the rows `train`, scores and calibrates, then trains on the rows `all`, if any.
/// Returns the temperature too, if one was fitted.
fn fit(
    params: &NbParams,
    table: &RowTable,
    data: LabelledRows<'_>,
    (train, all): (&[u32], Option<Vec<u32>>),
    run: &mut Run,
) -> Result<(NaiveBayes, SplitScores, Option<f64>), Error> {
    let (threads, stop) = (run.threads(), run.stop_flag());
    let score = |model: &NaiveBayes, split: Split| {
        let rows = table.of(split);
        let is_scored = !rows.is_empty() && !stop.load(Ordering::Relaxed);
        is_scored.then(|| model.score(data, &rows, threads))
    };
    let mut model = NaiveBayes::fit(data, train, params);
    let mut validation = score(&model, Split::Validation);
    let temperature = validation
        .as_ref()
        .filter(|_| params.calibrate && table.label_sets.is_none())
        .and_then(|scores| temperature(params, table, train, scores));
    if let Some(temperature) = temperature {
        model.temperature = temperature;
        validation = score(&model, Split::Validation);
    }
    let mut refitted = false;
    match all {
        Some(all) if run.stopped() => run.warn(format!(
            "stopped before the model was trained again on all rows: it was trained on {} of {} \
             rows",
            train.len(),
            all.len()
        )),
        Some(all) => {
            run.progress_refit(all.len());
            // The memory of the first model is free before the second one is built.
            drop(model);
            model = NaiveBayes::fit(data, &all, params);
            model.temperature = temperature.unwrap_or(1.0);
            refitted = true;
        }
        None => {}
    }
    let mut scores = SplitScores::of(validation, table, run, |split| Ok(score(&model, split)))?;
    scores.refitted = refitted;
    Ok((model, scores, temperature))
}

/// Returns the temperature of the validation rows with these scores. With class weights it is that
/// of weighted rows, as the model is.
fn temperature(
    params: &NbParams,
    table: &RowTable,
    train: &[u32],
    validation: &Scores,
) -> Option<f64> {
    let rows = table.of(Split::Validation);
    let labels: Vec<u32> = rows.iter().map(|&row| table.labels[row as usize]).collect();
    let weights = params.class_weight.weights(table, train);
    // Platt's targets for two classes, (n + 1) / (n + 2): the optimum is finite if all are right.
    let smoothing = 2.0 / (rows.len() as f64 + 2.0);
    let range = TEMPERATURE_RANGE;
    fit_temperature(&validation.decision, &labels, &weights, range, smoothing)
}

/// Numbers the columns as the terms of the saved model.
fn in_term_order(mut counts: Counts) -> Counts {
    let mut term_of = vec![0; counts.column_of_term.len()];
    for (term, &column) in (0..).zip(&counts.column_of_term) {
        term_of[column as usize] = term;
    }
    for column in &mut counts.pattern.columns {
        *column = term_of[*column as usize];
    }
    counts
}

/// Refuses weights that do not fit in the available memory, if that is known.
fn check_memory(terms: usize, classes: usize, available: Option<u64>) -> Result<(), Error> {
    let needed = COPIES * (terms * classes * size_of::<f64>()) as u64;
    let available = available.unwrap_or(u64::MAX);
    if needed <= available {
        return Ok(());
    }
    let [needed, available] = [needed, available].map(|bytes| bytes / 1_000_000);
    Err(Error::new(format!(
        "expected `{available} MB` of weights at most, the available memory, found `{needed} MB`: \
         `{terms}` terms in `{classes}` classes"
    ))
    .help("raise --min-df, or pass --max-features"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_do_not_fit_are_an_error() {
        assert!(check_memory(1_000, 10, Some(160_000)).is_ok());
        assert!(check_memory(1_000_000, 10_000, None).is_ok());
        let error = check_memory(1_000_000, 10_000, Some(1 << 30)).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("`1073 MB`") && message.contains("`160000 MB`"),
            "{message}"
        );
    }
}
