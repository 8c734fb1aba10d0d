//! Campaigns: tests that try many seeded cases, few by default and many with `./test --long`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::sandbox::append_line;
use crate::{Outcome, SplitMix64, Workspace, judge, run_within};

/// Set by `./test --long`: campaigns have more cases.
const LONG: &str = "TRAINYARD_LONG";
/// Seed of the first case; each further case has the next seed.
const SEED: &str = "TRAINYARD_CAMPAIGN_SEED";
/// File to which campaigns append their figures, for `./test`.
const FIGURES: &str = "TRAINYARD_CAMPAIGNS";

/// Time limit of one case, also on a loaded machine.
const CASE_TIMEOUT: Duration = Duration::from_secs(60);

/// The text that mutated models predict.
const TEXT: &str = "a film with a great cast and a terrible plot";

/// Numbers that are out of range, or exhaust memory if they are taken for a size.
const NUMBERS: [&[u8]; 7] = [
    b"0",
    b"3",
    b"-1",
    b"1000000000",
    b"4294967296",
    b"18446744073709551615",
    b"1e400",
];

/// Bytes with a meaning in data files, and extreme ones.
const BYTES: &[u8] = b"\0\n\r\t ,\"'{}[]\\:;|09-.\x7f\x80\xc3\xff";

/// Returns `long` in a run of `./test --long`, else `short`.
pub fn cases<N>(short: N, long: N) -> N {
    match std::env::var_os(LONG) {
        Some(value) if !value.is_empty() => long,
        _ => short,
    }
}

/// A test of many seeded cases. A failed case prints its seed; at the end of the test, the figures
/// are printed and passed to `./test`.
pub struct Campaign {
    name: String,
    cases: u64,
    seed: u64,
    started: u64,
    outcomes: BTreeMap<&'static str, u64>,
}

impl Campaign {
    /// Creates a campaign of `short` cases, with `./test --long` of `long`. The name is in its
    /// figures.
    ///
    /// # Panics
    /// If `TRAINYARD_CAMPAIGN_SEED` is not a number.
    #[must_use]
    pub fn new(name: impl Into<String>, short: u64, long: u64) -> Self {
        let seed = std::env::var(SEED).map_or(0, |text| {
            text.parse()
                .unwrap_or_else(|_| panic!("expected a number in `{SEED}`, found `{text}`"))
        });
        Self {
            name: name.into(),
            cases: cases(short, long),
            seed,
            started: 0,
            outcomes: BTreeMap::new(),
        }
    }

    /// Starts the next case and returns its random numbers; `None` after the last case.
    pub fn next_case(&mut self) -> Option<SplitMix64> {
        if self.started == self.cases {
            return None;
        }
        let random = SplitMix64(self.seed.wrapping_add(self.started));
        self.started += 1;
        Some(random)
    }

    /// Counts an outcome of a case.
    pub fn count(&mut self, outcome: &'static str) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    /// Counts an outcome if `condition`.
    pub fn count_if(&mut self, condition: bool, outcome: &'static str) {
        if condition {
            self.count(outcome);
        }
    }

    /// Returns how often an outcome was counted.
    pub fn counted(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }

    /// The figures, such as `svm: mutated models: 150 cases, 12 accepted, 138 refused, 0 failed`.
    fn figures(&self) -> String {
        let outcomes = self.outcomes.iter();
        let outcomes: String = outcomes
            .map(|(outcome, count)| format!(", {count} {outcome}"))
            .collect();
        format!("{}: {} cases{outcomes}, 0 failed", self.name, self.started)
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.seed.wrapping_add(self.started.saturating_sub(1));
            eprintln!(
                "campaign `{}` failed in case {} of {}\nhelp: with {SEED}={seed}, the test tries \
                 this case first",
                self.name, self.started, self.cases
            );
        } else if self.started > 0 {
            let figures = self.figures();
            eprintln!("{figures}");
            append_line(FIGURES, &format!("{figures}\n"));
        }
    }
}

/// Returns a copy with one to three changes: another bit or byte, bytes that are deleted, inserted
/// or cut off, or another number. Half of them are near the start, where headers are.
pub fn mutate(bytes: &[u8], random: &mut SplitMix64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let near = bytes.len().min(600);
        let limit = *random.pick(&[near, bytes.len()]);
        if limit == 0 {
            break;
        }
        let at = random.below(limit);
        match random.below(6) {
            0 => bytes[at] ^= 1u8 << random.below(8),
            1 => bytes[at] = *random.pick(BYTES),
            2 => {
                let end = bytes.len().min(at + 1 + random.below(16));
                bytes.drain(at..end);
            }
            3 => {
                let length = 1 + random.below(8);
                let new: Vec<u8> = (0..length).map(|_| *random.pick(BYTES)).collect();
                bytes.splice(at..at, new);
            }
            4 => bytes.truncate(at),
            _ => replace_number(&mut bytes, at, random),
        }
    }
    bytes
}

