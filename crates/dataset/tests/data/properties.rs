//! Property tests on arbitrary bytes: no panic, and each row is used or dropped.

use super::*;
use dataset::codes;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::Write;
use std::num::NonZeroUsize;

fn pieces(pieces: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => proptest::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn delimited() -> impl Strategy<Value = Vec<u8>> {
    pieces(&[
        b",",
        b",",
        b"\t",
        b"\n",
        b"\r",
        b"\r\n",
        b"\"",
        b"\"\"",
        b"a",
        b"b c",
        b"a,b\n",
        b"a\tb\n",
        b"\xc3\xa9",
        b"\xc3",
    ])
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    pieces(&[
        b"{\"text\":\"a\",\"label\":1}\n",
        b"{\"text\":",
        b"\"label\":",
        b"\"a\"",
        b"\n",
        b",",
        b"{",
        b"}",
        b"null",
        b"[",
        b"\\",
        b"\xff",
    ])
}

/// Reads the bytes with several block sizes and threads; counts must be consistent and equal.
fn read_in_all_ways(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let file = given(name, bytes);
    let mut before: Option<String> = None;
    for (threads, block_bytes) in [(1, 1 << 20), (1, 1), (2, 7), (3, 30)] {
        let threads = NonZeroUsize::new(threads).unwrap();
        let options = ReadOptions {
            threads,
            block_bytes,
            max_record_bytes: 200,
            ..dropping()
        };
        let seen = match file.read(&options) {
            Ok(rows) => {
                let counts = &rows.counts;
                prop_assert_eq!(
                    counts.read,
                    counts.used + counts.dropped.values().sum::<u64>()
                );
                prop_assert_eq!(counts.read, counts.files[0].rows_read);
                prop_assert_eq!(counts.files[0].bytes, bytes.len() as u64);
                prop_assert_eq!(counts.used, rows.order.len() as u64);
                format!(
                    "{counts:?}\n{}\n{:?}\n{:?}",
                    rows.findings,
                    pairs(&rows),
                    rows.places
                )
            }
            Err(ReadError::Data(bad)) => {
                let counts = &bad.counts;
                prop_assert_eq!(
                    counts.read,
                    counts.used + counts.dropped.values().sum::<u64>()
                );
                prop_assert!(bad.findings.has_errors());
                // The amount read from a damaged file depends on the block size.
                match bad.findings.count(&codes::DAMAGED) {
                    0 => format!(
                        "{:?}\n{}",
                        (counts.read, counts.used, &counts.dropped),
                        bad.findings
                    ),
                    _ => "damaged".to_owned(),
                }
            }
            Err(ReadError::Stopped) => panic!("not stopped"),
        };
        if let Some(before) = &before {
            prop_assert_eq!(
                before,
                &seen,
                "{} threads, blocks of {}",
                threads,
                block_bytes
            );
        }
        before = Some(seen);
    }
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: testkit::campaign::cases(256, 10_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn csv(body in delimited()) {
        read_in_all_ways("a.csv", &[b"text,label\n".to_vec(), body].concat())?;
    }

    #[test]
    fn csv_with_any_header(bytes in delimited()) {
        read_in_all_ways("a.csv", &bytes)?;
    }

    #[test]
    fn tsv(body in delimited()) {
        read_in_all_ways("a.tsv", &[b"label\ttext\r".to_vec(), body].concat())?;
    }

    #[test]
    fn json_lines(bytes in json()) {
        read_in_all_ways("a.jsonl", &bytes)?;
    }

    #[test]
    fn utf_16(mark in any::<bool>(), body in proptest::collection::vec(any::<u16>(), 0..60)) {
        let head = "\u{feff}text,label\n".encode_utf16();
        let units = head.chain(body.into_iter().map(|unit| if unit % 3 > 0 { u16::from(b"a,\n\""[unit as usize % 4]) } else { unit }));
        let bytes: Vec<u8> = units.flat_map(|unit| if mark { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect();
        read_in_all_ways("a.csv", &bytes)?;
    }

    #[test]
    fn gzip_damaged_or_not(body in delimited(), at in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&[b"text,label\n".to_vec(), body].concat()).unwrap();
        let mut bytes = encoder.finish().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        read_in_all_ways("a.csv.gz", &bytes)?;
    }

    #[test]
    fn zstd_damaged_or_not(body in delimited(), at in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let mut bytes = zstd::encode_all([b"text,label\n".to_vec(), body].concat().as_slice(), 1).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        read_in_all_ways("a.csv.zst", &bytes)?;
    }
}
