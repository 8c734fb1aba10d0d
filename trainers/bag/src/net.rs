//! The network: an embedding bag and a linear layer.

use std::borrow::Cow;

use training::Random;

use crate::rows::Row;

/// Block size: loops over arrays of this size compile to vector instructions.
const LANES: usize = 8;

/// Initial length of the rows of the linear layer. measured on validation rows with 225 training
/// rows, where it matters most: 0.7 gives 0.923 on SMS spam, 1 gives 0.931, 2 gives 0.942. With all
/// rows they differ by less than 0.001.
const GAIN: f32 = 2.0;

/// The same for more than [`MANY_CLASSES`] classes, of which each has few rows, so that a step has
/// to move further. Measured on made-up texts of 1,000 classes, where `svm` has 0.475: 0.368 with
/// 2, 0.424 with 6, 0.431 with 8.
const MANY_CLASSES_GAIN: f32 = 8.0;

/// Above this number of classes, initial values, term scales and the default width differ. Measured
/// on made-up texts, 36 rows per class, without and with it: 0.986 and 0.986 with 20 classes, 0.667
/// and 0.981 with 50, 0.299 and 0.896 with 100.
pub(crate) const MANY_CLASSES: usize = 20;

/// Above this number of classes a step computes [`SAMPLED_CLASSES`] of them.
pub(crate) const MAX_SOFTMAX: usize = 1024;

/// Classes of a step besides the true one. Measured on 5,000 classes: a quarter of the time of all
/// classes, accuracy 0.328 instead of 0.337.
pub(crate) const SAMPLED_CLASSES: usize = 512;

/// Embeddings and linear layer. Rows are padded with zeros to a multiple of `LANES`; the padding
/// stays zero.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Net {
    /// Embedding size, without padding.
    pub(crate) width: usize,
    stride: usize,
    /// Shape: (terms, stride).
    embedding: Vec<f32>,
    /// Shape: (classes, stride).
    weight: Vec<f32>,
    /// Shape: (classes).
    pub(crate) bias: Vec<f32>,
}

/// Buffers of the forward and backward pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetScratch {
    /// Classes of the next step besides the true one; empty: all classes.
    pub(crate) sampled: Vec<u32>,
    /// Shape: (stride).
    hidden: Vec<f32>,
    /// Shape: (stride).
    gradient: Vec<f32>,
    /// Logits, or probabilities after a step. Shape: (classes).
    pub(crate) outputs: Vec<f32>,
}

impl Net {
    /// Initialises embeddings to zero and the linear layer to orthogonal rows (Saxe, McClelland and
    /// Ganguli 2014) of length [`GAIN`] or [`MANY_CLASSES_GAIN`], in groups of `width` classes.
    ///
    /// fastText does the opposite: random embeddings and a linear layer of zeros. Then neither has
    /// a useful gradient before the other has grown, which takes hundreds of rows, and rare terms
    /// end as noise. measured on validation rows, fastText against this: 0.924 and 0.925 on IMDB;
    /// with 300 training rows 0.33 and 0.75 on AG News.
    pub(crate) fn new(terms: usize, width: usize, classes: usize, seed: u64) -> Self {
        let stride = width.next_multiple_of(LANES);
        let gain = match classes > MANY_CLASSES {
            true => MANY_CLASSES_GAIN,
            false => GAIN,
        };
        let mut random = Random::new(seed, &[]);
        let mut weight: Vec<f32> = Vec::with_capacity(classes * stride);
        for class in 0..classes {
            let mut row: Vec<f32> = (0..width).map(|_| random.normal() as f32).collect();
            for earlier in weight[class / width * width * stride..].chunks_exact(stride) {
                let share = dot(&row, earlier) / (gain * gain);
                row.iter_mut()
                    .zip(earlier)
                    .for_each(|(value, earlier)| *value -= share * earlier);
            }
            let length = dot(&row, &row).sqrt();
            weight.extend(row.iter().map(|value| value / length * gain));
            weight.resize((class + 1) * stride, 0.0);
        }
        Self {
            width,
            stride,
            embedding: vec![0.0; terms * stride],
            weight,
            bias: vec![0.0; classes],
        }
    }