/// Replaces the first number at or after `at`.
fn replace_number(bytes: &mut Vec<u8>, at: usize, random: &mut SplitMix64) {
    if let Some(before) = bytes[at..].iter().position(u8::is_ascii_digit) {
        let start = at + before;
        let digits = bytes[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let end = start + digits.count();
        bytes.splice(start..end, random.pick(&NUMBERS).iter().copied());
    }
}

/// Rows in each of [`data_files`].
const ROWS: u64 = 60;

/// Returns files of every format that trainers read, by name; `tests/judges/data_files.py` writes
/// them.
///
/// # Panics
/// If it cannot write them.
pub fn data_files() -> Vec<(String, Vec<u8>)> {
    let dir = tempfile::tempdir().expect("a temporary folder can be created");
    judge("data_files", &[dir.path()]);
    files(dir.path()).into_iter().collect()
}

/// Returns the number of rows that a reader must report if it accepts a mutated file of
/// [`data_files`]; `None` if they cannot be counted without a reader of the format.
pub fn rows_in(name: &str, bytes: &[u8]) -> Option<u64> {
    let whole = [".gz", ".parquet", ".arrow", ".feather"];
    if whole.iter().any(|end| name.ends_with(end)) {
        // Gzip has a checksum, the others several row counts: all rows, or an error.
        return Some(ROWS);
    }
    let has_text = |line: &&[u8]| line.iter().any(|byte| !b" \t\r".contains(byte));
    let rows = match name {
        "rows.jsonl" => bytes.split(|&byte| byte == b'\n').filter(has_text).count(),
        "plain.csv" | "plain.tsv" if !bytes.contains(&b'"') => {
            let lines = bytes.split(|&byte| byte == b'\n' || byte == b'\r');
            // Without the header.
            lines.filter(|line| !line.is_empty()).count() - 1
        }
        _ => return None,
    };
    Some(rows as u64)
}

/// Checks that a failure is an error with help, and not a panic.
///
/// # Panics
/// If it is not.
#[track_caller]
pub fn assert_has_help(outcome: &Outcome) {
    let stderr = &outcome.stderr;
    assert!(
        stderr.contains("error") && stderr.contains("help: ") && !stderr.contains("panicked"),
        "expected an error with help, found {}\n{stderr}",
        outcome.status
    );
}

/// Mutates a file of the workspace's model, with and without the checksums of the files. `predict`
/// must refuse the model with help, or answer; with checksums it must answer as before.
///
/// # Panics
/// If it does not.
pub fn mutate_model(workspace: &Workspace, mut campaign: Campaign) {
    const CHECKSUMS: &str = "checksums.json";
    let dir = workspace.path("model");
    let whole = files(&dir);
    let names: Vec<&String> = whole
        .keys()
        .filter(|name| !["metrics.json", "run.toml"].contains(&name.as_str()))
        .collect();
    let predict = || run_within(workspace.command("predict", &[TEXT]), CASE_TIMEOUT);
    let expected = predict().expect_code(0).stdout.clone();
    while let Some(mut random) = campaign.next_case() {
        let name = *random.pick(&names);
        let mut changed = whole.clone();
        let checked = name == CHECKSUMS || random.below(3) == 0;
        if !checked && changed.remove(CHECKSUMS).is_none() {
            changed.insert("config.json".to_owned(), without_checksums(&whole));
        }
        let mutated = mutate(&changed[name], &mut random);
        changed.insert(name.clone(), mutated);
        write_files(&dir, &changed);
        let outcome = predict();
        match outcome.code() {
            Some(0) => {
                let lines = outcome.stdout.lines().count();
                assert_eq!(lines, 2, "{name}: {}", outcome.stdout);
                // config.json has no checksum.
                if checked && name != "config.json" {
                    assert_eq!(outcome.stdout, expected, "{name}: another answer");
                }
                campaign.count("accepted");
            }
            Some(1) => {
                assert_has_help(&outcome);
                campaign.count("refused");
            }
            _ => panic!("{name}: {}\n{}", outcome.status, outcome.output()),
        }
    }
}

/// Returns config.json without the checksums of the other files, as an older version wrote it.
fn without_checksums(model: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&model["config.json"]).expect("config.json is a JSON object");
    config.remove("files").expect("config.json has checksums");
    config.remove("columns").expect("config.json has columns");
    serde_json::Value::Object(config).to_string().into_bytes()
}

/// Returns all files below a folder, by their relative paths.
///
/// # Panics
/// If one cannot be read.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            let below = files(&path).into_iter();
            found.extend(below.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            let bytes = fs::read(&path).expect("the file can be read");
            found.insert(name.into_owned(), bytes);
        }
    }
    found
}

/// Replaces a folder by one with these files.
///
/// # Panics
/// If it cannot be written.
pub fn write_files(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    if dir.exists() {
        fs::remove_dir_all(dir).expect("the folder can be removed");
    }
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap_or(dir)).expect("a folder can be created");
        fs::write(path, bytes).expect("a file can be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_can_be_the_first() {
        let mut campaign = Campaign {
            name: "toy".to_owned(),
            cases: 3,
            seed: 7,
            started: 0,
            outcomes: BTreeMap::new(),
        };
        let mut seeds = Vec::new();
        while let Some(random) = campaign.next_case() {
            seeds.push(random.0);
            campaign.count(if random.0 == 8 { "refused" } else { "accepted" });
        }
        assert_eq!(seeds, [7, 8, 9]);
        assert_eq!(campaign.counted("accepted"), 2);
        assert_eq!(
            campaign.figures(),
            "toy: 3 cases, 2 accepted, 1 refused, 0 failed"
        );
        // Not a campaign of this run.
        campaign.started = 0;
    }

    #[test]
    fn mutations_are_seeded_and_change_most_files() {
        let bytes = b"{\"size\": 12, \"name\": \"x\"}";
        let mutated = |seed| mutate(bytes, &mut SplitMix64(seed));
        assert!((0..500).all(|seed| mutated(seed) == mutated(seed)));
        let changed = (0..500).filter(|&seed| mutated(seed) != bytes);
        assert!(changed.count() > 400);
        assert!(mutate(b"", &mut SplitMix64(0)).is_empty());
    }

    #[test]
    fn numbers_are_replaced_as_a_whole() {
        let mut bytes = b"a1 23 b".to_vec();
        replace_number(&mut bytes, 2, &mut SplitMix64(0));
        let expected = NUMBERS.map(|number| [&b"a1 "[..], number, b" b"].concat());
        assert!(expected.contains(&bytes), "{bytes:?}");
    }
}
