//! A layer: attention, norm, feed-forward part, norm.

use std::ops::Range;

use super::attention::{self, HeadScratch, Places, Seen};
use super::chunk::{Pass, Queries, sized};
use super::elementwise::{activate, activate_backward, bias_backward, fill};
use super::embed::NormBuffers;
use super::gradient::Gradient;
use super::layout::NormAt;
use super::noise::Site;
use super::norm::{Affine, AffineGradient, Normal, of_sum, of_sum_backward};
use super::product::{Mat, MatMut, To, product};

/// What the backward pass needs of a layer. `asked` is the number of tokens that the output is needed of.
#[derive(Debug, Default)]
pub(super) struct LayerBuffers {
    /// Queries, keys and values, (tokens, 3 hidden); of the last layer keys and values, (tokens, 2 hidden)
    pairs: Vec<f32>,
    /// Of the last layer: (asked, hidden)
    queries: Vec<f32>,
    /// Of the last layer: the inputs that are asked, (asked, hidden)
    inputs: Vec<f32>,
    /// Row by row, (heads, asked of the row, length)
    kept: Vec<f32>,
    /// (asked, hidden)
    context: Vec<f32>,
    attention_norm: NormBuffers,
    /// Its output, (asked, hidden)
    middle: Vec<f32>,
    /// (asked, intermediate), and its slope
    active: Vec<f32>,
    slope: Vec<f32>,
    out_norm: NormBuffers,
}

/// Buffers that no layer needs longer than its turn.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// (tokens, hidden)
    hidden: Vec<f32>,
    /// (asked, intermediate)
    wide: Vec<f32>,
    /// (tokens, 3 hidden)
    pairs: Vec<f32>,
    /// (asked, hidden)
    queries: Vec<f32>,
    head: HeadScratch,
}

/// out (tokens, outputs) = inputs (tokens, inputs) x weightᵀ (inputs, outputs)
pub(super) fn linear(out: &mut [f32], how: To, inputs: &[f32], weight: &[f32], tokens: usize) {
    if tokens == 0 {
        return;
    }
    let (width, height) = (inputs.len() / tokens, out.len() / tokens);
    let weight = Mat::new(weight, height, width).transposed();
    product(
        MatMut::new(out, tokens, height),
        how,
        1.0,
        Mat::new(inputs, tokens, width),
        weight,
    );
}

/// inputs (tokens, inputs) = or += outputs (tokens, outputs) x weight (outputs, inputs)
pub(super) fn linear_backward(
    inputs: &mut [f32],
    how: To,
    outputs: &[f32],
    weight: &[f32],
    tokens: usize,
) {
    if tokens == 0 {
        return;
    }
    let (width, height) = (inputs.len() / tokens, outputs.len() / tokens);
    let weight = Mat::new(weight, height, width);
    product(
        MatMut::new(inputs, tokens, width),
        how,
        1.0,
        Mat::new(outputs, tokens, height),
        weight,
    );
}

/// Parts of the joint weight and bias of queries, keys and values: those of the queries, those of the others.
fn split(range: &Range<usize>) -> (Range<usize>, Range<usize>) {
    let third = range.len() / 3;
    (
        range.start..range.start + third,
        range.start + third..range.end,
    )
}

