//! The network on a CPU without libtorch, for prediction: the logits of a row are the same bits in
//! every batch. libtorch's sums depend on the number of rows and on the padding.
//!
//! Tokens are packed as by PyTorch's `pack_sequence`: the first token of every row, then the second
//! of every row that has two, and so on. Rows are sorted by length, the longest first, so the rows
//! that have a token at some time are always the first ones.

use std::sync::OnceLock;

use linalg::simd::{exp, max, sigmoid, sum, sum2, tanh, vectorized};
use linalg::{Accumulate, Mat, MatMut, linear, matmul_by_row};
use training::Arrays;

use crate::net::Shape;
use crate::params::Pooling;

/// The recurrent weights of each layer and direction, transposed to (hidden, 4 * hidden): `linalg`
/// multiplies by them at every time step, and would transpose them each time.
pub(crate) type Recurrent = OnceLock<Vec<Vec<f32>>>;

/// The weights of the network.
pub(crate) struct Forward<'a> {
    shape: &'a Shape,
    /// (ids, emb)
    embedding: &'a [f32],
    /// Both directions of the first layer, then those of the second, and so on.
    directions: Vec<Direction<'a>>,
    /// As `directions`.
    recurrent: &'a [Vec<f32>],
    /// (2 * hidden); empty for other poolings.
    attention: &'a [f32],
    /// (classes, 2 * hidden)
    weight: &'a [f32],
    /// (classes)
    bias: &'a [f32],
}

/// A direction of a layer.
struct Direction<'a> {
    /// (4 * hidden, inputs)
    weight_ih: &'a [f32],
    /// (4 * hidden, hidden)
    weight_hh: &'a [f32],
    /// (4 * hidden)
    bias_ih: &'a [f32],
    /// (4 * hidden)
    bias_hh: &'a [f32],
}

/// Working memory of a thread.
#[derive(Default)]
pub(crate) struct Buffers {
    /// (tokens, inputs)
    inputs: Vec<f32>,
    /// (tokens, 2 * hidden)
    outputs: Vec<f32>,
    /// (tokens, 4 * hidden)
    gates: Vec<f32>,
    /// (rows, hidden)
    cells: Vec<f32>,
    /// (rows, 2 * hidden)
    pooled: Vec<f32>,
}

/// A batch of packed rows.
struct Packed<'a> {
    /// Sorted by length, the longest first.
    rows: &'a [&'a [u32]],
    /// Index of the first token of each time, and the number of tokens.
    starts: Vec<usize>,
}

impl<'a> Packed<'a> {
    fn new(rows: &'a [&'a [u32]]) -> Self {
        let seq = rows.first().map_or(0, |row| row.len());
        let mut starts = vec![0];
        let mut tokens = 0;
        for time in 0..seq {
            tokens += rows.partition_point(|row| row.len() > time);
            starts.push(tokens);
        }
        Self { rows, starts }
    }

    /// Length of the longest row.
    fn seq(&self) -> usize {
        self.starts.len() - 1
    }

    fn tokens(&self) -> usize {
        self.starts[self.seq()]
    }

    /// Number of rows that have a token at this time.
    fn rows_at(&self, time: usize) -> usize {
        self.starts[time + 1] - self.starts[time]
    }
}

impl<'a> Forward<'a> {
    /// Returns the network with these weights; `None` if one is missing or has another shape.
    /// `recurrent` belongs to these weights.
    pub(crate) fn new(
        shape: &'a Shape,
        arrays: &'a Arrays,
        recurrent: &'a Recurrent,
    ) -> Option<Self> {
        let arrays = shape.select(arrays)?;
        let mut values = arrays.into_iter().map(|array| array.data.as_slice());
        let embedding = values.next()?;
        let mut directions = Vec::new();
        for _ in 0..2 * shape.num_layers {
            directions.push(Direction {
                weight_ih: values.next()?,
                weight_hh: values.next()?,
                bias_ih: values.next()?,
                bias_hh: values.next()?,
            });
        }
        let attention = match shape.pooling {
            Pooling::Attention => values.next()?,
            Pooling::Last | Pooling::Mean | Pooling::Max => &[],
        };
        let recurrent = recurrent.get_or_init(|| {
            let weights = directions.iter().map(|direction| direction.weight_hh);
            weights
                .map(|weight| transposed(weight, shape.hidden_size))
                .collect()
        });
        Some(Self {
            shape,
            embedding,
            directions,
            recurrent,
            attention,
            weight: values.next()?,
            bias: values.next()?,
        })
    }

