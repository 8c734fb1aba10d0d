//! What a thread does with its rows: chunk by chunk through the whole network and back, on buffers of its own.

use super::chunk::{Chunk, Net, Pass, sized};
use super::embed::{self, NormBuffers};
use super::gradient::{Gradient, Slots};
use super::head::{self, HeadBuffers};
use super::layer::{self, Back, LayerBuffers, Scratch};
use crate::engine::{Batch, Target};

/// Tokens that go through the network together: more make the matrix products faster, fewer leave more of the
/// activations in the caches.
const CHUNK: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) gradient: Gradient,
    embeddings: NormBuffers,
    /// Inputs of the layers and the last one's output, (tokens, hidden)
    inputs: Vec<Vec<f32>>,
    layers: Vec<LayerBuffers>,
    head: HeadBuffers,
    scratch: Scratch,
    /// Gradient of a layer's output, (tokens, hidden)
    below: Vec<f32>,
}

/// Which of the shared buffers belong to a layer. Those below the lowest that learns need not remember anything.
fn place(layer: usize, lowest: usize) -> usize {
    layer.saturating_sub(lowest)
}

/// The same for its input: two that take turns below the lowest.
fn input_place(layer: usize, lowest: usize) -> usize {
    if layer >= lowest {
        layer - lowest + 1
    } else {
        (lowest - layer + 1) % 2
    }
}

impl Worker {
    /// Logits (rows, classes) of a chunk; what layers from `lowest` on need for the backward pass is kept.
    fn forward(&mut self, pass: &Pass<'_>, lowest: usize) -> &mut [f32] {
        let (layers, hidden) = (pass.architecture().layers, pass.architecture().hidden);
        let tokens = pass.chunk.tokens;
        let inputs = &mut self.inputs;
        inputs.resize_with(input_place(layers, lowest).max(1) + 1, Vec::new);
        self.layers
            .resize_with(place(layers - 1, lowest) + 1, LayerBuffers::default);
        let first = sized(&mut inputs[input_place(0, lowest)], tokens * hidden);
        embed::forward(pass, &mut self.embeddings, first);
        for layer in 0..layers {
            let mut out = std::mem::take(&mut inputs[input_place(layer + 1, lowest)]);
            let asked = pass.chunk.asked(pass.queries(layer));
            let input = &inputs[input_place(layer, lowest)][..tokens * hidden];
            let buffers = &mut self.layers[place(layer, lowest)];
            let to = sized(&mut out, asked * hidden);
            layer::forward(pass, layer, input, buffers, &mut self.scratch, to);
            inputs[input_place(layer + 1, lowest)] = out;
        }
        let last = &mut inputs[input_place(layers, lowest)][..pass.chunk.rows.len() * hidden];
        head::forward(pass, last, &mut self.head)
    }

    /// Adds the gradients of a chunk whose logits have become their gradients.
    fn backward(&mut self, pass: &Pass<'_>, slots: &Slots) {
        let (layers, hidden) = (pass.architecture().layers, pass.architecture().hidden);
        let (layout, tokens) = (&pass.net.layout, pass.chunk.tokens);
        let last = &mut self.inputs[input_place(layers, layout.lowest)];
        let last = &mut last[..pass.chunk.rows.len() * hidden];
        let first = head::backward(pass, last, &mut self.head, &mut self.gradient);
        for layer in (layout.lowest..layers).rev() {
            let mut back = Back {
                input: &self.inputs[input_place(layer, layout.lowest)][..tokens * hidden],
                to: &mut self.gradient,
                scratch: &mut self.scratch,
                below: layer > layout.lowest || layout.embeddings,
            };
            let buffers = &mut self.layers[place(layer, layout.lowest)];
            if layer + 1 == layers {
                layer::backward(pass, layer, buffers, &mut back, first, &mut self.below);
            } else {
                let gradient = &mut std::mem::take(&mut self.below);
                let all = &mut gradient[..tokens * hidden];
                layer::backward(pass, layer, buffers, &mut back, all, &mut self.below);
                self.below = std::mem::take(gradient);
            }
        }
        if layout.embeddings {
            let gradient = &mut self.below[..tokens * hidden];
            embed::backward(
                pass,
                &mut self.embeddings,
                gradient,
                &mut self.gradient,
                slots,
            );
        }
        self.gradient.fresh = false;
    }

    /// Adds the gradients of these rows; their losses.
    pub(super) fn learn(
        &mut self,
        net: &Net,
        batch: &Batch,
        target: &Target<'_>,
        rows: &[usize],
        slots: &Slots,
    ) -> Vec<(usize, f64)> {
        let mut losses = Vec::with_capacity(rows.len());
        let words = slots.words.len() * net.architecture.hidden;
        self.gradient.prepare(&net.layout, words);
        for chunk in &Chunk::cut(batch, rows, CHUNK) {
            let pass = Pass {
                net,
                batch,
                chunk,
                noise: target.noise,
            };
            let logits = self.forward(&pass, net.layout.lowest);
            losses.extend(head::losses(&pass, target, logits));
            self.backward(&pass, slots);
        }
        losses
    }

    /// The logits of these rows.
    pub(super) fn logits(
        &mut self,
        net: &Net,
        batch: &Batch,
        rows: &[usize],
    ) -> Vec<(usize, Vec<f32>)> {
        let mut all = Vec::with_capacity(rows.len());
        for chunk in &Chunk::cut(batch, rows, CHUNK) {
            let pass = Pass {
                net,
                batch,
                chunk,
                noise: None,
            };
            // No layer learns: nothing is kept.
            let logits = self.forward(&pass, net.architecture.layers);
            let logits = logits.chunks_exact(net.architecture.classes);
            let numbers = chunk.rows.iter().map(|row| row.number);
            all.extend(numbers.zip(logits.map(<[f32]>::to_vec)));
        }
        all
    }
}
