//! MPNet's bias of attention scores by the distance between query and key, shared by all layers.
//!
//! A table of distances becomes a matrix of queries and keys by a shift: rows of `distances`
//! numbers that are repeated after `distances + 1` start one number earlier each time.

use candle_core::{DType, Device, Result, Tensor};

use super::{CandleOps, TokenBatch, f32};
use crate::architecture::{RELATIVE_BUCKETS, relative_bucket};

/// Returns (buckets, 2 * seq - 1) f32: 1 for the bucket of each distance from 1 - seq to seq - 1.
pub(in crate::candle) fn distances(seq: usize, device: &Device) -> Result<Tensor> {
    let (count, last) = (2 * seq - 1, seq as isize - 1);
    let mut all = vec![0_f32; RELATIVE_BUCKETS * count];
    for (place, distance) in (-last..=last).enumerate() {
        all[relative_bucket(distance) * count + place] = 1.0;
    }
    Tensor::from_vec(all, (RELATIVE_BUCKETS, count), device)
}

impl CandleOps {
    /// Returns the bias of each query and key (heads, seq, seq) f32, from the table (buckets,
    /// heads) f32; `None` without one.
    pub(in crate::candle) fn relative_bias(
        &self,
        table: Option<&Tensor>,
        tokens: &TokenBatch,
    ) -> Result<Option<Tensor>> {
        let (Some(table), Some(distances)) = (table, &tokens.distances) else {
            return Ok(None);
        };
        let by_distance = table.t()?.contiguous()?.matmul(distances)?; // (heads, distances) f32
        let (heads, count) = by_distance.dims2()?;
        let seq = tokens.seq;
        let repeated = by_distance
            .pad_with_zeros(1, 0, 1)?
            .unsqueeze(1)?
            .broadcast_as((heads, seq, count + 1))?
            .contiguous()?; // (heads, seq, distances + 1) f32
        let shifted = repeated
            .reshape((heads, seq * (count + 1)))?
            .narrow(1, 0, seq * count)?
            .contiguous()?
            .reshape((heads, seq, count))?; // (heads, seq, distances) f32
        shifted.narrow(2, seq - 1, seq)?.contiguous().map(Some) // (heads, seq, seq) f32
    }

    /// Adds the gradient of the scores (rows, heads, seq, seq) D to that of the table (buckets,
    /// heads) f32: the steps of `relative_bias` backwards.
    pub(in crate::candle) fn relative_bias_backward(
        &self,
        scores: &Tensor,
        tokens: &TokenBatch,
        table: Option<&Tensor>,
    ) -> Result<()> {
        let (Some(table), Some(distances)) = (table, &tokens.distances) else {
            return Ok(());
        };
        let (rows, heads, seq, _) = scores.dims4()?;
        let count = 2 * seq - 1;
        // As a matrix product: candle's sum over the first dimension is slow on a GPU.
        let ones = Tensor::ones((1, rows), DType::F32, &self.0)?; // (1, rows) f32
        let sum = ones.matmul(&f32(scores)?.reshape((rows, heads * seq * seq))?)?; // (1, heads * seq * seq) f32
        let shifted = sum
            .reshape((heads, seq, seq))?
            .pad_with_zeros(2, seq - 1, 0)?; // (heads, seq, distances) f32
        let repeated = shifted
            .reshape((heads, seq * count))?
            .pad_with_zeros(1, 0, seq)?
            .reshape((heads, seq, count + 1))?; // (heads, seq, distances + 1) f32
        let by_distance = repeated.sum(1)?.narrow(1, 0, count)?; // (heads, distances) f32
        let gradient = distances.matmul(&by_distance.t()?.contiguous()?)?; // (buckets, heads) f32
        self.add(table, &gradient)
    }
}
