//! Which rows make a batch, and a batch as tensors.

use tch::{Device, Kind, TchError, Tensor};

use crate::ids::Ids;
use crate::random::Random;

/// Batches whose rows are sorted by length together: enough that little is padding, few enough that batches stay
/// random. As many as in fastai's `SortishSampler` (Howard and Gugger 2020).
const BUCKET: usize = 50;

/// The batches of an epoch: shuffled rows, with `buckets` sorted by length within each of them; the batches in random
/// order. One batch is a short one.
pub(crate) fn of_epoch(
    rows: &[u32],
    ids: &Ids,
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
        bucket.sort_by_key(|&row| ids.row(row as usize).len());
        batches.extend(bucket.chunks(size).map(<[u32]>::to_vec));
    }
    random.shuffle(&mut batches);
    batches
}

/// A padded batch.
pub(crate) struct Batch {
    /// (batch, seq) int64
    pub(crate) ids: Tensor,
    pub(crate) lengths: Vec<usize>,
    pub(crate) seq: usize,
    /// What is needed where there is padding.
    pub(crate) padding: Option<Padding>,
}

/// Where the padding of a batch is.
pub(crate) struct Padding {
    /// (batch, seq, 1) bool, true where there is padding
    pub(crate) mask: Tensor,
    /// (batch * seq) int64: of the flattened batch, with each row's own times backwards and its padding in place. It is
    /// its own inverse.
    pub(crate) reversal: Tensor,
}

impl Batch {
    /// Rows of at least one id each.
    pub(crate) fn new<R: AsRef<[u32]>>(
        rows: &[R],
        pad: u32,
        device: Device,
    ) -> Result<Self, TchError> {
        let lengths: Vec<usize> = rows.iter().map(|row| row.as_ref().len()).collect();
        let seq = lengths.iter().copied().max().unwrap_or(1);
        let mut ids = Vec::with_capacity(rows.len() * seq);
        for row in rows {
            ids.extend(row.as_ref().iter().map(|&id| i64::from(id)));
            ids.resize(ids.len().next_multiple_of(seq), i64::from(pad));
        }
        let shape = [rows.len() as i64, seq as i64];
        let ids = Tensor::f_from_slice(&ids)?.f_view(shape)?.f_to(device)?;
        let padding = if lengths.iter().all(|&length| length == seq) {
            None
        } else {
            Some(Padding::new(&lengths, seq, device)?)
        };
        Ok(Self {
            ids,
            lengths,
            seq,
            padding,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.lengths.len()
    }
}

impl Padding {
    fn new(lengths: &[usize], seq: usize, device: Device) -> Result<Self, TchError> {
        let mut mask = Vec::with_capacity(lengths.len() * seq);
        let mut reversal = Vec::with_capacity(lengths.len() * seq);
        for (row, &length) in lengths.iter().enumerate() {
            mask.extend((0..seq).map(|time| time >= length));
            let source = |time| {
                if time < length {
                    length - 1 - time
                } else {
                    time
                }
            };
            reversal.extend((0..seq).map(|time| (row * seq + source(time)) as i64));
        }
        let shape = [lengths.len() as i64, seq as i64, 1];
        Ok(Self {
            mask: Tensor::f_from_slice(&mask)?
                .f_view(shape)?
                .f_to_kind(Kind::Bool)?
                .f_to(device)?,
            reversal: Tensor::f_from_slice(&reversal)?.f_to(device)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(lengths: impl Iterator<Item = usize>) -> Ids {
        let mut ids = Ids::default();
        lengths.for_each(|length| ids.push(std::iter::repeat_n(2, length), 1));
        ids
    }

    #[test]
    fn batches_follow_from_seed_and_epoch() {
        let ids = ids((0..1000).map(|row| row % 37 + 1));
        let rows: Vec<u32> = (0..1000).collect();
        let first = of_epoch(&rows, &ids, 16, true, (3, 1));
        assert_eq!(first, of_epoch(&rows, &ids, 16, true, (3, 1)));
        assert_ne!(first, of_epoch(&rows, &ids, 16, true, (3, 2)));
        assert_ne!(first, of_epoch(&rows, &ids, 16, true, (4, 1)));
        let mut seen = first.concat();
        seen.sort_unstable();
        assert_eq!(seen, rows, "every row once, the last batch among them");
        assert_eq!(first.len(), 63);
    }

    #[test]
    fn rows_of_a_batch_are_about_as_long_as_each_other() {
        let ids = ids((0..1600).map(|row| row * 7919 % 400 + 1));
        let rows: Vec<u32> = (0..1600).collect();
        let length = |&row: &u32| ids.row(row as usize).len();
        let (mut real, mut padded) = (0, 0);
        for batch in of_epoch(&rows, &ids, 16, true, (3, 1)) {
            real += batch.iter().map(length).sum::<usize>();
            padded += batch.iter().map(length).max().unwrap() * batch.len();
        }
        assert!(of_epoch(&rows, &ids, 16, false, (3, 1)).len() == 100);
        assert!((padded as f64) < 1.05 * real as f64, "{padded} {real}");
    }

    #[test]
    fn padding_is_marked_and_stays_in_place() {
        let batch = Batch::new(&[vec![5, 6, 7], vec![8]], 0, Device::Cpu).unwrap();
        assert_eq!(
            Vec::<Vec<i64>>::try_from(&batch.ids).unwrap(),
            [[5, 6, 7], [8, 0, 0]]
        );
        let padding = batch.padding.unwrap();
        let reversed = batch.ids.view([-1]).index_select(0, &padding.reversal);
        assert_eq!(Vec::<i64>::try_from(&reversed).unwrap(), [7, 6, 5, 8, 0, 0]);
        let whole = Batch::new(&[vec![5], vec![8]], 0, Device::Cpu).unwrap();
        assert!(whole.padding.is_none());
    }
}
