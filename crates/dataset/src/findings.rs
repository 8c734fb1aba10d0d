//! Findings, counted by code; the first few of each code are stored.

use std::collections::BTreeMap;
use std::fmt;

use diagnostics::{Diagnostic, Place, Severity};

use crate::codes::Code;

/// Text and place of a finding. `{them}` in `help` becomes "it" or "them", depending on the count.
pub(super) struct Finding {
    pub(super) message: String,
    pub(super) place: Option<Place>,
    pub(super) help: String,
}

#[derive(Clone, Debug)]
struct Entry {
    unit: &'static str,
    count: u64,
    first: Vec<Diagnostic>,
}

/// All findings of a run. Memory is bounded: only the first few of each kind are stored.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Number of findings of each kind to store.
    limit: usize,
    entries: BTreeMap<(&'static str, Severity), Entry>,
}

impl Default for Findings {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Findings {
    /// Stores the first `limit` findings of each kind (at least one) and counts the others.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            entries: BTreeMap::new(),
        }
    }

    /// Counts a finding; calls `found` only if the finding is stored.
    pub(super) fn add(
        &mut self,
        code: &'static Code,
        severity: Severity,
        found: impl FnOnce() -> Finding,
    ) {
        let entry = self.entry(code.id, severity, code.unit);
        entry.0.count += 1;
        if entry.0.first.len() < entry.1 {
            let Finding {
                message,
                place,
                help,
            } = found();
            entry.0.first.push(Diagnostic {
                severity,
                code: code.id,
                message,
                place,
                help,
            });
        }
    }

    /// Counts `count` findings of which one message tells; none for a `count` of 0.
    pub(super) fn add_many(
        &mut self,
        code: &'static Code,
        severity: Severity,
        count: u64,
        found: impl FnOnce() -> Finding,
    ) {
        if count > 0 {
            self.add(code, severity, found);
            self.entry(code.id, severity, code.unit).0.count += count - 1;
        }
    }

    /// Counts an error about a whole file or data set.
    pub(super) fn error(
        &mut self,
        code: &'static Code,
        message: String,
        place: Option<Place>,
        help: String,
    ) {
        self.add(code, Severity::Error, || Finding {
            message,
            place,
            help,
        });
    }

    fn entry(
        &mut self,
        id: &'static str,
        severity: Severity,
        unit: &'static str,
    ) -> (&mut Entry, usize) {
        let new = || Entry {
            unit,
            count: 0,
            first: Vec::new(),
        };
        (
            self.entries.entry((id, severity)).or_insert_with(new),
            self.limit,
        )
    }

    /// Adds later findings; returns those that are stored.
    pub fn merge(&mut self, later: Findings) -> Vec<Diagnostic> {
        let mut kept = Vec::new();
        for ((id, severity), from) in later.entries {
            let (entry, limit) = self.entry(id, severity, from.unit);
            entry.count += from.count;
            for diagnostic in from
                .first
                .into_iter()
                .take(limit.saturating_sub(entry.first.len()))
            {
                kept.push(with_singular_help(&diagnostic));
                entry.first.push(diagnostic);
            }
        }
        kept
    }

    /// Removes the findings of a code, and returns them.
    pub(super) fn take(&mut self, code: &Code) -> Self {
        let entries = std::mem::take(&mut self.entries).into_iter();
        let (taken, rest) = entries.partition(|((id, _), _)| *id == code.id);
        self.entries = rest;
        Self {
            limit: self.limit,
            entries: taken,
        }
    }

    /// Takes the options that drop rows out of the help of errors: no rows would be left.
    pub(super) fn drop_no_rows(&mut self) {
        for diagnostic in self.entries.values_mut().flat_map(|entry| &mut entry.first) {
            if let Some(end) = diagnostic.help.find(", or pass --drop-") {
                diagnostic.help.truncate(end);
            }
        }
    }

    /// Returns one message per kind: the first finding, with the count.
    pub fn iter(&self) -> impl Iterator<Item = Diagnostic> {
        self.entries.values().map(Entry::summary)
    }

    /// Returns the errors of [`Findings::iter`].
    pub fn errors(&self) -> impl Iterator<Item = Diagnostic> {
        self.iter().filter(|d| d.severity == Severity::Error)
    }

    /// Returns the warnings of [`Findings::iter`].
    pub fn warnings(&self) -> impl Iterator<Item = Diagnostic> {
        self.iter().filter(|d| d.severity == Severity::Warning)
    }

    /// True if there are errors.
    pub fn has_errors(&self) -> bool {
        self.entries
            .keys()
            .any(|(_, severity)| *severity == Severity::Error)
    }

    /// True if there are no findings.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of findings with this code, warnings and errors together.
    pub fn count(&self, code: &Code) -> u64 {
        self.entries
            .iter()
            .filter(|((id, _), _)| *id == code.id)
            .map(|(_, entry)| entry.count)
            .sum()
    }

    /// Returns the number of findings by code and severity.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, Severity, u64)> {
        self.entries
            .iter()
            .map(|((id, severity), entry)| (*id, *severity, entry.count))
    }

    /// Number of findings of each kind that are stored.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

impl Entry {
    fn summary(&self) -> Diagnostic {
        let mut diagnostic = with_singular_help(&self.first[0]);
        let (count, unit) = (self.count, self.unit);
        if count > 1 {
            let help = self.first[0].help.replace("{them}", "them");
            diagnostic.help = format!("{count} such {unit}s; {help}");
        } else if unit == "row" {
            diagnostic.help = format!("1 such row; {}", diagnostic.help);
        }
        diagnostic
    }
}

fn with_singular_help(diagnostic: &Diagnostic) -> Diagnostic {
    Diagnostic {
        help: diagnostic.help.replace("{them}", "it"),
        ..diagnostic.clone()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Errors first, so that the cause is at the start.
        let sorted = self.errors().chain(self.warnings());
        for (index, diagnostic) in sorted.enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        Ok(())
    }
}
