//! The network on CPUs: forward and backward pass written out, in f32, on buffers that live as long as the engine.
//!
//! Each thread takes whole rows through the network and back, with gradients of its own, and meets the others only when
//! the gradients are summed up. Rows have no padding, and the last layer computes nothing but what the head looks at.

mod attention;
mod chunk;
mod dropout;
mod elementwise;
mod embed;
mod gradient;
mod head;
mod layer;
mod layout;
mod matmul;
mod norm;
mod optimizer;
mod simd;
#[cfg(test)]
mod tests;
mod worker;

use diagnostics::Error;

use self::chunk::Net;
use self::gradient::{Gradient, Slots};
use self::layout::{Layout, Place};
use self::optimizer::Moments;
use self::worker::Worker;
use crate::architecture::Architecture;
use crate::engine::{AllReduce, Batch, Engine, Saved, Target, Update, Values};

/// See the module.
#[derive(Debug)]
pub(crate) struct CpuEngine {
    net: Net,
    moments: Moments,
    frozen: Vec<bool>,
    /// One per thread.
    workers: Vec<Worker>,
    slots: Slots,
    /// The squares of the gradients, if they are all summed up in the first worker's.
    squares: Option<f64>,
}

impl CpuEngine {
    /// A network with these weights that learns all but the `frozen` ones.
    pub(crate) fn new(
        architecture: &Architecture,
        values: Values,
        threads: usize,
        frozen: &[bool],
    ) -> Result<Self, Error> {
        let layout = Layout::new(architecture, frozen);
        let words = architecture.vocab * architecture.hidden;
        let unwritten = || vec![0.0; words];
        let mut workers: Vec<Worker> = Vec::new();
        workers.resize_with(threads.max(1), Worker::default);
        let mut engine = Self {
            moments: Moments {
                dense: [Vec::new(), Vec::new()],
                words: [unwritten(), unwritten()],
                moved: vec![false; architecture.vocab],
            },
            frozen: frozen.to_vec(),
            workers,
            slots: Slots::new(architecture.vocab),
            squares: None,
            net: Net {
                architecture: architecture.clone(),
                words: Vec::new(),
                dense: vec![0.0; layout.length],
                layout,
            },
        };
        engine.discard()?;
        engine.fill(values)?;
        Ok(engine)
    }

    /// Takes the weights; the moments, and what the first step writes its gradients into, are made meanwhile where there are several
    /// threads.
    fn fill(&mut self, values: Values) -> Result<(), Error> {
        let (net, [first, second]) = (&mut self.net, &mut self.moments.dense);
        let length = net.layout.length;
        if self.frozen.iter().all(|&frozen| frozen) {
            // Never looked at, so that they cost no memory.
            (*first, *second) = (vec![0.0; length], vec![0.0; length]);
            return settle(values, net);
        }
        if self.workers.len() == 1 {
            (*first, *second) = (written(length), written(length));
            return settle(values, net);
        }
        let gradient = self
            .workers
            .first_mut()
            .map(|worker| &mut worker.gradient.dense);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *first = written(length);
                gradient.map(|gradient| *gradient = written(length))
            });
            *second = written(length);
            settle(values, net)
        })
    }

    fn set_weights(&mut self, values: &Values) -> Result<(), Error> {
        let net = &mut self.net;
        scatter(values, &net.layout, &mut net.dense, &mut net.words)
    }

    fn is_frozen(&self, parameter: usize) -> bool {
        self.frozen.get(parameter).copied().unwrap_or(false)
    }

    /// Sums the gradients of all threads up in the first one's; their squares.
    fn combine(&mut self) -> f64 {
        if let Some(squares) = self.squares {
            return squares;
        }
        let mut gradients: Vec<&mut Gradient> = self
            .workers
            .iter_mut()
            .map(|worker| &mut worker.gradient)
            .collect();
        let squares = optimizer::combine(&self.net, &mut gradients, &self.net.layout.segments);
        self.squares = Some(squares);
        squares
    }
}

