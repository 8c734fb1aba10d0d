//! Layout of the parameters. Word embeddings are a vector of their own, as most of their rows have
//! no gradient; all others are parts of one vector, so that optimizer and sums are single passes.
//! Query, key and value of a layer are adjacent: one product computes all three.

use std::ops::Range;

use crate::architecture::{Architecture, LayerParam, Part, Role};

/// Ranges of a linear layer, weight (outputs, inputs) and bias (outputs), or of a layer norm,
/// (hidden) each.
#[derive(Clone, Debug, Default)]
pub(super) struct ParamRanges {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LayerRanges {
    /// (3 hidden, hidden): query, key, value
    pub(super) qkv: ParamRanges,
    pub(super) attention_out: ParamRanges,
    pub(super) attention_norm: ParamRanges,
    pub(super) up: ParamRanges,
    pub(super) down: ParamRanges,
    pub(super) out_norm: ParamRanges,
}

/// Location of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ParamLocation {
    Words,
    Dense(Range<usize>),
}

/// A trained range with the same weight decay.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) range: Range<usize>,
    pub(super) decays: bool,
}

#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) positions: Range<usize>,
    /// Empty where the family has none.
    pub(super) types: Range<usize>,
    pub(super) embedding_norm: ParamRanges,
    /// Empty where the family has none.
    pub(super) relative_bias: Range<usize>,
    pub(super) layers: Vec<LayerRanges>,
    pub(super) head_dense: ParamRanges,
    pub(super) head_out: ParamRanges,
    /// Length of the dense vector.
    pub(super) length: usize,
    /// In the order of `Architecture::parameters`.
    pub(super) locations: Vec<ParamLocation>,
    /// Trained ranges, in order.
    pub(super) segments: Vec<Segment>,
    /// Parameters other than matrices of linear layers: their gradients are accumulated
    /// elementwise.
    pub(super) elementwise: Vec<Range<usize>>,
    /// True if the word embeddings are trained.
    pub(super) trains_words: bool,
    /// The lowest layer that needs a backward pass.
    pub(super) first_trained_layer: usize,
    /// True if any embedding, or the relative bias, is trained.
    pub(super) trains_embeddings: bool,
}

impl Layout {
    pub(super) fn new(architecture: &Architecture, frozen: &[bool]) -> Self {
        let parameters = architecture.parameters();
        let mut order: Vec<usize> = (0..parameters.len()).collect();
        order.sort_by_key(|&number| sort_key(parameters[number].role));
        let mut layout = Self {
            layers: vec![LayerRanges::default(); architecture.num_hidden_layers],
            locations: vec![ParamLocation::Words; parameters.len()],
            ..Self::default()
        };
        let mut first_trained_layer = architecture.num_hidden_layers;
        for number in order {
            let parameter = &parameters[number];
            let trained = !frozen.get(number).copied().unwrap_or(false);
            match parameter.role {
                Role::WordEmbeddings
                | Role::PositionEmbeddings
                | Role::TokenTypeEmbeddings
                | Role::EmbeddingNorm(_)
                | Role::RelativeBias
                    if trained =>
                {
                    layout.trains_embeddings = true;
                    first_trained_layer = 0;
                }
                Role::Layer(layer, _) if trained => {
                    first_trained_layer = first_trained_layer.min(layer)
                }
                _ => {}
            }
            if parameter.role == Role::WordEmbeddings {
                layout.trains_words = trained;
                layout.locations[number] = ParamLocation::Words;
                continue;
            }
            let range = layout.length..layout.length + parameter.shape.iter().product::<usize>();
            layout.length = range.end;
            layout.register(parameter.role, &range);
            if trained {
                layout.add_segment(range.clone(), parameter.role.decays());
            }
            layout.locations[number] = ParamLocation::Dense(range);
        }
        layout.first_trained_layer = first_trained_layer;
        layout
    }

    /// Appends a trained range, merging it with an adjacent one.
    fn add_segment(&mut self, range: Range<usize>, decays: bool) {
        match self.segments.last_mut() {
            Some(last) if last.range.end == range.start && last.decays == decays => {
                last.range.end = range.end;
            }
            _ => self.segments.push(Segment { range, decays }),
        }
    }

    fn register(&mut self, role: Role, range: &Range<usize>) {
        let extend = |at: &mut ParamRanges, part| match part {
            Part::Weight => extend_range(&mut at.weight, range),
            Part::Bias => extend_range(&mut at.bias, range),
        };
        match role {
            Role::WordEmbeddings => {}
            Role::PositionEmbeddings => self.positions = range.clone(),
            Role::TokenTypeEmbeddings => self.types = range.clone(),
            Role::EmbeddingNorm(part) => extend(&mut self.embedding_norm, part),
            Role::RelativeBias => self.relative_bias = range.clone(),
            Role::HeadDense(part) => extend(&mut self.head_dense, part),
            Role::HeadOut(part) => extend(&mut self.head_out, part),
            Role::Layer(layer, role) => {
                let at = &mut self.layers[layer];
                match role {
                    LayerParam::Query(part) | LayerParam::Key(part) | LayerParam::Value(part) => {
                        extend(&mut at.qkv, part);
                    }
                    LayerParam::AttentionOut(part) => extend(&mut at.attention_out, part),
                    LayerParam::AttentionNorm(part) => extend(&mut at.attention_norm, part),
                    LayerParam::Up(part) => extend(&mut at.up, part),
                    LayerParam::Down(part) => extend(&mut at.down, part),
                    LayerParam::OutNorm(part) => extend(&mut at.out_norm, part),
                }
            }
        }
        // Of linear layers, the weights decay.
        let is_matrix = role.decays()
            && matches!(
                role,
                Role::Layer(..) | Role::HeadDense(_) | Role::HeadOut(_)
            );
        if !is_matrix {
            self.elementwise.push(range.clone());
        }
    }

    /// True if a part of this range is trained.
    pub(super) fn requires_grad(&self, range: &Range<usize>) -> bool {
        self.segments
            .iter()
            .any(|segment| segment.range.start < range.end && range.start < segment.range.end)
    }
}

/// Extends a range by the next one.
fn extend_range(at: &mut Range<usize>, next: &Range<usize>) {
    if at.start == at.end {
        *at = next.clone();
    } else {
        at.end = next.end;
    }
}

/// Embeddings, layers, head; within a layer the weights of query, key and value, then their biases.
fn sort_key(role: Role) -> (usize, usize) {
    let part = |part: Part| usize::from(part == Part::Bias);
    match role {
        Role::WordEmbeddings
        | Role::PositionEmbeddings
        | Role::TokenTypeEmbeddings
        | Role::EmbeddingNorm(_)
        | Role::RelativeBias => (0, 0),
        Role::Layer(layer, role) => {
            let within = match role {
                LayerParam::Query(of) => 3 * part(of),
                LayerParam::Key(of) => 3 * part(of) + 1,
                LayerParam::Value(of) => 3 * part(of) + 2,
                _ => 6,
            };
            (1 + layer, within)
        }
        Role::HeadDense(_) | Role::HeadOut(_) => (usize::MAX, 0),
    }
}
