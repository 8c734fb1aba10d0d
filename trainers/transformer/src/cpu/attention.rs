//! Scaled dot-product attention (Vaswani et al. 2017), per row and head, without padding.

use linalg::{Accumulate, Mat, MatMut, matmul};

use super::chunk::{Pass, Queries, sized};
use super::dropout::Site;
use super::elementwise::{dot_rows, softmax, softmax_backward};
use super::relative_bias;

/// Positions of queries, keys and values of a layer.
#[derive(Clone, Copy)]
pub(super) struct QkvLayout {
    pub(super) queries: Queries,
    /// Distance between the queries of adjacent tokens.
    query_stride: usize,
    /// The same for keys and values, and their offsets within a token.
    kv_stride: usize,
    key_offset: usize,
    value_offset: usize,
}

impl QkvLayout {
    /// All three interleaved, (tokens, 3 hidden); for few queries, queries (queries, hidden) and
    /// keys and values (tokens, 2 hidden).
    pub(super) fn new(queries: Queries, hidden: usize) -> Self {
        match queries {
            Queries::All => Self {
                queries,
                query_stride: 3 * hidden,
                kv_stride: 3 * hidden,
                key_offset: hidden,
                value_offset: 2 * hidden,
            },
            Queries::First => Self {
                queries,
                query_stride: hidden,
                kv_stride: 2 * hidden,
                key_offset: 0,
                value_offset: hidden,
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
    row_dots: Vec<f32>,
    /// (queries + keys - 1)
    by_distance: Vec<f32>,
}

/// Returns the number of attention probabilities of a chunk.
pub(super) fn num_probs(pass: &Pass<'_>, queries: Queries) -> usize {
    let squares = pass
        .chunk
        .queries(queries)
        .map(|(row, range)| range.len() * row.length);
    squares.sum::<usize>() * pass.architecture().num_attention_heads
}

/// Computes `context` (queries, hidden); `probs` receives the probabilities, with the signs of
/// `softmax`.
pub(super) fn forward(
    pass: &Pass<'_>,
    layer: usize,
    layout: QkvLayout,
    (queries, qkv): (&[f32], &[f32]),
    probs: &mut [f32],
    scratch: &mut HeadScratch,
    context: &mut [f32],
) {
    let hidden = pass.architecture().hidden_size;
    let heads = pass.architecture().num_attention_heads;
    let width = hidden / heads;
    let scale = 1.0 / (width as f32).sqrt();
    let mut rest = probs;
    for (row, range) in pass.chunk.queries(layout.queries) {
        let (count, length) = (range.len(), row.length);
        let mask = pass.mask(row, Site::Probabilities(layer));
        for head in 0..heads {
            let probabilities;
            (probabilities, rest) = rest.split_at_mut(count * length);
            let query = &queries[range.start * layout.query_stride + head * width..];
            let kv = &qkv[row.first * layout.kv_stride + head * width..];
            let accumulate = match pass.relative_bias {
                Some(bias) => {
                    bias.fill(head, length, probabilities);
                    Accumulate::Add
                }
                None => Accumulate::Replace,
            };
            // (count, width) x (width, length)
            matmul(
                MatMut::new(probabilities, count, length),
                accumulate,
                scale,
                Mat::part(query, count, width, layout.query_stride),
                Mat::part(&kv[layout.key_offset..], length, width, layout.kv_stride).transposed(),
            );
            let dropped = sized(&mut scratch.dropped, count * length);
            softmax(probabilities, length, mask, head * length * length, dropped);
            let saved = if mask.is_some() {
                &*dropped
            } else {
                &*probabilities
            };
            // (count, length) x (length, width)
            matmul(
                MatMut::part(
                    &mut context[range.start * hidden + head * width..],
                    count,
                    width,
                    hidden,
                ),
                Accumulate::Replace,
                1.0,
                Mat::new(saved, count, length),
                Mat::part(&kv[layout.value_offset..], length, width, layout.kv_stride),
            );
        }
    }
}

/// Inputs of the backward pass.
pub(super) struct SavedForBackward<'a> {
    pub(super) queries: &'a [f32],
    pub(super) qkv: &'a [f32],
    pub(super) probs: &'a [f32],
    /// (queries, hidden)
    pub(super) context: &'a [f32],
    /// Gradient of the context, (queries, hidden).
    pub(super) gradient: &'a [f32],
}

/// Computes gradients of queries, keys and values in the same layout: `to` is one vector of all
/// three, or one of queries and one of keys and values. `table` is the gradient of that of relative
/// biases, if it is trained.
pub(super) fn backward(
    pass: &Pass<'_>,
    layer: usize,
    layout: QkvLayout,
    saved: &SavedForBackward<'_>,
    scratch: &mut HeadScratch,
    to: (&mut [f32], Option<&mut [f32]>),
    mut table: Option<&mut [f32]>,
) {
    let (first, mut second) = to;
    let hidden = pass.architecture().hidden_size;
    let heads = pass.architecture().num_attention_heads;
    let width = hidden / heads;
    let scale = 1.0 / (width as f32).sqrt();
    let mut rest = saved.probs;
    for (row, range) in pass.chunk.queries(layout.queries) {
        let (count, length) = (range.len(), row.length);
        let mask = pass.mask(row, Site::Probabilities(layer));
        for head in 0..heads {
            let probs;
            (probs, rest) = rest.split_at(count * length);
            let query_at = range.start * layout.query_stride + head * width;
            let kv_at = row.first * layout.kv_stride + head * width;
            let (key_at, value_at) = (kv_at + layout.key_offset, kv_at + layout.value_offset);
            let at = range.start * hidden + head * width;
            let gradient = Mat::part(&saved.gradient[at..], count, width, hidden);
            let row_dots = sized(&mut scratch.row_dots, count);
            let (upstream, context) = (&saved.gradient[at..], &saved.context[at..]);
            dot_rows(upstream, context, (width, hidden), row_dots);
            let scores = sized(&mut scratch.scores, count * length);
            // (count, width) x (width, length)
            let value = Mat::part(&saved.qkv[value_at..], length, width, layout.kv_stride);
            matmul(
                MatMut::new(scores, count, length),
                Accumulate::Replace,
                1.0,
                gradient,
                value.transposed(),
            );
            let dropped = sized(&mut scratch.dropped, count * length);
            let factor = mask.map_or(1.0, |mask| mask.factor);
            softmax_backward(scores, probs, length, factor, row_dots, dropped);
            if let Some(table) = table.as_deref_mut() {
                let sums = sized(&mut scratch.by_distance, count + length - 1);
                relative_bias::backward(scores, length, sums, (table, heads), head);
            }
            let dropped = Mat::new(dropped, count, length).transposed();
            let scores = Mat::new(scores, count, length);
            let query = Mat::part(
                &saved.queries[query_at..],
                count,
                width,
                layout.query_stride,
            );
            let key = Mat::part(&saved.qkv[key_at..], length, width, layout.kv_stride);
            // (count, length) x (length, width)
            let to = MatMut::part(&mut first[query_at..], count, width, layout.query_stride);
            matmul(to, Accumulate::Replace, scale, scores, key);
            let qkv = second.as_deref_mut().unwrap_or(&mut *first);
            // (length, count) x (count, width), twice
            let to = MatMut::part(&mut qkv[key_at..], length, width, layout.kv_stride);
            matmul(to, Accumulate::Replace, scale, scores.transposed(), query);
            let to = MatMut::part(&mut qkv[value_at..], length, width, layout.kv_stride);
            matmul(to, Accumulate::Replace, 1.0, dropped, gradient);
        }
    }
}
