//! Work of a thread: takes its rows through the network and back in chunks, on its own buffers.

use super::chunk::{Chunk, Net, Pass, sized};
use super::embed::{self, NormBuffers};
use super::gradient::{Gradient, TouchedRows};
use super::head::{self, HeadBuffers};
use super::layer::{self, BackwardContext, LayerBuffers, Scratch};
use super::relative_bias::RelativeBias;
use crate::engine::{Batch, LossTarget};

/// Tokens of a chunk: more make matrix products faster, fewer keep more of the activations in the
/// caches.
const CHUNK_TOKENS: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) gradient: Gradient,
    embeddings: NormBuffers,
    /// Inputs of the layers and output of the last, (tokens, hidden)
    inputs: Vec<Vec<f32>>,
    layers: Vec<LayerBuffers>,
    head: HeadBuffers,
    scratch: Scratch,
    /// Gradient of a layer's output, (tokens, hidden)
    gradient_out: Vec<f32>,
}

/// Returns the index of a layer's buffers. Layers below the lowest trained one share theirs.
fn buffer_index(layer: usize, first_trained: usize) -> usize {
    layer.saturating_sub(first_trained)
}

/// Returns the index of a layer's input; below the lowest trained layer two alternate.
fn input_index(layer: usize, first_trained: usize) -> usize {
    if layer >= first_trained {
        layer - first_trained + 1
    } else {
        (first_trained - layer + 1) % 2
    }
}

impl Worker {
    /// Computes logits (rows, classes) of a chunk; layers from `first_trained` save values for the
    /// backward pass.
    fn forward(&mut self, pass: &Pass<'_>, first_trained: usize) -> &mut [f32] {
        let layers = pass.architecture().num_hidden_layers;
        let hidden = pass.architecture().hidden_size;
        let tokens = pass.chunk.tokens;
        let inputs = &mut self.inputs;
        inputs.resize_with(input_index(layers, first_trained).max(1) + 1, Vec::new);
        self.layers.resize_with(
            buffer_index(layers - 1, first_trained) + 1,
            LayerBuffers::default,
        );
        let first = sized(&mut inputs[input_index(0, first_trained)], tokens * hidden);
        embed::forward(pass, &mut self.embeddings, first);
        for layer in 0..layers {
            let mut out = std::mem::take(&mut inputs[input_index(layer + 1, first_trained)]);
            let num_queries = pass.chunk.num_queries(pass.queries(layer));
            let input = &inputs[input_index(layer, first_trained)][..tokens * hidden];
            let buffers = &mut self.layers[buffer_index(layer, first_trained)];
            let to = sized(&mut out, num_queries * hidden);
            layer::forward(pass, layer, input, buffers, &mut self.scratch, to);
            inputs[input_index(layer + 1, first_trained)] = out;
        }
        let last =
            &mut inputs[input_index(layers, first_trained)][..pass.chunk.rows.len() * hidden];
        head::forward(pass, last, &mut self.head)
    }

    /// Accumulates the gradients of a chunk, from those of its logits.
    fn backward(&mut self, pass: &Pass<'_>, touched: &TouchedRows) {
        let layers = pass.architecture().num_hidden_layers;
        let hidden = pass.architecture().hidden_size;
        let (layout, tokens) = (&pass.net.layout, pass.chunk.tokens);
        let last = &mut self.inputs[input_index(layers, layout.first_trained_layer)];
        let last = &mut last[..pass.chunk.rows.len() * hidden];
        let first = head::backward(pass, last, &mut self.head, &mut self.gradient);
        for layer in (layout.first_trained_layer..layers).rev() {
            let mut context = BackwardContext {
                input: &self.inputs[input_index(layer, layout.first_trained_layer)]
                    [..tokens * hidden],
                to: &mut self.gradient,
                scratch: &mut self.scratch,
                input_grad: layer > layout.first_trained_layer || layout.trains_embeddings,
            };
            let buffers = &mut self.layers[buffer_index(layer, layout.first_trained_layer)];
            if layer + 1 == layers {
                layer::backward(
                    pass,
                    layer,
                    buffers,
                    &mut context,
                    first,
                    &mut self.gradient_out,
                );
            } else {
                let gradient = &mut std::mem::take(&mut self.gradient_out);
                let all = &mut gradient[..tokens * hidden];
                layer::backward(
                    pass,
                    layer,
                    buffers,
                    &mut context,
                    all,
                    &mut self.gradient_out,
                );
                self.gradient_out = std::mem::take(gradient);
            }
        }
        if layout.trains_embeddings {
            let gradient = &mut self.gradient_out[..tokens * hidden];
            embed::backward(
                pass,
                &mut self.embeddings,
                gradient,
                &mut self.gradient,
                touched,
            );
        }
        self.gradient.stale = false;
    }

    /// Accumulates the gradients of these rows. Returns row and loss of each.
    pub(super) fn forward_backward(
        &mut self,
        net: &Net,
        batch: &Batch,
        target: &LossTarget<'_>,
        rows: &[usize],
        touched: &TouchedRows,
    ) -> Vec<(usize, f64)> {
        let mut losses = Vec::with_capacity(rows.len());
        let words = touched.words.len() * net.architecture.hidden_size;
        self.gradient.prepare(&net.layout, words);
        let relative_bias = RelativeBias::new(net, batch.seq);
        for chunk in &Chunk::split(batch, rows, CHUNK_TOKENS) {
            let pass = Pass {
                net,
                batch,
                chunk,
                dropout_key: target.dropout_key,
                relative_bias: relative_bias.as_ref(),
            };
            let logits = self.forward(&pass, net.layout.first_trained_layer);
            losses.extend(head::losses(&pass, target, logits));
            self.backward(&pass, touched);
        }
        losses
    }

    /// Returns the logits of these rows.
    pub(super) fn logits(
        &mut self,
        net: &Net,
        batch: &Batch,
        rows: &[usize],
    ) -> Vec<(usize, Vec<f32>)> {
        let mut all = Vec::with_capacity(rows.len());
        let relative_bias = RelativeBias::new(net, batch.seq);
        for chunk in &Chunk::split(batch, rows, CHUNK_TOKENS) {
            let pass = Pass {
                net,
                batch,
                chunk,
                dropout_key: None,
                relative_bias: relative_bias.as_ref(),
            };
            // No layer is trained: nothing is saved.
            let logits = self.forward(&pass, net.architecture.num_hidden_layers);
            let logits = logits.chunks_exact(net.architecture.num_labels);
            let numbers = chunk.rows.iter().map(|row| row.number);
            all.extend(numbers.zip(logits.map(<[f32]>::to_vec)));
        }
        all
    }
}
