//! Files of a channel, and their compression.

use super::*;
use dataset::sources;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

#[test]
fn compressed_files_in_several_parts() {
    let expected = [pair("a", "x"), pair("b", "y")];
    let (one, two) = (b"text,label\na,", b"x\nb,y\n");
    // Compression is detected by content, not by name.
    for name in ["a.csv.gz", "a.csv", "a.csv.zst"] {
        assert_eq!(
            given(name, [gz(one), gz(two)].concat()).pairs(&options()),
            expected
        );
        assert_eq!(
            given(name, [zst(one), zst(two)].concat()).pairs(&options()),
            expected
        );
    }
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9],
        zst(&[one.as_slice(), two].concat()).as_slice(),
    ]
    .concat();
    assert_eq!(given("a.csv.zst", skippable).pairs(&options()), expected);
}

#[test]
fn counts_are_of_the_file_on_disk() {
    let bytes = [gz(b"text,label\na,x\n"), gz(b"b,y\n")].concat();
    let file = given("a.csv.gz", &bytes);
    let rows = file.read(&options()).unwrap();
    assert_eq!(rows.counts.files[0].bytes, bytes.len() as u64);
    assert_eq!(
        rows.counts.files[0].sha256.as_ref().map(String::len),
        Some(64)
    );
    let plain = given("a.csv", "text,label\na,x\nb,y\n")
        .read(&options())
        .unwrap();
    assert_ne!(rows.counts.files[0].sha256, plain.counts.files[0].sha256);
}

