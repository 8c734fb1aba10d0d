//! A layer's way back.

use std::ops::Range;

use super::{LayerBuffers, Scratch, split};
use crate::cpu::attention::{self, Places, Seen};
use crate::cpu::chunk::{Pass, Queries, sized};
use crate::cpu::dropout::Site;
use crate::cpu::elementwise::{activate_backward, bias_backward};
use crate::cpu::gradient::Gradient;
use crate::cpu::layout::NormAt;
use crate::cpu::matmul::{To, linear_backward};
use crate::cpu::norm::{AffineGradient, Normal, of_sum_backward};

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
pub(in crate::cpu) struct Back<'a> {
    /// (tokens, hidden), the layer's input
    pub(in crate::cpu) input: &'a [f32],
    pub(in crate::cpu) to: &'a mut Gradient,
    pub(in crate::cpu) scratch: &'a mut Scratch,
    /// Whether something below learns.
    pub(in crate::cpu) below: bool,
}

/// Adds the gradients of a layer's parameters. `gradient` (asked, hidden) of its output becomes that of its input; of the
/// last layer that is `whole` (tokens, hidden).
pub(in crate::cpu) fn backward(
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
