//! From the text of a regular expression to the steps of the virtual machine.

use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use super::{Assertion, Class, Item, Look, Set, Step};

/// Maximum number of steps: bounds time and memory of nested repetitions.
const MAX_STEPS: usize = 20_000;
/// Maximum number of nested groups.
const MAX_DEPTH: usize = 100;

/// A part of the expression.
#[derive(Default)]
struct Part {
    steps: Vec<Step>,
    /// Number of characters that it consumes, if that is fixed.
    width: Option<usize>,
    /// True if it may consume none.
    may_be_empty: bool,
}

impl Part {
    fn of(step: Step, width: usize) -> Self {
        Self {
            steps: vec![step],
            width: Some(width),
            may_be_empty: width == 0,
        }
    }
}

/// Compiles an expression; returns its steps and its number of groups.
pub(super) fn compile(source: &str) -> Result<(Vec<Step>, usize), String> {
    let mut parser = Parser {
        rest: source.chars().peekable(),
        groups: 0,
        depth: 0,
        ignore_case: false,
        multi_line: false,
        dot_all: false,
    };
    parser.flags()?;
    let mut part = parser.alternatives()?;
    if parser.rest.peek().is_some() {
        return Err("found `)` without `(`".to_owned());
    }
    part.steps.extend([Step::Save(1), Step::Match]);
    Ok((part.steps, parser.groups))
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    groups: usize,
    depth: usize,
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
}

