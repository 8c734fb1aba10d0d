//! Counter-based dropout masks: recomputed in the backward pass, and independent of threads,
//! micro-batches and padding.

use training::Random;

use crate::engine;

/// A dropout layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    Embeddings,
    /// Attention probabilities of the layer with this index.
    Probabilities(usize),
    AttentionOut(usize),
    Out(usize),
    /// Inputs of the head's first and last linear layer.
    HeadIn,
    HeadOut,
}

impl Site {
    fn number(self) -> u64 {
        match self {
            Self::Embeddings => 0,
            Self::HeadIn => 1,
            Self::HeadOut => 2,
            Self::Probabilities(layer) => 3 + 3 * layer as u64,
            Self::AttentionOut(layer) => 4 + 3 * layer as u64,
            Self::Out(layer) => 5 + 3 * layer as u64,
        }
    }
}

/// The mask of a site and a row.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    key: (u32, u32),
    /// Elements whose 32-bit hash is lower are dropped.
    threshold: u32,
    /// Factor of kept elements.
    pub(super) factor: f32,
}

impl Mask {
    /// `None` without dropout.
    pub(super) fn new(
        dropout_key: Option<engine::DropoutKey>,
        p: f64,
        row: usize,
        site: Site,
    ) -> Option<Self> {
        let dropout_key = dropout_key.filter(|_| p > 0.0)?;
        let counters = [
            dropout_key.step,
            dropout_key.first_row + row as u64,
            site.number(),
        ];
        let bits = Random::new(dropout_key.seed, &counters).bits();
        Some(Self {
            key: ((bits >> 32) as u32, bits as u32),
            threshold: (p * 4_294_967_296.0) as u32,
            factor: (1.0 / (1.0 - p)) as f32,
        })
    }

    /// True if this element is kept.
    ///
    /// Two multiplications mix 32 bits well (constants: github.com/skeeto/hash-prospector,
    /// "lowbias32"); the second half of the key between them separates masks with adjacent first
    /// halves.
    #[inline(always)]
    pub(super) fn keeps(&self, element: u32) -> bool {
        let x = element.wrapping_mul(0x9e37_79b9).wrapping_add(self.key.0);
        let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d) ^ self.key.1;
        (x ^ (x >> 15)).wrapping_mul(0x846c_a68b) >= self.threshold
    }

    /// Returns 0 or `factor`.
    #[inline(always)]
    pub(super) fn factor_of(&self, element: u32) -> f32 {
        if self.keeps(element) {
            self.factor
        } else {
            0.0
        }
    }
}

/// Applies the mask to `values`, the elements of a row from `first`.
#[inline(always)]
pub(super) fn apply_dropout(values: &mut [f32], mask: Option<Mask>, first: usize) {
    if let Some(mask) = mask {
        for (value, element) in values.iter_mut().zip(first as u32..) {
            *value *= mask.factor_of(element);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: engine::DropoutKey = engine::DropoutKey {
        seed: 3,
        step: 5,
        first_row: 7,
    };

    fn mask(dropout_key: engine::DropoutKey, row: usize, site: Site) -> Vec<bool> {
        let mask = Mask::new(Some(dropout_key), 0.1, row, site).unwrap();
        (0..100_000).map(|element| mask.keeps(element)).collect()
    }

    #[test]
    fn drop_rate_is_p_and_neighbours_are_independent() {
        for row in 0..20 {
            let mask = mask(KEY, row, Site::Out(2));
            let share = |count: usize| count as f64 / mask.len() as f64;
            let dropped = share(mask.iter().filter(|&&keeps| !keeps).count());
            // Standard deviation 0.00095.
            assert!((dropped - 0.1).abs() < 0.004, "{dropped}");
            for distance in [1, 2, 3, 16, 128, 384] {
                let pairs = mask.iter().zip(&mask[distance..]);
                let both = share(pairs.filter(|&(a, b)| !a && !b).count());
                assert!((both - 0.01).abs() < 0.0015, "{distance}: {both}");
            }
        }
    }

    #[test]
    fn masks_differ_by_row_site_step_and_seed_only() {
        let one = mask(KEY, 1, Site::Embeddings);
        let moved = engine::DropoutKey {
            first_row: 8,
            ..KEY
        };
        assert_eq!(one, mask(moved, 0, Site::Embeddings));
        let agree = |other: &[bool]| {
            let both = one.iter().zip(other).filter(|(a, b)| !**a && !**b).count();
            both as f64 / one.len() as f64
        };
        for other in [
            mask(KEY, 2, Site::Embeddings),
            mask(KEY, 1, Site::HeadIn),
            mask(engine::DropoutKey { step: 6, ..KEY }, 1, Site::Embeddings),
            mask(engine::DropoutKey { seed: 4, ..KEY }, 1, Site::Embeddings),
        ] {
            assert!((agree(&other) - 0.01).abs() < 0.0015);
        }
        assert!(Mask::new(Some(KEY), 0.0, 1, Site::HeadIn).is_none());
        assert!(Mask::new(None, 0.5, 1, Site::HeadIn).is_none());
    }
}
