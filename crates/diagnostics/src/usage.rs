//! Errors of a command line, from clap's text.

use crate::Error;

/// Help for a wrong command line that has no better one.
pub const ALL_OPTIONS: &str = "run with --help for all options";

/// Converts clap's rendered error to the form of all other messages: the first paragraph, with
/// values in backticks.
pub fn usage_error(rendered: &str) -> Error {
    let first = rendered.trim().split("\n\n").next().unwrap_or_default();
    let message: Vec<&str> = first.lines().map(str::trim).collect();
    let message = message.join(" ");
    Error::usage(backticks(
        message.strip_prefix("error: ").unwrap_or(&message),
    ))
}

/// Returns clap's tips, each a help line, with values in backticks.
pub fn tips(rendered: &str) -> impl Iterator<Item = String> {
    let lines = rendered.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix("tip: "))
        .map(backticks)
}

/// Replaces 'value' by `value`; an apostrophe inside a word stays.
fn backticks(text: &str) -> String {
    let is_letter = |at: Option<&char>| at.is_some_and(|at| at.is_alphanumeric());
    let letters: Vec<char> = text.chars().collect();
    let replace = |(index, &c): (usize, &char)| {
        let inside =
            index > 0 && is_letter(letters.get(index - 1)) && is_letter(letters.get(index + 1));
        if c == '\'' && !inside { '`' } else { c }
    };
    letters.iter().enumerate().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_paragraph_is_the_message_and_each_tip_a_help_line() {
        let rendered = "error: unexpected argument '--a' found in don't.csv\n\n  \
                        tip: a similar argument exists: '--b'\n  \
                        tip: to pass '--a' as a value, use '-- --a'\n\n\
                        Usage: svm [OPTIONS]\n";
        assert_eq!(
            tips(rendered)
                .fold(usage_error(rendered), Error::help)
                .to_string(),
            "error: unexpected argument `--a` found in don't.csv\n  \
             help: a similar argument exists: `--b`\n  \
             help: to pass `--a` as a value, use `-- --a`"
        );
    }

    #[test]
    fn lines_of_the_message_are_joined() {
        let rendered = "error: these are missing:\n  --data <data>\n\nUsage: svm\n";
        assert_eq!(
            usage_error(rendered).to_string(),
            "error: these are missing: --data <data>"
        );
    }
}
