//! Parameters of the network on a device.
//!
//! The backward pass is written out instead of using candle's autograd, which fills each gradient
//! with zeros and adds to it (as much memory traffic as the operations themselves), and stops
//! silently at some of candle's own operations (huggingface/candle#2977, #3011).

use candle_core::{DType, Device, DeviceLocation, Result, Tensor};

use super::ops::{AdamWVectors, CandleOps, EmbeddingTables, TokenBatch, WeightAndBias, distances};
use super::param_layout::{ParamGroup, ParamLayout};
use crate::architecture::{Architecture, Family, LayerParam, Part, Role};
use crate::engine::{AdamWStep, Batch, Params, Tokens, TrainerState};

/// Partial sums of a long sum: several per multiprocessor of any GPU (an H100 has 132).
const PARTIAL_SUMS: usize = 1024;

/// A layer's parameters (D), or their gradients (f32).
pub(super) struct Layer {
    /// Query, key and value: (3 * hidden, hidden)
    pub(super) qkv: WeightAndBias,
    /// (hidden, hidden)
    pub(super) out: WeightAndBias,
    pub(super) attention_norm: WeightAndBias,
    /// (intermediate, hidden)
    pub(super) up: WeightAndBias,
    /// (hidden, intermediate)
    pub(super) down: WeightAndBias,
    pub(super) out_norm: WeightAndBias,
}

/// All parameters, or their gradients: views of the flat vectors.
pub(super) struct ParamViews {
    pub(super) tables: EmbeddingTables,
    pub(super) norm: WeightAndBias,
    /// (buckets, heads) f32
    pub(super) relative_bias: Option<Tensor>,
    pub(super) layers: Vec<Layer>,
    /// (hidden, hidden) f32
    pub(super) dense: WeightAndBias,
    /// (classes, hidden) f32
    pub(super) out: WeightAndBias,
}

impl ParamViews {
    /// Creates views of a vector (len) f32; with `half`, layer matrices are views of the
    /// half-precision copy.
    pub(super) fn new(
        architecture: &Architecture,
        layout: &ParamLayout,
        vector: &Tensor,
        half: Option<&Tensor>,
    ) -> Result<Self> {
        let view = |role| layout.view(vector, role, 1, false);
        let module = |role: &dyn Fn(Part) -> Role, half: Option<&Tensor>, count| -> Result<_> {
            let (weights, is_half) = (half.unwrap_or(vector), half.is_some());
            Ok(WeightAndBias {
                weight: layout.view(weights, role(Part::Weight), count, is_half)?,
                bias: layout.view(vector, role(Part::Bias), count, false)?,
            })
        };
        let full = |role: &dyn Fn(Part) -> Role| module(role, None, 1);
        let layer = |number: usize| -> Result<Layer> {
            let of = |param: fn(Part) -> LayerParam| move |part| Role::Layer(number, param(part));
            Ok(Layer {
                qkv: module(&of(LayerParam::Query), half, 3)?,
                out: module(&of(LayerParam::AttentionOut), half, 1)?,
                attention_norm: full(&of(LayerParam::AttentionNorm))?,
                up: module(&of(LayerParam::Up), half, 1)?,
                down: module(&of(LayerParam::Down), half, 1)?,
                out_norm: full(&of(LayerParam::OutNorm))?,
            })
        };
        Ok(Self {
            tables: EmbeddingTables {
                words: view(Role::WordEmbeddings)?,
                positions: view(Role::PositionEmbeddings)?,
                types: match architecture.type_vocab_size {
                    0 => None,
                    _ => Some(view(Role::TokenTypeEmbeddings)?),
                },
            },
            norm: full(&Role::EmbeddingNorm)?,
            relative_bias: match architecture.family {
                Family::MpNet => Some(view(Role::RelativeBias)?),
                Family::Bert | Family::Roberta | Family::DistilBert => None,
            },
            layers: (0..architecture.num_hidden_layers)
                .map(layer)
                .collect::<Result<_>>()?,
            dense: full(&Role::HeadDense)?,
            out: full(&Role::HeadOut)?,
        })
    }
}

/// A replica of the network on one device.
pub(super) struct Net {
    pub(super) architecture: Architecture,
    pub(super) device: Device,
    /// D, the dtype of activations: f32, bf16 or f16.
    pub(super) dtype: DType,
    pub(super) ops: CandleOps,
    pub(super) layout: ParamLayout,
    /// (len) f32
    pub(super) weights: Tensor,
    /// Copy of the layers' matrices in half precision.
    pub(super) half: Option<Tensor>,
    /// Views of `weights` and `half`.
    pub(super) parameters: ParamViews,
    /// `None` if no parameter is trained: inference needs a quarter of the memory.
    buffers: Option<TrainingBuffers>,
}

/// Gradients and moments.
pub(super) struct TrainingBuffers {
    /// Gradients, first and second moments: (len) f32 each.
    pub(super) gradients: Tensor,
    pub(super) first: Tensor,
    pub(super) second: Tensor,
    /// Views of `gradients`.
    pub(super) gradient_views: ParamViews,
}

impl TrainingBuffers {
    fn new(architecture: &Architecture, layout: &ParamLayout, device: &Device) -> Result<Self> {
        let zeros = || Tensor::zeros(layout.len, DType::F32, device); // (len) f32
        let gradients = zeros()?;
        Ok(Self {
            gradient_views: ParamViews::new(architecture, layout, &gradients, None)?,
            gradients,
            first: zeros()?,
            second: zeros()?,
        })
    }
}

