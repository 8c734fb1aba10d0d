//! Records in which a byte makes the next one part of the text, as MySQL writes them.

use super::{Malformed, RecordSpan, Shape, Splitter, Step, field, line_end, lines};

/// A field that is being read.
struct Open {
    /// Offset of its first byte, in the block.
    at: usize,
    /// Offset of its content in the buffer for unescaped bytes.
    content: usize,
    quotes: Quotes,
    /// True if the content differs from the bytes of the block.
    is_changed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Open,
    /// Offset of the closing quote.
    Closed(usize),
}

impl Open {
    fn new(at: usize, content: usize) -> Self {
        Self {
            at,
            content,
            quotes: Quotes::None,
            is_changed: false,
        }
    }
}

impl Splitter {
    /// Splits the record at `start` as Python's `csv` module does with an `escapechar`. `\N` stays
    /// as it is: it is the NULL of MySQL.
    pub(super) fn escaped(
        &mut self,
        bytes: &[u8],
        (start, lines_before): (usize, u64),
        complete: bool,
        escape: u8,
        unescaped: &mut Vec<u8>,
    ) -> Step {
        let mark = unescaped.len();
        let mut open = Open::new(start, mark);
        let (mut at, mut stray) = (start, None);
        while let Some(&byte) = bytes.get(at) {
            let next = bytes.get(at + 1).copied();
            let is_quote = byte == b'"' && self.quoted;
            let needs_next = byte == escape || is_quote && open.quotes == Quotes::Open;
            if needs_next
                && matches!(next, None | Some(b'\r'))
                && at + 2 >= bytes.len()
                && !complete
            {
                unescaped.truncate(mark);
                return self.more(start, open.at);
            }
            let is_outside = open.quotes != Quotes::Open;
            if is_outside && byte == self.delimiter {
                self.close(&open, at, bytes, escape, unescaped);
                open = Open::new(at + 1, unescaped.len());
                at += 1;
                continue;
            }
            if is_outside && matches!(byte, b'\r' | b'\n') {
                break;
            }
            if let Quotes::Closed(quote) = open.quotes {
                open.is_changed = true;
                stray = stray.or(Some(Malformed::Stray(quote as u32)));
            }
            // Bytes that are left out, then bytes that are kept.
            let (skipped, kept) = match next {
                Some(_) if byte == escape => {
                    let is_line_end = bytes[at + 1..].starts_with(b"\r\n");
                    (1, 1 + usize::from(is_line_end))
                }
                Some(b'"') if is_quote && !is_outside => (1, 1),
                _ if is_quote && !is_outside => {
                    open.quotes = Quotes::Closed(at);
                    (1, 0)
                }
                _ if is_quote && at == open.at => {
                    open.quotes = Quotes::Open;
                    (1, 0)
                }
                _ => (0, 1),
            };
            let from = at + skipped;
            at = from + kept;
            unescaped.extend_from_slice(&bytes[from..at]);
            open.is_changed |= skipped > 0 && kept > 0;
        }
        let Some(next) = line_end(bytes, at, complete) else {
            unescaped.truncate(mark);
            return self.more(start, open.at);
        };
        let unclosed = (open.quotes == Quotes::Open).then_some(Malformed::Unclosed(open.at as u32));
        self.close(&open, at, bytes, escape, unescaped);
        Step::Record(RecordSpan {
            start,
            end: at,
            next,
            lines_before,
            lines: lines(&bytes[start..at]) + 1,
            malformed: unclosed.or(stray),
        })
    }

    /// Adds the field that ends at `end`.
    fn close(
        &mut self,
        open: &Open,
        end: usize,
        bytes: &[u8],
        escape: u8,
        unescaped: &mut Vec<u8>,
    ) {
        let is_null = bytes[open.at..end] == [escape, b'N'] && escape == b'\\';
        if open.is_changed && !is_null {
            let end = unescaped.len();
            self.fields
                .push(field(open.content, end, open.at, Shape::Unescaped));
            return;
        }
        unescaped.truncate(open.content);
        self.fields.push(match open.quotes {
            Quotes::None => field(open.at, end, open.at, Shape::Plain),
            Quotes::Open => field(open.at + 1, end, open.at, Shape::Plain),
            Quotes::Closed(quote) => field(open.at + 1, quote, open.at, Shape::Plain),
        });
    }
}