#[test]
fn truncated_and_damaged_files_are_errors() {
    let text: String = (0..2000)
        .map(|row| format!("text {row},{}\n", row * row % 97))
        .collect();
    let text = format!("text,label\n{text}");
    let (whole_gz, whole_zst) = (gz(text.as_bytes()), zst(text.as_bytes()));
    let damaged = |mut bytes: Vec<u8>| {
        let at = bytes.len() / 2;
        bytes[at..at + 8].fill(0xaa);
        bytes
    };
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 20].to_vec();
    insta::assert_snapshot!(given("cut.csv.gz", cut(&whole_gz)).messages(&options()), @r"
    error[D006]: the compressed data ends too early
      --> cut.csv.gz
      help: download the file again; it is truncated
    ");
    insta::assert_snapshot!(given("cut.csv.zst", cut(&whole_zst)).messages(&options()), @r"
    error[D006]: the compressed data ends too early
      --> cut.csv.zst
      help: download the file again; it is truncated
    ");
    insta::assert_snapshot!(given("head.csv.gz", &whole_gz[..5]).messages(&options()), @r"
    error[D006]: the compressed data ends too early
      --> head.csv.gz
      help: download the file again; it is truncated
    ");
    for bytes in [
        damaged(whole_gz.clone()),
        damaged(whole_zst),
        [whole_gz, b"garbage".to_vec()].concat(),
    ] {
        let message = given("damaged.csv", bytes).messages(&dropping());
        assert!(
            message.starts_with("error[D006]: the compressed data "),
            "{message}"
        );
    }
}

/// `text,label\na,x\nb,y\n`, compressed by Python's `bz2` and `lzma`.
const BZIP2: &[u8] =
    b"\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xbe\x5a\x40\x87\x00\x00\x07\xd1\x80\x00\
    \x10\x00\x04\x32\x04\x04\x60\x20\x00\x31\x06\x4c\x41\x03\x46\x9e\xa6\xf0\x3e\x6e\
    \x92\xc0\x1d\xaa\xf1\x77\x24\x53\x85\x09\x0b\xe5\xa4\x08\x70";
const XZ: &[u8] =
    b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\
    \x74\x2f\xe5\xa3\x01\x00\x12\x74\x65\x78\x74\x2c\x6c\x61\x62\x65\x6c\x0a\x61\x2c\
    \x78\x0a\x62\x2c\x79\x0a\x00\x00\x61\x11\x34\x9e\xfa\x8d\xd4\xef\x00\x01\x2b\x13\
    \x9c\x09\x48\xd2\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

#[test]
fn bzip2_and_xz_are_decompressed() {
    for (name, bytes) in [("a.csv.bz2", BZIP2), ("a.csv.xz", XZ)] {
        let expected = [pair("a", "x"), pair("b", "y")];
        assert_eq!(given(name, bytes).pairs(&options()), expected);
        // Several streams, as parallel compressors write them: the second header is a finding.
        let rows = given(name, [bytes, bytes].concat())
            .read(&options())
            .unwrap();
        assert_eq!((rows.counts.read, rows.counts.used), (5, 4), "{name}");
        let cut = given(name, &bytes[..bytes.len() - 5]).messages(&options());
        assert!(cut.contains("error[D006]: the compressed data"), "{cut}");
        // Not in the first bytes, by which the compression is recognised.
        for at in [10, bytes.len() / 2, bytes.len() - 6] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0x55;
            let message = given(name, damaged).messages(&options());
            assert!(
                message.contains("error[D006]"),
                "{name}, byte {at}: {message}"
            );
        }
    }
}

#[test]
fn unsupported_file_types_are_refused() {
    insta::assert_snapshot!(given("a.csv", b"PK\x03\x04\x14\0rest").messages(&options()), @r"
    error[D007]: the file is a zip archive
      --> a.csv
      help: unpack it, and pass the file inside
    ");
    insta::assert_snapshot!(given("a.csv", b"\x04\x22\x4d\x18").messages(&options()), @r"
    error[D007]: the file is compressed with lz4
      --> a.csv
      help: decompress it, or use gzip or zstd
    ");
    insta::assert_snapshot!(given("a.csv", b"PAR1....").messages(&options()), @r"
    error[D007]: the file is a parquet file
      --> a.csv
      help: pass it as a file whose name ends in .parquet
    ");
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

#[test]
fn folders_are_read_in_sorted_order() {
    let folder = folder(&[
        ("b.tsv", "label\ttext\n2\tb\n"),
        ("a.csv", "text,label\na,1\n"),
        ("c/part-0.jsonl", "{\"text\":\"c\",\"label\":3}\n"),
        ("d.CSV", "text,label\n"),
        ("_SUCCESS", ""),
        (".hidden.csv", "text,label\nno,no\n"),
        ("manifest.json", "{}"),
        ("readme.txt", "no"),
    ]);
    let sources = sources(folder.path()).unwrap();
    let rows = read(&sources, &options(), Texts::default, &GO).unwrap();
    assert_eq!(
        pairs(&rows),
        [pair("a", "1"), pair("b", "2"), pair("c", "3")]
    );
    let files: Vec<(String, u64)> = rows
        .counts
        .files
        .iter()
        .map(|file| (without(&file.path, folder.path()), file.rows_read))
        .collect();
    let expected = [
        ("a.csv", 1),
        ("b.tsv", 1),
        ("c/part-0.jsonl", 1),
        ("d.CSV", 0),
    ];
    assert_eq!(files, expected.map(|(name, rows)| (name.to_owned(), rows)));
    insta::assert_snapshot!(without(&rows.findings.to_string(), folder.path()), @r"
    warning[D003]: the file has no rows
      --> d.CSV
      help: add at least one row; a CSV file also needs a header
    warning[D034]: the file is not read: a data file in a folder is a regular file that ends in .csv, .tsv, .jsonl, .ft, .parquet, .arrow or .feather, or in .json with several objects, or has no ending and looks like rows; its name does not begin with a dot, or with `cache-` if it ends in .arrow, and that of its folder neither with a dot nor with an underscore; nor are `manifest.json`, `readme.txt`
      --> .hidden.csv
      help: 3 such files; rename them, or remove them from the folder
    ");
}

#[test]
fn explicit_files_may_have_any_extension() {
    let file = given("reviews.txt", "text,label\na,x\n");
    let rows = read(
        &sources(&file.path).unwrap(),
        &options(),
        Texts::default,
        &GO,
    )
    .unwrap();
    assert_eq!(pairs(&rows), [pair("a", "x")]);
    let file = given("reviews.json", "{\"text\":\"a\",\"label\":\"x\"}");
    assert_eq!(sources(&file.path).unwrap()[0].format(), Format::Jsonl);
}

#[test]
fn missing_files_suggest_similar_names() {
    let messages = |folder: &tempfile::TempDir, name: &str| {
        without(
            &sources(&folder.path().join(name)).unwrap_err().to_string(),
            folder.path(),
        )
    };
    let given = folder(&[
        ("movie.csv", "text,label\n"),
        ("empty/.keep", ""),
        ("other/a.txt", ""),
        ("other/b.xlsx", ""),
    ]);
    insta::assert_snapshot!(messages(&given, "movies.csv"), @r"
    error[D001]: no such file or folder
      --> movies.csv
      help: did you mean `movie.csv`?
    ");
    insta::assert_snapshot!(messages(&given, "quite else"), @r"
    error[D001]: no such file or folder
      --> quite else
      help: pass the path of an existing file or folder
    ");
    insta::assert_snapshot!(messages(&given, "no/movie.csv"), @r"
    error[D001]: no such file or folder
      --> no/movie.csv
      help: the folder `no` does not exist; pass a path relative to the current folder, or an absolute one
    ");
    insta::assert_snapshot!(messages(&given, "empty"), @r"
    error[D002]: the folder contains no data files; it is empty
      --> empty
      help: add .csv, .tsv, .jsonl, .ft, .parquet or .arrow files, also compressed (.gz, .zst, .bz2, .xz), or pass one file
    ");
    insta::assert_snapshot!(messages(&given, "other"), @r"
    error[D002]: the folder contains no data files; it contains `a.txt`, `b.xlsx`
      --> other
      help: add .csv, .tsv, .jsonl, .ft, .parquet or .arrow files, also compressed (.gz, .zst, .bz2, .xz), or pass one file
    ");
}

#[test]
fn folder_without_rows_is_error() {
    let folder = folder(&[("a.csv", "text,label\n"), ("b.csv", "")]);
    let error = read(
        &sources(folder.path()).unwrap(),
        &options(),
        Texts::default,
        &GO,
    )
    .unwrap_err();
    insta::assert_snapshot!(without(&error.to_string(), folder.path()), @r"
    error[D003]: none of the `2` files has rows
      --> a.csv
      help: pass data with texts, and with labels where required
    warning[D003]: the file has no rows
      --> a.csv
      help: 2 such files; add at least one row; a CSV file also needs a header
    ");
}

#[test]
#[cfg(not(feature = "parquet"))]
fn parquet_without_the_feature_is_error() {
    insta::assert_snapshot!(given("a.parquet", "PAR1").messages(&options()), @r"
    error[D007]: this program was built without support of parquet and Arrow
      --> a.parquet
      help: build with `--features parquet`, or convert the file to CSV
    ");
    let arrow = given("a.arrow", "ARROW1").messages(&options());
    assert!(
        arrow.starts_with("error[D007]: this program was built without"),
        "{arrow}"
    );
}

#[test]
#[cfg(unix)]
fn pipes_are_not_opened_twice() {
    use dataset::{RowPlace, fetch_texts};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let sources = vec![Source::file(&path, Format::CSV)];
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || std::fs::write(path, "text,label\na,x\nb,y\n").unwrap())
    };
    let rows = read(&sources, &options(), Texts::default, &GO).unwrap();
    writer.join().unwrap();
    assert_eq!(pairs(&rows), [pair("a", "x"), pair("b", "y")]);
    let place: RowPlace = rows.places[1];
    let (tell, told) = std::sync::mpsc::channel();
    // In a separate thread: opening the pipe again would block forever.
    std::thread::spawn(move || tell.send(fetch_texts(&sources, &options(), &[place])));
    let fetched = told.recv_timeout(std::time::Duration::from_secs(30));
    let error = fetched.unwrap().unwrap_err();
    insta::assert_snapshot!(without(&error.to_string(), folder.path()), @r"
    error[D001]: a pipe or device cannot be read twice
      --> a.csv
      help: pass a file instead
    ");
}

/// Issue 17: an empty file has no format; among others, it is a warning.
#[test]
fn empty_files_of_all_formats_have_no_rows() {
    for name in ["a.csv", "a.jsonl", "a.ft", "a.parquet", "a.arrow"] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(given(name, "").messages(&options()).replace(name, "FILE"), @r"
            error[D003]: the file is empty
              --> FILE
              help: add at least one row; a CSV file also needs a header
            ");
        }
        let folder = given(name, "");
        std::fs::write(folder.folder.path().join("b.csv"), "text,label\na,x\n").unwrap();
        let found = dataset::sources(folder.folder.path()).unwrap();
        let rows = read(&found, &options(), Texts::default, &GO).unwrap();
        assert_eq!(pairs(&rows), [pair("a", "x")], "{name}");
        let findings = rows.findings.to_string();
        assert!(
            findings.contains("warning[D003]: the file is empty"),
            "{findings}"
        );
    }
}
