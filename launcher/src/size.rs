//! Formats sizes.

/// Returns a size such as `4.86 MB`, in the unit of registries and engines.
pub(crate) fn megabytes(bytes: u64) -> String {
    // Rounded to hundredths.
    let hundredths = bytes / 10_000 + u64::from(bytes % 10_000 >= 5_000);
    format!("{}.{:02} MB", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0.00 MB"),
            (4_999, "0.00 MB"),
            (5_000, "0.01 MB"),
            (4_864_999, "4.86 MB"),
            (1_234_996_000, "1235.00 MB"),
        ] {
            assert_eq!(megabytes(bytes), text);
        }
    }
}
