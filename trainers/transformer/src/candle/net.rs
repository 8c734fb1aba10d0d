//! The network: parameters on a device, forward pass, and the backward pass written out. Candle's automatic gradients are
//! not used: they fill each gradient with zeros and add to it, which costs as much memory traffic as the operations do,
//! and some of candle's own operations end them without a word (huggingface/candle#2977, #3011).

use candle_core::{DType, Device, DeviceLocation, Result, Tensor};

use super::ops::{Composite, Norm, Ops as _, Tables, Tokens, Vectors};
use super::param_layout::{Plan, Range};
use crate::architecture::{self as parts, Architecture, InLayer, Role};
use crate::engine::{Batch, Saved, Update, Values};

/// Sums that a long sum is made of: several per multiprocessor of any GPU (an H100 has 132).
const SUMS: usize = 1024;

/// A linear layer's parameters, or their gradients.
pub(super) struct Linear {
    /// (outputs, inputs)
    pub(super) weight: Tensor,
    /// (outputs) f32
    pub(super) bias: Tensor,
}

/// A layer's parameters, or their gradients. Weights are of D, gradients of f32.
pub(super) struct Layer {
    /// Query, key and value: (3 * hidden, hidden)
    pub(super) qkv: Linear,
    /// (hidden, hidden)
    pub(super) out: Linear,
    pub(super) attention_norm: Norm,
    /// (intermediate, hidden)
    pub(super) up: Linear,
    /// (hidden, intermediate)
    pub(super) down: Linear,
    pub(super) out_norm: Norm,
}

/// All parameters, or their gradients: views of the vectors.
pub(super) struct Weights {
    pub(super) tables: Tables,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer>,
    /// (hidden, hidden) f32
    pub(super) dense: Linear,
    /// (classes, hidden) f32
    pub(super) out: Linear,
}

impl Weights {
    /// Views of a vector (len) f32; of the layers' matrices in the copy of half precision, if there is one.
    pub(super) fn new(
        architecture: &Architecture,
        plan: &Plan,
        vector: &Tensor,
        half: Option<&Tensor>,
    ) -> Result<Self> {
        let view = |role| plan.view(vector, role, 1);
        let linear = |role: fn(parts::Linear) -> Role| -> Result<Linear> {
            Ok(Linear {
                weight: view(role(parts::Linear::Weight))?,
                bias: view(role(parts::Linear::Bias))?,
            })
        };
        let norm = |role: &dyn Fn(parts::Norm) -> Role| -> Result<Norm> {
            Ok(Norm {
                weight: view(role(parts::Norm::Weight))?,
                bias: view(role(parts::Norm::Bias))?,
            })
        };
        let layer = |number: usize| -> Result<Layer> {
            let inner = |role: fn(parts::Linear) -> InLayer, count| -> Result<Linear> {
                let weight = Role::Layer(number, role(parts::Linear::Weight));
                let bias = Role::Layer(number, role(parts::Linear::Bias));
                Ok(Linear {
                    weight: match half {
                        Some(half) => plan.half_view(half, weight, count)?,
                        None => plan.view(vector, weight, count)?,
                    },
                    bias: plan.view(vector, bias, count)?,
                })
            };
            Ok(Layer {
                qkv: inner(InLayer::Query, 3)?,
                out: inner(InLayer::AttentionOut, 1)?,
                attention_norm: norm(&|part| Role::Layer(number, InLayer::AttentionNorm(part)))?,
                up: inner(InLayer::Up, 1)?,
                down: inner(InLayer::Down, 1)?,
                out_norm: norm(&|part| Role::Layer(number, InLayer::OutNorm(part)))?,
            })
        };
        Ok(Self {
            tables: Tables {
                words: view(Role::Words)?,
                positions: view(Role::Positions)?,
                types: match architecture.types {
                    0 => None,
                    _ => Some(view(Role::Types)?),
                },
            },
            norm: norm(&Role::EmbeddingNorm)?,
            layers: (0..architecture.layers).map(layer).collect::<Result<_>>()?,
            dense: linear(Role::HeadDense)?,
            out: linear(Role::HeadOut)?,
        })
    }
}

/// A network on one device.
pub(super) struct Net {
    pub(super) architecture: Architecture,
    pub(super) device: Device,
    /// Of the activations, D: f32, bf16 or f16.
    pub(super) dtype: DType,
    pub(super) ops: Composite,
    pub(super) plan: Plan,
    /// (len) f32
    pub(super) weights: Tensor,
    /// The layers' matrices in D, where that is half precision.
    pub(super) half: Option<Tensor>,
    /// Views of `weights` and `half`.
    pub(super) parameters: Weights,
    /// `None` where nothing learns: a network that predicts takes a quarter of the memory.
    learning: Option<Learning>,
}

/// What learning needs besides the weights.
pub(super) struct Learning {
    /// Gradients, first and second moments: (len) f32 each.
    pub(super) gradients: Tensor,
    pub(super) first: Tensor,
    pub(super) second: Tensor,
    /// Views of `gradients`.
    pub(super) of_parameters: Weights,
}

impl Learning {
    fn new(architecture: &Architecture, plan: &Plan, device: &Device) -> Result<Self> {
        let zeros = || Tensor::zeros(plan.len, DType::F32, device); // (len) f32
        let gradients = zeros()?;
        Ok(Self {
            of_parameters: Weights::new(architecture, plan, &gradients, None)?,
            gradients,
            first: zeros()?,
            second: zeros()?,
        })
    }
}

