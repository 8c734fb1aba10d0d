//! AdamW (Loshchilov and Hutter 2019) as in PyTorch, and the sum of gradients before it: single
//! passes over all parameters, split over threads.

use linalg::simd::{sum, vectorized};

use super::chunk::Net;
use super::gradient::{Gradient, TouchedRows};
use super::layout::Segment;
use crate::engine::AdamWStep;

/// AdamW's first and second moments.
#[derive(Debug)]
pub(super) struct Moments {
    /// Laid out as `Net::dense`.
    pub(super) dense: [Vec<f32>; 2],
    /// (vocab, hidden)
    pub(super) words: [Vec<f32>; 2],
    /// True for words that have had a gradient. The moments of all others are 0: only weight decay
    /// changes them, and their moments, never written, cost no memory.
    pub(super) has_moments: Vec<bool>,
}

/// Constants of a step.
#[derive(Clone, Copy)]
struct Factors {
    scale: f32,
    /// 1 - beta 1; beta 2, 1 - beta 2
    first: f32,
    second: (f32, f32),
    /// Learning rate / first moment's bias correction.
    rate: f32,
    /// 1 / sqrt(second moment's bias correction).
    root: f32,
    epsilon: f32,
    decay: f32,
}

impl Factors {
    fn new(adamw: &AdamWStep, decays: bool) -> Self {
        let steps = i32::try_from(adamw.step).unwrap_or(i32::MAX);
        let decay = if decays {
            adamw.rate * adamw.weight_decay
        } else {
            0.0
        };
        Self {
            scale: adamw.scale as f32,
            first: (1.0 - adamw.beta_1) as f32,
            second: (adamw.beta_2 as f32, (1.0 - adamw.beta_2) as f32),
            rate: (adamw.rate / (1.0 - adamw.beta_1.powi(steps))) as f32,
            root: (1.0 / (1.0 - adamw.beta_2.powi(steps)).sqrt()) as f32,
            epsilon: adamw.epsilon as f32,
            decay: (1.0 - decay) as f32,
        }
    }

    #[inline(always)]
    fn step(&self, weights: &mut [f32], gradient: impl Fn(usize) -> f32, moments: [&mut [f32]; 2]) {
        let [first, second] = moments;
        let length = weights.len();
        let (first, second) = (&mut first[..length], &mut second[..length]);
        for i in 0..length {
            let gradient = gradient(i) * self.scale;
            first[i] += self.first * (gradient - first[i]);
            second[i] = self.second.0 * second[i] + self.second.1 * gradient * gradient;
            let root = second[i].sqrt() * self.root + self.epsilon;
            weights[i] = weights[i] * self.decay - self.rate * first[i] / root;
        }
    }
}

/// The part of a vector for a thread.
struct Part<'a> {
    /// Offset in the vector.
    start: usize,
    weights: &'a mut [f32],
    gradient: &'a [f32],
    moments: [&'a mut [f32]; 2],
}

/// Words for a thread.
struct WordPart<'a> {
    first: usize,
    weights: &'a mut [f32],
    moments: [&'a mut [f32]; 2],
    has_moments: &'a mut [bool],
}

/// Updates the weights by the summed gradient.
pub(super) fn update(
    net: &mut Net,
    moments: &mut Moments,
    gradient: &Gradient,
    touched: &TouchedRows,
    adamw: &AdamWStep,
    threads: usize,
) {
    let hidden = net.architecture.hidden_size;
    let factors = [false, true].map(|decays| Factors::new(adamw, decays));
    let size = net.dense.len().div_ceil(threads).max(1);
    let words = net.architecture.vocab_size.div_ceil(threads).max(1);
    let [first, second] = &mut moments.dense;
    let dense = net.dense.chunks_mut(size).zip(gradient.dense.chunks(size));
    let dense = dense.zip(first.chunks_mut(size).zip(second.chunks_mut(size)));
    let dense = dense
        .enumerate()
        .map(|(number, ((weights, gradient), (first, second)))| Part {
            start: number * size,
            weights,
            gradient,
            moments: [first, second],
        });
    let [first, second] = &mut moments.words;
    let rows = |moments| <[f32]>::chunks_mut(moments, words * hidden);
    let table = rows(&mut net.words).zip(rows(first).zip(rows(second)));
    let table = table.zip(moments.has_moments.chunks_mut(words)).enumerate();
    let table = table.map(
        |(number, ((weights, (first, second)), has_moments))| WordPart {
            first: number * words,
            weights,
            moments: [first, second],
            has_moments,
        },
    );
    let (layout, mut table) = (&net.layout, table);
    std::thread::scope(|scope| {
        for (number, part) in dense.enumerate() {
            let words = table.next().filter(|_| layout.trains_words);
            let work = move || {
                update_part(part, &layout.segments, factors);
                if let Some(words) = words {
                    update_words(words, &gradient.words, touched, hidden, factors[1]);
                }
            };
            if number + 1 == threads {
                work();
            } else {
                scope.spawn(work);
            }
        }
    });
}

