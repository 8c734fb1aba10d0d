//! Finds the format of a file by its first bytes.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use crate::delimited::{Field, Splitter, Step};
use crate::input::Input;
use crate::json;
use crate::source::{Format, LABEL_PREFIX};

/// Number of bytes that are read.
const SAMPLE_BYTES: usize = 64 * 1024;

/// Delimiters that are tried, the most common one last. Redshift's `UNLOAD` writes `|`.
const DELIMITERS: [u8; 4] = *b"|;\t,";

/// First key of the objects in a manifest of SageMaker, which names files and has no rows.
const PREFIX: &str = "prefix";

/// Returns the format of a regular file; `None` if it does not look like rows.
pub(super) fn format(path: &Path) -> Option<Format> {
    let mut file = File::open(path).ok()?;
    let mut magic = [0; 8];
    if file.read_exact(&mut magic).is_ok() {
        match magic {
            [b'P', b'A', b'R', b'1', ..] => return Some(Format::Parquet),
            // A stream begins with the length of its schema, which is below 16 MiB.
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xff, 0xff, 0xff, 0xff, .., 0] => {
                return Some(Format::Arrow);
            }
            _ => {}
        }
    }
    file.rewind().ok()?;
    let mut input = Input::new(Box::new(file), None, false).ok()?;
    let mut sample = vec![0; SAMPLE_BYTES];
    let (filled, error) = input.fill(&mut sample);
    if input.binary || error.is_some() {
        return None;
    }
    let sample = sample[..filled].trim_ascii_start();
    if sample.starts_with(LABEL_PREFIX) {
        return Some(Format::FastText);
    }
    if has_objects(sample) {
        return Some(Format::Jsonl);
    }
    let complete = filled < SAMPLE_BYTES;
    let columns = |delimiter: u8| columns(sample, delimiter, complete).map(|n| (n, delimiter));
    let (_, delimiter) = DELIMITERS
        .into_iter()
        .filter_map(columns)
        .max_by_key(|found| found.0)?;
    Some(Format::Csv { delimiter })
}

/// True for an array of objects, and for several objects: one alone is usually metadata.
fn has_objects(sample: &[u8]) -> bool {
    if json::begins_array(sample) {
        return json::first_key(sample).is_some_and(|key| key != PREFIX);
    }
    json::several_objects(sample)
}

/// Returns the number of columns if the first two records have the same number, of at least two. In
/// prose, a blank follows each comma.
fn columns(sample: &[u8], delimiter: u8, complete: bool) -> Option<usize> {
    let mut splitter = Splitter::new(delimiter, true, None);
    let mut unescaped = Vec::new();
    let (mut from, mut is_prose) = (0, true);
    let begins_blank = |field: &Field| sample.get(field.at as usize) == Some(&b' ');
    let mut next = || match splitter.step(sample, from, complete, &mut unescaped) {
        Step::Record(found) if found.malformed.is_none() => {
            from = found.next;
            is_prose &= splitter.fields.iter().skip(1).all(begins_blank);
            Some(splitter.fields.len())
        }
        _ => None,
    };
    let first = next()?;
    (first > 1 && next() == Some(first) && !is_prose).then_some(first)
}
