//! JSON arrays: a record is an element, over any number of lines.

use crate::delimited::{RecordSpan, Step, lines};

/// Reads the elements of one array or several.
#[derive(Default)]
pub(super) struct Array {
    /// True between `[` and `]`.
    pub(super) is_open: bool,
}

impl Array {
    /// Finds the next element, which may be any JSON value.
    pub(super) fn step(&mut self, bytes: &[u8], from: usize, complete: bool) -> Step {
        let (mut start, mut is_open) = (from, self.is_open);
        loop {
            match bytes.get(start) {
                Some(b'[') if !is_open => is_open = true,
                Some(b']') if is_open => is_open = false,
                Some(b',') if is_open => {}
                Some(byte) if byte.is_ascii_whitespace() => {}
                Some(_) => break,
                None => {
                    self.is_open = is_open;
                    // A carriage return may be half of a line end, which is counted once.
                    let half = !complete && start > from && bytes[start - 1] == b'\r';
                    return Step::End {
                        next: start - usize::from(half),
                    };
                }
            }
            start += 1;
        }
        let end = match value_end(bytes, start) {
            Some(end) => end,
            None if complete => bytes.len(),
            None => return Step::More { start },
        };
        self.is_open = is_open;
        Step::Record(RecordSpan {
            start,
            end,
            next: end,
            lines_before: lines(&bytes[from..start]),
            lines: lines(&bytes[start..end]),
            malformed: None,
        })
    }
}

/// Returns the end of the value at `from`; `None` if it goes on after `bytes`.
fn value_end(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => {
                return Some(at + usize::from(depth == 1 || at == from));
            }
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return Some(at.max(from + 1)),
            byte if depth == 0 && byte.is_ascii_whitespace() => return Some(at),
            _ => {}
        }
    }
    None
}
