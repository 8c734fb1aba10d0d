//! Class weights.

use clap::ValueEnum;

use dataset::RowTable;

/// The value of `--class-weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClassWeight {
    /// Every row has the same weight
    None,
    /// The weight of a row is rows / (classes x rows of its class)
    Balanced,
}

impl ClassWeight {
    /// Returns the weight of each class for these training rows.
    pub fn weights(self, table: &RowTable, train: &[u32]) -> Vec<f32> {
        let classes = table.classes.len();
        let mut sizes = vec![0u32; classes];
        for &row in train {
            sizes[table.labels[row as usize] as usize] += 1;
        }
        let weight = |size: u32| self.weight(size as usize, train.len(), classes);
        sizes.into_iter().map(weight).collect()
    }

    /// Returns the weight of a class with `size` of `rows` training rows.
    pub fn weight(self, size: usize, rows: usize, classes: usize) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Balanced => rows as f32 / (classes as f32 * size.max(1) as f32),
        }
    }
}