impl Parser<'_> {
    fn take(&mut self, expected: char) -> bool {
        self.rest.next_if_eq(&expected).is_some()
    }

    fn required(&mut self, missing: &str) -> Result<char, String> {
        let next = self.rest.next();
        next.ok_or_else(|| format!("expected `{missing}`, found the end"))
    }

    /// Takes the rest's beginning if it is `expected`.
    fn take_all(&mut self, expected: &str) -> bool {
        let mut ahead = self.rest.clone();
        let found = expected.chars().all(|next| ahead.next() == Some(next));
        if found {
            self.rest = ahead;
        }
        found
    }

    /// Reads the flags at the beginning, such as `(?u)`.
    fn flags(&mut self) -> Result<(), String> {
        let mut ahead = self.rest.clone();
        let starts = ahead.next() == Some('(') && ahead.next() == Some('?');
        if !starts
            || !ahead
                .next()
                .is_some_and(|next| next.is_ascii_alphabetic() && next != 'P')
        {
            return Ok(());
        }
        self.take_all("(?");
        loop {
            match self.required(")")? {
                'i' => self.ignore_case = true,
                'm' => self.multi_line = true,
                's' => self.dot_all = true,
                'u' => {}
                ')' => return self.flags(),
                other => return Err(format!("the flag `{other}` is not supported")),
            }
        }
    }

    fn alternatives(&mut self) -> Result<Part, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("expected at most `{MAX_DEPTH}` nested groups"));
        }
        let mut branches = vec![self.sequence()?];
        while self.take('|') {
            branches.push(self.sequence()?);
        }
        self.depth -= 1;
        let last_first = branches.into_iter().rev();
        Ok(last_first
            .reduce(|rest, first| either(first, rest))
            .unwrap_or_default())
    }

    fn sequence(&mut self) -> Result<Part, String> {
        let mut sequence = Part {
            steps: Vec::new(),
            width: Some(0),
            may_be_empty: true,
        };
        while !matches!(self.rest.peek(), None | Some('|' | ')')) {
            let part = self.one()?;
            let part = self.repeated(part)?;
            sequence.steps.extend(part.steps);
            sequence.may_be_empty &= part.may_be_empty;
            sequence.width = sequence.width.zip(part.width).map(|(a, b)| a + b);
            if sequence.steps.len() > MAX_STEPS {
                return Err("the expression is too long, with its repetitions".to_owned());
            }
        }
        Ok(sequence)
    }

    /// Reads a character, a set, an assertion or a group.
    fn one(&mut self) -> Result<Part, String> {
        let assertion = |assertion| Ok(Part::of(Step::Assert(assertion), 0));
        if self.clone_counts()?.is_some() {
            return Err("found `{` with nothing to repeat".to_owned());
        }
        match self.required("a character")? {
            '(' => self.group(),
            '[' => self.set(),
            '.' if self.dot_all => Ok(self.of_items(Vec::new(), true)),
            '.' => Ok(self.of_items(vec![Item::Range('\n', '\n')], true)),
            '^' if self.multi_line => assertion(Assertion::LineStart),
            '^' => assertion(Assertion::Start),
            '$' if self.multi_line => assertion(Assertion::LineEnd),
            '$' => assertion(Assertion::LastLineEnd),
            found @ ('*' | '+' | '?') => Err(format!("found `{found}` with nothing to repeat")),
            '\\' => match self.rest.peek() {
                Some('A') => self.escaped_assertion(Assertion::Start),
                Some('Z') => self.escaped_assertion(Assertion::End),
                Some('b') => self.escaped_assertion(Assertion::Boundary),
                Some('B') => self.escaped_assertion(Assertion::NoBoundary),
                _ => {
                    let item = self.escape()?;
                    Ok(self.of_items(vec![item], false))
                }
            },
            other => Ok(self.of_items(vec![Item::Range(other, other)], false)),
        }
    }

    fn escaped_assertion(&mut self, assertion: Assertion) -> Result<Part, String> {
        self.rest.next();
        Ok(Part::of(Step::Assert(assertion), 0))
    }

    fn of_items(&self, items: Vec<Item>, negated: bool) -> Part {
        let set = Set {
            items,
            negated,
            ignore_case: self.ignore_case,
        };
        Part::of(Step::One(set), 1)
    }

    /// Reads the rest of a group, behind `(`.
    fn group(&mut self) -> Result<Part, String> {
        let looks = [
            ("?=", false, false),
            ("?!", false, true),
            ("?<=", true, false),
            ("?<!", true, true),
        ];
        let look = looks.into_iter().find(|(start, ..)| self.take_all(start));
        let captures = look.is_none() && !self.take_all("?:");
        if captures && self.take_all("?P<") {
            while self.required(">")? != '>' {}
        } else if captures && self.rest.peek() == Some(&'?') {
            let start: String = self.rest.clone().take(3).collect();
            return Err(format!("`({start}` is not supported"));
        }
        self.groups += usize::from(captures);
        let groups = self.groups;
        let mut part = self.alternatives()?;
        if !self.take(')') {
            return Err("expected `)`, found the end".to_owned());
        }
        if let Some((_, is_behind, negative)) = look {
            // Its matches are not kept.
            if self.groups > groups {
                return Err("a group in a lookaround is not supported".to_owned());
            }
            let behind = match is_behind {
                true => Some(part.width.ok_or("expected a fixed width in a lookbehind")?),
                false => None,
            };
            part.steps.push(Step::Match);
            let steps: Arc<[Step]> = part.steps.into();
            let look = Look {
                steps,
                behind,
                negative,
            };
            return Ok(Part::of(Step::Look(look), 0));
        }
        if captures {
            part.steps.insert(0, Step::Save(2));
            part.steps.push(Step::Save(3));
        }
        Ok(part)
    }

    /// Reads the rest of a set, behind `[`.
    fn set(&mut self) -> Result<Part, String> {
        let negated = self.take('^');
        let mut items = Vec::new();
        loop {
            let first = match self.required("]")? {
                // A set has at least one item, so this one is a character.
                ']' if !items.is_empty() => return Ok(self.of_items(items, negated)),
                '\\' => self.escape()?,
                other => Item::Range(other, other),
            };
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && !matches!(ahead.next(), None | Some(']'));
            if !is_range {
                items.push(first);
                continue;
            }
            self.rest.next();
            let last = match self.required("]")? {
                '\\' => self.escape()?,
                other => Item::Range(other, other),
            };
            match (first, last) {
                (Item::Range(first, _), Item::Range(_, last)) if first <= last => {
                    items.push(Item::Range(first, last));
                }
                (Item::Range(first, _), Item::Range(_, last)) => {
                    return Err(format!("the range `{first}-{last}` is empty"));
                }
                _ => return Err("a class such as `\\w` is not the end of a range".to_owned()),
            }
        }
    }

    /// Reads the rest of an escape, behind the backslash.
    fn escape(&mut self) -> Result<Item, String> {
        let escaped = self.required("a character")?;
        let character = match escaped {
            'w' => return Ok(Item::Class(Class::Word, false)),
            'W' => return Ok(Item::Class(Class::Word, true)),
            'd' => return Ok(Item::Class(Class::Digit, false)),
            'D' => return Ok(Item::Class(Class::Digit, true)),
            's' => return Ok(Item::Class(Class::Space, false)),
            'S' => return Ok(Item::Class(Class::Space, true)),
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'f' => '\x0c',
            'v' => '\x0b',
            'a' => '\x07',
            // In a set; outside it is an assertion.
            'b' => '\x08',
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'U' => self.hexadecimal(8)?,
            other if other.is_ascii_alphanumeric() => {
                return Err(format!("`\\{other}` is not supported"));
            }
            other => other,
        };
        Ok(Item::Range(character, character))
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<char, String> {
        let text: String = self.rest.by_ref().take(digits).collect();
        let code = u32::from_str_radix(&text, 16).ok();
        let code = code.filter(|_| text.len() == digits);
        let character = code.and_then(char::from_u32);
        character.ok_or_else(|| format!("`{text}` is not the hexadecimal code of a character"))
    }

    /// Reads the quantifier behind a part, and repeats it.
    fn repeated(&mut self, part: Part) -> Result<Part, String> {
        let (min, max) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            _ => match self.counts()? {
                Some(counts) => counts,
                None => return Ok(part),
            },
        };
        // The last character of the quantifier.
        self.rest.next();
        let is_lazy = self.take('?');
        let ahead = self.rest.peek().copied();
        if self.clone_counts()?.is_some() || matches!(ahead, Some('*' | '+' | '?')) {
            return Err("multiple repeat".to_owned());
        }
        // Python ends a repetition after a part that was empty, which this machine cannot.
        if part.may_be_empty && (min, max) != (0, Some(1)) {
            return Err("a part that may be empty cannot be repeated".to_owned());
        }
        if part
            .steps
            .len()
            .max(1)
            .saturating_mul(max.unwrap_or(min).max(1))
            > MAX_STEPS
        {
            return Err("the expression is too long, with its repetitions".to_owned());
        }
        let width = part
            .width
            .filter(|_| max == Some(min))
            .map(|width| width * min);
        Ok(Part {
            steps: repeat(&part.steps, min, max, is_lazy),
            width,
            may_be_empty: min == 0 || part.may_be_empty,
        })
    }

    /// Reads `{2}`, `{2,}`, `{,3}` or `{2,3}`, without the last brace; `None` for a brace that is a
    /// character.
    fn counts(&mut self) -> Result<Option<(usize, Option<usize>)>, String> {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('{') {
            return Ok(None);
        }
        let is_closed = ahead.clone().any(|next| next == '}');
        let inside: String = ahead.take_while(|&next| next != '}').collect();
        let (min, max) = inside
            .split_once(',')
            .unwrap_or((inside.as_str(), inside.as_str()));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_closed || inside.is_empty() || !is_number(min) || !is_number(max) {
            return Ok(None);
        }
        let number = |text: &str| {
            let number = text.parse::<usize>();
            number.map_err(|_| "the expression is too long, with its repetitions".to_owned())
        };
        let min = if min.is_empty() { 0 } else { number(min)? };
        let max = match max {
            "" => None,
            max => Some(number(max)?),
        };
        if max.is_some_and(|max| max < min) {
            return Err(format!("the repetition `{{{inside}}}` is empty"));
        }
        // All but the brace: the caller takes it.
        for _ in 0..=inside.len() {
            self.rest.next();
        }
        Ok(Some((min, max)))
    }

    /// As [`Self::counts`], without reading on.
    fn clone_counts(&mut self) -> Result<Option<(usize, Option<usize>)>, String> {
        let rest = self.rest.clone();
        let counts = self.counts();
        self.rest = rest;
        counts
    }
}

