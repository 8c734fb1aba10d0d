//! Which rows make a batch.

use super::Random;

/// Batches whose rows are sorted by length together: enough that little is padding, few enough that batches stay
/// random.
const BUCKET: usize = 50;

/// The batches of an epoch, which follow from seed and epoch: shuffled rows, with `buckets` sorted by `length` within
/// each of them; the batches in random order. One batch is a short one.
pub fn of_epoch(
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
    fn batches_follow_from_seed_and_epoch() {
        let length = |row: u32| row as usize % 37 + 1;
        let rows: Vec<u32> = (0..1000).collect();
        let first = of_epoch(&rows, length, 16, true, (3, 1));
        assert_eq!(first, of_epoch(&rows, length, 16, true, (3, 1)));
        assert_ne!(first, of_epoch(&rows, length, 16, true, (3, 2)));
        assert_ne!(first, of_epoch(&rows, length, 16, true, (4, 1)));
        let mut seen = first.concat();
        seen.sort_unstable();
        assert_eq!(seen, rows, "every row once, the last batch among them");
        assert_eq!(first.len(), 63);
    }

    #[test]
    fn rows_of_a_batch_are_about_as_long_as_each_other() {
        let rows: Vec<u32> = (0..1600).collect();
        let length = |row: u32| row as usize * 7919 % 400 + 1;
        let (mut real, mut padded) = (0, 0);
        for batch in of_epoch(&rows, length, 16, true, (3, 1)) {
            real += batch.iter().map(|&row| length(row)).sum::<usize>();
            padded += batch.iter().map(|&row| length(row)).max().unwrap() * batch.len();
        }
        assert!(of_epoch(&rows, length, 16, false, (3, 1)).len() == 100);
        assert!((padded as f64) < 1.05 * real as f64, "{padded} {real}");
    }
}
