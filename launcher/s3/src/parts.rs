//! Splits files into parts. The result depends on the size alone, so that every run gets the same
//! parts.

/// Default part size. The AWS CLI's parts are 8 MiB; 16 MiB halves the requests, and an
/// interruption still costs only seconds.
pub(crate) const PART: u64 = 16 << 20;

/// S3's limit of parts per object:
/// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const MAX_PARTS: u64 = 10_000;

/// A range of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Counted from 1, as in S3.
    pub(crate) number: u32,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl Part {
    /// Returns a file of `size` bytes as its only part.
    pub(crate) fn whole(size: u64) -> Self {
        Self {
            number: 1,
            offset: 0,
            size,
        }
    }
}

/// Returns the parts of a file of `size` bytes; none for an empty file.
pub(crate) fn split(size: u64) -> Vec<Part> {
    let part = part_size(size);
    (1..)
        .zip((0..size).step_by(usize::try_from(part).unwrap_or(usize::MAX)))
        .map(|(number, offset)| Part {
            number,
            offset,
            size: part.min(size - offset),
        })
        .collect()
}

/// Returns the size of all parts but the last.
pub(crate) fn part_size(size: u64) -> u64 {
    let mib = 1 << 20;
    PART.max(size.div_ceil(MAX_PARTS).div_ceil(mib) * mib)
}

/// Returns the part sizes of an object whose parts but the last have the size of the first.
pub(crate) fn equal_parts(size: u64, first: u64) -> Vec<u64> {
    match first {
        0 => Vec::new(),
        // No object has more parts: a wrong response must not allocate memory.
        first if size.div_ceil(first) > MAX_PARTS => Vec::new(),
        first => (0..size.div_ceil(first))
            .map(|n| first.min(size - n * first))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_cover_the_object() {
        assert_eq!(equal_parts(10, 4), [4, 4, 2]);
        assert_eq!(equal_parts(8, 4), [4, 4]);
        assert_eq!(equal_parts(3, 4), [3]);
        for (size, first) in [(0, 4), (10, 0), (u64::MAX, 1)] {
            assert!(equal_parts(size, first).is_empty());
        }
    }

    #[test]
    fn parts_cover_the_file_within_the_limits() {
        assert_eq!(split(0), []);
        for size in [1, PART - 1, PART, PART + 1, 3 * PART, 200 << 30, 5 << 40] {
            let parts = split(size);
            assert!(parts.len() <= 10_000, "{size}: {}", parts.len());
            let mut at = 0;
            for (number, part) in (1..).zip(&parts) {
                assert_eq!((part.number, part.offset), (number, at));
                assert!(part.size > 0);
                at += part.size;
            }
            assert_eq!(at, size);
        }
        assert_eq!(split(PART).len(), 1);
        assert_eq!(split(PART + 1).len(), 2);
    }
}
