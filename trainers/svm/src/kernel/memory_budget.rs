//! Limit on the training rows of a kernel.

use std::path::Path;

use diagnostics::Error;
use training::memory;

/// Maximum training rows. linfa-kernel fills the kernel matrix in about 1 ns x n² x components on
/// one thread, and its solver reads whole columns of it in every step. measured on IMDB, 100
/// components, 2 cores: 4,000 rows take 7 s of CPU time and 0.3 GB, 8,000 rows 22 s and 0.7 GB.
const MAX_ROWS: usize = 8000;
/// Bytes per entry of the kernel matrix.
const ENTRY_BYTES: u64 = 8;

/// Memory for kernel matrices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MemoryBudget {
    /// Half of the available memory; `None` if it is unknown.
    bytes: Option<u64>,
}

impl MemoryBudget {
    /// Reads the available memory of the machine or container below `root`, which is `/` outside
    /// tests.
    pub(crate) fn available(root: &Path) -> Self {
        Self {
            bytes: memory::available(root).map(|bytes| bytes / 2),
        }
    }

    /// Returns the largest number of rows whose kernel matrix fits.
    fn max_rows(self) -> usize {
        let fit = self
            .bytes
            .map_or(MAX_ROWS, |bytes| (bytes / ENTRY_BYTES).isqrt() as usize);
        fit.min(MAX_ROWS)
    }

    /// Returns the number of kernel matrices of `rows` rows that fit at the same time; at least 1.
    pub(super) fn max_matrices(self, rows: usize) -> usize {
        let matrix = ENTRY_BYTES * (rows * rows).max(1) as u64;
        self.bytes
            .map_or(usize::MAX, |bytes| (bytes / matrix) as usize)
            .max(1)
    }

    /// Refuses more rows than fit.
    pub(crate) fn check(self, rows: usize, kernel: &str) -> Result<(), Error> {
        let max = self.max_rows();
        if rows <= max {
            return Ok(());
        }
        let reason = match self.bytes {
            Some(bytes) if max < MAX_ROWS => {
                let megabytes = bytes / 1_000_000;
                format!(
                    "its matrix takes {ENTRY_BYTES} bytes x rows², and `{megabytes} MB` of memory are available for it"
                )
            }
            _ => "its time grows with rows²".to_owned(),
        };
        let message = format!(
            "expected at most `{max}` training rows for --kernel {kernel}, found `{rows}`: {reason}"
        );
        Err(Error::new(message).help(format!(
            "use --kernel linear, which has no limit, or give at most {max} rows"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_half_of_available_memory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proc")).unwrap();
        std::fs::write(
            root.path().join("proc/meminfo"),
            "MemAvailable: 1000000 kB\n",
        )
        .unwrap();
        assert_eq!(
            MemoryBudget::available(root.path()).bytes,
            Some(512_000_000)
        );
    }

    #[test]
    fn too_many_rows_are_an_error_with_help() {
        let budget = MemoryBudget {
            bytes: Some(8 * 3000 * 3000),
        };
        assert!(budget.check(3000, "rbf").is_ok());
        assert_eq!(
            budget.check(3001, "rbf").unwrap_err().to_string(),
            "error: expected at most `3000` training rows for --kernel rbf, found `3001`: its matrix takes \
             8 bytes x rows², and `72 MB` of memory are available for it\n  help: use --kernel linear, \
             which has no limit, or give at most 3000 rows"
        );
        let unknown = MemoryBudget { bytes: None };
        assert!(unknown.check(8000, "poly").is_ok());
        assert_eq!(
            unknown.check(25_000, "poly").unwrap_err().to_string(),
            "error: expected at most `8000` training rows for --kernel poly, found `25000`: its time grows \
             with rows²\n  help: use --kernel linear, which has no limit, or give at most 8000 rows"
        );
        assert!(MemoryBudget { bytes: Some(0) }.check(1, "rbf").is_err());
    }

    #[test]
    fn max_matrices_fit_into_budget() {
        let budget = MemoryBudget {
            bytes: Some(8 * 3000 * 3000),
        };
        assert_eq!(
            (
                budget.max_matrices(3000),
                budget.max_matrices(1500),
                budget.max_matrices(8000)
            ),
            (1, 4, 1)
        );
        assert_eq!(MemoryBudget { bytes: None }.max_matrices(8000), usize::MAX);
    }
}
