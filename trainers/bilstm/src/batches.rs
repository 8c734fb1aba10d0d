//! Batches as tensors.

use tch::{Device, Kind, TchError, Tensor};

/// A padded batch.
pub(crate) struct Batch {
    /// (batch, seq) int64
    pub(crate) ids: Tensor,
    pub(crate) lengths: Vec<usize>,
    pub(crate) seq: usize,
    /// `None` if all rows have the same length.
    pub(crate) padding: Option<Padding>,
}

/// The padding of a batch.
pub(crate) struct Padding {
    /// (batch, seq, 1) bool, true for padding
    pub(crate) mask: Tensor,
    /// (batch * seq) int64: indices into the flattened batch that reverse each row and keep its
    /// padding in place. It is its own inverse.
    pub(crate) reversal: Tensor,
}

impl Batch {
    /// Pads rows of at least one id each.
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

    #[test]
    fn padding_is_masked_and_not_reversed() {
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
