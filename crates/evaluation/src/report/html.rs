//! Builds a page in which text cannot become markup.

use std::fmt::{self, Display, Write};

/// Markup is added as `&'static str`, a literal of this crate; everything else is escaped.
pub(super) struct Html {
    out: String,
}

/// Markup of a plot.
pub(super) struct Svg(String);

impl Svg {
    /// Takes markup that a plotting library drew.
    pub(super) fn drawn(markup: String) -> Self {
        Self(markup)
    }
}

impl Html {
    pub(super) fn new() -> Self {
        Self {
            out: String::with_capacity(64 * 1024),
        }
    }

    /// Adds markup.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.out.push_str(markup);
        self
    }

    /// Adds text, as content or as the value of a quoted attribute.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a String cannot fail; a Display that reports an error leaves its text short.
        let _ = write!(Escape(&mut self.out), "{text}");
        self
    }

    /// Adds text between two pieces of markup.
    pub(super) fn wrap(
        &mut self,
        open: &'static str,
        text: impl Display,
        close: &'static str,
    ) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// Adds a plot and makes its ids unique in the page.
    pub(super) fn svg(&mut self, svg: &Svg) -> &mut Self {
        let unique = format!("clip-{:x}-", self.out.len());
        self.out.push_str(&svg.0.replace("kuva-clip-", &unique));
        self
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

/// Escapes HTML and replaces control characters, which HTML forbids.
struct Escape<'a>(&'a mut String);

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_element_or_attribute() {
        let mut page = Html::new();
        page.wrap("<a title=\"", "\"'><script>&\0\x1b[1m", "\">");
        let expected = "<a title=\"&quot;&#39;&gt;&lt;script&gt;&amp;\u{fffd}\u{fffd}[1m\">";
        assert_eq!(page.finish(), expected);
    }
}
