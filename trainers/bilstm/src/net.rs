//! The network: embeddings, a bidirectional LSTM, pooling over time, a linear layer. Parameters
//! have the names of the PyTorch module of docs/reference/models/bilstm.md.

use tch::{Device, Kind, TchError, Tensor, no_grad};

use crate::batches::Batch;
use crate::params::Pooling;
use training::{Array, Arrays, Random};

/// Standard deviation of a new embedding. PyTorch's 1 is large compared with the few Adam updates
/// of a rare word.
const EMBEDDING_DEVIATION: f64 = 0.1;

/// Hyperparameters that determine the parameters.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Shape {
    /// Number of embeddings.
    pub(crate) ids: usize,
    /// Id of padding.
    pub(crate) pad: u32,
    pub(crate) emb_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_layers: usize,
    pub(crate) pooling: Pooling,
    pub(crate) classes: usize,
}

impl Shape {
    /// Returns name and shape of every parameter, within an LSTM layer in PyTorch's order.
    pub(crate) fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let gates = 4 * self.hidden_size;
        let mut all = vec![("embedding.weight".to_owned(), vec![self.ids, self.emb_size])];
        for layer in 0..self.num_layers {
            let input = if layer == 0 {
                self.emb_size
            } else {
                self.pooled()
            };
            for direction in ["", "_reverse"] {
                let mut add = |name: &str, shape| {
                    all.push((format!("lstm.{name}_l{layer}{direction}"), shape))
                };
                add("weight_ih", vec![gates, input]);
                add("weight_hh", vec![gates, self.hidden_size]);
                add("bias_ih", vec![gates]);
                add("bias_hh", vec![gates]);
            }
        }
        if self.pooling == Pooling::Attention {
            all.push(("attention.weight".to_owned(), vec![1, self.pooled()]));
        }
        all.push((
            "linear.weight".to_owned(),
            vec![self.classes, self.pooled()],
        ));
        all.push(("linear.bias".to_owned(), vec![self.classes]));
        all
    }

    /// Returns the arrays of these parameters, in this order; `None` if one is missing or has
    /// another shape.
    pub(crate) fn select<'a>(&self, arrays: &'a Arrays) -> Option<Vec<&'a Array>> {
        let find = |(name, shape): (String, Vec<usize>)| {
            let found = arrays.get(&name);
            found.filter(|array| array.shape == shape)
        };
        self.parameters().into_iter().map(find).collect()
    }

    /// Number of values of all parameters.
    pub(crate) fn parameter_count(&self) -> u64 {
        let shapes = self.parameters().into_iter().map(|(_, shape)| shape);
        shapes
            .map(|shape| shape.iter().map(|&size| size as u64).product::<u64>())
            .sum()
    }

    /// Returns a lower bound of the memory of training, in bytes: weights, Adam's moments,
    /// `replicas` gradients, and for a batch of `batch_ids` ids the embeddings and the four gates
    /// of each direction and layer.
    pub(crate) fn min_bytes(&self, replicas: usize, batch_ids: usize) -> u64 {
        let of_id = self.emb_size + self.num_layers * 8 * self.hidden_size;
        let states = (batch_ids as u64).saturating_mul(of_id as u64);
        let copies = 3 + replicas as u64;
        self.parameter_count()
            .saturating_mul(copies)
            .saturating_add(states)
            .saturating_mul(4)
    }

    /// Width of the outputs.
    fn pooled(&self) -> usize {
        2 * self.hidden_size
    }

    /// Returns PyTorch's initial values: uniform within 1 / sqrt(hidden) in the LSTM and 1 /
    /// sqrt(inputs) in linear layers. Embeddings are normal with [`EMBEDDING_DEVIATION`], and zero
    /// for padding.
    pub(crate) fn initial(&self, seed: u64) -> Arrays {
        let mut arrays = Arrays::new();
        for (number, (name, shape)) in self.parameters().into_iter().enumerate() {
            let mut random = Random::new(seed, &[number as u64]);
            let count = shape.iter().product();
            let data = if name.starts_with("embedding") {
                let mut data: Vec<f32> = (0..count)
                    .map(|_| (EMBEDDING_DEVIATION * random.normal()) as f32)
                    .collect();
                data[self.pad as usize * self.emb_size..][..self.emb_size].fill(0.0);
                data
            } else {
                let inputs = if name.starts_with("lstm") {
                    self.hidden_size
                } else {
                    self.pooled()
                };
                let bound = 1.0 / (inputs as f64).sqrt();
                (0..count)
                    .map(|_| ((2.0 * random.uniform() - 1.0) * bound) as f32)
                    .collect()
            };
            arrays.insert(name, Array { shape, data });
        }
        arrays
    }
}