/// Returns the steps for `first|other`.
fn either(first: Part, other: Part) -> Part {
    let (length, rest) = (first.steps.len() as isize, other.steps.len() as isize);
    let mut steps = vec![Step::Split(1, length + 2)];
    steps.extend(first.steps);
    steps.push(Step::Jump(rest + 1));
    steps.extend(other.steps);
    let width = first.width.filter(|_| first.width == other.width);
    Part {
        steps,
        width,
        may_be_empty: first.may_be_empty || other.may_be_empty,
    }
}

/// Repeats steps at least `min` and at most `max` times.
fn repeat(part: &[Step], min: usize, max: Option<usize>, is_lazy: bool) -> Vec<Step> {
    let length = part.len() as isize;
    let split = |inside, outside| match is_lazy {
        true => Step::Split(outside, inside),
        false => Step::Split(inside, outside),
    };
    let mut steps: Vec<Step> = (0..min).flat_map(|_| part.iter().cloned()).collect();
    match max {
        // The last copy is the loop.
        None if min > 0 => steps.push(split(-length, 1)),
        None => {
            steps.push(split(1, length + 2));
            steps.extend_from_slice(part);
            steps.push(Step::Jump(-length - 1));
        }
        Some(max) => {
            for left in (0..max - min).rev() {
                // Each copy is inside of the one before.
                let outside = (length + 1) * (left as isize + 1);
                steps.push(split(1, outside));
                steps.extend_from_slice(part);
            }
        }
    }
    steps
}
