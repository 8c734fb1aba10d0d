//! Sums rows of equal ids: the gradient of an embedding.
//!
//! candle's `index_add` loops over all tokens with one GPU thread per column. Here rows are added
//! pairwise: log2 of the most frequent id's count rounds, each of which uses the whole GPU. The
//! order of the sums depends only on the ids, so results are bit-identical in every run, unlike
//! with atomic additions.

use candle_core::{Result, Tensor};

/// Plan of the sums by the ids.
pub(super) struct ScatterAdd {
    /// Pairs of rows of the previous sum; the index after the last row means zeros.
    rounds: Vec<(Vec<u32>, Vec<u32>)>,
    /// Row of each id in the last sum; the index after the last row if the id does not occur.
    rows: Vec<u32>,
}

impl ScatterAdd {
    /// Plans sums for `ids` below `count`, without those of the id `none`.
    pub(super) fn new(ids: &[u32], count: usize, none: usize) -> Self {
        let id = |row: &u32| ids[*row as usize];
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.retain(|row| id(row) as usize != none);
        // Stable: equal ids stay in the order of their rows.
        order.sort_by_key(id);
        let mut groups: Vec<(u32, Vec<u32>)> = order
            .chunk_by(|a, b| id(a) == id(b))
            .map(|group| (id(&group[0]), group.to_vec()))
            .collect();
        let mut len = ids.len() as u32;
        let mut rounds = Vec::new();
        while groups.iter().any(|(_, group)| group.len() > 1) {
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for (_, group) in &mut groups {
                let first = left.len() as u32;
                for pair in group.chunks(2) {
                    left.push(pair[0]);
                    right.push(pair.get(1).copied().unwrap_or(len));
                }
                *group = (first..left.len() as u32).collect();
            }
            len = left.len() as u32;
            rounds.push((left, right));
        }
        let mut rows = vec![len; count];
        for (id, group) in &groups {
            rows[*id as usize] = group[0];
        }
        Self { rounds, rows }
    }

    /// Sums rows (ids, columns) f32 to (count, columns) f32.
    pub(super) fn sum(&self, rows: &Tensor) -> Result<Tensor> {
        let select = |from: &Tensor, rows: &[u32]| {
            from.index_select(&Tensor::new(rows, from.device())?, 0) // (rows, columns) f32
        };
        // The row of zeros is the partner of rows without one.
        let with_zeros = |rows: &Tensor| rows.pad_with_zeros(0, 0, 1)?.contiguous();
        let mut sum = with_zeros(rows)?; // (ids + 1, columns) f32
        for (left, right) in &self.rounds {
            sum = with_zeros(&(select(&sum, left)? + select(&sum, right)?)?)?;
        }
        select(&sum, &self.rows)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn rows_of_equal_ids_are_summed() {
        for ids in [
            vec![3],
            vec![0, 0, 0, 0, 0],
            vec![4, 1, 4, 4, 0, 1, 4, 4, 4, 4],
        ] {
            let values: Vec<f32> = (0..ids.len() * 2).map(|n| (n * n) as f32 + 1.0).collect();
            let mut expected = [[0.0; 2]; 6];
            for (&id, row) in ids.iter().zip(values.chunks_exact(2)) {
                expected[id as usize][0] += row[0];
                expected[id as usize][1] += row[1];
            }
            expected[1] = [0.0; 2];
            let rows = Tensor::from_vec(values, (ids.len(), 2), &Device::Cpu).unwrap();
            let sums = ScatterAdd::new(&ids, 6, 1).sum(&rows).unwrap();
            // Whole numbers: exact in any order.
            assert_eq!(sums.to_vec2::<f32>().unwrap(), expected, "{ids:?}");
        }
    }

    #[test]
    fn number_of_rounds_is_log2_of_count() {
        for (count, rounds) in [(1, 0), (2, 1), (3, 2), (8, 3), (9, 4), (1000, 10)] {
            let mut ids = vec![7; count];
            ids.extend([1, 2]);
            assert_eq!(ScatterAdd::new(&ids, 8, 0).rounds.len(), rounds, "{count}");
        }
    }
}