/// Zeros that were written: what is read first and written then costs two page faults, and the second one interrupts all cores
/// (the kernel's `do_wp_page`; a tenth of a second on two cores). The compiler must not see that they are zeros already.
fn written(length: usize) -> Vec<f32> {
    let mut zeros = vec![0.0; length];
    std::hint::black_box(&mut zeros).fill(0.0);
    zeros
}

/// Deals rows out so that all threads have about as much to do: the longest first, each to whom has least.
fn deal(batch: &Batch, threads: usize, hidden: usize) -> Vec<Vec<usize>> {
    // Linear layers cost 12 hidden² a token, attention 2 hidden x length.
    let cost = |row: &usize| batch.lengths[*row] * (6 * hidden + batch.lengths[*row]);
    let mut order: Vec<usize> = (0..batch.lengths.len()).collect();
    order.sort_by_key(|row| std::cmp::Reverse(cost(row)));
    let mut hands = vec![(0, Vec::new()); threads];
    for row in order {
        if let Some((sum, hand)) = hands.iter_mut().min_by_key(|(sum, _)| *sum) {
            *sum += cost(&row);
            hand.push(row);
        }
    }
    hands.into_iter().map(|(_, hand)| hand).collect()
}

/// Lets each worker do its part, on a thread of its own; the answers in order of the workers.
fn on_threads<R: Send>(
    workers: &mut [Worker],
    hands: &[Vec<usize>],
    work: impl Fn(&mut Worker, &[usize]) -> Vec<R> + Sync,
) -> Result<Vec<R>, Error> {
    let mut parts = workers
        .iter_mut()
        .zip(hands)
        .filter(|(_, hand)| !hand.is_empty());
    let own = parts.next();
    std::thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = parts
            .map(|(worker, hand)| scope.spawn(move || work(worker, hand)))
            .collect();
        let mut all = own.map_or(Vec::new(), |(worker, hand)| work(worker, hand));
        for other in others {
            all.extend(other.join().map_err(|_| died())?);
        }
        Ok(all)
    })
}

fn died() -> Error {
    Error::new("a thread of the network died").help("this is a bug: please report it")
}

/// Copies parameters to their places.
fn scatter(
    values: &Values,
    layout: &Layout,
    dense: &mut [f32],
    words: &mut [f32],
) -> Result<(), Error> {
    for (number, place) in layout.places.iter().enumerate() {
        let to = match place {
            Place::Words => &mut *words,
            Place::Dense(range) => &mut dense[range.clone()],
        };
        match values.get(number) {
            Some(from) if from.len() == to.len() => to.copy_from_slice(from),
            _ => return Err(misfit(number)),
        }
    }
    Ok(())
}

/// The same where they are not needed any more: embeddings, half of a small model, are not copied.
fn settle(values: Values, net: &mut Net) -> Result<(), Error> {
    let words = net.architecture.vocab * net.architecture.hidden;
    for (number, place) in net.layout.places.iter().enumerate() {
        let expected = match place {
            Place::Words => words,
            Place::Dense(range) => range.len(),
        };
        if values.get(number).map(Vec::len) != Some(expected) {
            return Err(misfit(number));
        }
    }
    for (place, values) in net.layout.places.iter().zip(values) {
        match place {
            Place::Words => net.words = values,
            Place::Dense(range) => net.dense[range.clone()].copy_from_slice(&values),
        }
    }
    Ok(())
}

fn misfit(number: usize) -> Error {
    Error::new(format!(
        "parameter {number} has not the size that the network expects"
    ))
    .help("do the weights belong to this config.json?")
}

/// The reverse.
fn gather(layout: &Layout, dense: &[f32], words: &[f32]) -> Values {
    let places = layout.places.iter();
    places
        .map(|place| match place {
            Place::Words => words.to_vec(),
            Place::Dense(range) => dense[range.clone()].to_vec(),
        })
        .collect()
}

