//! Rows of a training run: origin, split, and the seeded validation split.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

pub use crate::{Encode, RowPlace, RowRef};

use crate::label_sets::{self, labels_of};
use crate::near;
use crate::random::mix;
use crate::{
    Findings, LabelSets, MultiLabel, ReadOptions, RowCounts, Rows, Source, TrainTexts, codes,
    separator_in, similar_label, single_rows, text_hash, unusable_labels,
};
use diagnostics::{Diagnostic, Error, Severity, counted, sanitize, short_label};
use sagemaker::metrics::Split;

/// All rows without their texts. Each vector has one entry per row, in file order, unless noted.
pub struct RowTable {
    /// Encoder that has the row, and its index there.
    pub order: Vec<RowRef>,
    /// Index into `classes`; with `label_sets` the number of the row's set.
    pub labels: Vec<u32>,
    /// Sets of classes if rows may have several, or none.
    pub label_sets: Option<LabelSets>,
    /// Split of the row.
    pub splits: Vec<Split>,
    /// xxh3 hash of the text.
    pub hashes: Vec<u64>,
    /// Place in the files.
    pub places: Vec<RowPlace>,
    /// Weight of each training row, which are the first rows; empty if all weigh 1.
    pub weights: Vec<f64>,
    /// Names of the classes: in numerical order if all are integers, otherwise in code point order.
    pub classes: Vec<String>,
    /// Files that `places` refer to.
    pub sources: Vec<Source>,
    /// True if the validation rows are a share of the training data, not data of their own.
    pub split_off: bool,
}

/// Files of each channel; `train` is never empty.
#[derive(Clone)]
pub struct Channels {
    /// Training data.
    pub train: Vec<Source>,
    /// Validation data, for model selection and calibration. If empty, a share of `train` is used.
    pub validation: Vec<Source>,
    /// Test data.
    pub test: Vec<Source>,
}

/// Encoded rows, row counts and findings.
pub struct Corpus<E> {
    /// The rows.
    pub rows: RowTable,
    /// One per reading thread and channel.
    pub encoders: Vec<E>,
    /// Number of them that have the training data; they are the first ones.
    pub train_encoders: usize,
    /// Row counts by channel.
    pub counts: Vec<(&'static str, RowCounts)>,
    /// Warnings by channel.
    pub findings: Vec<Findings>,
}

impl<E: Encode> Corpus<E> {
    /// Reads all channels. Without a validation channel, a `share` (0 to 1) of the training rows
    /// becomes the validation split. Only training rows have weights.
    ///
    /// # Errors
    /// If the data has errors, a single class or a class per row, if another channel has a label
    /// that is not in `train`, or if `stop` was set.
    pub fn read(
        channels: Channels,
        options: &ReadOptions,
        share: f64,
        seed: u64,
        make: impl Fn() -> E + Sync,
        stop: &AtomicBool,
    ) -> Result<Self, Error> {
        let files = [&channels.train, &channels.validation, &channels.test];
        let train_options = &ReadOptions {
            near_duplicates: !channels.validation.is_empty() || !channels.test.is_empty(),
            sketches: options.sketches && files.iter().all(|files| near::can_reread(files)),
            ..options.clone()
        };
        let options = &ReadOptions {
            weight_column: None,
            ..train_options.clone()
        };
        let mut train = crate::read(&channels.train, train_options, &make, stop)?;
        if let Some(error) = unusable_labels(&train, &channels.train, options) {
            return Err(error.into());
        }
        let (texts, near) = TrainTexts::new((&train, &channels.train), options, stop)?;
        let mut others = Vec::new();
        for (name, sources, split) in [
            ("validation", channels.validation, Split::Validation),
            ("test", channels.test, Split::Test),
        ] {
            if !sources.is_empty() {
                let rows = crate::read(&sources, options, &make, stop)?;
                let leaked = texts.leaked((&rows, &sources), name)?;
                others.push((name, rows, sources, split, leaked));
            }
        }
        let single = single_rows(&train, options);
        for findings in [single, near] {
            train.findings.merge(findings);
        }
        let mut corpus = Self::start(&label_sets::class_names(&train.label_names, options));
        corpus.rows.label_sets = options.multi_label.as_ref().map(|_| LabelSets::default());
        corpus.add("train", train, channels.train, (Split::Train, options))?;
        corpus.train_encoders = corpus.encoders.len();
        for (name, rows, sources, split, leaked) in others {
            corpus.add(name, rows, sources, (split, options))?;
            corpus.findings.push(leaked);
        }
        if !corpus.rows.splits.contains(&Split::Validation) && share > 0.0 {
            corpus.rows.split(share, seed);
        }
        Ok(corpus)
    }

