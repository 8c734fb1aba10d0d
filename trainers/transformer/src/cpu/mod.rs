//! The CPU engine: forward and backward pass written out in f32, on buffers that live as long as
//! the engine.
//!
//! Each thread processes whole rows with its own gradients; threads synchronize only to sum these.
//! Rows have no padding, and the last layer computes only the first token, which the head uses.

mod attention;
mod chunk;
mod dropout;
mod elementwise;
mod embed;
mod gradient;
mod head;
mod layer;
mod layout;
mod norm;
mod optimizer;
mod relative_bias;
#[cfg(test)]
mod tests;
mod worker;

use diagnostics::Error;

use self::chunk::Net;
use self::gradient::{Gradient, TouchedRows};
use self::layout::{Layout, ParamLocation};
use self::optimizer::Moments;
use self::worker::Worker;
use crate::architecture::Architecture;
use crate::engine::{AdamWStep, AllReduce, Batch, Engine, LossTarget, Params, TrainerState};

/// Engine of the CPU.
#[derive(Debug)]
pub(crate) struct CpuEngine {
    net: Net,
    moments: Moments,
    frozen: Vec<bool>,
    /// One per thread.
    workers: Vec<Worker>,
    touched: TouchedRows,
    /// Squared norm of the gradients, if they are already summed in the first worker.
    squared_norm: Option<f64>,
}

impl CpuEngine {
    /// Creates an engine that trains all parameters but the `frozen` ones.
    pub(crate) fn new(
        architecture: &Architecture,
        values: Params,
        threads: usize,
        frozen: &[bool],
    ) -> Result<Self, Error> {
        let layout = Layout::new(architecture, frozen);
        let words = architecture.vocab_size * architecture.hidden_size;
        let zeros = || vec![0.0; words];
        let mut workers: Vec<Worker> = Vec::new();
        workers.resize_with(threads.max(1), Worker::default);
        let mut engine = Self {
            moments: Moments {
                dense: [Vec::new(), Vec::new()],
                words: [zeros(), zeros()],
                has_moments: vec![false; architecture.vocab_size],
            },
            frozen: frozen.to_vec(),
            workers,
            touched: TouchedRows::new(architecture.vocab_size),
            squared_norm: None,
            net: Net {
                architecture: architecture.clone(),
                words: Vec::new(),
                dense: vec![0.0; layout.length],
                layout,
            },
        };
        engine.zero_grad()?;
        engine.fill(values)?;
        Ok(engine)
    }

    /// Takes the weights. With several threads, moments and the first gradient are allocated
    /// meanwhile.
    fn fill(&mut self, values: Params) -> Result<(), Error> {
        let (net, [first, second]) = (&mut self.net, &mut self.moments.dense);
        let length = net.layout.length;
        if self.frozen.iter().all(|&frozen| frozen) {
            // Never accessed, so the pages cost no memory.
            (*first, *second) = (vec![0.0; length], vec![0.0; length]);
            return take_weights(values, net);
        }
        if self.workers.len() == 1 {
            (*first, *second) = (prefault(length), prefault(length));
            return take_weights(values, net);
        }
        let gradient = self
            .workers
            .first_mut()
            .map(|worker| &mut worker.gradient.dense);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *first = prefault(length);
                gradient.map(|gradient| *gradient = prefault(length))
            });
            *second = prefault(length);
            take_weights(values, net)
        })
    }

    fn is_frozen(&self, parameter: usize) -> bool {
        self.frozen.get(parameter).copied().unwrap_or(false)
    }

    /// Sums the gradients of all threads in the first worker. Returns their squared norm.
    fn combine(&mut self) -> f64 {
        if let Some(squared_norm) = self.squared_norm {
            return squared_norm;
        }
        let mut gradients: Vec<&mut Gradient> = self
            .workers
            .iter_mut()
            .map(|worker| &mut worker.gradient)
            .collect();
        let squared_norm = optimizer::combine(&self.net, &mut gradients, &self.net.layout.segments);
        self.squared_norm = Some(squared_norm);
        squared_norm
    }
}

/// Returns zeros in pages that are already mapped. Reading first and writing later costs two page
/// faults, the second of which interrupts all cores (the kernel's `do_wp_page`; a tenth of a second
/// on two cores). `black_box` keeps the compiler from removing the writes.
fn prefault(length: usize) -> Vec<f32> {
    let mut zeros = vec![0.0; length];
    std::hint::black_box(&mut zeros).fill(0.0);
    zeros
}

/// Partitions rows so that threads have about equal work: the longest first, each to the thread
/// with the least.
fn partition(batch: &Batch, threads: usize, hidden: usize) -> Vec<Vec<usize>> {
    // Linear layers cost 12 hidden² a token, attention 2 hidden x length.
    let cost = |row: &usize| batch.lengths[*row] * (6 * hidden + batch.lengths[*row]);
    let mut order: Vec<usize> = (0..batch.lengths.len()).collect();
    order.sort_by_key(|row| std::cmp::Reverse(cost(row)));
    let mut partitions = vec![(0, Vec::new()); threads];
    for row in order {
        if let Some((sum, rows)) = partitions.iter_mut().min_by_key(|(sum, _)| *sum) {
            *sum += cost(&row);
            rows.push(row);
        }
    }
    partitions.into_iter().map(|(_, rows)| rows).collect()
}