fn update_part(part: Part<'_>, segments: &[Segment], factors: [Factors; 2]) {
    let [first, second] = part.moments;
    for segment in segments {
        let start = segment.range.start.max(part.start) - part.start;
        let end = segment
            .range
            .end
            .saturating_sub(part.start)
            .min(part.weights.len());
        if start >= end {
            continue;
        }
        let factors = factors[usize::from(segment.decays)];
        let gradient = &part.gradient[start..end];
        let weights = &mut part.weights[start..end];
        let moments = [&mut first[start..end], &mut second[start..end]];
        vectorized(
            #[inline(always)]
            || factors.step(weights, |i| gradient[i], moments),
        );
    }
}

fn update_words(
    part: WordPart<'_>,
    gradients: &[f32],
    touched: &TouchedRows,
    hidden: usize,
    factors: Factors,
) {
    let [first, second] = part.moments;
    let weights = part.weights.chunks_exact_mut(hidden);
    let moments = first
        .chunks_exact_mut(hidden)
        .zip(second.chunks_exact_mut(hidden));
    for (number, ((weights, (first, second)), has_moments)) in
        weights.zip(moments).zip(part.has_moments).enumerate()
    {
        let slot = touched.slot(part.first + number);
        *has_moments |= slot.is_some();
        let gradient = slot.map(|slot| &gradients[slot * hidden..][..hidden]);
        vectorized(
            #[inline(always)]
            || match gradient {
                Some(gradient) => factors.step(weights, |i| gradient[i], [first, second]),
                None if *has_moments => factors.step(weights, |_| 0.0, [first, second]),
                None if factors.decay < 1.0 => {
                    for weight in weights {
                        *weight *= factors.decay;
                    }
                }
                None => {}
            },
        );
    }
}

/// Adds the gradients of all threads to those of the first, in order, and marks the others stale.
/// Returns the squared norm of the sums.
pub(super) fn combine(net: &Net, gradients: &mut [&mut Gradient], segments: &[Segment]) -> f64 {
    let threads = gradients.len();
    let Some((sum_of, others)) = gradients.split_first_mut() else {
        return 0.0;
    };
    if sum_of.stale {
        sum_of.prepare(&net.layout, 0);
        sum_of.dense.fill(0.0);
        sum_of.stale = false;
    }
    let others: Vec<&mut &mut Gradient> = others.iter_mut().filter(|other| !other.stale).collect();
    let longest = others
        .iter()
        .map(|other| other.words.len())
        .max()
        .unwrap_or(0);
    let words = sum_of.words.len().max(longest);
    sum_of.words.resize(words, 0.0);
    let dense: Vec<&[f32]> = others.iter().map(|other| &other.dense[..]).collect();
    let rows: Vec<&[f32]> = others.iter().map(|other| &other.words[..]).collect();
    let all = [Segment {
        range: 0..words,
        decays: true,
    }];
    let squared_norm = sum_parts(&mut sum_of.dense, &dense, segments, threads)
        + sum_parts(&mut sum_of.words, &rows, &all, threads);
    for other in others {
        other.stale = true;
    }
    squared_norm
}

/// Adds `others` to `sum`, in parallel parts. Returns the squared norm within the segments.
fn sum_parts(sum: &mut [f32], others: &[&[f32]], segments: &[Segment], threads: usize) -> f64 {
    let size = sum.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts = sum.chunks_mut(size).enumerate();
        let handles: Vec<_> = parts
            .map(|(number, part)| {
                scope.spawn(move || sum_piece(part, number * size, others, segments))
            })
            .collect();
        // In order: the sum must not depend on timing.
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or(f64::NAN))
            .sum()
    })
}

fn sum_piece(part: &mut [f32], first: usize, others: &[&[f32]], segments: &[Segment]) -> f64 {
    /// Fits the L1 cache, and is short enough for sums in f32.
    const BLOCK: usize = 1024;
    let mut squared_norm = 0.0;
    for segment in segments {
        let start = segment.range.start.max(first) - first;
        let end = segment.range.end.saturating_sub(first).min(part.len());
        let mut at = start;
        while at < end {
            let block = &mut part[at..end.min(at + BLOCK)];
            vectorized(
                #[inline(always)]
                || {
                    for other in others {
                        // Threads may have fewer words than the first.
                        let from = other.get(first + at..).unwrap_or(&[]);
                        for (sum, other) in block.iter_mut().zip(from) {
                            *sum += other;
                        }
                    }
                    squared_norm += f64::from(sum(block, |x| x * x));
                },
            );
            at += BLOCK;
        }
    }
    squared_norm
}