    pub(crate) fn classes(&self) -> usize {
        self.shape.classes
    }

    /// Computes the logits of (rows, classes). `rows` are sorted by length, the longest first, and
    /// have at least one id each.
    pub(crate) fn logits(&self, rows: &[&[u32]], buffers: &mut Buffers) -> Vec<f32> {
        let packed = Packed::new(rows);
        self.embed(&packed, &mut buffers.inputs);
        for layer in 0..self.shape.num_layers {
            let length = packed.tokens() * 2 * self.shape.hidden_size;
            buffers.outputs.resize(length, 0.0);
            self.run(layer, false, &packed, buffers);
            self.run(layer, true, &packed, buffers);
            std::mem::swap(&mut buffers.inputs, &mut buffers.outputs);
        }
        // The outputs of the last layer.
        let Buffers { inputs, pooled, .. } = buffers;
        self.pool(&packed, inputs, pooled);
        let mut logits = self.bias.repeat(rows.len());
        linear(
            &mut logits,
            Accumulate::Add,
            pooled,
            self.weight,
            rows.len(),
        );
        logits
    }

    /// Looks up the embeddings, (tokens, emb).
    fn embed(&self, packed: &Packed<'_>, embedded: &mut Vec<f32>) {
        let width = self.shape.emb_size;
        embedded.clear();
        for time in 0..packed.seq() {
            for ids in &packed.rows[..packed.rows_at(time)] {
                let id = ids[time] as usize;
                embedded.extend_from_slice(&self.embedding[id * width..][..width]);
            }
        }
    }

    /// Runs a direction of a layer: `inputs` (tokens, inputs) to its half of `outputs`
    /// (tokens, 2 * hidden). The backward direction of a row begins at its last token.
    fn run(&self, layer: usize, backward: bool, packed: &Packed<'_>, buffers: &mut Buffers) {
        let number = 2 * layer + usize::from(backward);
        let (weights, recurrent) = (&self.directions[number], &self.recurrent[number]);
        let hidden = self.shape.hidden_size;
        let first = usize::from(backward) * hidden;
        let Buffers {
            inputs,
            outputs,
            gates,
            cells,
            ..
        } = buffers;
        let biases = weights.bias_ih.iter().zip(weights.bias_hh);
        let bias: Vec<f32> = biases.map(|(ih, hh)| ih + hh).collect();
        gates.clear();
        for _ in 0..packed.tokens() {
            gates.extend_from_slice(&bias);
        }
        linear(
            gates,
            Accumulate::Add,
            inputs,
            weights.weight_ih,
            packed.tokens(),
        );
        cells.clear();
        cells.resize(packed.rows.len() * hidden, 0.0);
        let seq = packed.seq();
        for step in 0..seq {
            let time = if backward { seq - 1 - step } else { step };
            let tokens = packed.starts[time]..packed.starts[time + 1];
            let gates = &mut gates[tokens.start * 4 * hidden..tokens.end * 4 * hidden];
            if step > 0 {
                let before = if backward { time + 1 } else { time - 1 };
                // Other rows begin here.
                let rows = packed.rows_at(time).min(packed.rows_at(before));
                let states = &outputs[packed.starts[before] * 2 * hidden + first..];
                matmul_by_row(
                    MatMut::new(gates, rows, 4 * hidden),
                    Accumulate::Add,
                    Mat::part(states, rows, hidden, 2 * hidden),
                    Mat::new(recurrent, hidden, 4 * hidden),
                );
            }
            let outputs = &mut outputs[tokens.start * 2 * hidden..tokens.end * 2 * hidden];
            advance(gates, cells, outputs, hidden, first);
        }
    }

