//! Logits of many rows, and explanations.

use std::collections::BTreeMap;

use diagnostics::Error;

use crate::engine::{Batch, Engine, Tokens};
use crate::tokenizer::WordSpan;

/// Maximum tokens of a batch, including padding on GPUs: large enough for fast matrix products,
/// small enough for a cache shared by several cores.
const MAX_TOKENS: usize = 4096;
/// Maximum rows of a batch.
const MAX_ROWS: usize = 64;

/// Returns logits (rows, classes), in order; `None` if it was stopped.
pub(crate) fn logits(
    engine: &mut dyn Engine,
    rows: &[Tokens],
    (pad, classes): (u32, usize),
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Vec<f32>>, Error> {
    let length = |row: usize| rows[row].ids.len();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // The longest first, so that buffers are allocated once.
    order.sort_by_key(|&row| (std::cmp::Reverse(length(row)), row));
    let mut all = vec![0.0; rows.len() * classes];
    let mut rest = order.as_slice();
    while let Some(&first) = rest.first() {
        if stopped() {
            return Ok(None);
        }
        let batch_rows = (MAX_TOKENS / length(first)).clamp(1, MAX_ROWS);
        let (some, others) = rest.split_at(batch_rows.min(rest.len()));
        rest = others;
        let batch: Vec<&Tokens> = some.iter().map(|&row| &rows[row]).collect();
        let found = engine.logits(&Batch::padded(&batch, pad))?;
        for (&row, logits) in some.iter().zip(found.chunks_exact(classes)) {
            all[row * classes..][..classes].copy_from_slice(logits);
        }
    }
    Ok(Some(all))
}

/// Returns per class the words with their weights: how much the class's logit, less the mean of
/// all, falls when a word is removed from the text, summed over its occurrences. Needs one forward
/// pass per word.
pub(crate) fn explain(
    engine: &mut dyn Engine,
    tokens: &Tokens,
    words: &[WordSpan],
    (pad, classes): (u32, usize),
) -> Result<Vec<Vec<(String, f64)>>, Error> {
    let mut rows = vec![tokens.clone()];
    rows.extend(words.iter().map(|(word, _)| tokens.without(word.clone())));
    // A text of one token would be empty.
    rows.iter_mut()
        .filter(|row| row.ids.is_empty())
        .for_each(|row| row.ids.push(pad));
    let found = logits(engine, &rows, (pad, classes), &|| false)?.unwrap_or_default();
    let lifts: Vec<Vec<f64>> = found.chunks_exact(classes).map(centred).collect();
    let mut falls: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for ((_, name), without) in words.iter().zip(&lifts[1..]) {
        let sum = falls.entry(name).or_insert_with(|| vec![0.0; classes]);
        for ((sum, with), without) in sum.iter_mut().zip(&lifts[0]).zip(without) {
            *sum += with - without;
        }
    }
    let of_class = |class: usize| {
        let words = falls.iter();
        words
            .map(|(name, falls)| ((*name).to_owned(), falls[class]))
            .collect()
    };
    Ok((0..classes).map(of_class).collect())
}

fn centred(row: &[f32]) -> Vec<f64> {
    let mean = row.iter().map(|&logit| f64::from(logit)).sum::<f64>() / row.len() as f64;
    row.iter().map(|&logit| f64::from(logit) - mean).collect()
}
