//! How many training rows a kernel may have.

use std::path::Path;

use diagnostics::Error;
use training::memory;

/// linfa-kernel fills an n x n table, one entry after the other, in about 1 ns x n² x components, and its solver reads
/// whole columns of it in every step. measured on IMDB, 100 components, 2 cores: 4,000 rows take 7 seconds of
/// processor time and 0.3 GB, 8,000 rows 22 seconds and 0.7 GB.
const MOST_ROWS: usize = 8000;
/// Bytes of an entry of the table.
const ENTRY: u64 = 8;

/// What the tables of the kernel may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Room {
    /// Half of the memory that is left; none where the system does not say.
    bytes: Option<u64>,
}

impl Room {
    /// What this machine, or the container's limit, leaves. `root` is `/` but in tests.
    pub(crate) fn look(root: &Path) -> Self {
        Self {
            bytes: memory::available(root).map(|bytes| bytes / 2),
        }
    }

    /// The most rows whose table has room.
    fn rows(self) -> usize {
        let fitting = self
            .bytes
            .map_or(MOST_ROWS, |bytes| (bytes / ENTRY).isqrt() as usize);
        fitting.min(MOST_ROWS)
    }

    /// How many tables of so many rows have room at the same time; at least 1.
    pub(super) fn tables(self, rows: usize) -> usize {
        let table = ENTRY * (rows * rows).max(1) as u64;
        self.bytes
            .map_or(usize::MAX, |bytes| (bytes / table) as usize)
            .max(1)
    }

    /// Refuses more rows than there is room for.
    pub(crate) fn admit(self, rows: usize, kernel: &str) -> Result<(), Error> {
        let most = self.rows();
        if rows <= most {
            return Ok(());
        }
        let reason = match self.bytes {
            Some(bytes) if most < MOST_ROWS => {
                let megabytes = bytes / 1_000_000;
                format!(
                    "its table takes {ENTRY} bytes x rows², and `{megabytes} MB` of memory are to be had for it"
                )
            }
            _ => "its time grows with rows²".to_owned(),
        };
        let message = format!(
            "expected at most `{most}` training rows for --kernel {kernel}, found `{rows}`: {reason}"
        );
        Err(Error::new(message).help(format!(
            "use --kernel linear, which takes any number, or give at most {most} rows"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_half_of_what_is_left() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proc")).unwrap();
        std::fs::write(
            root.path().join("proc/meminfo"),
            "MemAvailable: 1000000 kB\n",
        )
        .unwrap();
        assert_eq!(Room::look(root.path()).bytes, Some(512_000_000));
    }

    #[test]
    fn refuses_rows_that_have_no_room_and_says_what_to_use() {
        let room = Room {
            bytes: Some(8 * 3000 * 3000),
        };
        assert!(room.admit(3000, "rbf").is_ok());
        assert_eq!(
            room.admit(3001, "rbf").unwrap_err().to_string(),
            "error: expected at most `3000` training rows for --kernel rbf, found `3001`: its table takes 8 bytes x \
             rows², and `72 MB` of memory are to be had for it\n  help: use --kernel linear, which takes any number, or \
             give at most 3000 rows"
        );
        let plenty = Room { bytes: None };
        assert!(plenty.admit(8000, "poly").is_ok());
        assert_eq!(
            plenty.admit(25_000, "poly").unwrap_err().to_string(),
            "error: expected at most `8000` training rows for --kernel poly, found `25000`: its time grows with rows²\
             \n  help: use --kernel linear, which takes any number, or give at most 8000 rows"
        );
        assert!(Room { bytes: Some(0) }.admit(1, "rbf").is_err());
    }

    #[test]
    fn counts_tables() {
        let room = Room {
            bytes: Some(8 * 3000 * 3000),
        };
        assert_eq!(
            (room.tables(3000), room.tables(1500), room.tables(8000)),
            (1, 4, 1)
        );
        assert_eq!(Room { bytes: None }.tables(8000), usize::MAX);
    }
}
