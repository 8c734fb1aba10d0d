//! Which words speak for which class.

use std::collections::HashMap;

use tch::TchError;

use crate::evaluate::logits;
use crate::tokenizer::Tokenizer;
use crate::replicas::Replicas;

/// Copies of a text that are scored at a time: enough for some threads to share, few enough for any memory.
const COPIES: usize = 128;

/// Per class: how far each word as a text of its own lifts the class's logit above the mean of all, compared with an
/// unknown word.
pub(crate) fn words(net: &Replicas, reader: &Tokenizer) -> Result<Vec<Vec<(String, f64)>>, TchError> {
    let named: Vec<(u32, String)> = (0..reader.ids() as u32)
        .filter_map(|id| Some((id, reader.name(id)?)))
        .collect();
    let mut rows: Vec<[u32; 1]> = named.iter().map(|&(id, _)| [id]).collect();
    rows.push([reader.unknown()]);
    let rows: Vec<&[u32]> = rows.iter().map(<[u32; 1]>::as_slice).collect();
    let lifts = lifts(net, &rows)?;
    let unknown = &lifts[named.len()];
    let of_class = |class: usize| {
        let words = named.iter().zip(&lifts);
        words
            .map(|((_, name), lift)| (name.clone(), lift[class] - unknown[class]))
            .collect()
    };
    Ok((0..net.first().shape.classes).map(of_class).collect())
}

/// Per class: how far the class's lift falls when a word of the text is replaced by an unknown one, summed over the
/// word's places.
pub(crate) fn text(
    net: &Replicas,
    reader: &Tokenizer,
    ids: &[u32],
) -> Result<Vec<Vec<(String, f64)>>, TchError> {
    let whole = lifts(net, &[ids])?;
    let mut fall: HashMap<u32, Vec<f64>> = HashMap::new();
    let places: Vec<usize> = (0..ids.len()).collect();
    // As many copies of a long text as it has words would not fit into memory.
    for places in places.chunks(COPIES) {
        let copies: Vec<Vec<u32>> = places
            .iter()
            .map(|&place| {
                let mut without = ids.to_vec();
                without[place] = reader.unknown();
                without
            })
            .collect();
        let rows: Vec<&[u32]> = copies.iter().map(Vec::as_slice).collect();
        for (&place, without) in places.iter().zip(lifts(net, &rows)?) {
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
            .filter_map(|(&id, falls)| Some((reader.name(id)?, falls[class])));
        named.collect()
    };
    Ok((0..net.first().shape.classes).map(of_class).collect())
}

/// Each row's logits less their mean.
fn lifts(net: &Replicas, rows: &[&[u32]]) -> Result<Vec<Vec<f64>>, TchError> {
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