/// `out` (asked, hidden) from `input` (tokens, hidden)
pub(super) fn forward(
    pass: &Pass<'_>,
    layer: usize,
    input: &[f32],
    buffers: &mut LayerBuffers,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let (architecture, at) = (pass.architecture(), &pass.net.layout.layers[layer]);
    let (hidden, wide) = (architecture.hidden, architecture.intermediate);
    let queries = pass.queries(layer);
    let (tokens, asked) = (pass.chunk.tokens, pass.chunk.asked(queries));

    project(pass, layer, input, buffers);
    let pairs = &buffers.pairs[..];
    let (asking, residual) = match queries {
        Queries::All => (pairs, input),
        Queries::First => (&buffers.queries[..], &buffers.inputs[..asked * hidden]),
    };
    let context = sized(&mut buffers.context, asked * hidden);
    let kept = sized(&mut buffers.kept, attention::probabilities(pass, queries));
    let places = Places::new(queries, hidden);
    attention::forward(
        pass,
        layer,
        places,
        (asking, pairs),
        kept,
        &mut scratch.head,
        context,
    );

    let added = sized(&mut scratch.hidden, tokens * hidden);
    let added = &mut added[..asked * hidden];
    linear(
        added,
        To::Replace,
        context,
        pass.weights(&at.attention_out.weight),
        asked,
    );
    let middle = sized(&mut buffers.middle, asked * hidden);
    let mut normal = buffers.attention_norm.sized(asked, hidden);
    let bias = pass.weights(&at.attention_out.bias);
    let site = Site::AttentionOut(layer);
    normed(
        pass,
        queries,
        site,
        &at.attention_norm,
        (added, bias, residual),
        &mut normal,
        middle,
    );

    let slope = sized(&mut buffers.slope, asked * wide);
    linear(
        slope,
        To::Replace,
        middle,
        pass.weights(&at.up.weight),
        asked,
    );
    let active = sized(&mut buffers.active, asked * wide);
    activate(
        architecture.activation,
        slope,
        pass.weights(&at.up.bias),
        active,
    );
    linear(
        added,
        To::Replace,
        active,
        pass.weights(&at.down.weight),
        asked,
    );
    let mut normal = buffers.out_norm.sized(asked, hidden);
    let bias = pass.weights(&at.down.bias);
    normed(
        pass,
        queries,
        Site::Out(layer),
        &at.out_norm,
        (added, bias, middle),
        &mut normal,
        out,
    );
}

/// Queries, keys and values.
fn project(pass: &Pass<'_>, layer: usize, input: &[f32], buffers: &mut LayerBuffers) {
    let (at, hidden) = (
        &pass.net.layout.layers[layer].qkv,
        pass.architecture().hidden,
    );
    let tokens = pass.chunk.tokens;
    if pass.queries(layer) == Queries::All {
        let pairs = sized(&mut buffers.pairs, tokens * 3 * hidden);
        fill(pairs, pass.weights(&at.bias));
        linear(pairs, To::Add, input, pass.weights(&at.weight), tokens);
        return;
    }
    let rows = pass.chunk.rows.len();
    let ((query_weight, weight), (query_bias, bias)) = (split(&at.weight), split(&at.bias));
    let pairs = sized(&mut buffers.pairs, tokens * 2 * hidden);
    fill(pairs, pass.weights(&bias));
    linear(pairs, To::Add, input, pass.weights(&weight), tokens);
    let inputs = sized(&mut buffers.inputs, rows * hidden);
    for (to, row) in inputs.chunks_exact_mut(hidden).zip(&pass.chunk.rows) {
        to.copy_from_slice(&input[row.first * hidden..][..hidden]);
    }
    let queries = sized(&mut buffers.queries, rows * hidden);
    fill(queries, pass.weights(&query_bias));
    linear(queries, To::Add, inputs, pass.weights(&query_weight), rows);
}

/// Norm of the residual sum, row by row: each has a mask of its own.
fn normed(
    pass: &Pass<'_>,
    queries: Queries,
    site: Site,
    at: &NormAt,
    (added, bias, residual): (&[f32], &[f32], &[f32]),
    normal: &mut Normal<'_>,
    out: &mut [f32],
) {
    let hidden = pass.architecture().hidden;
    let affine = Affine {
        weight: pass.weights(&at.weight),
        bias: pass.weights(&at.bias),
        eps: pass.architecture().norm_eps as f32,
    };
    for (row, asked) in pass.chunk.queries(queries) {
        let place = asked.start * hidden..asked.end * hidden;
        let mut normal = Normal {
            values: &mut normal.values[place.clone()],
            inverse: &mut normal.inverse[asked],
        };
        let (added, residual) = (&added[place.clone()], &residual[place.clone()]);
        let mask = pass.mask(row, site);
        of_sum(
            added,
            bias,
            residual,
            mask,
            affine,
            &mut normal,
            &mut out[place],
        );
    }
}

