//! Random streams: one seed, many names.

/// A well-mixed number (the finaliser of SplitMix64; Steele, Lea and Flood, OOPSLA 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The seed of the stream called `name`: streams of different names have nothing to do with each other.
pub(crate) fn stream(seed: u64, name: &str) -> u64 {
    mix(seed ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
}