/// Runs each worker on its own thread; results are in order of the workers.
fn run_workers<R: Send>(
    workers: &mut [Worker],
    partitions: &[Vec<usize>],
    work: impl Fn(&mut Worker, &[usize]) -> Vec<R> + Sync,
) -> Result<Vec<R>, Error> {
    let mut parts = workers
        .iter_mut()
        .zip(partitions)
        .filter(|(_, rows)| !rows.is_empty());
    let own = parts.next();
    std::thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = parts
            .map(|(worker, rows)| scope.spawn(move || work(worker, rows)))
            .collect();
        let mut all = own.map_or(Vec::new(), |(worker, rows)| work(worker, rows));
        for other in others {
            all.extend(other.join().map_err(|_| worker_panicked())?);
        }
        Ok(all)
    })
}

fn worker_panicked() -> Error {
    Error::new("a worker thread panicked").help("this is a bug: please report it")
}

/// Copies parameters to their locations.
fn scatter(
    values: &Params,
    layout: &Layout,
    dense: &mut [f32],
    words: &mut [f32],
) -> Result<(), Error> {
    for (number, place) in layout.locations.iter().enumerate() {
        let to = match place {
            ParamLocation::Words => &mut *words,
            ParamLocation::Dense(range) => &mut dense[range.clone()],
        };
        match values.get(number) {
            Some(from) if from.len() == to.len() => to.copy_from_slice(from),
            _ => return Err(shape_mismatch(number)),
        }
    }
    Ok(())
}

/// Moves parameters to their locations: word embeddings, half of a small model, are not copied.
fn take_weights(values: Params, net: &mut Net) -> Result<(), Error> {
    let words = net.architecture.vocab_size * net.architecture.hidden_size;
    for (number, place) in net.layout.locations.iter().enumerate() {
        let expected = match place {
            ParamLocation::Words => words,
            ParamLocation::Dense(range) => range.len(),
        };
        if values.get(number).map(Vec::len) != Some(expected) {
            return Err(shape_mismatch(number));
        }
    }
    for (place, values) in net.layout.locations.iter().zip(values) {
        match place {
            ParamLocation::Words => net.words = values,
            ParamLocation::Dense(range) => net.dense[range.clone()].copy_from_slice(&values),
        }
    }
    Ok(())
}

fn shape_mismatch(number: usize) -> Error {
    Error::new(format!(
        "parameter {number} does not have the size that the network expects"
    ))
    .help("use weights and config.json of the same model")
}

/// Copies parameters from their locations.
fn gather(layout: &Layout, dense: &[f32], words: &[f32]) -> Params {
    let locations = layout.locations.iter();
    locations
        .map(|place| match place {
            ParamLocation::Words => words.to_vec(),
            ParamLocation::Dense(range) => dense[range.clone()].to_vec(),
        })
        .collect()
}