/// The backward pass of `normed`, in `gradient`; `added` gets the gradient of what was added.
fn normed_backward(
    pass: &Pass<'_>,
    (layer_queries, site): (Queries, Site),
    (at, bias): (&NormAt, &Range<usize>),
    gradient: &mut [f32],
    normal: &Normal<'_>,
    to: &mut Gradient,
    added: &mut [f32],
) {
    let hidden = pass.architecture().hidden;
    let [weight_sum, bias_sum, added_bias] = to.parts([&at.weight, &at.bias, bias]);
    let mut sums = AffineGradient {
        weight: weight_sum,
        bias: bias_sum,
    };
    for (row, asked) in pass.chunk.queries(layer_queries) {
        let place = asked.start * hidden..asked.end * hidden;
        let normal = (&normal.values[place.clone()], &normal.inverse[asked]);
        let mask = pass.mask(row, site);
        let (gradient, added) = (&mut gradient[place.clone()], &mut added[place]);
        let weight = pass.weights(&at.weight);
        of_sum_backward(gradient, normal, weight, mask, &mut sums, added, added_bias);
    }
}

/// What a layer's backward pass reads and writes beside its buffers.
pub(super) struct Back<'a> {
    /// (tokens, hidden), the layer's input
    pub(super) input: &'a [f32],
    pub(super) to: &'a mut Gradient,
    pub(super) scratch: &'a mut Scratch,
    /// Whether something below learns.
    pub(super) below: bool,
}

/// Adds the gradients of a layer's parameters. `gradient` (asked, hidden) of its output becomes that of its input; of the
/// last layer that is `whole` (tokens, hidden).
pub(super) fn backward(
    pass: &Pass<'_>,
    layer: usize,
    buffers: &mut LayerBuffers,
    back: &mut Back<'_>,
    gradient: &mut [f32],
    whole: &mut Vec<f32>,
) {
    let (architecture, layout) = (pass.architecture(), &pass.net.layout);
    let (hidden, wide, at) = (
        architecture.hidden,
        architecture.intermediate,
        &layout.layers[layer],
    );
    let queries = pass.queries(layer);
    let (tokens, asked) = (pass.chunk.tokens, pass.chunk.asked(queries));
    let Back { to, scratch, .. } = back;

    let added = &mut sized(&mut scratch.hidden, tokens * hidden)[..asked * hidden];
    let normal = buffers.out_norm.sized(asked, hidden);
    let norm = (&at.out_norm, &at.down.bias);
    normed_backward(
        pass,
        (queries, Site::Out(layer)),
        norm,
        gradient,
        &normal,
        to,
        added,
    );
    let active = &buffers.active[..asked * wide];
    to.linear(layout, &at.down.weight, added, active, asked);
    let inner = sized(&mut scratch.wide, asked * wide);
    linear_backward(
        inner,
        To::Replace,
        added,
        pass.weights(&at.down.weight),
        asked,
    );
    activate_backward(
        inner,
        &buffers.slope[..asked * wide],
        &mut to.dense[at.up.bias.clone()],
    );
    let middle = &buffers.middle[..asked * hidden];
    to.linear(layout, &at.up.weight, inner, middle, asked);
    linear_backward(gradient, To::Add, inner, pass.weights(&at.up.weight), asked);

    let normal = buffers.attention_norm.sized(asked, hidden);
    let norm = (&at.attention_norm, &at.attention_out.bias);
    let site = (queries, Site::AttentionOut(layer));
    normed_backward(pass, site, norm, gradient, &normal, to, added);
    let context = &buffers.context[..asked * hidden];
    to.linear(layout, &at.attention_out.weight, added, context, asked);
    // The gradient of the context takes the place of that of the feed-forward part.
    let inner = &mut sized(&mut scratch.wide, asked * wide.max(hidden))[..asked * hidden];
    linear_backward(
        inner,
        To::Replace,
        added,
        pass.weights(&at.attention_out.weight),
        asked,
    );
    match queries {
        Queries::All => all_backward(pass, layer, buffers, back, gradient),
        Queries::First => first_backward(pass, layer, buffers, back, gradient, whole),
    }
}

