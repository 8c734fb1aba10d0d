//! Batches of an epoch.

use crate::Random;

/// Number of batches whose rows are sorted by length together: enough for little padding, few enough
/// for random batches.
const BUCKET: usize = 50;

/// Returns the batches of an epoch, a function of seed and epoch: shuffled rows, with `buckets`
/// sorted by `length` within each bucket; the batches in random order. One batch may be short.
pub fn epoch_batches(
    rows: &[u32],
    length: impl Fn(u32) -> usize,
    size: usize,
    buckets: bool,
    (seed, epoch): (u64, u64),
) -> Vec<Vec<u32>> {
    let mut random = Random::new(seed, &[epoch]);
    let mut order = rows.to_vec();
    random.shuffle(&mut order);
    let mut batches: Vec<Vec<u32>> = Vec::with_capacity(order.len().div_ceil(size));
    let bucket = if buckets { BUCKET } else { 1 };
    for bucket in order.chunks_mut(size.saturating_mul(bucket)) {
        bucket.sort_by_key(|&row| length(row));
        batches.extend(bucket.chunks(size).map(<[u32]>::to_vec));
    }
    random.shuffle(&mut batches);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_a_function_of_seed_and_epoch() {
        let length = |row: u32| row as usize % 37 + 1;
        let rows: Vec<u32> = (0..1000).collect();
        let first = epoch_batches(&rows, length, 16, true, (3, 1));
        assert_eq!(first, epoch_batches(&rows, length, 16, true, (3, 1)));
        assert_ne!(first, epoch_batches(&rows, length, 16, true, (3, 2)));
        assert_ne!(first, epoch_batches(&rows, length, 16, true, (4, 1)));
        let mut seen = first.concat();
        seen.sort_unstable();
        assert_eq!(seen, rows, "every row once, the last batch included");
        assert_eq!(first.len(), 63);
    }

    #[test]
    fn buckets_have_rows_of_similar_length() {
        let rows: Vec<u32> = (0..1600).collect();
        let length = |row: u32| row as usize * 7919 % 400 + 1;
        let (mut real, mut padded) = (0, 0);
        for batch in epoch_batches(&rows, length, 16, true, (3, 1)) {
            real += batch.iter().map(|&row| length(row)).sum::<usize>();
            padded += batch.iter().map(|&row| length(row)).max().unwrap() * batch.len();
        }
        assert!(epoch_batches(&rows, length, 16, false, (3, 1)).len() == 100);
        assert!((padded as f64) < 1.05 * real as f64, "{padded} {real}");
    }
}
