//! Rows that are processed together, concatenated without padding.

use std::ops::Range;

use linalg::simd::vectorized;
use linalg::{Accumulate, linear, linear_backward};

use super::dropout::{Mask, Site, apply_dropout};
use super::elementwise::fill;
use super::layout::{Layout, ParamRanges};
use super::relative_bias::RelativeBias;
use crate::architecture::{Architecture, Family};
use crate::engine::{Batch, DropoutKey};

/// Parameters and their layout.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) architecture: Architecture,
    pub(super) layout: Layout,
    /// (vocab, hidden)
    pub(super) words: Vec<f32>,
    /// All other parameters.
    pub(super) dense: Vec<f32>,
}

/// A row of a batch within a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Index within the batch.
    pub(super) number: usize,
    /// Index of its first token within the chunk.
    pub(super) first: usize,
    pub(super) length: usize,
}

impl Row {
    pub(super) fn tokens(&self) -> Range<usize> {
        self.first..self.first + self.length
    }
}

/// Some rows of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub(super) rows: Vec<Row>,
    pub(super) tokens: usize,
}

/// Tokens whose output a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queries {
    All,
    /// The first token of each row: the head uses no others.
    First,
}

impl Chunk {
    /// Splits rows into chunks of at most `max_tokens` tokens, but at least one row.
    pub(super) fn split(batch: &Batch, rows: &[usize], max_tokens: usize) -> Vec<Self> {
        let mut chunks: Vec<Self> = Vec::new();
        for &number in rows {
            let length = batch.lengths[number];
            match chunks.last_mut() {
                Some(chunk) if chunk.tokens + length <= max_tokens => chunk.push(number, length),
                _ => {
                    let mut chunk = Self::default();
                    chunk.push(number, length);
                    chunks.push(chunk);
                }
            }
        }
        chunks
    }

    fn push(&mut self, number: usize, length: usize) {
        self.rows.push(Row {
            number,
            first: self.tokens,
            length,
        });
        self.tokens += length;
    }

    /// Returns the number of query tokens.
    pub(super) fn num_queries(&self, queries: Queries) -> usize {
        match queries {
            Queries::All => self.tokens,
            Queries::First => self.rows.len(),
        }
    }

    /// Returns each row with the range of its query tokens.
    pub(super) fn queries(&self, queries: Queries) -> impl Iterator<Item = (&Row, Range<usize>)> {
        self.rows.iter().enumerate().map(move |(place, row)| {
            let range = match queries {
                Queries::All => row.tokens(),
                Queries::First => place..place + 1,
            };
            (row, range)
        })
    }
}

/// A chunk with its network and batch.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) net: &'a Net,
    pub(super) batch: &'a Batch,
    pub(super) chunk: &'a Chunk,
    pub(super) dropout_key: Option<DropoutKey>,
    pub(super) relative_bias: Option<&'a RelativeBias>,
}

impl<'a> Pass<'a> {
    pub(super) fn architecture(&self) -> &'a Architecture {
        &self.net.architecture
    }

    /// Returns the parameters in a range of `Net::dense`.
    pub(super) fn weights(&self, range: &Range<usize>) -> &'a [f32] {
        &self.net.dense[range.clone()]
    }

    /// out (tokens, outputs) = inputs (tokens, inputs) x weightᵀ
    pub(super) fn linear(
        &self,
        out: &mut [f32],
        inputs: &[f32],
        weight: &Range<usize>,
        tokens: usize,
    ) {
        let weight = self.weights(weight);
        linear(out, Accumulate::Replace, inputs, weight, tokens);
    }

    /// out (tokens, outputs) = inputs (tokens, inputs) x weightᵀ + bias
    pub(super) fn linear_with_bias(
        &self,
        out: &mut [f32],
        inputs: &[f32],
        at: &ParamRanges,
        tokens: usize,
    ) {
        fill(out, self.weights(&at.bias));
        let weight = self.weights(&at.weight);
        linear(out, Accumulate::Add, inputs, weight, tokens);
    }

    /// inputs (tokens, inputs) = or += outputs (tokens, outputs) x weight (outputs, inputs)
    pub(super) fn linear_backward(
        &self,
        inputs: &mut [f32],
        accumulate: Accumulate,
        outputs: &[f32],
        weight: &Range<usize>,
        tokens: usize,
    ) {
        linear_backward(inputs, accumulate, outputs, self.weights(weight), tokens);
    }

    /// Applies dropout to the query tokens of each row, (queries, hidden).
    pub(super) fn drop_rows(&self, queries: Queries, site: Site, values: &mut [f32]) {
        let hidden = self.architecture().hidden_size;
        for (row, range) in self.chunk.queries(queries) {
            let mask = self.mask(row, site);
            let tokens = &mut values[range.start * hidden..range.end * hidden];
            vectorized(
                #[inline(always)]
                || apply_dropout(tokens, mask, 0),
            );
        }
    }

    pub(super) fn queries(&self, layer: usize) -> Queries {
        if layer + 1 == self.architecture().num_hidden_layers {
            Queries::First
        } else {
            Queries::All
        }
    }

    pub(super) fn mask(&self, row: &Row, site: Site) -> Option<Mask> {
        let shares = &self.architecture().dropout;
        let family = self.architecture().family;
        let share = match site {
            Site::AttentionOut(_) if family == Family::DistilBert => 0.0,
            Site::HeadIn if !family.is_like_roberta() => 0.0,
            Site::Embeddings | Site::AttentionOut(_) | Site::Out(_) => shares.hidden,
            Site::Probabilities(_) => shares.attention,
            Site::HeadIn | Site::HeadOut => shares.head,
        };
        Mask::new(self.dropout_key, share, row.number, site)
    }
}

/// Returns a buffer of this length, growing it if needed. Its content is undefined.
pub(super) fn sized(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        // Drops the content instead of copying it.
        buffer.clear();
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_keep_all_rows_in_order() {
        let lengths = vec![3, 9, 1, 4, 4];
        let batch = Batch {
            ids: vec![0; 45],
            types: Vec::new(),
            lengths,
            seq: 9,
        };
        let chunks = Chunk::split(&batch, &[4, 1, 2, 0, 3], 8);
        let rows = |chunk: &Chunk| chunk.rows.iter().map(|row| row.number).collect::<Vec<_>>();
        assert_eq!(
            chunks.iter().map(rows).collect::<Vec<_>>(),
            [vec![4], vec![1], vec![2, 0, 3]]
        );
        assert_eq!(chunks[2].tokens, 8);
        let ranges: Vec<_> = chunks[2]
            .queries(Queries::All)
            .map(|(_, range)| range)
            .collect();
        assert_eq!(ranges, [0..1, 1..4, 4..8]);
    }
}