impl Net {
    pub(super) fn new(
        architecture: &Architecture,
        layout: ParamLayout,
        params: &Params,
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        let weights = layout.pack(params, device)?; // (len) f32
        let half = match dtype {
            DType::F32 => None,
            half => Some(layout.half(&weights, half)?),
        };
        Ok(Self {
            parameters: ParamViews::new(architecture, &layout, &weights, half.as_ref())?,
            buffers: match layout.any_trained(|_| true) {
                true => Some(TrainingBuffers::new(architecture, &layout, device)?),
                false => None,
            },
            architecture: architecture.clone(),
            device: device.clone(),
            dtype,
            ops: CandleOps(device.clone()),
            layout,
            weights,
            half,
        })
    }

    /// Returns the training buffers.
    pub(super) fn buffers(&self) -> Result<&TrainingBuffers> {
        let none = || candle_core::Error::Msg("no parameter of this network is trained".to_owned());
        self.buffers.as_ref().ok_or_else(none)
    }

    /// (len) f32
    pub(super) fn gradients(&self) -> Result<&Tensor> {
        Ok(&self.buffers()?.gradients)
    }

    /// Returns device and dtype, such as `cuda:0 (bf16)`.
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

    /// Copies a batch to the device without columns that are padding in all rows. Padding ids are
    /// ignored.
    pub(super) fn tokens(&self, batch: &Batch) -> Result<TokenBatch> {
        let row = |(row, ids): (usize, &[u32])| Tokens {
            ids: ids.to_vec(),
            types: batch.types_of(row).to_vec(),
        };
        let rows: Vec<Tokens> = batch.rows().enumerate().map(row).collect();
        let pad = self.architecture.pad_token_id;
        let Batch {
            ids,
            types,
            lengths,
            seq,
        } = Batch::padded(&rows, pad);
        Ok(TokenBatch {
            types: self.one_hot(&types)?,
            distances: match self.parameters.relative_bias {
                Some(_) => Some(distances(seq, &self.device)?),
                None => None,
            },
            rows: lengths.len(),
            seq,
            first_position: self.architecture.first_position(),
            pad: pad as usize,
            ids_on_device: Tensor::new(ids.as_slice(), &self.device)?, // (rows * seq) u32
            ids,
            lengths,
        })
    }

    /// Returns (types, tokens) f32: 1 for the type of each token, for the types up to the largest
    /// one; `None` without types.
    fn one_hot(&self, types: &[u8]) -> Result<Option<Tensor>> {
        let Some(&largest) = types.iter().max() else {
            return Ok(None);
        };
        let each = (0..=largest).flat_map(|kind| {
            let is_kind = move |found: &u8| f32::from(u8::from(*found == kind));
            types.iter().map(is_kind)
        });
        let shape = (usize::from(largest) + 1, types.len());
        Tensor::from_vec(each.collect::<Vec<f32>>(), shape, &self.device).map(Some)
    }

    /// Returns the lowest layer that needs a backward pass; `None` if the embeddings are trained.
    pub(super) fn first_trained_layer(&self) -> Option<usize> {
        let of = |layer| move |role: Role| matches!(role, Role::Layer(at, _) if at == layer);
        let embeddings = self.layout.any_trained(|role| {
            use Role::{HeadDense, HeadOut, Layer};
            // The relative bias is below all layers, too.
            !matches!(role, Layer(..) | HeadDense(_) | HeadOut(_))
        });
        let layers = self.architecture.num_hidden_layers;
        (!embeddings).then(|| {
            (0..layers)
                .find(|&layer| self.layout.any_trained(of(layer)))
                .unwrap_or(layers)
        })
    }

    /// Updates the parameters by AdamW.
    pub(super) fn optimizer_step(&self, adamw: &AdamWStep) -> Result<()> {
        let buffers = self.buffers()?;
        let vectors = AdamWVectors {
            weights: &self.weights,
            gradients: &buffers.gradients,
            first: &buffers.first,
            second: &buffers.second,
        };
        for range in self.layout.groups() {
            let decay = if range.decays {
                adamw.weight_decay
            } else {
                0.0
            };
            self.ops
                .adamw(&vectors, (range.start, range.len), adamw, decay)?;
            self.refresh(range)?;
        }
        Ok(())
    }

    /// Updates the half-precision copy.
    fn refresh(&self, range: ParamGroup) -> Result<()> {
        if let (Some(half), Some((from, to, len))) = (&self.half, self.layout.half_of(range)) {
            let new = self.weights.narrow(0, from, len)?.to_dtype(self.dtype)?; // (len) D
            half.slice_set(&new, 0, to)?;
        }
        Ok(())
    }

    /// Replaces weights and moments.
    pub(super) fn restore(&self, saved: &TrainerState) -> Result<()> {
        let buffers = self.buffers()?;
        for (vector, values) in [
            (&self.weights, &saved.weights),
            (&buffers.first, &saved.first),
            (&buffers.second, &saved.second),
        ] {
            vector.slice_set(&self.layout.pack(values, &self.device)?, 0, 0)?;
        }
        let all = ParamGroup {
            start: 0,
            len: self.layout.len,
            decays: false,
        };
        self.refresh(all)
    }

    /// Returns the L2 norm of the gradients of trained parameters.
    pub(super) fn gradient_norm(&self) -> Result<f64> {
        let (mut sum, gradients) = (0.0, &self.buffers()?.gradients);
        for ParamGroup { start, len, .. } in self.layout.groups() {
            // Many sums at once: a sum to a single number would use one of a GPU's multiprocessors.
            let columns = len / PARTIAL_SUMS;
            let parts = [
                (0, PARTIAL_SUMS, columns),
                (PARTIAL_SUMS * columns, 1, len % PARTIAL_SUMS),
            ];
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
