//! Class weights.

use clap::ValueEnum;

use dataset::RowTable;

/// The value of `--class-weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClassWeight {
    /// Every row has the same weight
    None,
    /// Every class has the same total weight: rows / (classes x rows of the class)
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
        let weight = |size: u32| self.weight(size as usize, train.len(), classes) as f32;
        sizes.into_iter().map(weight).collect()
    }

    /// Returns the weight of a class with `size` of `rows` training rows.
    pub fn weight(self, size: usize, rows: usize, classes: usize) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Balanced => rows as f64 / (classes * size.max(1)) as f64,
        }
    }
}
