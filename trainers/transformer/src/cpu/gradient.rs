//! Gradients accumulated by a thread.

use std::ops::Range;

use linalg::{Accumulate, Mat, MatMut, matmul};

use super::elementwise::bias_backward;
use super::layout::{Layout, ParamRanges};

/// Gradients of all parameters since the last step.
#[derive(Debug, Default)]
pub(super) struct Gradient {
    /// Laid out as `Net::dense`.
    pub(super) dense: Vec<f32>,
    /// (slots, hidden), for the rows in `TouchedRows`
    pub(super) words: Vec<f32>,
    /// True if nothing is accumulated yet: `dense` is of an earlier step.
    pub(super) stale: bool,
}

/// Rows of the word embeddings that have gradients, in order of first use.
#[derive(Debug)]
pub(super) struct TouchedRows {
    /// Slot of each word.
    slot_of: Vec<u32>,
    pub(super) words: Vec<u32>,
}

/// Slot of words without gradient.
const NONE: u32 = u32::MAX;

impl TouchedRows {
    pub(super) fn new(vocab: usize) -> Self {
        Self {
            slot_of: vec![NONE; vocab],
            words: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, word: u32) {
        let slot = &mut self.slot_of[word as usize];
        if *slot == NONE {
            *slot = self.words.len() as u32;
            self.words.push(word);
        }
    }

    pub(super) fn slot(&self, word: usize) -> Option<usize> {
        let slot = self.slot_of[word];
        (slot != NONE).then_some(slot as usize)
    }

    pub(super) fn clear(&mut self) {
        for word in self.words.drain(..) {
            self.slot_of[word as usize] = NONE;
        }
    }
}

impl Gradient {
    /// Allocates buffers and clears stale ones, except matrices: the first product replaces them.
    pub(super) fn prepare(&mut self, layout: &Layout, words: usize) {
        if self.dense.is_empty() {
            self.dense = vec![0.0; layout.length];
        }
        if self.stale {
            self.words.clear();
            for range in &layout.elementwise {
                self.dense[range.clone()].fill(0.0);
            }
        }
        self.words.resize(words, 0.0);
    }

    pub(super) fn accumulate_mode(&self) -> Accumulate {
        if self.stale {
            Accumulate::Replace
        } else {
            Accumulate::Add
        }
    }

    /// Accumulates the gradient of a linear layer's weight (outputs, inputs) from that of its
    /// outputs (tokens, outputs) and its inputs (tokens, inputs).
    pub(super) fn linear(
        &mut self,
        layout: &Layout,
        weight: &Range<usize>,
        outputs: &[f32],
        inputs: &[f32],
        tokens: usize,
    ) {
        if !layout.requires_grad(weight) || tokens == 0 {
            return;
        }
        let (height, width) = (outputs.len() / tokens, inputs.len() / tokens);
        let accumulate = self.accumulate_mode();
        matmul(
            MatMut::new(&mut self.dense[weight.clone()], height, width),
            accumulate,
            1.0,
            Mat::new(outputs, tokens, height).transposed(),
            Mat::new(inputs, tokens, width),
        );
    }

    /// Accumulates the gradients of a linear layer's weight and bias.
    pub(super) fn linear_with_bias(
        &mut self,
        layout: &Layout,
        at: &ParamRanges,
        outputs: &[f32],
        inputs: &[f32],
        tokens: usize,
    ) {
        bias_backward(outputs, &mut self.dense[at.bias.clone()]);
        self.linear(layout, &at.weight, outputs, inputs, tokens);
    }

    /// Returns the gradient of a range; `None` if no part of it is trained.
    pub(super) fn of_trained(
        &mut self,
        layout: &Layout,
        range: &Range<usize>,
    ) -> Option<&mut [f32]> {
        match layout.requires_grad(range) {
            true => Some(&mut self.dense[range.clone()]),
            false => None,
        }
    }

    /// Returns several disjoint parts.
    #[expect(
        clippy::expect_used,
        reason = "parameters do not overlap, and `dense` has room for all"
    )]
    pub(super) fn parts<const N: usize>(&mut self, ranges: [&Range<usize>; N]) -> [&mut [f32]; N] {
        self.dense
            .get_disjoint_mut(ranges.map(Range::clone))
            .expect("parts of a layout")
    }
}
