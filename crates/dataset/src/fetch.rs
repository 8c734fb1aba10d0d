//! Rereads selected texts.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use diagnostics::Place;

use crate::decode::Batch;
use crate::stream::{ReadTask, run};
use crate::{
    BadData, Findings, Labels, ReadError, ReadOptions, RowPlace, Source, StreamError, codes,
};

/// Stops reading when all texts are found.
struct Done;

/// Returns the texts at `wanted`, in that order. Memory use: these texts and one block.
///
/// # Errors
/// If a file has changed, or cannot be read twice (standard input, pipes).
pub fn fetch_texts(
    sources: &[Source],
    options: &ReadOptions,
    wanted: &[RowPlace],
) -> Result<Vec<String>, ReadError> {
    let options = ReadOptions {
        threads: NonZeroUsize::MIN,
        hash: false,
        ..options.clone()
    };
    let mut texts: Vec<Option<String>> = vec![None; wanted.len()];
    for (index, source) in sources.iter().enumerate() {
        let mut places: HashMap<u32, Vec<usize>> = HashMap::new();
        for (number, place) in wanted
            .iter()
            .enumerate()
            .filter(|(_, place)| place.source as usize == index)
        {
            places.entry(place.record).or_default().push(number);
        }
        if places.is_empty() {
            continue;
        }
        let Some(path) = &source.path else {
            return Err(reread_error(
                source.place(),
                "standard input cannot be read twice",
                "pass a file instead",
            ));
        };
        // Opening a pipe again would wait for a writer forever.
        if !std::fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
            return Err(reread_error(
                source.place(),
                "a pipe or device cannot be read twice",
                "pass a file instead",
            ));
        }
        fetch(source, &options, places, &mut texts)?;
    }
    let changed = |place: &RowPlace| {
        let message = "the row no longer exists: the file changed while it was in use";
        reread_error(place.place(sources), message, "run the command again")
    };
    texts
        .into_iter()
        .zip(wanted)
        .map(|(text, place)| text.ok_or_else(|| changed(place)))
        .collect()
}

fn fetch(
    source: &Source,
    options: &ReadOptions,
    mut places: HashMap<u32, Vec<usize>>,
    texts: &mut [Option<String>],
) -> Result<(), ReadError> {
    let stop = AtomicBool::new(false);
    let sources = std::slice::from_ref(source);
    let task = ReadTask {
        sources,
        options,
        labels: Labels::Ignored,
        stop: &stop,
        limit: 1,
    };
    let records: HashSet<u32> = places.keys().copied().collect();
    let map = |(): &mut (), batch: &Batch<'_>| -> Vec<(u32, String)> {
        let wanted = batch
            .rows()
            .filter(|row| records.contains(&row.place.record));
        wanted
            .map(|row| (row.place.record, row.text.to_owned()))
            .collect()
    };
    let sink = |found: Vec<(u32, String)>| {
        for (record, text) in found {
            for number in places.remove(&record).unwrap_or_default() {
                texts[number] = Some(text.clone());
            }
        }
        if places.is_empty() { Err(Done) } else { Ok(()) }
    };
    match run(task, || (), map, sink, |_| {}) {
        // Invalid rows were dropped the first time too; `fetch_texts` checks for missing ones.
        Ok(_) | Err(StreamError::Sink(Done)) => Ok(()),
        Err(StreamError::Read(error)) => Err(error),
    }
}

fn reread_error(place: Place, message: &str, help: &str) -> ReadError {
    let mut findings = Findings::default();
    findings.error(
        &codes::UNREADABLE,
        message.to_owned(),
        Some(place),
        help.to_owned(),
    );
    ReadError::Data(Box::new(BadData {
        findings,
        counts: super::RowCounts::default(),
    }))
}
