//! How much a row of each class counts.

use clap::ValueEnum;

use dataset::RowTable;

/// How classes are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClassWeight {
    /// Every row counts the same
    None,
    /// Every class counts the same: rows / (classes x rows of the class)
    Balanced,
}

impl ClassWeight {
    /// The weight of each class, for these training rows.
    pub fn weights(self, table: &RowTable, train: &[u32]) -> Vec<f32> {
        let classes = table.classes.len();
        let mut sizes = vec![0u32; classes];
        for &row in train {
            sizes[table.labels[row as usize] as usize] += 1;
        }
        let weight = |size: u32| match self {
            Self::None => 1.0,
            Self::Balanced => train.len() as f32 / (classes as f32 * size.max(1) as f32),
        };
        sizes.into_iter().map(weight).collect()
    }
}
