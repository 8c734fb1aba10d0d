//! Which words of a text speak for which class.

use std::collections::BTreeMap;
use std::ops::Range;

use diagnostics::Error;

use crate::engine::Engine;
use crate::predict::logits;

/// Per class: how far the class's logit, less the mean of all, falls when a word is left out of the text, summed over the
/// word's places. It takes as many passes through the network as the text has words.
pub(crate) fn text(
    engine: &mut dyn Engine,
    ids: &[u32],
    words: &[(Range<usize>, String)],
    (pad, classes): (u32, usize),
) -> Result<Vec<Vec<(String, f64)>>, Error> {
    let mut rows = vec![ids.to_vec()];
    for (tokens, _) in words {
        let mut without = ids.to_vec();
        without.drain(tokens.clone());
        rows.push(without);
    }
    // A text of one token is nothing without it.
    rows.iter_mut()
        .filter(|row| row.is_empty())
        .for_each(|row| row.push(pad));
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
