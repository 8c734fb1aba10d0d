//! Where each parameter lies. The word embeddings are a vector of their own, for most of their rows have no gradient;
//! all others are parts of one, so that optimizer and sums are single passes. Query, key and value of a layer lie side
//! by side: one product computes all three.

use std::ops::Range;

use crate::architecture::{Architecture, InLayer, Linear, Norm, Role};

/// A linear layer: weight (outputs, inputs), bias (outputs).
#[derive(Clone, Debug, Default)]
pub(super) struct LinearAt {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
}

/// A layer norm: (hidden) twice.
#[derive(Clone, Debug, Default)]
pub(super) struct NormAt {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LayerAt {
    /// (3 hidden, hidden): query, key, value
    pub(super) qkv: LinearAt,
    pub(super) attention_out: LinearAt,
    pub(super) attention_norm: NormAt,
    pub(super) up: LinearAt,
    pub(super) down: LinearAt,
    pub(super) out_norm: NormAt,
}

/// Where a parameter is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Words,
    Dense(Range<usize>),
}

/// What the optimizer does with a part.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) range: Range<usize>,
    pub(super) decays: bool,
}

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) positions: Range<usize>,
    /// Empty where the family has none.
    pub(super) types: Range<usize>,
    pub(super) embedding_norm: NormAt,
    pub(super) layers: Vec<LayerAt>,
    pub(super) head_dense: LinearAt,
    pub(super) head_out: LinearAt,
    /// Length of the vector.
    pub(super) length: usize,
    /// Of each parameter, in the order of `Architecture::parameters`.
    pub(super) places: Vec<Place>,
    /// Trainable parts, in order.
    pub(super) segments: Vec<Segment>,
    /// What is no matrix of a linear layer: gradients of these are added up element by element.
    pub(super) vectors: Vec<Range<usize>>,
    /// Whether the word embeddings learn.
    pub(super) words: bool,
    /// The first layer whose backward pass is needed.
    pub(super) lowest: usize,
    /// Whether something below the first layer learns.
    pub(super) embeddings: bool,
}

impl Layout {
    pub(super) fn new(architecture: &Architecture, frozen: &[bool]) -> Self {
        let parameters = architecture.parameters();
        let mut order: Vec<usize> = (0..parameters.len()).collect();
        order.sort_by_key(|&number| rank(parameters[number].role));
        let mut layout = Self::empty(architecture, parameters.len());
        let mut lowest = architecture.layers;
        for number in order {
            let parameter = &parameters[number];
            let learns = !frozen.get(number).copied().unwrap_or(false);
            match parameter.role {
                Role::Words | Role::Positions | Role::Types | Role::EmbeddingNorm(_) if learns => {
                    layout.embeddings = true;
                    lowest = 0;
                }
                Role::Layer(layer, _) if learns => lowest = lowest.min(layer),
                _ => {}
            }
            if parameter.role == Role::Words {
                layout.words = learns;
                layout.places[number] = Place::Words;
                continue;
            }
            let range = layout.length..layout.length + parameter.shape.iter().product::<usize>();
            layout.length = range.end;
            layout.register(parameter.role, &range);
            if learns {
                layout.learn(range.clone(), parameter.role.decays());
            }
            layout.places[number] = Place::Dense(range);
        }
        layout.lowest = lowest;
        layout
    }

    fn empty(architecture: &Architecture, parameters: usize) -> Self {
        Self {
            positions: 0..0,
            types: 0..0,
            embedding_norm: NormAt::default(),
            layers: vec![LayerAt::default(); architecture.layers],
            head_dense: LinearAt::default(),
            head_out: LinearAt::default(),
            length: 0,
            places: vec![Place::Words; parameters],
            segments: Vec::new(),
            vectors: Vec::new(),
            words: false,
            lowest: 0,
            embeddings: false,
        }
    }

    /// Notes a trainable part; neighbours of one kind become one.
    fn learn(&mut self, range: Range<usize>, decays: bool) {
        match self.segments.last_mut() {
            Some(last) if last.range.end == range.start && last.decays == decays => {
                last.range.end = range.end;
            }
            _ => self.segments.push(Segment { range, decays }),
        }
    }

    fn register(&mut self, role: Role, range: &Range<usize>) {
        let mut matrix = false;
        let mut linear = |at: &mut LinearAt, part| match part {
            Linear::Weight => {
                matrix = true;
                join(&mut at.weight, range);
            }
            Linear::Bias => join(&mut at.bias, range),
        };
        let norm = |at: &mut NormAt, part| match part {
            Norm::Weight => at.weight = range.clone(),
            Norm::Bias => at.bias = range.clone(),
        };
        match role {
            Role::Words => {}
            Role::Positions => self.positions = range.clone(),
            Role::Types => self.types = range.clone(),
            Role::EmbeddingNorm(part) => norm(&mut self.embedding_norm, part),
            Role::HeadDense(part) => linear(&mut self.head_dense, part),
            Role::HeadOut(part) => linear(&mut self.head_out, part),
            Role::Layer(layer, role) => {
                let at = &mut self.layers[layer];
                match role {
                    InLayer::Query(part) | InLayer::Key(part) | InLayer::Value(part) => {
                        linear(&mut at.qkv, part);
                    }
                    InLayer::AttentionOut(part) => linear(&mut at.attention_out, part),
                    InLayer::AttentionNorm(part) => norm(&mut at.attention_norm, part),
                    InLayer::Up(part) => linear(&mut at.up, part),
                    InLayer::Down(part) => linear(&mut at.down, part),
                    InLayer::OutNorm(part) => norm(&mut at.out_norm, part),
                }
            }
        }
        if !matrix {
            self.vectors.push(range.clone());
        }
    }

    /// Whether something of this part learns.
    pub(super) fn learns(&self, range: &Range<usize>) -> bool {
        self.segments
            .iter()
            .any(|segment| segment.range.start < range.end && range.start < segment.range.end)
    }
}

/// Widens a part by the one behind it.
fn join(at: &mut Range<usize>, next: &Range<usize>) {
    if at.start == at.end {
        *at = next.clone();
    } else {
        at.end = next.end;
    }
}

/// Embeddings, layers, head; within a layer query, key and value, first their weights and then their biases.
fn rank(role: Role) -> (usize, usize) {
    let part = |part: Linear| usize::from(part == Linear::Bias);
    match role {
        Role::Words | Role::Positions | Role::Types | Role::EmbeddingNorm(_) => (0, 0),
        Role::Layer(layer, role) => {
            let within = match role {
                InLayer::Query(of) => 3 * part(of),
                InLayer::Key(of) => 3 * part(of) + 1,
                InLayer::Value(of) => 3 * part(of) + 2,
                _ => 6,
            };
            (1 + layer, within)
        }
        Role::HeadDense(_) | Role::HeadOut(_) => (usize::MAX, 0),
    }
}
