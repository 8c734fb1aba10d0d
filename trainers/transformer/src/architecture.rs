//! What a checkpoint's `config.json` says of the network, and which parameters follow from it, by the names that
//! Hugging Face's `*ForSequenceClassification` classes give them.
//!
//! All families are encoders with the layer norm after each residual sum; they differ in names, in what stands before
//! the first layer and in the head.

/// Which classes of transformers the weights belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Token types; pooler (dense, tanh) and `classifier`. MiniLM is one too.
    Bert,
    /// Positions count from the id of padding + 1; head of `classifier.dense`, tanh, `classifier.out_proj`.
    Roberta,
    /// No token types; no dropout behind the attention; head of `pre_classifier`, relu, `classifier`.
    DistilBert,
}

/// What stands between the two matrices of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x * Phi(x), `gelu` in config.json.
    GeluErf,
    /// Its approximation by tanh, `gelu_new` or `gelu_pytorch_tanh`.
    GeluTanh,
    /// max(x, 0)
    Relu,
}

/// Sizes and constants of a network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Architecture {
    pub(crate) family: Family,
    /// Rows of the word embeddings.
    pub(crate) vocab: usize,
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    /// `hidden` is a multiple of it.
    pub(crate) heads: usize,
    /// Width of the feed-forward part.
    pub(crate) intermediate: usize,
    /// Rows of the position embeddings.
    pub(crate) positions: usize,
    /// Rows of the token type embeddings, all texts have type 0; 0 where the family has none.
    pub(crate) types: usize,
    pub(crate) activation: Activation,
    pub(crate) norm_eps: f64,
    /// Id of padding.
    pub(crate) pad: u32,
    pub(crate) classes: usize,
    pub(crate) dropout: Dropout,
}

/// Shares that training drops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dropout {
    /// Of the embeddings and of what is added to each residual.
    pub(crate) hidden: f64,
    /// Of the attention's probabilities.
    pub(crate) attention: f64,
    /// Of what the last linear layer sees (RoBERTa: the last two).
    pub(crate) head: f64,
}

/// A trainable tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) role: Role,
}

/// What a parameter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// (vocab, hidden)
    Words,
    /// (positions, hidden)
    Positions,
    /// (types, hidden)
    Types,
    /// Of the layer norm behind the embeddings: (hidden), weight and bias.
    EmbeddingNorm(Norm),
    /// Of the layer of this number.
    Layer(usize, InLayer),
    /// The head's first linear layer, (hidden, hidden) and (hidden).
    HeadDense(Linear),
    /// The head's last linear layer, (classes, hidden) and (classes).
    HeadOut(Linear),
}

