//! Scaled dot-product attention (Vaswani et al. 2017), row by row and head by head at the row's own length.

use super::chunk::{Pass, Queries, sized};
use super::dropout::Site;
use super::elementwise::{dots, softmax, softmax_backward};
use super::matmul::{Mat, MatMut, To, product};

/// Where queries, keys and values of a layer lie.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) queries: Queries,
    /// Distance of a token's query from the next.
    query: usize,
    /// The same of keys and values, and where they begin within a token.
    pair: usize,
    key: usize,
    value: usize,
}

impl Places {
    /// All three side by side, (tokens, 3 hidden); or, where few are asked, queries (asked, hidden) and keys and values
    /// (tokens, 2 hidden).
    pub(super) fn new(queries: Queries, hidden: usize) -> Self {
        match queries {
            Queries::All => Self {
                queries,
                query: 3 * hidden,
                pair: 3 * hidden,
                key: hidden,
                value: 2 * hidden,
            },
            Queries::First => Self {
                queries,
                query: hidden,
                pair: 2 * hidden,
                key: 0,
                value: hidden,
            },
        }
    }
}

/// Scratch of one head.
#[derive(Debug, Default)]
pub(super) struct HeadScratch {
    /// (queries, keys)
    scores: Vec<f32>,
    /// (queries, keys)
    dropped: Vec<f32>,
    /// (queries)
    outs: Vec<f32>,
}

/// How many probabilities a chunk has.
pub(super) fn probabilities(pass: &Pass<'_>, queries: Queries) -> usize {
    let squares = pass
        .chunk
        .queries(queries)
        .map(|(row, asked)| asked.len() * row.length);
    squares.sum::<usize>() * pass.architecture().heads
}

/// `context` (asked, hidden) from `queries` and `pairs`; `kept` gets the probabilities, as `softmax` marks them.
pub(super) fn forward(
    pass: &Pass<'_>,
    layer: usize,
    places: Places,
    (queries, pairs): (&[f32], &[f32]),
    kept: &mut [f32],
    scratch: &mut HeadScratch,
    context: &mut [f32],
) {
    let (hidden, heads) = (pass.architecture().hidden, pass.architecture().heads);
    let width = hidden / heads;
    let scale = 1.0 / (width as f32).sqrt();
    let mut rest = kept;
    for (row, asked) in pass.chunk.queries(places.queries) {
        let (count, length) = (asked.len(), row.length);
        let mask = pass.mask(row, Site::Probabilities(layer));
        for head in 0..heads {
            let probabilities;
            (probabilities, rest) = rest.split_at_mut(count * length);
            let query = &queries[asked.start * places.query + head * width..];
            let pair = &pairs[row.first * places.pair + head * width..];
            // (count, width) x (width, length)
            product(
                MatMut::new(probabilities, count, length),
                To::Replace,
                scale,
                Mat::part(query, count, width, places.query),
                Mat::part(&pair[places.key..], length, width, places.pair).transposed(),
            );
            let dropped = sized(&mut scratch.dropped, count * length);
            softmax(probabilities, length, mask, head * length * length, dropped);
            let seen = if mask.is_some() {
                &*dropped
            } else {
                &*probabilities
            };
            // (count, length) x (length, width)
            product(
                MatMut::part(
                    &mut context[asked.start * hidden + head * width..],
                    count,
                    width,
                    hidden,
                ),
                To::Replace,
                1.0,
                Mat::new(seen, count, length),
                Mat::part(&pair[places.value..], length, width, places.pair),
            );
        }
    }
}

/// What the backward pass reads.
pub(super) struct Seen<'a> {
    pub(super) queries: &'a [f32],
    pub(super) pairs: &'a [f32],
    pub(super) kept: &'a [f32],
    /// (asked, hidden)
    pub(super) context: &'a [f32],
    /// Its gradient, (asked, hidden).
    pub(super) gradient: &'a [f32],
}

/// Gradients of queries, keys and values, which lie as these do: `to` is one vector of all three, or one of queries and
/// one of keys and values.
pub(super) fn backward(
    pass: &Pass<'_>,
    layer: usize,
    places: Places,
    seen: &Seen<'_>,
    scratch: &mut HeadScratch,
    to: (&mut [f32], Option<&mut [f32]>),
) {
    let (first, mut second) = to;
    let (hidden, heads) = (pass.architecture().hidden, pass.architecture().heads);
    let width = hidden / heads;
    let scale = 1.0 / (width as f32).sqrt();
    let mut rest = seen.kept;
    for (row, asked) in pass.chunk.queries(places.queries) {
        let (count, length) = (asked.len(), row.length);
        let mask = pass.mask(row, Site::Probabilities(layer));
        for head in 0..heads {
            let kept;
            (kept, rest) = rest.split_at(count * length);
            let query_at = asked.start * places.query + head * width;
            let pair_at = row.first * places.pair + head * width;
            let (key_at, value_at) = (pair_at + places.key, pair_at + places.value);
            let at = asked.start * hidden + head * width;
            let gradient = Mat::part(&seen.gradient[at..], count, width, hidden);
            let outs = sized(&mut scratch.outs, count);
            dots(
                &seen.gradient[at..],
                &seen.context[at..],
                (width, hidden),
                outs,
            );
            let scores = sized(&mut scratch.scores, count * length);
            // (count, width) x (width, length)
            let value = Mat::part(&seen.pairs[value_at..], length, width, places.pair);
            product(
                MatMut::new(scores, count, length),
                To::Replace,
                1.0,
                gradient,
                value.transposed(),
            );
            let dropped = sized(&mut scratch.dropped, count * length);
            let factor = mask.map_or(1.0, |mask| mask.factor);
            softmax_backward(scores, kept, length, factor, outs, dropped);
            let dropped = Mat::new(dropped, count, length).transposed();
            let scores = Mat::new(scores, count, length);
            let query = Mat::part(&seen.queries[query_at..], count, width, places.query);
            let key = Mat::part(&seen.pairs[key_at..], length, width, places.pair);
            // (count, length) x (length, width)
            let to = MatMut::part(&mut first[query_at..], count, width, places.query);
            product(to, To::Replace, scale, scores, key);
            let pairs = second.as_deref_mut().unwrap_or(&mut *first);
            // (length, count) x (count, width), twice
            let to = MatMut::part(&mut pairs[key_at..], length, width, places.pair);
            product(to, To::Replace, scale, scores.transposed(), query);
            let to = MatMut::part(&mut pairs[value_at..], length, width, places.pair);
            product(to, To::Replace, 1.0, dropped, gradient);
        }
    }
}
