//! Passes the job's log to standard error, byte for byte and in whole lines. Lines about files that
//! are removed with the job are left out.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes at the end of the log that are kept.
const TAIL_BYTES: usize = 64 * 1024;

/// Longer lines are written in pieces, so that memory stays bounded. Lines of the other stream may
/// come between them.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// One stream of the job. Each stream has its own, so that lines do not mix.
#[derive(Debug)]
pub(super) struct LineWriter<W> {
    pending: Vec<u8>,
    out: W,
    tail: LogTail,
    /// Beginnings of lines that are left out.
    left_out: Vec<String>,
}

impl LineWriter<io::Stderr> {
    /// Writes to standard error and keeps the end in `tail`.
    pub(super) fn to_stderr(tail: LogTail) -> Self {
        Self::new(io::stderr(), tail)
    }
}

impl<W: Write> LineWriter<W> {
    fn new(out: W, tail: LogTail) -> Self {
        Self {
            pending: Vec::new(),
            out,
            tail,
            left_out: Vec::new(),
        }
    }

    /// Leaves out lines with one of these beginnings.
    pub(super) fn leave_out(mut self, beginnings: Vec<String>) -> Self {
        self.left_out = beginnings;
        self
    }

    /// Appends bytes, and writes the lines that are complete.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.pending.split_off(end + 1);
            let whole = std::mem::replace(&mut self.pending, rest);
            self.write(&whole);
        }
        if self.pending.len() >= MAX_LINE_BYTES {
            let piece = std::mem::take(&mut self.pending);
            self.write(&piece);
        }
    }

    /// Writes the last line, with a line break, at the end of the stream.
    pub(super) fn finish(&mut self) {
        if !self.pending.is_empty() {
            let mut last = std::mem::take(&mut self.pending);
            last.push(b'\n');
            self.write(&last);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let is_left_out = |line: &[u8]| {
            let mut beginnings = self.left_out.iter();
            beginnings.any(|beginning| line.starts_with(beginning.as_bytes()))
        };
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let kept: Vec<&[u8]> = lines.filter(|line| !is_left_out(line)).collect();
        let bytes = kept.concat();
        if bytes.is_empty() {
            return;
        }
        self.tail.push(&bytes);
        // One write, so that lines of the other stream come before or after.
        // Best effort: a broken pipe must not end the job.
        let _ = self.out.write_all(&bytes);
        let _ = self.out.flush();
    }
}

/// The end of the log of both streams.
#[derive(Debug, Clone, Default)]
pub(super) struct LogTail(Arc<Mutex<Vec<u8>>>);

impl LogTail {
    /// Appends whole lines.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(lines);
        // Rarely, since it moves the rest.
        if kept.len() > 2 * TAIL_BYTES {
            let old = kept.len() - TAIL_BYTES;
            kept.drain(..old);
        }
    }

    /// True if the log's end has the line, or the line after `error: `.
    pub(super) fn contains_line(&self, line: &str) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line.trim();
        let text = String::from_utf8_lossy(&kept);
        // Whole lines: the text `1` must not match a line that contains it.
        let mut lines = text.lines().map(str::trim);
        !line.is_empty()
            && lines.any(|found| found == line || found.strip_prefix("error: ") == Some(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records each write.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = LineWriter::new(Writes::default(), LogTail::default());
        for piece in pieces {
            lines.push(piece);
        }
        lines.finish();
        lines.out.0
    }

    #[test]
    fn writes_whole_lines_only() {
        assert_eq!(
            written(&[b"a", b"b\nc", b"\n"]),
            [b"ab\n".to_vec(), b"c\n".to_vec()]
        );
        assert_eq!(
            written(&[b"a\nb\nc"]),
            [b"a\nb\n".to_vec(), b"c\n".to_vec()]
        );
        assert_eq!(written(&[b"\xff\x00\x1b"]), [b"\xff\x00\x1b\n".to_vec()]);
        assert!(written(&[b""]).is_empty());
    }

    #[test]
    fn lines_about_removed_files_are_left_out() {
        let mut lines = LineWriter::new(Writes::default(), LogTail::default())
            .leave_out(vec!["model: /tmp/x/".to_owned()]);
        lines.push(b"a\nmodel: /tmp/x/model\nmodel: /data\n");
        lines.push(b"model: /tmp/x/model\n");
        lines.finish();
        assert_eq!(lines.out.0, [b"a\nmodel: /data\n".to_vec()]);
    }

    #[test]
    fn endless_line_is_written_in_pieces() {
        let piece = vec![b'x'; 100_000];
        let writes = written(&vec![piece.as_slice(); 20]);
        assert!(writes.len() > 1);
        assert!(
            writes
                .iter()
                .all(|bytes| bytes.len() < MAX_LINE_BYTES + 100_001)
        );
        assert_eq!(writes.concat().len(), 2_000_001);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(pieces in proptest::collection::vec(proptest::collection::vec(0_u8..14, 0..9), 0..9)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let mut all = pieces.concat();
            if all.last().is_some_and(|last| *last != b'\n') {
                all.push(b'\n');
            }
            prop_assert_eq!(written(&pieces).concat(), all);
        }
    }
}
