//! Real rows for tests.

use std::path::{Path, PathBuf};

/// One labelled text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The text.
    pub text: String,
    /// The label.
    pub label: String,
}

/// The repository's own sample: 600 film reviews.
pub fn movie_csv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/movie.csv")
}

/// The rows of [`movie_csv`], the labels alternating.
pub fn movie_rows() -> Vec<Row> {
    let path = movie_csv();
    let mut reader = csv::Reader::from_path(&path)
        .unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()));
    reader
        .records()
        .map(|record| {
            let record = record.expect("data/movie.csv is well-formed");
            Row {
                text: record[0].to_owned(),
                label: record[1].to_owned(),
            }
        })
        .collect()
}

/// Rows as a CSV with the columns `text` and `label`.
pub fn to_csv(rows: &[Row]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let records = [["text", "label"]]
        .into_iter()
        .chain(rows.iter().map(|row| [row.text.as_str(), &row.label]));
    for record in records {
        writer.write_record(record).expect("a Vec can be written");
    }
    writer.into_inner().expect("a Vec can be written")
}

/// The folder of real data: `TRAINYARD_DATA`, else the repository's `data`.
///
/// # Panics
/// In CI without `TRAINYARD_DATA`: CI must use the real data.
pub fn data_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os("TRAINYARD_DATA") {
        return folder.into();
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "`TRAINYARD_DATA` is not set, expected the folder of real data\nhelp: run the tests with `./test`"
    );
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

/// The 25,000 reviews of `imdb/train.csv` if the real data is available, else the small sample.
pub fn imdb_train() -> PathBuf {
    let path = data_dir().join("imdb/train.csv");
    if path.is_file() { path } else { movie_csv() }
}