/// From the context's gradient, `scratch.wide`, to the input's, where all tokens are asked.
fn all_backward(
    pass: &Pass<'_>,
    layer: usize,
    buffers: &LayerBuffers,
    back: &mut Back<'_>,
    gradient: &mut [f32],
) {
    let (layout, hidden) = (&pass.net.layout, pass.architecture().hidden);
    let (at, tokens) = (&layout.layers[layer].qkv, pass.chunk.tokens);
    let Back { to, scratch, .. } = back;
    let seen = Seen {
        queries: &buffers.pairs,
        pairs: &buffers.pairs,
        kept: &buffers.kept,
        context: &buffers.context,
        gradient: &scratch.wide,
    };
    let pairs = sized(&mut scratch.pairs, tokens * 3 * hidden);
    let places = Places::new(Queries::All, hidden);
    attention::backward(pass, layer, places, &seen, &mut scratch.head, (pairs, None));
    bias_backward(pairs, &mut to.dense[at.bias.clone()]);
    to.linear(layout, &at.weight, pairs, back.input, tokens);
    if back.below {
        linear_backward(gradient, To::Add, pairs, pass.weights(&at.weight), tokens);
    }
}

/// The same where only the first token of each row is asked; `whole` gets the gradient of all inputs.
fn first_backward(
    pass: &Pass<'_>,
    layer: usize,
    buffers: &LayerBuffers,
    back: &mut Back<'_>,
    gradient: &mut [f32],
    whole: &mut Vec<f32>,
) {
    let (layout, hidden) = (&pass.net.layout, pass.architecture().hidden);
    let (at, tokens, rows) = (
        &layout.layers[layer].qkv,
        pass.chunk.tokens,
        &pass.chunk.rows,
    );
    let Back { to, scratch, .. } = back;
    let seen = Seen {
        queries: &buffers.queries,
        pairs: &buffers.pairs,
        kept: &buffers.kept,
        context: &buffers.context,
        gradient: &scratch.wide,
    };
    let asked = rows.len() * hidden;
    let pairs = sized(&mut scratch.pairs, tokens * 2 * hidden);
    let queries = sized(&mut scratch.queries, asked);
    let places = Places::new(Queries::First, hidden);
    let parts = (&mut *queries, Some(&mut *pairs));
    attention::backward(pass, layer, places, &seen, &mut scratch.head, parts);
    let ((query_weight, weight), (query_bias, bias)) = (split(&at.weight), split(&at.bias));
    bias_backward(queries, &mut to.dense[query_bias]);
    bias_backward(pairs, &mut to.dense[bias]);
    to.linear(
        layout,
        &query_weight,
        queries,
        &buffers.inputs[..asked],
        rows.len(),
    );
    to.linear(layout, &weight, pairs, back.input, tokens);
    if !back.below {
        return;
    }
    let whole = sized(whole, tokens * hidden);
    linear_backward(whole, To::Replace, pairs, pass.weights(&weight), tokens);
    linear_backward(
        gradient,
        To::Add,
        queries,
        pass.weights(&query_weight),
        rows.len(),
    );
    for (row, gradient) in rows.iter().zip(gradient.chunks_exact(hidden)) {
        let first = &mut whole[row.first * hidden..][..hidden];
        for (sum, gradient) in first.iter_mut().zip(gradient) {
            *sum += gradient;
        }
    }
}