    /// Creates a network from arrays of shape (terms, width), (classes, width) and (classes).
    pub(crate) fn from_arrays(
        width: usize,
        embedding: Vec<f32>,
        weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> Self {
        let stride = width.next_multiple_of(LANES);
        let pad = |rows: Vec<f32>| {
            if stride == width {
                return rows;
            }
            let mut padded = Vec::with_capacity(rows.len() / width * stride);
            for row in rows.chunks_exact(width) {
                padded.extend_from_slice(row);
                padded.resize(padded.len().next_multiple_of(stride), 0.0);
            }
            padded
        };
        Self {
            width,
            stride,
            embedding: pad(embedding),
            weight: pad(weight),
            bias,
        }
    }

    /// True if all weights are finite.
    pub(crate) fn is_finite(&self) -> bool {
        let all = [&self.embedding, &self.weight, &self.bias];
        all.iter()
            .all(|array| array.iter().all(|value| value.is_finite()))
    }

    /// Number of terms.
    pub(crate) fn terms(&self) -> usize {
        self.embedding.len() / self.stride
    }

    /// Embedding of a term.
    pub(crate) fn embedding(&self, term: usize) -> &[f32] {
        &self.embedding[term * self.stride..][..self.width]
    }

    /// Row of a class in the linear layer.
    pub(crate) fn weight(&self, class: usize) -> &[f32] {
        &self.weight[class * self.stride..][..self.width]
    }

    /// Returns embeddings and linear layer without padding: (terms, width) and (classes, width).
    pub(crate) fn unpadded(&self) -> [Cow<'_, [f32]>; 2] {
        [&self.embedding, &self.weight].map(|rows| {
            if self.stride == self.width {
                return Cow::Borrowed(rows.as_slice());
            }
            Cow::Owned(
                rows.chunks_exact(self.stride)
                    .flat_map(|row| &row[..self.width])
                    .copied()
                    .collect(),
            )
        })
    }

    /// Reorders the terms: term `i` of the result is term `order[i]` of `self`.
    pub(crate) fn reordered(self, order: &[u32]) -> Self {
        let mut embedding = Vec::with_capacity(self.embedding.len());
        for &term in order {
            embedding
                .extend_from_slice(&self.embedding[term as usize * self.stride..][..self.stride]);
        }
        Self { embedding, ..self }
    }

    /// Multiplies the embedding of each term by its factor.
    pub(crate) fn scaled(mut self, factors: &[f32]) -> Self {
        for (embedding, factor) in self.embedding.chunks_exact_mut(self.stride).zip(factors) {
            embedding.iter_mut().for_each(|value| *value *= factor);
        }
        self
    }

    /// Divides all logits by the temperature.
    pub(crate) fn apply_temperature(&mut self, temperature: f32) {
        self.weight
            .iter_mut()
            .chain(&mut self.bias)
            .for_each(|value| *value /= temperature);
    }

    /// Writes the logits to `scratch.outputs`.
    pub(crate) fn forward(&self, row: Row<'_>, scratch: &mut NetScratch) {
        let NetScratch {
            hidden, outputs, ..
        } = scratch;
        self.sum_embeddings(row, hidden);
        outputs.clear();
        let logits = self.weight.chunks_exact(self.stride).zip(&self.bias);
        if self.bias.len() > MANY_CLASSES {
            outputs.extend(logits.map(|(weight, bias)| dot_in_lanes(hidden, weight) + bias));
        } else {
            outputs.extend(logits.map(|(weight, bias)| dot(hidden, weight) + bias));
        }
    }

    /// Writes the weighted sum of the embeddings to `hidden`.
    fn sum_embeddings(&self, row: Row<'_>, hidden: &mut Vec<f32>) {
        hidden.clear();
        hidden.resize(self.stride, 0.0);
        match self.stride / LANES {
            1 => self.gather::<1>(row, hidden),
            2 => self.gather::<2>(row, hidden),
            4 => self.gather::<4>(row, hidden),
            _ => {
                for (&term, &weight) in row.terms.iter().zip(row.weights) {
                    add(
                        hidden,
                        weight,
                        &self.embedding[term as usize * self.stride..][..self.stride],
                    );
                }
            }
        }
    }

    /// Computes the weighted sum of the embeddings in registers.
    fn gather<const CHUNKS: usize>(&self, row: Row<'_>, hidden: &mut [f32]) {
        let mut sum = [[0.0; LANES]; CHUNKS];
        let (embeddings, _) = self.embedding.as_chunks::<LANES>();
        let (embeddings, _) = embeddings.as_chunks::<CHUNKS>();
        for (&term, &weight) in row.terms.iter().zip(row.weights) {
            for (sum, embedding) in sum.iter_mut().zip(&embeddings[term as usize]) {
                for (sum, value) in sum.iter_mut().zip(embedding) {
                    *sum += weight * value;
                }
            }
        }
        hidden.copy_from_slice(sum.as_flattened());
    }

    /// Makes one step of stochastic gradient descent on the cross entropy of one row, times `cost`.
    /// Returns the loss before the step, or NaN without a step if it is not finite.
    pub(crate) fn sgd_step(
        &mut self,
        row: Row<'_>,
        label: usize,
        cost: f32,
        learning_rate: f32,
        scratch: &mut NetScratch,
    ) -> f64 {
        if !scratch.sampled.is_empty() {
            return self.sampled_step(row, label, cost, learning_rate, scratch);
        }
        self.forward(row, scratch);
        let NetScratch {
            hidden,
            gradient,
            outputs,
            ..
        } = scratch;
        softmax(outputs);
        let loss = -f64::from(outputs[label].max(f32::MIN_POSITIVE)).ln() * f64::from(cost);
        if !outputs[label].is_finite() {
            return f64::NAN;
        }
        gradient.clear();
        gradient.resize(self.stride, 0.0);
        for (class, (weight, bias)) in self
            .weight
            .chunks_exact_mut(self.stride)
            .zip(&mut self.bias)
            .enumerate()
        {
            let error = cost * (outputs[class] - f32::from(class == label));
            add(gradient, error, weight);
            add(weight, -learning_rate * error, hidden);
            *bias -= learning_rate * error;
        }
        self.update_embeddings(row, learning_rate, gradient);
        loss
    }

    /// As [`Net::sgd_step`], on the binary cross entropy of all classes, of which `classes` are those
    /// of the row. The loss of a class is times its weight: the first one for the row's classes,
    /// the second one for the others. The step is that of the sum over the classes, as `-loss
    /// one-vs-all` of fastText; the result is the mean.
    pub(crate) fn binary_step(
        &mut self,
        row: Row<'_>,
        classes: &[u32],
        [own_weights, other_weights]: [&[f32]; 2],
        cost: f32,
        learning_rate: f32,
        scratch: &mut NetScratch,
    ) -> f64 {
        self.forward(row, scratch);
        let NetScratch {
            hidden,
            gradient,
            outputs,
            ..
        } = scratch;
        if outputs.iter().any(|logit| !logit.is_finite()) {
            return f64::NAN;
        }
        gradient.clear();
        gradient.resize(self.stride, 0.0);
        let weights = self.weight.chunks_exact_mut(self.stride);
        let parts = weights.zip(&mut self.bias).zip(outputs.iter());
        let mut loss = 0.0;
        for (class, ((weight, bias), &logit)) in (0u32..).zip(parts) {
            let (logit, is_own) = (f64::from(logit), classes.binary_search(&class).is_ok());
            let weights = if is_own { own_weights } else { other_weights };
            let class_weight = weights[class as usize];
            // ln(1 + exp(logit)) without overflow.
            let softplus = logit.max(0.0) + (-logit.abs()).exp().ln_1p();
            loss += f64::from(class_weight) * (softplus - f64::from(is_own) * logit);
            let error = 1.0 / (1.0 + (-logit).exp()) - f64::from(is_own);
            let error = cost * class_weight * error as f32;
            add(gradient, error, weight);
            add(weight, -learning_rate * error, hidden);
            *bias -= learning_rate * error;
        }
        loss /= outputs.len() as f64;
        self.update_embeddings(row, learning_rate, gradient);
        loss * f64::from(cost)
    }

    /// As [`Net::sgd_step`], with the classes `scratch.sampled` in place of all but the true one:
    /// sampled softmax (Jean, Cho, Memisevic and Bengio 2015). The sum over the other classes is
    /// estimated without bias, for samples of equal probability.
    fn sampled_step(
        &mut self,
        row: Row<'_>,
        label: usize,
        cost: f32,
        learning_rate: f32,
        scratch: &mut NetScratch,
    ) -> f64 {
        let NetScratch {
            sampled,
            hidden,
            gradient,
            outputs,
        } = scratch;
        self.sum_embeddings(row, hidden);
        let (stride, hidden) = (self.stride, hidden.as_slice());
        let others = (self.bias.len() - 1) as f32 / sampled.len() as f32;
        let logit = |class: usize| {
            dot_in_lanes(hidden, &self.weight[class * stride..][..stride]) + self.bias[class]
        };
        outputs.clear();
        outputs.push(logit(label));
        outputs.extend(
            sampled
                .iter()
                .map(|&class| logit(class as usize) + others.ln()),
        );
        softmax(outputs);
        let share = outputs[0];
        if !share.is_finite() {
            return f64::NAN;
        }
        gradient.clear();
        gradient.resize(stride, 0.0);
        outputs[0] -= 1.0;
        let classes = std::iter::once(label).chain(sampled.iter().map(|&class| class as usize));
        for (class, output) in classes.zip(outputs.iter()) {
            let (error, weight) = (cost * output, &mut self.weight[class * stride..][..stride]);
            add(gradient, error, weight);
            add(weight, -learning_rate * error, hidden);
            self.bias[class] -= learning_rate * error;
        }
        self.update_embeddings(row, learning_rate, gradient);
        -f64::from(share.max(f32::MIN_POSITIVE)).ln() * f64::from(cost)
    }

    /// Updates the embeddings of a row.
    fn update_embeddings(&mut self, row: Row<'_>, learning_rate: f32, gradient: &[f32]) {
        match self.stride / LANES {
            1 => self.scatter::<1>(row, learning_rate, gradient),
            2 => self.scatter::<2>(row, learning_rate, gradient),
            4 => self.scatter::<4>(row, learning_rate, gradient),
            _ => {
                for (&term, &weight) in row.terms.iter().zip(row.weights) {
                    add(
                        &mut self.embedding[term as usize * self.stride..][..self.stride],
                        -learning_rate * weight,
                        gradient,
                    );
                }
            }
        }
    }

    /// As [`Net::update_embeddings`], with the gradient in registers.
    fn scatter<const CHUNKS: usize>(&mut self, row: Row<'_>, learning_rate: f32, gradient: &[f32]) {
        let (gradient, _) = gradient.as_chunks::<LANES>();
        let Some(gradient) = gradient.first_chunk::<CHUNKS>().copied() else {
            return;
        };
        let (embeddings, _) = self.embedding.as_chunks_mut::<LANES>();
        let (embeddings, _) = embeddings.as_chunks_mut::<CHUNKS>();
        for (&term, &weight) in row.terms.iter().zip(row.weights) {
            let step = -learning_rate * weight;
            for (embedding, gradient) in embeddings[term as usize].iter_mut().zip(&gradient) {
                for (value, gradient) in embedding.iter_mut().zip(gradient) {
                    *value += step * gradient;
                }
            }
        }
    }
}

/// Computes `to` += `factor` x `from`.
fn add(to: &mut [f32], factor: f32, from: &[f32]) {
    to.iter_mut()
        .zip(from)
        .for_each(|(to, from)| *to += factor * from);
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Dot product of vectors whose length is a multiple of `LANES`, in independent sums, which compile
/// to vector instructions: 1,000 classes are most of the work of a step.
fn dot_in_lanes(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(b.as_chunks::<LANES>().0)
    {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

fn softmax(logits: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits
        .iter_mut()
        .for_each(|logit| *logit = (*logit - largest).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|share| *share /= sum);
}
