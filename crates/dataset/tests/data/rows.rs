//! Rows read from given bytes.

use super::*;
use dataset::{Labels, StreamError, codes, encoding, stream};
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

#[test]
fn reads_quotes_line_ends_and_byte_order_mark() {
    let expected = vec![
        pair("one, \"two\"", "a"),
        pair("two\r\nlines", "b"),
        pair(" kept ", "a "),
    ];
    let bytes = "text,label\r\n\"one, \"\"two\"\"\",a\r\n\"two\r\nlines\",b\r\n\r\n kept ,a \r\n";
    assert_eq!(given("a.csv", bytes).pairs(&options()), expected);
    assert_eq!(
        given("a.csv", format!("\u{feff}{bytes}")).pairs(&options()),
        expected
    );
    let old_mac = "label\ttext\ra\tone\r\rb\t\"t\tw\ro\"";
    assert_eq!(
        given("a.tsv", old_mac).pairs(&options()),
        [pair("one", "a"), pair("t\tw\ro", "b")]
    );
}

#[test]
fn line_numbers_count_quoted_line_ends() {
    let rows = given("a.csv", "text,label\n\"1\n2\r\n3\",a\n\nx,b\r\ny,b\n")
        .read(&options())
        .unwrap();
    let places: Vec<(u64, u32)> = rows
        .places
        .iter()
        .map(|place| (place.line, place.record))
        .collect();
    assert_eq!(places, [(2, 1), (6, 2), (7, 3)]);
}

#[test]
fn null_like_words_are_text() {
    let rows = given(
        "a.csv",
        "text,label\nNA,null\nnull,NA\nNone,None\nnan,0\0\n",
    )
    .pairs(&options());
    assert_eq!(
        rows,
        [
            pair("NA", "null"),
            pair("null", "NA"),
            pair("None", "None"),
            pair("nan", "0\0")
        ]
    );
}

#[test]
fn json_lines() {
    let bytes = "{\"text\":\"a \\u00e9\",\"label\":1}\n\n{\"id\":[{}],\"label\":\"x\",\"text\":\"b\"}\r\n{\"text\":\"c\",\"label\":true}";
    let rows = given("a.jsonl", bytes).pairs(&options());
    assert_eq!(rows, [pair("a é", "1"), pair("b", "x"), pair("c", "true")]);
}

#[test]
fn reads_utf_16_and_latin_1() {
    let text = "text,label\ncafé 🎬,é\n\"a\nb\",x\n";
    let expected = [pair("café 🎬", "é"), pair("a\nb", "x")];
    let little = [0xfeff]
        .into_iter()
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect::<Vec<_>>();
    let big = [0xfeff]
        .into_iter()
        .chain(text.encode_utf16())
        .flat_map(u16::to_be_bytes)
        .collect::<Vec<_>>();
    assert_eq!(given("a.csv", &little).pairs(&options()), expected);
    assert_eq!(given("a.csv", &big).pairs(&options()), expected);
    let named = ReadOptions {
        encoding: Some(encoding("utf-16").unwrap()),
        ..options()
    };
    assert_eq!(given("a.csv", &little[2..]).pairs(&named), expected);
    let latin = ReadOptions {
        encoding: Some(encoding("latin-1").unwrap()),
        ..options()
    };
    assert_eq!(
        given("a.csv", b"text,label\ncaf\xe9,\x80\n").pairs(&latin),
        [pair("café", "€")]
    );
}