impl Net {
    pub(super) fn new(
        architecture: &Architecture,
        plan: Plan,
        values: &Values,
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        let weights = plan.pack(values, device)?; // (len) f32
        let half = match dtype {
            DType::F32 => None,
            half => Some(plan.half(&weights, half)?),
        };
        Ok(Self {
            parameters: Weights::new(architecture, &plan, &weights, half.as_ref())?,
            learning: match plan.trains(|_| true) {
                true => Some(Learning::new(architecture, &plan, device)?),
                false => None,
            },
            architecture: architecture.clone(),
            device: device.clone(),
            dtype,
            ops: Composite(device.clone()),
            plan,
            weights,
            half,
        })
    }

    /// What learning needs.
    pub(super) fn learning(&self) -> Result<&Learning> {
        let none = || candle_core::Error::Msg("nothing of this network learns".to_owned());
        self.learning.as_ref().ok_or_else(none)
    }

    /// (len) f32
    pub(super) fn gradients(&self) -> Result<&Tensor> {
        Ok(&self.learning()?.gradients)
    }

    /// Where it computes, and with what.
    pub(super) fn name(&self) -> String {
        let place = match self.device.location() {
            DeviceLocation::Cpu => "cpu".to_owned(),
            DeviceLocation::Cuda { gpu_id } | DeviceLocation::Metal { gpu_id } => {
                format!("cuda:{gpu_id}")
            }
        };
        match self.dtype {
            DType::F32 => place,
            half => format!("{place} ({})", half.as_str()),
        }
    }

    /// A batch on the device, without columns that are padding in all rows; what padding holds is never looked up.
    pub(super) fn tokens(&self, batch: &Batch) -> Result<Tokens> {
        let seq = batch.lengths.iter().copied().max().unwrap_or(1);
        let mut ids = Vec::with_capacity(batch.lengths.len() * seq);
        for (row, &length) in batch.ids.chunks(batch.seq.max(1)).zip(&batch.lengths) {
            ids.extend(&row[..length]);
            ids.resize(ids.len().next_multiple_of(seq), self.architecture.pad);
        }
        Ok(Tokens {
            rows: batch.lengths.len(),
            seq,
            first_position: self.architecture.first_position(),
            pad: self.architecture.pad as usize,
            on_device: Tensor::new(ids.as_slice(), &self.device)?, // (rows * seq) u32
            ids,
            lengths: batch.lengths.clone(),
        })
    }

    /// The first layer whose weights, or those of one before it, learn; `None` if the embeddings do.
    pub(super) fn lowest(&self) -> Option<usize> {
        let of = |layer| move |role: Role| matches!(role, Role::Layer(at, _) if at == layer);
        let embeddings = self.plan.trains(|role| {
            use Role::{EmbeddingNorm, Positions, Types, Words};
            matches!(role, Words | Positions | Types | EmbeddingNorm(_))
        });
        let layers = self.architecture.layers;
        (!embeddings).then(|| {
            (0..layers)
                .find(|&layer| self.plan.trains(of(layer)))
                .unwrap_or(layers)
        })
    }

    /// Changes the weights by AdamW.
    pub(super) fn update(&self, update: &Update) -> Result<()> {
        let learning = self.learning()?;
        let vectors = Vectors {
            weights: &self.weights,
            gradients: &learning.gradients,
            first: &learning.first,
            second: &learning.second,
        };
        for range in self.plan.ranges() {
            let decay = if range.decays {
                update.weight_decay
            } else {
                0.0
            };
            self.ops
                .adamw(&vectors, (range.start, range.len), update, decay)?;
            self.refresh(range)?;
        }
        Ok(())
    }

    /// Brings the copy in half precision up to date.
    fn refresh(&self, range: Range) -> Result<()> {
        if let (Some(half), Some((from, to, len))) = (&self.half, self.plan.half_of(range)) {
            let new = self.weights.narrow(0, from, len)?.to_dtype(self.dtype)?; // (len) D
            half.slice_set(&new, 0, to)?;
        }
        Ok(())
    }

    /// Replaces weights and moments.
    pub(super) fn restore(&self, saved: &Saved) -> Result<()> {
        let learning = self.learning()?;
        for (vector, values) in [
            (&self.weights, &saved.weights),
            (&learning.first, &saved.first),
            (&learning.second, &saved.second),
        ] {
            vector.slice_set(&self.plan.pack(values, &self.device)?, 0, 0)?;
        }
        let all = Range {
            start: 0,
            len: self.plan.len,
            decays: false,
        };
        self.refresh(all)
    }

    /// The length of what learns' gradients as one vector.
    pub(super) fn gradient_norm(&self) -> Result<f64> {
        let (mut sum, gradients) = (0.0, &self.learning()?.gradients);
        for Range { start, len, .. } in self.plan.ranges() {
            // Many sums at once: a sum to a single number would keep one of a GPU's multiprocessors busy.
            let columns = len / SUMS;
            let parts = [(0, SUMS, columns), (SUMS * columns, 1, len % SUMS)];
            for (from, rows, columns) in parts {
                if rows * columns > 0 {
                    let part = gradients.narrow(0, start + from, rows * columns)?;
                    let squares = part.reshape((rows, columns))?.sqr()?.sum(1)?; // (rows) f32
                    sum += squares
                        .to_vec1::<f32>()?
                        .into_iter()
                        .map(f64::from)
                        .sum::<f64>();
                }
            }
        }
        Ok(sum.sqrt())
    }
}
