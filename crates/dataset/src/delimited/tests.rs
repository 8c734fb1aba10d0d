use proptest::prelude::*;

use super::*;

/// Returns all records of `input`, read in blocks of `block` bytes, and the offset of an open
/// quote.
fn ours(input: &[u8], delimiter: u8, block: usize) -> (Vec<Vec<Vec<u8>>>, Option<usize>) {
    let mut splitter = Splitter::new(delimiter, true, None);
    let (mut records, mut open, mut lines) = (Vec::new(), None, 1);
    let (mut from, mut until) = (0, 0);
    loop {
        until = (until + block).min(input.len());
        let complete = until == input.len();
        loop {
            let mut unescaped = b"kept".to_vec();
            let found = match splitter.step(&input[..until], from, complete, &mut unescaped) {
                Step::Record(found) => found,
                Step::More { start } => {
                    assert!(start >= from && start <= until);
                    assert!(!complete, "more bytes requested at the end");
                    break;
                }
                Step::End { next } if complete => {
                    assert_eq!(next, until);
                    return (records, open);
                }
                Step::End { next } => {
                    lines += super::lines(&input[from..next]);
                    from = next;
                    break;
                }
            };
            assert!(found.next > from && found.end <= found.next, "{found:?}");
            lines += found.lines_before;
            assert_eq!(
                lines,
                1 + super::lines(&input[..found.start]),
                "line of {found:?}"
            );
            lines += found.lines;
            from = found.next;
            if let Some(Malformed::Unclosed(at)) = found.malformed {
                assert_eq!(input[at as usize], b'"');
                open = Some(at as usize);
                continue;
            }
            let content = |f: &Field| {
                let (start, end) = (f.start as usize, f.end as usize);
                match f.shape {
                    Shape::Plain => input[start..end].to_vec(),
                    Shape::Doubled => {
                        let text = String::from_utf8(input[start..end].to_vec()).unwrap();
                        text.replace("\"\"", "\"").into_bytes()
                    }
                    Shape::Unescaped => unescaped[start..end].to_vec(),
                }
            };
            records.push(splitter.fields.iter().map(content).collect());
        }
    }
}

fn theirs(input: &[u8], delimiter: u8) -> Vec<Vec<Vec<u8>>> {
    let mut builder = csv::ReaderBuilder::new();
    let mut reader = builder
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(input);
    reader
        .byte_records()
        .map(|r| r.unwrap().iter().map(<[u8]>::to_vec).collect())
        .collect()
}

/// Short pieces that reach every state, and occasional arbitrary bytes.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just(b"\"".to_vec()),
        4 => Just(b",".to_vec()),
        2 => Just(b"\t".to_vec()),
        2 => Just(b"\n".to_vec()),
        2 => Just(b"\r".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"\"\"".to_vec()),
        1 => Just(b"\",\"".to_vec()),
        1 => Just(b"\xef\xbb\xbf".to_vec()),
        3 => "[a-z ]{1,5}".prop_map(String::into_bytes),
        1 => (0_u8..128).prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| {
        // The byte order mark of a file is removed before splitting.
        let bytes = pieces.concat();
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes[1..].to_vec()
        } else {
            bytes
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: testkit::campaign::cases(1_024, 50_000),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn same_records_as_the_csv_crate(input in input(), block in 1_usize..50, tab in any::<bool>()) {
        let delimiter = if tab { b'\t' } else { b',' };
        let (records, open) = ours(&input, delimiter, block);
        let mut expected = theirs(&input, delimiter);
        // The csv crate does not report an open quote at the end; a further line end is then
        // content.
        let mut longer = input.clone();
        longer.push(b'\n');
        let is_open = theirs(&longer, delimiter) != expected;
        prop_assert_eq!(open.is_some(), is_open);
        if is_open {
            expected.pop();
        }
        prop_assert_eq!(records, expected);
    }
}

#[test]
fn open_quote_is_found_after_malformed_field() {
    let (records, open) = ours(b"a,b\n\"x\"y,\"open\nand on", b',', 3);
    assert_eq!((records.len(), open), (1, Some(9)));
}