/// The parameters on a device.
pub(crate) struct Net {
    pub(crate) shape: Shape,
    pub(crate) device: Device,
    /// In the order of [`Shape::parameters`].
    pub(crate) parameters: Vec<Tensor>,
}

/// Dropout for one batch.
#[derive(Clone, Copy)]
pub(crate) struct Dropout {
    /// Share of dropped values, above 0 and below 1.
    pub(crate) share: f64,
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// Index of the batch's first row within the step, so that the masks do not depend on the
    /// number of replicas.
    pub(crate) first_row: usize,
}

impl Dropout {
    /// Returns a mask of (batch, 1, width): 0 for dropped values, else 1 / (1 - share).
    fn mask(
        self,
        place: usize,
        rows: usize,
        width: usize,
        device: Device,
    ) -> Result<Tensor, TchError> {
        let kept = (1.0 / (1.0 - self.share)) as f32;
        let mut factors = Vec::with_capacity(rows * width);
        for row in 0..rows {
            let row = (self.first_row + row) as u64;
            let mut random = Random::new(self.seed, &[self.step, place as u64, row]);
            factors.extend((0..width).map(|_| {
                if random.uniform() < self.share {
                    0.0
                } else {
                    kept
                }
            }));
        }
        let shape = [rows as i64, 1, width as i64]; // (batch, 1, width) f32
        Tensor::f_from_slice(&factors)?.f_view(shape)?.f_to(device)
    }
}

impl Net {
    /// Returns a network with these values; `None` if one is missing or has another shape.
    pub(crate) fn new(
        shape: &Shape,
        arrays: &Arrays,
        device: Device,
    ) -> Result<Option<Self>, TchError> {
        let Some(arrays) = shape.select(arrays) else {
            return Ok(None);
        };
        let mut parameters = Vec::new();
        for array in arrays {
            let sizes: Vec<i64> = array.shape.iter().map(|&size| size as i64).collect();
            let tensor = Tensor::f_from_slice(&array.data)?
                .f_view(sizes.as_slice())?
                .f_to(device)?;
            parameters.push(tensor.f_set_requires_grad(true)?);
        }
        Ok(Some(Self {
            shape: shape.clone(),
            device,
            parameters,
        }))
    }

    /// Returns a network that shares these weights.
    pub(crate) fn share(&self) -> Self {
        Self {
            shape: self.shape.clone(),
            device: self.device,
            parameters: self.parameters.iter().map(Tensor::shallow_clone).collect(),
        }
    }

    /// Returns the values of all parameters.
    pub(crate) fn arrays(&self) -> Result<Arrays, TchError> {
        let mut arrays = Arrays::new();
        for ((name, shape), tensor) in self.shape.parameters().into_iter().zip(&self.parameters) {
            arrays.insert(
                name,
                Array {
                    shape,
                    data: values(tensor)?,
                },
            );
        }
        Ok(arrays)
    }

