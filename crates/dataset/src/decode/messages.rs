//! Messages about rows that cannot be used or look wrong.

use diagnostics::{Place, Severity, sanitize};

use super::{Finding, Findings};
use crate::block::{Block, Record, column};
use crate::codes::{self, Code};
use crate::{ReadOptions, Source};

#[derive(Clone, Copy)]
pub(super) struct Reporter<'a> {
    pub(super) block: &'a Block,
    pub(super) sources: &'a [Source],
    pub(super) options: &'a ReadOptions,
}

impl Reporter<'_> {
    fn place(&self, record: &Record, at: u32) -> Place {
        let file = self
            .sources
            .get(self.block.source as usize)
            .map_or_else(String::new, |s| s.display.clone());
        let number = Some(u64::from(record.number));
        if record.line == 0 {
            return Place {
                file,
                line: None,
                column: None,
                record: number,
            };
        }
        let before = &self.block.bytes[record.start as usize..at as usize];
        let (line, column) = column(before, record.line);
        Place {
            file,
            line: Some(line),
            column: Some(column),
            record: number,
        }
    }

    /// Reports a malformed row: an error, or a warning with `--drop-malformed`.
    fn malformed(
        &self,
        code: &'static Code,
        findings: &mut Findings,
        found: impl FnOnce() -> Finding,
    ) {
        let dropped = self.options.drop_malformed;
        findings.add(code, severity(dropped), || {
            let mut found = found();
            found.help = match dropped {
                true => "dropped because of --drop-malformed".to_owned(),
                false => format!("{}, or pass --drop-malformed", found.help),
            };
            found
        });
    }

    fn missing(&self, code: &'static Code, record: &Record, at: u32, findings: &mut Findings) {
        let (dropped, kept) = (self.options.drop_missing, self.options.keep_blank);
        findings.add(code, severity(dropped || kept), || {
            let help = if dropped {
                "dropped because of --drop-missing"
            } else if kept {
                "read as an empty text; pass --drop-missing to leave {them} out"
            } else {
                "fix {them}, or pass --drop-missing"
            };
            Finding {
                message: code.meaning.to_owned(),
                place: Some(self.place(record, at)),
                help: help.to_owned(),
            }
        });
    }

    pub(super) fn no_text(&self, record: &Record, at: u32, findings: &mut Findings) {
        self.missing(&codes::NO_TEXT, record, at, findings);
    }

    pub(super) fn no_label(&self, record: &Record, at: u32, findings: &mut Findings) {
        self.missing(&codes::NO_LABEL, record, at, findings);
    }

    pub(super) fn unclosed(&self, record: &Record, quote: u32, findings: &mut Findings) {
        self.malformed(&codes::OPEN_QUOTE, findings, || Finding {
            message:
                "the quote opened here is never closed; the row extends to the end of the file"
                    .to_owned(),
            place: Some(self.place(record, quote)),
            help: "close {them}, or double quotes that are part of the text".to_owned(),
        });
    }

    pub(super) fn too_large(&self, record: &Record, at: u32, findings: &mut Findings) {
        let limit = self.options.max_record_bytes;
        // Cannot be dropped: the rest of the file was not read.
        findings.error(
            &codes::TOO_LARGE,
            format!("the record is larger than `{limit}` bytes; reading stopped here"),
            Some(self.place(record, at)),
            "check for a quote that is never closed".to_owned(),
        );
    }

    pub(super) fn field_count(
        &self,
        record: &Record,
        fields: u32,
        at: u32,
        findings: &mut Findings,
    ) {
        let expected = self.block.columns;
        self.malformed(&codes::FIELD_COUNT, findings, || {
            let unit = if fields == 1 { "field" } else { "fields" };
            let hint = if fields > expected {
                " (quote texts that contain the delimiter)"
            } else {
                ""
            };
            Finding {
                message: format!("row has `{fields}` {unit}, the header has `{expected}`"),
                place: Some(self.place(record, at)),
                help: format!("fix {{them}}{hint}"),
            }
        });
    }

    pub(super) fn not_utf8(&self, record: &Record, at: u32, findings: &mut Findings) {
        self.malformed(&codes::NOT_UTF8, findings, || {
            let place = Some(self.place(record, at));
            if let Some(encoding) = self.block.transcoded {
                let message = format!("the row is not valid {encoding}");
                return Finding {
                    message,
                    place,
                    help: "fix {them}, or pass the right encoding with --encoding".to_owned(),
                };
            }
            if record.line == 0 {
                let message = "the row is not valid UTF-8".to_owned();
                return Finding {
                    message,
                    place,
                    help: "rewrite {them} as UTF-8".to_owned(),
                };
            }
            let byte = self.block.bytes[at as usize];
            let offset = self.block.offset + u64::from(at);
            let file = if self.block.compressed {
                "uncompressed file"
            } else {
                "file"
            };
            let message = format!(
                "byte `0x{byte:02x}` at offset `{offset}` of the {file} is not valid UTF-8"
            );
            let help = "save the file as UTF-8, or pass its encoding, such as --encoding latin-1"
                .to_owned();
            Finding {
                message,
                place,
                help,
            }
        });
    }

    pub(super) fn stray(&self, record: &Record, at: u32, findings: &mut Findings) {
        findings.add(&codes::TEXT_AFTER_QUOTE, Severity::Warning, || Finding {
            message: "there is text after the closing quote here".to_owned(),
            place: Some(self.place(record, at)),
            help:
                "check whether rows were joined; quotes that are part of the text must be doubled"
                    .to_owned(),
        });
    }

    pub(super) fn not_json(
        &self,
        record: &Record,
        error: &serde_json::Error,
        findings: &mut Findings,
    ) {
        self.malformed(&codes::NOT_JSON, findings, || {
            // The parser's place is relative to the line.
            let text = error.to_string();
            let reason = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(reason, _)| reason);
            let length = u64::from(record.end - record.start);
            let mut place = self.place(record, record.start);
            place.column = Some((error.column() as u64).clamp(1, length + 1));
            let help = "write one JSON object per line".to_owned();
            Finding {
                message: format!("the line is not a JSON object: {}", shorten(reason)),
                place: Some(place),
                help,
            }
        });
    }

    pub(super) fn wrong_type(
        &self,
        record: &Record,
        column: &str,
        kind: &str,
        expected: &str,
        findings: &mut Findings,
    ) {
        self.malformed(&codes::WRONG_TYPE, findings, || Finding {
            message: format!("expected `{column}` to be {expected}, found {kind}"),
            place: Some(self.place(record, record.start)),
            help: "fix {them}, or pass another column".to_owned(),
        });
    }
}

/// Shortens a parser's message: it may quote a whole text.
fn shorten(reason: &str) -> String {
    const MAX_CHARS: usize = 80;
    match reason.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", sanitize(&reason[..end])),
        None => sanitize(reason).into_owned(),
    }
}

fn severity(dropped: bool) -> Severity {
    if dropped {
        Severity::Warning
    } else {
        Severity::Error
    }
}