#[test]
fn invalid_rows_in_other_encodings_are_refused() {
    let mut bytes: Vec<u8> = "\u{feff}text,label\na"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    bytes.extend([0x00, 0xd8]); // lone surrogate
    bytes.extend("b,x\nfine,y\n".encode_utf16().flat_map(u16::to_le_bytes));
    let file = given("a.csv", bytes);
    assert_eq!(file.pairs(&dropping()), [pair("fine", "y")]);
    insta::assert_snapshot!(file.messages(&options()), @r"
    error[D012]: the row is not valid UTF-16LE
      --> a.csv:2:2 (record 1)
      help: 1 such row; fix it, or pass the right encoding with --encoding, or pass --drop-malformed
    ");
}

#[test]
fn every_row_is_accounted_for() {
    let bytes = b"text,label\na,x\nb,\n,x\nc,y,z\nd\xff,y\ne,y\n\"f,y\n\n";
    let rows = given("a.csv", bytes).read(&dropping()).unwrap();
    assert_eq!(pairs(&rows), [pair("a", "x"), pair("e", "y")]);
    insta::assert_snapshot!(serde_json::to_string_pretty(&rows.counts.dropped).unwrap(), @r#"
    {
      "malformed": 3,
      "missing label": 1,
      "missing text": 1
    }
    "#);
    let counts = rows.counts;
    assert_eq!(
        (
            counts.read,
            counts.used,
            counts.dropped.values().sum::<u64>()
        ),
        (7, 2, 5)
    );
    assert_eq!(
        (counts.files[0].rows_read, counts.files[0].bytes),
        (7, bytes.len() as u64)
    );
}

#[test]
fn hash_is_of_the_raw_file() {
    let rows = given("a.csv", "text,label\na,b\n")
        .read(&options())
        .unwrap();
    // printf 'text,label\na,b\n' | sha256sum
    let expected = "ec6a4a4aa824691f0804aabf5ebd23d51db8334b01e907f0f790bbe42866939a";
    assert_eq!(rows.counts.files[0].sha256.as_deref(), Some(expected));
    let unhashed = ReadOptions {
        hash: false,
        ..options()
    };
    assert_eq!(
        given("a.csv", "text,label\na,b\n")
            .read(&unhashed)
            .unwrap()
            .counts
            .files[0]
            .sha256,
        None
    );
}

/// Returns rows of all shapes, many blocks long.
pub(super) fn long() -> String {
    let mut bytes = "text,label\n".to_owned();
    for row in 0..5000 {
        let label = row * 7919 % 19;
        match row % 4 {
            0 => bytes.push_str(&format!("plain {row},{label}\n")),
            1 => bytes.push_str(&format!("\"quoted \"\"{row}\"\"\n\",{label}\n")),
            2 => bytes.push_str(&format!("\"odd\" {row},{label}\r\n")),
            _ => bytes.push_str(&format!("{},{label}\n", "long ".repeat(row % 50 + 1))),
        }
    }
    bytes
}

#[test]
fn result_does_not_depend_on_threads_or_block_size() {
    let file = given("a.csv", long());
    let one = file.read(&options()).unwrap();
    assert_eq!(one.counts.used, 5000);
    for (threads, block_bytes) in [(2, 512 * 1024), (2, 100), (4, 1000), (3, 17)] {
        let threads = NonZeroUsize::new(threads).unwrap();
        let many = file
            .read(&ReadOptions {
                threads,
                block_bytes,
                ..options()
            })
            .unwrap();
        assert_eq!(many.encoders.len(), threads.get());
        assert_eq!(
            pairs(&many),
            pairs(&one),
            "{threads} threads, blocks of {block_bytes}"
        );
        assert_eq!(many.label_names, one.label_names);
        assert_eq!(many.labels, one.labels);
        assert_eq!(many.hashes, one.hashes);
        assert_eq!(many.places, one.places);
        assert_eq!(many.counts, one.counts);
        assert_eq!(many.findings.to_string(), one.findings.to_string());
    }
}

#[test]
fn number_of_threads_is_limited() {
    let file = given("a.csv", long());
    let many = ReadOptions {
        threads: NonZeroUsize::new(200_000).unwrap(),
        block_bytes: 100,
        ..options()
    };
    let rows = file.read(&many).unwrap();
    assert!(
        rows.encoders.len() <= 256,
        "{} threads",
        rows.encoders.len()
    );
    assert_eq!(pairs(&rows), file.pairs(&options()));
}

#[test]
fn streamed_blocks_are_in_order() {
    let file = given("a.csv", long());
    let threads = NonZeroUsize::new(4).unwrap();
    let options = ReadOptions {
        threads,
        block_bytes: 500,
        ..options()
    };
    let mut records = Vec::new();
    let map = |calls: &mut u32, batch: &dataset::Batch<'_>| {
        *calls += 1;
        // Some blocks take longer, so that results arrive out of order.
        if calls.is_multiple_of(3) {
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        batch
            .rows()
            .map(|row| (row.place.record, row.label.map(str::to_owned)))
            .collect::<Vec<_>>()
    };
    let sink = |rows: Vec<(u32, Option<String>)>| -> Result<(), ()> {
        records.extend(rows);
        Ok(())
    };
    let streamed = stream(
        &file.source(),
        &options,
        Labels::Ignored,
        &GO,
        || 0,
        map,
        sink,
    )
    .unwrap();
    assert_eq!(streamed.counts.used, 5000);
    assert_eq!(
        records,
        (1..=5000).map(|record| (record, None)).collect::<Vec<_>>()
    );
    assert!(streamed.states.iter().sum::<u32>() > 100, "many blocks");
}

#[test]
fn sink_error_stops_reading() {
    let file = given("a.csv", long());
    let options = ReadOptions {
        threads: NonZeroUsize::new(3).unwrap(),
        block_bytes: 100,
        ..options()
    };
    let mut calls = 0;
    let sink = |_| {
        calls += 1;
        if calls == 5 {
            // Long enough for other threads to wait with the next blocks, which must be discarded.
            std::thread::sleep(std::time::Duration::from_millis(50));
            return Err("full disk");
        }
        Ok(())
    };
    let failed = stream(
        &file.source(),
        &options,
        Labels::Optional,
        &GO,
        || (),
        |(), batch| batch.len(),
        sink,
    );
    assert!(
        matches!(failed, Err(StreamError::Sink("full disk"))),
        "{failed:?}"
    );
    assert_eq!(calls, 5);
}

#[test]
fn panic_in_one_thread_stops_all() {
    let file = given("a.csv", long());
    let options = ReadOptions {
        threads: NonZeroUsize::new(3).unwrap(),
        block_bytes: 100,
        ..options()
    };
    let map = |(): &mut (), batch: &dataset::Batch<'_>| {
        assert!(
            batch.rows().all(|row| row.place.record != 300),
            "as planned"
        );
    };
    let run = || {
        stream(
            &file.source(),
            &options,
            Labels::Ignored,
            &GO,
            || (),
            map,
            |()| Ok::<_, ()>(()),
        )
    };
    assert!(std::panic::catch_unwind(run).is_err());
}

#[test]
fn stop_flag_stops_reading() {
    let file = given("a.csv", long());
    for threads in [1, 3] {
        let stop = AtomicBool::new(false);
        let options = ReadOptions {
            threads: NonZeroUsize::new(threads).unwrap(),
            block_bytes: 100,
            ..options()
        };
        let mut rows = 0;
        let sink = |n: usize| -> Result<(), ()> {
            rows += n;
            stop.store(true, Ordering::Relaxed);
            Ok(())
        };
        let ended = stream(
            &file.source(),
            &options,
            Labels::Optional,
            &stop,
            || (),
            |(), batch| batch.len(),
            sink,
        );
        assert!(
            matches!(ended, Err(StreamError::Read(ReadError::Stopped))),
            "{ended:?}"
        );
        assert!(rows < 1000, "{rows} rows were read after the stop");
    }
}

#[test]
fn optional_labels_may_be_missing() {
    let labels = |bytes: &str| {
        let file = given("a.csv", bytes);
        let mut found = Vec::new();
        let map = |(): &mut (), batch: &dataset::Batch<'_>| {
            batch
                .rows()
                .map(|row| row.label.map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let sink = |labels: Vec<_>| -> Result<(), ()> {
            found.extend(labels);
            Ok(())
        };
        stream(
            &file.source(),
            &options(),
            Labels::Optional,
            &GO,
            || (),
            map,
            sink,
        )
        .unwrap();
        found
    };
    assert_eq!(labels("text\na\nb\n"), [None, None]);
    assert_eq!(
        labels("text,label\na,\nb,x\n"),
        [None, Some("x".to_owned())]
    );
}

/// transformers#9772, setfit#84: weights of rows, as `sample_weight` of scikit-learn.
#[test]
fn weights_are_numbers_of_0_or_more() {
    let options = ReadOptions {
        weight_column: Some("w".to_owned()),
        ..options()
    };
    let json = "{\"text\":\"a\",\"label\":1,\"w\":2}\n{\"text\":\"b\",\"label\":0,\"w\":\"0.5\"}\n";
    let csv = "w,text,label\n2,a,1\n 0.5 ,b,0\n";
    for file in [given("a.csv", csv), given("a.jsonl", json)] {
        assert_eq!(file.read(&options).unwrap().weights, [2.0, 0.5]);
    }
    let rows = "text,label,w\na,1,3\nb,0,\nc,1,-1\nd,0,nan\ne,1,1e39\nf,0,x\n,1,y\ng,0,0\n";
    let file = given("a.csv", rows);
    let ReadError::Data(bad) = file.read(&options).unwrap_err() else {
        panic!("expected findings");
    };
    assert_eq!(bad.findings.count(&codes::WEIGHT), 5);
    assert_eq!(bad.findings.count(&codes::NO_TEXT), 1);
    let text = bad.findings.to_string();
    assert!(
        text.contains("row has no weight") && text.contains("a.csv:3"),
        "{text}"
    );
    let dropped = ReadOptions {
        drop_malformed: true,
        drop_missing: true,
        ..options.clone()
    };
    let kept = file.read(&dropped).unwrap();
    assert_eq!((kept.weights, kept.counts.used), (vec![3.0, 0.0], 2));
    let absent = given("a.csv", "text,label,weight\na,1,3\n");
    let error = absent.read(&options).unwrap_err().to_string();
    assert!(
        error.contains("no column is named `w`") && error.contains("--weight-column"),
        "{error}"
    );
}