impl Engine for CpuEngine {
    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        batch.check(&self.net.architecture)?;
        let (net, classes) = (&self.net, self.net.architecture.num_labels);
        let partitions = partition(batch, self.workers.len(), net.architecture.hidden_size);
        let rows = run_workers(&mut self.workers, &partitions, |worker, rows| {
            worker.logits(net, batch, rows)
        })?;
        let mut all = vec![0.0; batch.lengths.len() * classes];
        for (row, logits) in rows {
            all[row * classes..][..classes].copy_from_slice(&logits);
        }
        Ok(all)
    }

    fn accumulate(&mut self, batch: &Batch, target: &LossTarget<'_>) -> Result<f64, Error> {
        batch.check(&self.net.architecture)?;
        self.squared_norm = None;
        if self.net.layout.trains_words {
            // As PyTorch's `padding_idx`: no gradient, even if a text contains it.
            let pad = self.net.architecture.pad_token_id;
            batch
                .rows()
                .flatten()
                .filter(|&&id| id != pad)
                .for_each(|&id| self.touched.insert(id));
        }
        let (net, touched) = (&self.net, &self.touched);
        let partitions = partition(batch, self.workers.len(), net.architecture.hidden_size);
        let mut losses = run_workers(&mut self.workers, &partitions, |worker, rows| {
            worker.forward_backward(net, batch, target, rows, touched)
        })?;
        losses.sort_by_key(|&(row, _)| row);
        Ok(losses.into_iter().map(|(_, loss)| loss).sum())
    }

    fn all_reduce(&mut self, all: &mut dyn AllReduce) -> Result<(), Error> {
        self.combine();
        self.squared_norm = None;
        let hidden = self.net.architecture.hidden_size;
        if self.net.layout.trains_words {
            // First the union of touched rows over all processes, then their gradients in order of
            // ids.
            let vocab = self.net.architecture.vocab_size;
            let mut seen: Vec<f32> = (0..vocab)
                .map(|word| f32::from(u8::from(self.touched.slot(word).is_some())))
                .collect();
            all.sum(&mut seen)?;
            let words = (0..vocab).filter(|&word| seen[word] > 0.0);
            let mut sums = Vec::new();
            let own = &self.workers[0].gradient.words;
            let mut touched = TouchedRows::new(vocab);
            for word in words {
                let place = self.touched.slot(word).map(|slot| slot * hidden);
                match place.and_then(|place| own.get(place..place + hidden)) {
                    Some(row) => sums.extend_from_slice(row),
                    None => sums.resize(sums.len() + hidden, 0.0),
                }
                touched.insert(word as u32);
            }
            all.sum(&mut sums)?;
            self.workers[0].gradient.words = sums;
            self.touched = touched;
        }
        // Frozen parameters have no gradients: most of a network of which only the head is trained.
        let (dense, segments) = (
            &mut self.workers[0].gradient.dense,
            &self.net.layout.segments,
        );
        let parts = segments.iter().map(|segment| segment.range.clone());
        let mut learns = Vec::new();
        parts
            .clone()
            .for_each(|range| learns.extend_from_slice(&dense[range]));
        all.sum(&mut learns)?;
        let mut rest = learns.as_slice();
        for range in parts {
            let (own, others) = rest.split_at(range.len());
            dense[range].copy_from_slice(own);
            rest = others;
        }
        Ok(())
    }

    fn gradient_norm(&mut self) -> Result<f64, Error> {
        Ok(self.combine().sqrt())
    }

    fn optimizer_step(&mut self, adamw: &AdamWStep) -> Result<(), Error> {
        self.combine();
        let gradient = &self.workers[0].gradient;
        let threads = self.workers.len();
        optimizer::update(
            &mut self.net,
            &mut self.moments,
            gradient,
            &self.touched,
            adamw,
            threads,
        );
        self.zero_grad()
    }

    fn zero_grad(&mut self) -> Result<(), Error> {
        for worker in &mut self.workers {
            worker.gradient.stale = true;
        }
        self.touched.clear();
        self.squared_norm = None;
        Ok(())
    }

    #[cfg(test)]
    fn gradients(&mut self) -> Result<Params, Error> {
        self.combine();
        let (net, gradient) = (&self.net, &self.workers[0].gradient);
        let hidden = net.architecture.hidden_size;
        let mut words = vec![0.0; net.words.len()];
        let rows = gradient.words.chunks(hidden).zip(&self.touched.words);
        for (row, &word) in rows {
            words[word as usize * hidden..][..hidden].copy_from_slice(row);
        }
        let mut values = gather(&net.layout, &gradient.dense, &words);
        for (number, values) in values.iter_mut().enumerate() {
            if self.is_frozen(number) {
                values.fill(0.0);
            }
        }
        Ok(values)
    }

    fn weights(&self) -> Result<Params, Error> {
        Ok(gather(&self.net.layout, &self.net.dense, &self.net.words))
    }

    fn save(&self) -> Result<TrainerState, Error> {
        let moments = |number: usize| {
            let (dense, words) = (&self.moments.dense[number], &self.moments.words[number]);
            let mut values = gather(&self.net.layout, dense, words);
            for (parameter, values) in values.iter_mut().enumerate() {
                if self.is_frozen(parameter) {
                    *values = Vec::new();
                }
            }
            values
        };
        Ok(TrainerState {
            weights: self.weights()?,
            first: moments(0),
            second: moments(1),
        })
    }

    fn restore(&mut self, saved: &TrainerState) -> Result<(), Error> {
        self.zero_grad()?;
        take_weights(saved.weights.clone(), &mut self.net)?;
        let sizes = gather(&self.net.layout, &self.net.dense, &self.net.words);
        for (number, from) in [&saved.first, &saved.second].into_iter().enumerate() {
            let mut from = from.clone();
            for (parameter, values) in from.iter_mut().enumerate() {
                if self.is_frozen(parameter) && values.is_empty() {
                    values.resize(sizes.get(parameter).map_or(0, Vec::len), 0.0);
                }
            }
            let (dense, words) = (
                &mut self.moments.dense[number],
                &mut self.moments.words[number],
            );
            scatter(&from, &self.net.layout, dense, words)?;
        }
        let hidden = self.net.architecture.hidden_size;
        let [first, second] = &self.moments.words;
        let rows = first.chunks_exact(hidden).zip(second.chunks_exact(hidden));
        for (has_moments, (first, second)) in self.moments.has_moments.iter_mut().zip(rows) {
            *has_moments = first.iter().chain(second).any(|&moment| moment != 0.0);
        }
        Ok(())
    }

    fn device(&self) -> String {
        "cpu".to_owned()
    }
}
