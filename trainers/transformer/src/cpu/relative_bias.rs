//! MPNet's bias of attention scores by the distance between query and key, shared by all layers.

use linalg::simd::vectorized;

use super::chunk::Net;
use crate::architecture::relative_bucket;

/// The bias of each distance, key - query.
#[derive(Debug)]
pub(super) struct RelativeBias {
    /// Tokens of the longest row.
    longest: usize,
    /// (heads, 2 longest - 1): the distances from 1 - longest
    values: Vec<f32>,
}

impl RelativeBias {
    /// Returns the bias for rows of at most `longest` tokens; `None` if the network has none.
    pub(super) fn new(net: &Net, longest: usize) -> Option<Self> {
        let table = &net.dense[net.layout.relative_bias.clone()];
        if table.is_empty() {
            return None;
        }
        let (heads, last) = (net.architecture.num_attention_heads, longest as isize - 1);
        let of_head = |head| {
            (-last..=last).map(move |distance| table[relative_bucket(distance) * heads + head])
        };
        Some(Self {
            longest,
            values: (0..heads).flat_map(of_head).collect(),
        })
    }

    /// Sets the scores (queries, keys) of a head to the bias.
    pub(super) fn fill(&self, head: usize, keys: usize, scores: &mut [f32]) {
        let values = &self.values[head * (2 * self.longest - 1)..];
        for (query, scores) in scores.chunks_exact_mut(keys).enumerate() {
            scores.copy_from_slice(&values[self.longest - 1 - query..][..keys]);
        }
    }
}

/// Adds the gradient of a head's scores (queries, keys) to that of the table (buckets, heads), by
/// way of `sums` of each distance, (queries + keys - 1).
pub(super) fn backward(
    scores: &[f32],
    keys: usize,
    sums: &mut [f32],
    (table, heads): (&mut [f32], usize),
    head: usize,
) {
    // Of the first distance, from the last query to the first key.
    let last = scores.len() / keys - 1;
    sums.fill(0.0);
    vectorized(
        #[inline(always)]
        || {
            for (query, scores) in scores.chunks_exact(keys).enumerate() {
                for (sum, score) in sums[last - query..].iter_mut().zip(scores) {
                    *sum += score;
                }
            }
        },
    );
    for (distance, &sum) in (-(last as isize)..).zip(&*sums) {
        table[relative_bucket(distance) * heads + head] += sum;
    }
}
