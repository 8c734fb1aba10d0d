//! Random numbers determined by a seed and counters. The numbers of step 700 do not depend on
//! earlier draws, so a resumed run needs no generator state.

/// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// SplitMix64 generator whose state is derived from a seed and counters.
pub struct Random(u64);

impl Random {
    /// Creates the stream for these counters: an epoch, a step, a row, ...
    pub fn new(seed: u64, counters: &[u64]) -> Self {
        Self(
            counters
                .iter()
                .fold(mix(seed), |state, &counter| mix(state ^ mix(counter))),
        )
    }

    /// Starts SplitMix64 at `state`.
    pub fn from_state(state: u64) -> Self {
        Self(state)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let number = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        number
    }

    /// Returns a number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a standard normal number (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = (self.uniform() * (last + 1) as f64) as usize;
            items.swap(last, other.min(last));
        }
    }
}

/// Returns the seed of the stream `name`. Streams with different names are independent.
pub fn stream(seed: u64, name: &str) -> u64 {
    mix(seed ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_distinct_and_reproducible() {
        let draw = |seed, counters: &[u64]| Random::new(seed, counters).bits();
        assert_eq!(draw(1, &[2, 3]), draw(1, &[2, 3]));
        let all = [
            draw(1, &[2, 3]),
            draw(1, &[3, 2]),
            draw(2, &[2, 3]),
            draw(1, &[2]),
        ];
        let different: std::collections::HashSet<u64> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn normal_has_mean_0_and_variance_1() {
        let mut random = Random::new(7, &[]);
        let numbers: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 1e5;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(
            mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02,
            "{mean} {variance}"
        );
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(7, &[]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