/// A layer's parameters. Weights are (outputs, inputs), as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InLayer {
    Query(Linear),
    Key(Linear),
    Value(Linear),
    /// (hidden, hidden), from the heads' outputs
    AttentionOut(Linear),
    AttentionNorm(Norm),
    /// (intermediate, hidden)
    Up(Linear),
    /// (hidden, intermediate)
    Down(Linear),
    OutNorm(Norm),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linear {
    Weight,
    Bias,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Norm {
    Weight,
    Bias,
}

impl Role {
    /// Biases and layer norms are not decayed (as in transformers' Trainer).
    pub(crate) fn decays(self) -> bool {
        use InLayer::{AttentionNorm, AttentionOut, Down, Key, OutNorm, Query, Up, Value};
        match self {
            Self::Words | Self::Positions | Self::Types => true,
            Self::EmbeddingNorm(_) | Self::Layer(_, AttentionNorm(_) | OutNorm(_)) => false,
            Self::HeadDense(part) | Self::HeadOut(part) => part == Linear::Weight,
            Self::Layer(
                _,
                Query(part) | Key(part) | Value(part) | AttentionOut(part) | Up(part) | Down(part),
            ) => part == Linear::Weight,
        }
    }
}

/// The names of a family's parts.
struct Names {
    embeddings: &'static str,
    embedding_norm: &'static str,
    layer: &'static str,
    query: &'static str,
    key: &'static str,
    value: &'static str,
    attention_out: &'static str,
    attention_norm: &'static str,
    up: &'static str,
    down: &'static str,
    out_norm: &'static str,
    head_dense: &'static str,
    head_out: &'static str,
}

const BERT: Names = Names {
    embeddings: "bert.embeddings",
    embedding_norm: "LayerNorm",
    layer: "bert.encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_out: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    out_norm: "output.LayerNorm",
    head_dense: "bert.pooler.dense",
    head_out: "classifier",
};

const ROBERTA: Names = Names {
    embeddings: "roberta.embeddings",
    layer: "roberta.encoder.layer",
    head_dense: "classifier.dense",
    head_out: "classifier.out_proj",
    ..BERT
};

const DISTILBERT: Names = Names {
    embeddings: "distilbert.embeddings",
    layer: "distilbert.transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention_out: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    out_norm: "output_layer_norm",
    head_dense: "pre_classifier",
    ..BERT
};

impl Architecture {
    /// All trainable tensors, in a fixed order: embeddings, layers from the first, head.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let names = match self.family {
            Family::Bert => &BERT,
            Family::Roberta => &ROBERTA,
            Family::DistilBert => &DISTILBERT,
        };
        let mut all = Vec::new();
        let mut add = |name: String, shape: &[usize], role| {
            let shape = shape.to_vec();
            all.push(Parameter { name, shape, role });
        };
        let (hidden, wide) = (self.hidden, self.intermediate);
        let at = names.embeddings;
        let table = |name: &str| format!("{at}.{name}_embeddings.weight");
        add(table("word"), &[self.vocab, hidden], Role::Words);
        add(
            table("position"),
            &[self.positions, hidden],
            Role::Positions,
        );
        if self.types > 0 {
            add(table("token_type"), &[self.types, hidden], Role::Types);
        }
        for (part, name) in [(Norm::Weight, "weight"), (Norm::Bias, "bias")] {
            let norm = format!("{at}.{}.{name}", names.embedding_norm);
            add(norm, &[hidden], Role::EmbeddingNorm(part));
        }
        for layer in 0..self.layers {
            for (name, shape, role) in in_layer(names, hidden, wide) {
                let name = format!("{}.{layer}.{name}", names.layer);
                add(name, &shape, Role::Layer(layer, role));
            }
        }
        for (part, dense, out) in [
            (
                Linear::Weight,
                vec![hidden, hidden],
                vec![self.classes, hidden],
            ),
            (Linear::Bias, vec![hidden], vec![self.classes]),
        ] {
            add(
                linear(names.head_dense, part),
                &dense,
                Role::HeadDense(part),
            );
            add(linear(names.head_out, part), &out, Role::HeadOut(part));
        }
        all
    }

    /// The row of the position embeddings that the first token takes.
    pub(crate) fn first_position(&self) -> usize {
        match self.family {
            Family::Roberta => self.pad as usize + 1,
            Family::Bert | Family::DistilBert => 0,
        }
    }

    /// Tokens that a text can have.
    pub(crate) fn longest(&self) -> usize {
        self.positions - self.first_position()
    }
}

fn linear(name: &str, part: Linear) -> String {
    match part {
        Linear::Weight => format!("{name}.weight"),
        Linear::Bias => format!("{name}.bias"),
    }
}

/// Name, shape and role of each parameter of a layer.
fn in_layer(names: &Names, hidden: usize, wide: usize) -> Vec<(String, Vec<usize>, InLayer)> {
    let mut all = Vec::new();
    let mut dense = |name: &str, outputs, inputs, role: fn(Linear) -> InLayer| {
        all.push((
            linear(name, Linear::Weight),
            vec![outputs, inputs],
            role(Linear::Weight),
        ));
        all.push((
            linear(name, Linear::Bias),
            vec![outputs],
            role(Linear::Bias),
        ));
    };
    dense(names.query, hidden, hidden, InLayer::Query);
    dense(names.key, hidden, hidden, InLayer::Key);
    dense(names.value, hidden, hidden, InLayer::Value);
    dense(names.attention_out, hidden, hidden, InLayer::AttentionOut);
    dense(names.up, wide, hidden, InLayer::Up);
    dense(names.down, hidden, wide, InLayer::Down);
    for (name, role) in [
        (
            names.attention_norm,
            InLayer::AttentionNorm as fn(Norm) -> InLayer,
        ),
        (names.out_norm, InLayer::OutNorm),
    ] {
        all.push((format!("{name}.weight"), vec![hidden], role(Norm::Weight)));
        all.push((format!("{name}.bias"), vec![hidden], role(Norm::Bias)));
    }
    all
}
