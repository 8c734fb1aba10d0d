//! The gradients that a thread has summed up.

use std::ops::Range;

use super::layout::Layout;
use super::matmul::{Mat, MatMut, To, product};

/// Of all parameters, since the last step.
#[derive(Debug, Default)]
pub(super) struct Gradient {
    /// Where the parameters lie in `Net::dense`.
    pub(super) dense: Vec<f32>,
    /// (slots, hidden), of the words that `Slots` has
    pub(super) words: Vec<f32>,
    /// Nothing is summed up yet: what `dense` holds is of another step.
    pub(super) fresh: bool,
}

/// The words that have gradients, in the order in which they came.
#[derive(Debug)]
pub(super) struct Slots {
    /// Of each word, its slot.
    of: Vec<u32>,
    pub(super) words: Vec<u32>,
}

/// Of a word without gradient.
const NONE: u32 = u32::MAX;

impl Slots {
    pub(super) fn new(vocab: usize) -> Self {
        Self {
            of: vec![NONE; vocab],
            words: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, word: u32) {
        let slot = &mut self.of[word as usize];
        if *slot == NONE {
            *slot = self.words.len() as u32;
            self.words.push(word);
        }
    }

    pub(super) fn get(&self, word: usize) -> Option<usize> {
        let slot = self.of[word];
        (slot != NONE).then_some(slot as usize)
    }

    pub(super) fn clear(&mut self) {
        for word in self.words.drain(..) {
            self.of[word as usize] = NONE;
        }
    }
}

impl Gradient {
    /// Makes room, and forgets what is of another step. Matrices are not cleared: the first product replaces them.
    pub(super) fn prepare(&mut self, layout: &Layout, words: usize) {
        if self.dense.is_empty() {
            self.dense = vec![0.0; layout.length];
        }
        if self.fresh {
            self.words.clear();
            for range in &layout.vectors {
                self.dense[range.clone()].fill(0.0);
            }
        }
        self.words.resize(words, 0.0);
    }

    pub(super) fn how(&self) -> To {
        if self.fresh { To::Replace } else { To::Add }
    }

    /// Adds the gradient of a linear layer's weight (outputs, inputs) from those of its outputs (tokens, outputs) and
    /// from its inputs (tokens, inputs).
    pub(super) fn linear(
        &mut self,
        layout: &Layout,
        weight: &Range<usize>,
        outputs: &[f32],
        inputs: &[f32],
        tokens: usize,
    ) {
        if !layout.learns(weight) || tokens == 0 {
            return;
        }
        let (height, width) = (outputs.len() / tokens, inputs.len() / tokens);
        let how = self.how();
        product(
            MatMut::new(&mut self.dense[weight.clone()], height, width),
            how,
            1.0,
            Mat::new(outputs, tokens, height).transposed(),
            Mat::new(inputs, tokens, width),
        );
    }

    /// Several parts at a time.
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