    /// Computes logits of (batch, classes), f32.
    pub(crate) fn forward(
        &self,
        batch: &Batch,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, TchError> {
        let mut states = self.embedded(batch)?; // (batch, seq, emb)
        for layer in 0..self.shape.num_layers {
            let inputs = self.dropped(states, layer, batch, dropout)?;
            states = self.layer(&inputs, self.lstm(layer), batch)?; // (batch, seq, 2 * hidden)
        }
        self.head(&states, batch, dropout)
    }

    /// Computes the logits of a batch without dropout, (rows, classes).
    pub(crate) fn logits(&self, rows: &[Vec<u32>]) -> Result<Vec<f32>, TchError> {
        let batch = Batch::new(rows, self.shape.pad, self.device)?;
        values(&no_grad(|| self.forward(&batch, None))?)
    }

    /// Returns the eight parameters of a layer; the first four belong to the forward direction.
    pub(crate) fn lstm(&self, layer: usize) -> &[Tensor] {
        &self.parameters[1 + 8 * layer..][..8]
    }

    /// Returns the embeddings, (batch, seq, emb).
    pub(crate) fn embedded(&self, batch: &Batch) -> Result<Tensor, TchError> {
        let pad = self.shape.pad.into();
        Tensor::f_embedding(&self.parameters[0], &batch.ids, pad, false, false)
    }

    /// Maps (batch, seq, 2 * hidden) to logits of (batch, classes), f32.
    pub(crate) fn head(
        &self,
        states: &Tensor,
        batch: &Batch,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, TchError> {
        let last = self.shape.num_layers;
        let head = &self.parameters[1 + 8 * last..];
        let pooled = self.pool(states, head, batch)?; // (batch, 2 * hidden)
        let pooled = self
            .dropped(pooled.f_unsqueeze(1)?, last, batch, dropout)? // (batch, 1, 2 * hidden)
            .f_squeeze_dim(1)?; // (batch, 2 * hidden)
        let [.., weight, bias] = head else {
            return Err(TchError::Shape(
                "a network without a linear layer".to_owned(),
            ));
        };
        // (batch, classes)
        pooled.f_linear(weight, Some(bias))?.f_to_kind(Kind::Float)
    }

    /// Applies dropout, if any, to (batch, seq, width). `place` distinguishes the masks of a step.
    pub(crate) fn dropped(
        &self,
        values: Tensor,
        place: usize,
        batch: &Batch,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, TchError> {
        let Some(dropout) = dropout else {
            return Ok(values);
        };
        let width = values.size3()?.2 as usize;
        let mask = dropout.mask(place, batch.rows(), width, self.device)?; // (batch, 1, width) f32
        values.f_mul(&mask.f_to_kind(values.f_kind()?)?) // (batch, seq, width)
    }

    /// Runs both directions of a layer: (batch, seq, inputs) to (batch, seq, 2 * hidden).
    ///
    /// PyTorch's backward direction starts in the padding. Its packed sequences avoid that, but
    /// have no oneDNN kernels (1.4 times the time). So the backward direction is a forward one on
    /// rows that are reversed, each within its length.
    fn layer(
        &self,
        inputs: &Tensor,
        parameters: &[Tensor],
        batch: &Batch,
    ) -> Result<Tensor, TchError> {
        let Some(padding) = &batch.padding else {
            return self.run(inputs, parameters, true);
        };
        let forwards = self.run(inputs, &parameters[..4], false)?; // (batch, seq, hidden)
        let backwards = self.backwards(inputs, &parameters[4..], Some(&padding.reversal))?; // (batch, seq, hidden)
        Tensor::f_cat(&[forwards, backwards], 2) // (batch, seq, 2 * hidden)
    }

    /// Runs the forward direction: (batch, seq, inputs) to (batch, seq, hidden).
    pub(crate) fn forwards(&self, inputs: &Tensor, layer: usize) -> Result<Tensor, TchError> {
        self.run(inputs, &self.lstm(layer)[..4], false)
    }

    /// Runs the backward direction: (batch, seq, inputs) to (batch, seq, hidden). `reversal` is
    /// that of the padding, if any.
    pub(crate) fn backwards(
        &self,
        inputs: &Tensor,
        parameters: &[Tensor],
        reversal: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let reverse = |values: &Tensor| match reversal {
            Some(reversal) => reverse(values, reversal),
            None => values.f_flip([1]),
        };
        reverse(&self.run(&reverse(inputs)?, parameters, false)?)
    }

    /// Runs libtorch's LSTM: (batch, seq, inputs) to (batch, seq, directions * hidden).
    fn run(&self, inputs: &Tensor, parameters: &[Tensor], both: bool) -> Result<Tensor, TchError> {
        let size = [
            if both { 2 } else { 1 },
            inputs.size3()?.0,
            self.shape.hidden_size as i64,
        ];
        let zeros = Tensor::f_zeros(size, (inputs.f_kind()?, self.device))?; // (directions, batch, hidden)
        let start = [&zeros, &zeros];
        let parameters: Vec<&Tensor> = parameters.iter().collect();
        let (outputs, ..) = inputs.f_lstm(&start, &parameters, true, 1, 0.0, true, both, true)?;
        Ok(outputs)
    }

    /// Pools (batch, seq, 2 * hidden) to (batch, 2 * hidden), without the padding.
    fn pool(&self, states: &Tensor, head: &[Tensor], batch: &Batch) -> Result<Tensor, TchError> {
        let masked = |values: &Tensor, with: f64| match &batch.padding {
            Some(padding) => values.f_masked_fill(&padding.mask, with),
            None => Ok(values.shallow_clone()),
        };
        // Each arm ends with (batch, 2 * hidden).
        match self.shape.pooling {
            Pooling::Max => masked(states, f64::NEG_INFINITY)?.f_amax([1], false),
            Pooling::Mean => {
                let lengths: Vec<f32> = batch.lengths.iter().map(|&length| length as f32).collect();
                let lengths = Tensor::f_from_slice(&lengths)?
                    .f_unsqueeze(1)? // (batch, 1) f32
                    .f_to(self.device)?;
                masked(states, 0.0)?
                    .f_sum_dim_intlist([1].as_slice(), false, Kind::Float)?
                    .f_div(&lengths)
            }
            Pooling::Last => {
                let hidden = self.shape.hidden_size as i64;
                let last: Vec<i64> = batch
                    .lengths
                    .iter()
                    .zip(0..)
                    .map(|(&length, row)| row * batch.seq as i64 + length as i64 - 1)
                    .collect();
                let last = Tensor::f_from_slice(&last)?.f_to(self.device)?; // (batch) int64
                let forwards = states
                    .f_reshape([-1, 2 * hidden])? // (batch * seq, 2 * hidden)
                    .f_index_select(0, &last)? // (batch, 2 * hidden)
                    .f_narrow(1, 0, hidden)?; // (batch, hidden)
                let backwards = states.f_select(1, 0)?.f_narrow(1, hidden, hidden)?; // (batch, hidden)
                Tensor::f_cat(&[forwards, backwards], 1)
            }
            Pooling::Attention => {
                // (batch, seq, 1), this and `shares`
                let scores = states
                    .f_linear(&head[0], None::<&Tensor>)?
                    .f_to_kind(Kind::Float)?;
                let shares = masked(&scores, f64::NEG_INFINITY)?.f_softmax(1, Kind::Float)?;
                shares.f_mul(&masked(states, 0.0)?)?.f_sum_dim_intlist(
                    [1].as_slice(),
                    false,
                    Kind::Float,
                )
            }
        }
    }
}

/// Reverses each row within its length: (batch, seq, width) to the same.
fn reverse(values: &Tensor, reversal: &Tensor) -> Result<Tensor, TchError> {
    let (rows, seq, width) = values.size3()?;
    values
        .f_reshape([rows * seq, width])? // (batch * seq, width)
        .f_index_select(0, reversal)? // (batch * seq, width)
        .f_view([rows, seq, width])
}

/// Returns the values of a tensor of any shape and type, row-major.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    no_grad(|| {
        // In its own shape, f32
        let flat = tensor
            .f_detach()?
            .f_to(Device::Cpu)?
            .f_to_kind(Kind::Float)?
            .f_contiguous()?;
        let mut values = vec![0f32; flat.numel()];
        let count = values.len();
        flat.f_copy_data(&mut values, count)?;
        Ok(values)
    })
}

#[cfg(test)]
mod tests;
