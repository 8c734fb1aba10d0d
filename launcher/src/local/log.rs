//! The job's log: its streams, line by line as they come, byte for byte, to standard error.

use std::io::{self, Write};

use super::words::Tail;

/// A line longer than this comes in pieces, between which the other stream's lines may stand: memory stays bounded.
const LONGEST: usize = 1024 * 1024;

/// One stream of the job. Two streams must not mix within a line, so each has its own.
#[derive(Debug)]
pub(super) struct Lines<W> {
    pending: Vec<u8>,
    out: W,
    tail: Tail,
}

impl Lines<io::Stderr> {
    /// A stream to our standard error, whose end is remembered.
    pub(super) fn to_stderr(tail: Tail) -> Self {
        Self::new(io::stderr(), tail)
    }
}

impl<W: Write> Lines<W> {
    fn new(out: W, tail: Tail) -> Self {
        Self {
            pending: Vec::new(),
            out,
            tail,
        }
    }

    /// Takes what came, and passes on what is whole.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.pending.split_off(end + 1);
            let whole = std::mem::replace(&mut self.pending, rest);
            self.pass(&whole);
        }
        if self.pending.len() >= LONGEST {
            let piece = std::mem::take(&mut self.pending);
            self.pass(&piece);
        }
    }

    /// The stream has ended: a last line without its end gets one.
    pub(super) fn finish(&mut self) {
        if !self.pending.is_empty() {
            let mut last = std::mem::take(&mut self.pending);
            last.push(b'\n');
            self.pass(&last);
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.tail.push(bytes);
        // One write, so that the other stream's lines stand before or after. A reader that has gone away must not end
        // the job.
        let _ = self.out.write_all(bytes);
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes what it is given as one piece.
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

    fn passed(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(Writes::default(), Tail::default());
        for piece in pieces {
            lines.push(piece);
        }
        lines.finish();
        lines.out.0
    }

    #[test]
    fn whole_lines_only() {
        assert_eq!(
            passed(&[b"a", b"b\nc", b"\n"]),
            [b"ab\n".to_vec(), b"c\n".to_vec()]
        );
        assert_eq!(passed(&[b"a\nb\nc"]), [b"a\nb\n".to_vec(), b"c\n".to_vec()]);
        assert_eq!(passed(&[b"\xff\x00\x1b"]), [b"\xff\x00\x1b\n".to_vec()]);
        assert!(passed(&[b""]).is_empty());
    }

    #[test]
    fn an_endless_line_is_passed_on_in_pieces() {
        let piece = vec![b'x'; 100_000];
        let written = passed(&vec![piece.as_slice(); 20]);
        assert!(written.len() > 1);
        assert!(written.iter().all(|bytes| bytes.len() < LONGEST + 100_001));
        assert_eq!(written.concat().len(), 2_000_001);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(pieces in proptest::collection::vec(proptest::collection::vec(0_u8..14, 0..9), 0..9)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let mut all = pieces.concat();
            if all.last().is_some_and(|last| *last != b'\n') {
                all.push(b'\n');
            }
            prop_assert_eq!(passed(&pieces).concat(), all);
        }
    }
}