    fn start(names: &[String]) -> Self {
        let mut classes = names.to_vec();
        match classes
            .iter()
            .map(|name| name.parse::<i64>().ok())
            .collect::<Option<Vec<_>>>()
        {
            Some(_) => {
                classes.sort_by_key(|name| (name.parse::<i64>().unwrap_or_default(), name.clone()))
            }
            None => classes.sort(),
        }
        let rows = RowTable {
            order: Vec::new(),
            labels: Vec::new(),
            label_sets: None,
            splits: Vec::new(),
            hashes: Vec::new(),
            places: Vec::new(),
            weights: Vec::new(),
            classes,
            sources: Vec::new(),
            split_off: false,
        };
        Self {
            rows,
            encoders: Vec::new(),
            train_encoders: 0,
            counts: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn add(
        &mut self,
        name: &'static str,
        rows: Rows<E>,
        sources: Vec<Source>,
        (split, options): (Split, &ReadOptions),
    ) -> Result<(), Error> {
        let table = &mut self.rows;
        let numbers: HashMap<&str, u32> =
            table.classes.iter().map(String::as_str).zip(0..).collect();
        let unknown = unknown_labels(name, (&rows, &sources), &numbers, (table, options));
        if !unknown.is_empty() {
            return Err(Error::data(unknown));
        }
        let number = |label: &String| numbers.get(label.as_str()).copied();
        let names = rows.label_names.iter();
        let class_of: Vec<u32> = match &mut table.label_sets {
            None => names.filter_map(number).collect(),
            Some(sets) => names
                .map(|name| sets.push(labels_of(name).iter().filter_map(number).collect()))
                .collect(),
        };
        let (first_shard, first_source) = (self.encoders.len() as u32, table.sources.len() as u32);
        table.order.extend(rows.order.iter().map(|row| RowRef {
            encoder: row.encoder + first_shard,
            ..*row
        }));
        table
            .labels
            .extend(rows.labels.iter().map(|&label| class_of[label as usize]));
        table.splits.resize(table.labels.len(), split);
        table.hashes.extend(&rows.hashes);
        table.places.extend(rows.places.iter().map(|at| RowPlace {
            source: at.source + first_source,
            ..*at
        }));
        table.weights.extend(rows.weights);
        table.sources.extend(sources);
        self.encoders.extend(rows.encoders);
        self.counts.push((name, rows.counts));
        self.findings.push(rows.findings);
        Ok(())
    }
}

/// Maximum labels in an error about unknown ones.
const MAX_UNKNOWN: usize = 20;

/// Returns an error for each label of a channel that the training data does not have, at most
/// [`MAX_UNKNOWN`]. `numbers`: those of the training data.
fn unknown_labels<E>(
    channel: &str,
    (rows, sources): (&Rows<E>, &[Source]),
    numbers: &HashMap<&str, u32>,
    (table, options): (&RowTable, &ReadOptions),
) -> Vec<Diagnostic> {
    let labels = |name: &String| match table.label_sets {
        None => vec![name.clone()],
        Some(_) => labels_of(name),
    };
    let sets: Vec<Vec<String>> = rows.label_names.iter().map(labels).collect();
    let mut unknown: Vec<&String> = Vec::new();
    for label in sets.iter().flatten() {
        if unknown.len() < MAX_UNKNOWN
            && !numbers.contains_key(label.as_str())
            && !unknown.contains(&label)
        {
            unknown.push(label);
        }
    }
    let error = |label: &String| {
        let has_label = |of: &u32| sets[*of as usize].contains(label);
        let count = rows.labels.iter().filter(|&of| has_label(of)).count();
        let first = rows.labels.iter().position(has_label);
        let error = unknown_label(channel, (label, count as u64), &table.classes, options);
        Diagnostic {
            place: first.map(|row| rows.places[row].place(sources)),
            ..error
        }
    };
    unknown.into_iter().map(error).collect()
}

/// Returns the error that the training data does not have a label of another channel.
pub(super) fn unknown_label(
    channel: &str,
    (label, rows): (&str, u64),
    classes: &[String],
    options: &ReadOptions,
) -> Diagnostic {
    let similar = similar_label(label, classes);
    let is_list = options
        .multi_label
        .as_ref()
        .is_some_and(MultiLabel::is_list);
    let is_known = |part: &str| classes.iter().any(|class| class == part);
    let separator = separator_in(label, is_known).filter(|_| is_list);
    let help = match (similar, separator) {
        (Some(similar), _) => one_spelling(&sanitize(label), similar),
        (None, Some(separator)) => {
            format!("pass --label-separator '{separator}' if the labels are joined with it")
        }
        (None, None) => format!(
            "add rows with this label to the training data, or remove them from the {channel} data"
        ),
    };
    Diagnostic {
        severity: Severity::Error,
        code: codes::UNKNOWN_LABEL.id,
        message: format!(
            "expected only labels of the training data, found the label `{}` in the {channel} data",
            short_label(label)
        ),
        place: None,
        help: format!("{}; {help}", counted(rows, "such row")),
    }
}

/// Returns the help for a label that differs from one of the model only in its spelling.
pub fn one_spelling(label: &str, similar: &str) -> String {
    format!(
        "write `{label}` as `{}`, which is in the training data: they differ only in case, \
         whitespace or number format",
        sanitize(similar)
    )
}

/// Position of the last text of a class, which always stays in the training split.
const LAST: f64 = 1.0 - f64::EPSILON;

impl RowTable {
    /// Returns the classes of a row, ascending: one, unless rows may have several.
    pub fn classes_of(&self, row: u32) -> &[u32] {
        let label = &self.labels[row as usize];
        match &self.label_sets {
            None => std::slice::from_ref(label),
            Some(sets) => sets.get(*label),
        }
    }

    /// Returns the rows of a split, ascending.
    pub fn of(&self, split: Split) -> Vec<u32> {
        (0..)
            .zip(&self.splits)
            .filter(|&(_, &of)| of == split)
            .map(|(row, _)| row)
            .collect()
    }

    /// Returns the training rows together with the validation rows that were split off them,
    /// ascending; `None` if there are no such rows.
    pub fn unsplit(&self) -> Option<Vec<u32>> {
        let inside = |&(_, &of): &(u32, &Split)| of != Split::Test;
        self.split_off.then(|| {
            (0..)
                .zip(&self.splits)
                .filter(inside)
                .map(|(row, _)| row)
                .collect()
        })
    }

    /// Returns the weight of a row.
    pub fn weight(&self, row: u32) -> f64 {
        self.weights.get(row as usize).copied().unwrap_or(1.0)
    }

    /// True if `text` is the text that was read for a row: files can change meanwhile.
    pub fn has_text(&self, row: u32, text: &str) -> bool {
        self.hashes[row as usize] == text_hash(text)
    }

    /// Checks that each class has training rows, of a weight above 0.
    ///
    /// # Errors
    /// If all rows of a class are in other splits, or weigh 0.
    pub fn check_classes(&self) -> Result<(), Error> {
        let train = self.of(Split::Train);
        let sizes = self.class_sizes(&train);
        let Some(class) = sizes.iter().position(|size| *size == 0) else {
            return Ok(());
        };
        let name = sanitize(&self.classes[class]);
        let has_class = |row: &u32| self.classes_of(*row).contains(&(class as u32));
        let (what, help) = match train.iter().any(has_class) {
            true => (
                " with a weight above 0",
                format!("raise the weights of the rows with the label `{name}` in --weight-column"),
            ),
            false => (
                "",
                format!(
                    "add training rows with the label `{name}`, or remove its rows from the other \
                     splits"
                ),
            ),
        };
        let rows = train.len();
        Err(Error::new(format!(
            "expected training rows of every class{what}, found `0` of `{name}` among `{rows}`"
        ))
        .help(help))
    }

    /// Moves a share of each class's training rows to the validation split; equal texts stay
    /// together.
    fn split(&mut self, share: f64, seed: u64) {
        let train = self.of(Split::Train);
        for (&row, position) in train.iter().zip(self.spread(&train, seed)) {
            if position < share {
                self.splits[row as usize] = Split::Validation;
                self.split_off = true;
            }
        }
    }

    /// Returns the smallest share, in hundredths, for which [`Corpus::read`] makes a validation
    /// split; `None` if no class has rows with different texts.
    pub fn smallest_split(&self, seed: u64) -> Option<f64> {
        let positions = self.spread(&self.of(Split::Train), seed).into_iter();
        let first = positions.fold(1.0, f64::min);
        (first < LAST).then(|| (first * 100.0).floor().mul_add(0.01, 0.01))
    }

    /// Assigns each of `rows` to a fold from 0 to `folds` - 1: stratified, equal texts in one fold.
    pub fn folds(&self, rows: &[u32], folds: usize, seed: u64) -> Vec<u8> {
        self.spread(rows, seed)
            .into_iter()
            .map(|position| (position * folds as f64) as u8)
            .collect()
    }

    /// Returns the number of `rows` of each class that have a weight above 0.
    fn class_sizes(&self, rows: &[u32]) -> Vec<usize> {
        let mut sizes = vec![0usize; self.classes.len()];
        let weighted = rows.iter().filter(|&&row| self.weight(row) > 0.0);
        for &class in weighted.flat_map(|&row| self.classes_of(row)) {
            sizes[class as usize] += 1;
        }
        sizes
    }

    /// Returns the group in which a label number is spread evenly, and the number of groups: the
    /// class; of a set its class with the fewest of `rows` that have a weight, so that rare classes
    /// are in all parts.
    fn strata(&self, rows: &[u32]) -> (Vec<u32>, usize) {
        let classes = self.classes.len();
        let Some(sets) = &self.label_sets else {
            return ((0..classes as u32).collect(), classes);
        };
        let sizes = self.class_sizes(rows);
        let rarest = |set: u32| {
            let classes = sets.get(set).iter().copied();
            classes.min_by_key(|&class| (sizes[class as usize], class))
        };
        // Rows without labels are a group of their own.
        let of_set = (0..sets.count() as u32).map(|set| rarest(set).unwrap_or(classes as u32));
        (of_set.collect(), classes + 1)
    }

    /// Returns a position between 0 and 1 for each of `rows`: evenly spread within each class, in
    /// an order that depends only on the seed and the texts. Equal texts have the same position
    /// (and the class of their first row). Rows of weight 0 are spread apart from the others of their
    /// class.
    fn spread(&self, rows: &[u32], seed: u64) -> Vec<f64> {
        let (strata, count) = self.strata(rows);
        let mut group_of_text: HashMap<u64, usize> = HashMap::new();
        // (class, sort key, text, rows)
        let mut groups: Vec<(u32, u64, u64, u32)> = Vec::new();
        let mut has_weight = Vec::new();
        let mut group_of_row = Vec::with_capacity(rows.len());
        for &row in rows {
            let text = self.hashes[row as usize];
            let group = *group_of_text.entry(text).or_insert_with(|| {
                let stratum = strata[self.labels[row as usize] as usize];
                groups.push((stratum, mix(text ^ seed), text, 0));
                has_weight.push(false);
                groups.len() - 1
            });
            groups[group].3 += 1;
            has_weight[group] |= self.weight(row) > 0.0;
            group_of_row.push(group);
        }
        let weightless = groups.iter_mut().zip(&has_weight).filter(|(_, has)| !**has);
        weightless.for_each(|(group, _)| group.0 += count as u32);
        let count = 2 * count;
        let mut class_rows = vec![0u32; count];
        groups
            .iter()
            .for_each(|group| class_rows[group.0 as usize] += group.3);
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_unstable_by_key(|&group| (groups[group].0, groups[group].1, groups[group].2));
        let mut before = vec![0u32; count];
        let mut position = vec![0.0; groups.len()];
        for group in order {
            let (class, _, _, size) = groups[group];
            let (before, rows) = (&mut before[class as usize], class_rows[class as usize]);
            // The middle, so that a frequent text does not move its whole class to one side. The
            // last text of a class always stays in the training split.
            let middle = f64::from(*before) + 0.5 * f64::from(size);
            *before += size;
            position[group] = if *before == rows {
                LAST
            } else {
                middle / f64::from(rows)
            };
        }
        group_of_row
            .into_iter()
            .map(|group| position[group])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of two classes with these text hashes.
    fn table(hashes: Vec<u64>, label: impl Fn(usize) -> u32) -> RowTable {
        let rows = hashes.len();
        RowTable {
            order: vec![
                RowRef {
                    encoder: 0,
                    index: 0
                };
                rows
            ],
            labels: (0..rows).map(label).collect(),
            label_sets: None,
            splits: vec![Split::Train; rows],
            places: vec![
                RowPlace {
                    source: 0,
                    record: 1,
                    line: 1
                };
                rows
            ],
            hashes,
            weights: Vec::new(),
            classes: vec!["a".to_owned(), "b".to_owned()],
            sources: Vec::new(),
            split_off: false,
        }
    }

    fn of_class(table: &RowTable, rows: &[u32], class: u32) -> usize {
        rows.iter()
            .filter(|&&row| table.labels[row as usize] == class)
            .count()
    }

    #[test]
    fn class_without_training_rows_is_error() {
        let mut table = table(vec![1, 2, 3], |row| u32::from(row == 2));
        assert!(table.check_classes().is_ok());
        table.splits[2] = Split::Test;
        let message = table.check_classes().unwrap_err().to_string();
        assert!(
            message.contains("found `0` of `b` among `2`") && message.contains("help: add"),
            "{message}"
        );
        table.splits[2] = Split::Train;
        table.weights = vec![1.0, 1.0, 0.0];
        let message = table.check_classes().unwrap_err().to_string();
        assert!(
            message.contains("with a weight above 0, found `0` of `b` among `3`")
                && message.contains("help: raise the weights"),
            "{message}"
        );
        table.weights[2] = 0.5;
        assert!(table.check_classes().is_ok());
    }

    #[test]
    fn equal_texts_stay_in_one_split_and_one_fold() {
        // Every text occurs five times, far apart.
        let mut table = table((0..1000).map(|row| row % 200).collect(), |row| {
            (row % 2) as u32
        });
        let all: Vec<u32> = (0..1000).collect();
        let folds = table.folds(&all, 4, 7);
        table.split(0.2, 7);
        for row in 200..1000 {
            assert_eq!(table.splits[row], table.splits[row % 200]);
            assert_eq!(folds[row], folds[row % 200]);
        }
        assert_eq!(table.of(Split::Validation).len(), 200);
        for fold in 0..4 {
            assert_eq!(folds.iter().filter(|&&of| of == fold).count(), 250);
        }
    }

    #[test]
    fn frequent_text_does_not_move_its_class() {
        for share in [0.1, 0.5, 0.99] {
            // 60 texts of class a, one text of class b eight times.
            let mut table = table((0..68).map(|row: u64| row.min(60)).collect(), |row| {
                u32::from(row >= 60)
            });
            table.split(share, 1);
            let train = table.of(Split::Train);
            assert_eq!(of_class(&table, &train, 1), 8, "{share}");
            assert!(of_class(&table, &train, 0) > 0, "{share}");
        }
    }

    /// Equal texts stay together, so a larger share may not help.
    #[test]
    fn smallest_split_has_rows_and_a_smaller_one_has_none() {
        let cases: [(Vec<u64>, Option<f64>); 3] = [
            // The middle of the first text of three is at a sixth.
            (vec![0, 1, 2], Some(0.17)),
            // The first of two texts of two rows each is at a quarter.
            (vec![0, 0, 1, 1], Some(0.26)),
            (vec![7; 10], None),
        ];
        for (hashes, expected) in cases {
            let mut table = table(hashes, |_| 0);
            let share = table.smallest_split(1);
            let hundredths = |share: f64| (share * 100.0).round();
            assert_eq!(share.map(hundredths), expected.map(hundredths));
            table.split(share.map_or(0.99, |share| share - 0.02), 1);
            assert!(!table.split_off);
            table.split(share.unwrap_or(0.99), 1);
            assert_eq!(table.split_off, share.is_some());
        }
    }

    #[test]
    fn split_and_folds_are_stratified() {
        // One row in ten is of class b.
        let mut table = table((0..1000).collect(), |row| u32::from(row % 10 == 0));
        let folds = table.folds(&(0..1000).collect::<Vec<_>>(), 5, 3);
        for fold in 0..5 {
            let rows: Vec<u32> = (0..1000)
                .filter(|&row| folds[row as usize] == fold)
                .collect();
            assert_eq!(
                (of_class(&table, &rows, 0), of_class(&table, &rows, 1)),
                (180, 20)
            );
        }
        assert_eq!(table.unsplit(), None);
        table.split(0.1, 3);
        assert_eq!(table.unsplit(), Some((0..1000).collect()));
        let validation = table.of(Split::Validation);
        assert_eq!(
            (
                of_class(&table, &validation, 0),
                of_class(&table, &validation, 1)
            ),
            (90, 10)
        );
    }

    #[test]
    fn split_depends_only_on_seed_and_texts() {
        let validation = |hashes: Vec<u64>, seed| {
            let mut table = table(hashes, |_| 0);
            table.split(0.3, seed);
            let mut texts: Vec<u64> = table
                .of(Split::Validation)
                .iter()
                .map(|&row| table.hashes[row as usize])
                .collect();
            texts.sort_unstable();
            texts
        };
        let texts: Vec<u64> = (0..100).collect();
        let backwards: Vec<u64> = texts.iter().rev().copied().collect();
        assert_eq!(validation(texts.clone(), 1), validation(backwards, 1));
        assert_ne!(validation(texts.clone(), 1), validation(texts, 2));
    }

    #[test]
    fn classes_are_sorted_by_number_or_by_name() {
        let classes = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            Corpus::<Nothing>::start(&names).rows.classes
        };
        assert_eq!(classes(&["10", "9", "-1"]), ["-1", "9", "10"]);
        assert_eq!(classes(&["pos", "10", "9"]), ["10", "9", "pos"]);
    }

    /// Issue 17: each set is its own, but a tenth of the rare label's rows is split off.
    #[test]
    fn sets_are_stratified_by_their_rarest_label() {
        let mut table = table((0..1000).collect(), |row| row as u32);
        let mut sets = LabelSets::default();
        for row in 0..1000 {
            // The label `a` in one row of ten, `b` in half of the rows.
            let a = (row % 10 == 0).then_some(0);
            let b = (row % 2 == 0).then_some(1);
            sets.push(a.into_iter().chain(b).collect());
        }
        table.label_sets = Some(sets);
        assert!(table.check_classes().is_ok());
        table.split(0.1, 3);
        let validation = table.of(Split::Validation);
        let with = |class: u32| {
            let has = |row: &&u32| table.classes_of(**row).contains(&class);
            validation.iter().filter(has).count()
        };
        assert_eq!((validation.len(), with(0), with(1)), (100, 10, 50));
    }

    /// With some seeds, the only row of the class with a weight was split off, and training failed.
    #[test]
    fn only_row_with_a_weight_stays_in_training() {
        // The first 30 of 60 rows have the class `a`, or the classes `a` and `b`.
        let mut table = table((0..60).collect(), |row| u32::from(row >= 30));
        table.weights = (0..60)
            .map(|row| f64::from(row == 7 || row >= 30))
            .collect();
        for several in [false, true] {
            if several {
                let mut sets = LabelSets::default();
                sets.push(vec![0, 1]);
                sets.push(vec![1]);
                table.label_sets = Some(sets);
            }
            for seed in 0..100 {
                table.splits = vec![Split::Train; 60];
                table.split(0.3, seed);
                assert!(table.check_classes().is_ok(), "{seed}");
                let validation = table.of(Split::Validation);
                assert_eq!(of_class(&table, &validation, 1), 9, "{seed}");
            }
        }
    }

    struct Nothing;

    impl Encode for Nothing {
        fn encode(&mut self, _: &str) {}
    }
}