impl Engine for CpuEngine {
    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        batch.check(&self.net.architecture)?;
        let (net, classes) = (&self.net, self.net.architecture.classes);
        let hands = deal(batch, self.workers.len(), net.architecture.hidden);
        let rows = on_threads(&mut self.workers, &hands, |worker, rows| {
            worker.logits(net, batch, rows)
        })?;
        let mut all = vec![0.0; batch.lengths.len() * classes];
        for (row, logits) in rows {
            all[row * classes..][..classes].copy_from_slice(&logits);
        }
        Ok(all)
    }

    fn accumulate(&mut self, batch: &Batch, target: &Target<'_>) -> Result<f64, Error> {
        batch.check(&self.net.architecture)?;
        self.squares = None;
        if self.net.layout.words {
            // As PyTorch's `padding_idx`: no gradient, should a text have it.
            let pad = self.net.architecture.pad;
            batch
                .rows()
                .flatten()
                .filter(|&&id| id != pad)
                .for_each(|&id| self.slots.add(id));
        }
        let (net, slots) = (&self.net, &self.slots);
        let hands = deal(batch, self.workers.len(), net.architecture.hidden);
        let mut losses = on_threads(&mut self.workers, &hands, |worker, rows| {
            worker.learn(net, batch, target, rows, slots)
        })?;
        losses.sort_by_key(|&(row, _)| row);
        Ok(losses.into_iter().map(|(_, loss)| loss).sum())
    }

    fn reduce(&mut self, all: &mut dyn AllReduce) -> Result<(), Error> {
        self.combine();
        self.squares = None;
        let hidden = self.net.architecture.hidden;
        if self.net.layout.words {
            // Who has a gradient anywhere; then the gradients of these, in the order of their ids.
            let vocab = self.net.architecture.vocab;
            let mut seen: Vec<f32> = (0..vocab)
                .map(|word| f32::from(u8::from(self.slots.get(word).is_some())))
                .collect();
            all.sum(&mut seen)?;
            let words = (0..vocab).filter(|&word| seen[word] > 0.0);
            let mut sums = Vec::new();
            let own = &self.workers[0].gradient.words;
            let mut slots = Slots::new(vocab);
            for word in words {
                let place = self.slots.get(word).map(|slot| slot * hidden);
                match place.and_then(|place| own.get(place..place + hidden)) {
                    Some(row) => sums.extend_from_slice(row),
                    None => sums.resize(sums.len() + hidden, 0.0),
                }
                slots.add(word as u32);
            }
            all.sum(&mut sums)?;
            self.workers[0].gradient.words = sums;
            self.slots = slots;
        }
        // What is frozen has none: most of a network whose head alone learns.
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

    fn update(&mut self, update: &Update) -> Result<(), Error> {
        self.combine();
        let gradient = &self.workers[0].gradient;
        let threads = self.workers.len();
        optimizer::update(
            &mut self.net,
            &mut self.moments,
            gradient,
            &self.slots,
            update,
            threads,
        );
        self.discard()
    }

    fn discard(&mut self) -> Result<(), Error> {
        for worker in &mut self.workers {
            worker.gradient.fresh = true;
        }
        self.slots.clear();
        self.squares = None;
        Ok(())
    }

    #[cfg(test)]
    fn gradients(&mut self) -> Result<Values, Error> {
        self.combine();
        let (net, gradient) = (&self.net, &self.workers[0].gradient);
        let hidden = net.architecture.hidden;
        let mut words = vec![0.0; net.words.len()];
        let rows = gradient.words.chunks(hidden).zip(&self.slots.words);
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

    fn weights(&self) -> Result<Values, Error> {
        Ok(gather(&self.net.layout, &self.net.dense, &self.net.words))
    }

    fn save(&self) -> Result<Saved, Error> {
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
        Ok(Saved {
            weights: self.weights()?,
            first: moments(0),
            second: moments(1),
        })
    }

    fn restore(&mut self, saved: &Saved) -> Result<(), Error> {
        self.discard()?;
        self.set_weights(&saved.weights)?;
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
        let hidden = self.net.architecture.hidden;
        let [first, second] = &self.moments.words;
        let rows = first.chunks_exact(hidden).zip(second.chunks_exact(hidden));
        for (moved, (first, second)) in self.moments.moved.iter_mut().zip(rows) {
            *moved = first.iter().chain(second).any(|&moment| moment != 0.0);
        }
        Ok(())
    }

    fn device(&self) -> String {
        "cpu".to_owned()
    }
}
