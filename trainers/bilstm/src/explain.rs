//! The words that count for or against each class.

use std::collections::HashMap;

use tch::TchError;

use crate::evaluate::logits;
use crate::replicas::Replicas;
use crate::tokenizer::Tokenizer;

/// Maximum copies of a text that are scored at a time: enough for several threads, few enough for
/// any memory.
const MAX_COPIES: usize = 128;

/// Returns per class and word: the class's centred logit of the word as a text, minus that of an
/// unknown word.
pub(crate) fn words(
    net: &Replicas,
    tokenizer: &Tokenizer,
) -> Result<Vec<Vec<(String, f64)>>, TchError> {
    let named: Vec<(u32, String)> = (0..tokenizer.ids() as u32)
        .filter_map(|id| Some((id, tokenizer.token(id)?)))
        .collect();
    let mut rows: Vec<[u32; 1]> = named.iter().map(|&(id, _)| [id]).collect();
    rows.push([tokenizer.unknown()]);
    let rows: Vec<&[u32]> = rows.iter().map(<[u32; 1]>::as_slice).collect();
    let logits = centred_logits(net, &rows)?;
    let unknown = &logits[named.len()];
    let of_class = |class: usize| {
        let words = named.iter().zip(&logits);
        words
            .map(|((_, name), logits)| (name.clone(), logits[class] - unknown[class]))
            .collect()
    };
    Ok((0..net.first().shape.classes).map(of_class).collect())
}

/// Returns per class and word: the fall of the class's centred logit when the word is replaced by
/// an unknown one, summed over its positions.
pub(crate) fn text(
    net: &Replicas,
    tokenizer: &Tokenizer,
    ids: &[u32],
) -> Result<Vec<Vec<(String, f64)>>, TchError> {
    let whole = centred_logits(net, &[ids])?;
    let mut fall: HashMap<u32, Vec<f64>> = HashMap::new();
    let places: Vec<usize> = (0..ids.len()).collect();
    // One copy per word of a long text would not fit into memory.
    for places in places.chunks(MAX_COPIES) {
        let copies: Vec<Vec<u32>> = places
            .iter()
            .map(|&place| {
                let mut without = ids.to_vec();
                without[place] = tokenizer.unknown();
                without
            })
            .collect();
        let rows: Vec<&[u32]> = copies.iter().map(Vec::as_slice).collect();
        for (&place, without) in places.iter().zip(centred_logits(net, &rows)?) {
            let sum = fall
                .entry(ids[place])
                .or_insert_with(|| vec![0.0; net.first().shape.classes]);
            for ((sum, with), without) in sum.iter_mut().zip(&whole[0]).zip(without) {
                *sum += with - without;
            }
        }
    }
    let of_class = |class: usize| {
        let named = fall
            .iter()
            .filter_map(|(&id, falls)| Some((tokenizer.token(id)?, falls[class])));
        named.collect()
    };
    Ok((0..net.first().shape.classes).map(of_class).collect())
}

/// Returns the centred logits of each row.
fn centred_logits(net: &Replicas, rows: &[&[u32]]) -> Result<Vec<Vec<f64>>, TchError> {
    let logits = logits(net, rows, &|| false)?.unwrap_or_default();
    let centred = |row: &[f32]| {
        let mean = row.iter().map(|&logit| f64::from(logit)).sum::<f64>() / row.len() as f64;
        row.iter().map(|&logit| f64::from(logit) - mean).collect()
    };
    Ok(logits
        .chunks_exact(net.first().shape.classes)
        .map(centred)
        .collect())
}
