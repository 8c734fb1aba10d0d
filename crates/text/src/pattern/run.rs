//! Pike's virtual machine: all threads go through the text together, in order of preference.

use super::{Assertion, Look, Step};
use crate::characters::is_word;

/// Positions that [`Step::Save`] saves.
type Slots = [usize; 4];

/// Buffers of [`find`].
#[derive(Default)]
pub(crate) struct Buffers {
    current: Threads,
    next: Threads,
    stack: Vec<(usize, Slots)>,
}

/// Threads at one position, most preferred first.
#[derive(Default)]
struct Threads {
    list: Vec<(usize, Slots)>,
    /// Mark of the last position at which a thread was at the step.
    seen: Vec<u64>,
    mark: u64,
}

impl Threads {
    fn clear(&mut self, steps: usize) {
        self.list.clear();
        self.seen.resize(steps, 0);
        self.mark += 1;
    }
}

/// True if the beginning of the text matches, which may be empty.
pub(super) fn is_start(steps: &[Step], text: &str) -> bool {
    search(steps, &mut Buffers::default(), text, 0, true).is_some()
}

/// Returns the leftmost match that starts at `from` or later and is not empty: of several, the
/// preferred one.
pub(super) fn find(
    steps: &[Step],
    buffers: &mut Buffers,
    text: &str,
    from: usize,
) -> Option<Slots> {
    search(steps, buffers, text, from, false)
}

fn search(
    steps: &[Step],
    buffers: &mut Buffers,
    text: &str,
    from: usize,
    anchored: bool,
) -> Option<Slots> {
    let Buffers {
        current,
        next,
        stack,
    } = buffers;
    let mut found = None;
    let mut at = from;
    current.clear(steps.len());
    loop {
        if found.is_none() && (at == from || !anchored) {
            stack.push((0, [at; 4]));
            follow(steps, current, stack, text, at);
        }
        let character = text[at..].chars().next();
        let after = at + character.map_or(0, char::len_utf8);
        next.clear(steps.len());
        for &(step, slots) in &current.list {
            match &steps[step] {
                Step::Match if anchored || at > slots[0] => {
                    found = Some(slots);
                    break;
                }
                Step::One(set) if character.is_some_and(|character| set.has(character)) => {
                    stack.push((step + 1, slots));
                    follow(steps, next, stack, text, after);
                }
                _ => {}
            }
        }
        let is_over = next.list.is_empty() && (found.is_some() || anchored);
        if is_over || character.is_none() {
            return found;
        }
        std::mem::swap(current, next);
        at = after;
    }
}

/// Adds the threads on the stack to `threads`, each at its next character.
fn follow(
    steps: &[Step],
    threads: &mut Threads,
    stack: &mut Vec<(usize, Slots)>,
    text: &str,
    at: usize,
) {
    while let Some((step, mut slots)) = stack.pop() {
        if std::mem::replace(&mut threads.seen[step], threads.mark) == threads.mark {
            continue;
        }
        match &steps[step] {
            Step::One(_) | Step::Match => threads.list.push((step, slots)),
            Step::Jump(distance) => stack.push((step.wrapping_add_signed(*distance), slots)),
            Step::Split(first, second) => {
                stack.push((step.wrapping_add_signed(*second), slots));
                stack.push((step.wrapping_add_signed(*first), slots));
            }
            Step::Save(slot) => {
                slots[*slot] = at;
                stack.push((step + 1, slots));
            }
            Step::Assert(assertion) if assertion.holds(text, at) => stack.push((step + 1, slots)),
            Step::Look(look) if look.holds(text, at) => stack.push((step + 1, slots)),
            Step::Assert(_) | Step::Look(_) => {}
        }
    }
}

impl Assertion {
    fn holds(self, text: &str, at: usize) -> bool {
        let (before, after) = text.split_at(at);
        let is_boundary = || {
            before.chars().next_back().is_some_and(is_word)
                != after.chars().next().is_some_and(is_word)
        };
        match self {
            Self::Start => before.is_empty(),
            Self::End => after.is_empty(),
            Self::LastLineEnd => matches!(after, "" | "\n"),
            Self::LineStart => before.is_empty() || before.ends_with('\n'),
            Self::LineEnd => after.is_empty() || after.starts_with('\n'),
            Self::Boundary => is_boundary(),
            Self::NoBoundary => !is_boundary(),
        }
    }
}

impl Look {
    fn holds(&self, text: &str, at: usize) -> bool {
        let start = match self.behind {
            None | Some(0) => Some(at),
            Some(count) => {
                let back = text[..at].char_indices().rev().nth(count - 1);
                back.map(|(start, _)| start)
            }
        };
        let matches = |start| {
            // Most are one set of characters.
            if let [Step::One(set), Step::Match] = &*self.steps {
                return text[start..]
                    .chars()
                    .next()
                    .is_some_and(|next| set.has(next));
            }
            search(&self.steps, &mut Buffers::default(), text, start, true).is_some()
        };
        start.is_some_and(matches) != self.negative
    }
}
