//! Random numbers that follow from a seed and counters alone: what step 700 draws does not depend on what was drawn
//! before it, so a run that resumes there needs no generator's state.

/// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// SplitMix64 from a state that the seed and the counters determine.
pub struct Random(u64);

impl Random {
    /// The stream of these counters: an epoch, a step, a row, ...
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

    /// At least 0, below 1.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Fisher and Yates' shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = (self.uniform() * (last + 1) as f64) as usize;
            items.swap(last, other.min(last));
        }
    }
}

/// The seed of the stream called `name`: streams of different names have nothing to do with each other.
pub fn stream(seed: u64, name: &str) -> u64 {
    mix(seed ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
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
    fn normal_numbers_have_mean_0_and_variance_1() {
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
    fn a_shuffle_keeps_all_items() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(7, &[]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