    /// Pools the outputs of the last layer, (tokens, 2 * hidden), to (rows, 2 * hidden).
    fn pool(&self, packed: &Packed<'_>, outputs: &[f32], pooled: &mut Vec<f32>) {
        let hidden = self.shape.hidden_size;
        let width = 2 * hidden;
        pooled.clear();
        pooled.resize(packed.rows.len() * width, 0.0);
        let rows = packed.rows.iter().zip(pooled.chunks_exact_mut(width));
        for (row, (ids, pooled)) in rows.enumerate() {
            let state = |time: usize| &outputs[(packed.starts[time] + row) * width..][..width];
            let states = (0..ids.len()).map(state);
            match self.shape.pooling {
                Pooling::Last => {
                    let (forwards, backwards) = pooled.split_at_mut(hidden);
                    forwards.copy_from_slice(&state(ids.len() - 1)[..hidden]);
                    backwards.copy_from_slice(&state(0)[hidden..]);
                }
                Pooling::Mean => {
                    for state in states {
                        add_scaled(pooled, 1.0, state);
                    }
                    for value in pooled {
                        *value /= ids.len() as f32;
                    }
                }
                Pooling::Max => {
                    pooled.fill(f32::NEG_INFINITY);
                    for state in states {
                        for (largest, &value) in pooled.iter_mut().zip(state) {
                            // Not `max`, which hides NaN.
                            if value > *largest || value.is_nan() {
                                *largest = value;
                            }
                        }
                    }
                }
                Pooling::Attention => {
                    let score = |state: &[f32]| sum2(state, self.attention, |a, b| a * b);
                    let mut shares: Vec<f32> = states.clone().map(score).collect();
                    let peak = max(&shares);
                    for share in &mut shares {
                        *share = exp(*share - peak);
                    }
                    let total = sum(&shares, |share| share);
                    for (share, state) in shares.iter().zip(states) {
                        add_scaled(pooled, share / total, state);
                    }
                }
            }
        }
    }
}

/// Takes PyTorch's LSTM cell one step on: `gates` (rows, 4 * hidden) are sums in the order input,
/// forget, cell, output, and become activations; `cells` (rows, hidden) are updated; `outputs`
/// (rows, 2 * hidden) receive the states from column `first`.
fn advance(gates: &mut [f32], cells: &mut [f32], outputs: &mut [f32], hidden: usize, first: usize) {
    vectorized(
        #[inline(always)]
        || {
            let rows = gates
                .chunks_exact_mut(4 * hidden)
                .zip(cells.chunks_exact_mut(hidden))
                .zip(outputs.chunks_exact_mut(2 * hidden));
            // Loops over few slices: LLVM does not vectorize one loop over all of them.
            for ((gates, cells), outputs) in rows {
                let (sigmoids, rest) = gates.split_at_mut(2 * hidden);
                let (update, output) = rest.split_at_mut(hidden);
                map(sigmoids, sigmoid);
                map(update, tanh);
                map(output, sigmoid);
                let (input, forget) = (&sigmoids[..hidden], &sigmoids[hidden..][..hidden]);
                let (cells, update) = (&mut cells[..hidden], &update[..hidden]);
                for i in 0..hidden {
                    cells[i] = forget[i] * cells[i] + input[i] * update[i];
                }
                let (states, output) = (&mut outputs[first..][..hidden], &output[..hidden]);
                for i in 0..hidden {
                    states[i] = output[i] * tanh(cells[i]);
                }
            }
        },
    );
}

#[inline(always)]
fn map(values: &mut [f32], of: impl Fn(f32) -> f32) {
    for value in values {
        *value = of(*value);
    }
}

/// `to` += `factor` x `values`
fn add_scaled(to: &mut [f32], factor: f32, values: &[f32]) {
    for (to, value) in to.iter_mut().zip(values) {
        *to += factor * value;
    }
}

/// Transposes a matrix of (rows, width).
fn transposed(matrix: &[f32], width: usize) -> Vec<f32> {
    let column = |column| matrix.iter().skip(column).step_by(width).copied();
    (0..width).flat_map(column).collect()
}

#[cfg(test)]
mod tests;
