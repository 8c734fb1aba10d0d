//! Lists of wrong or suspicious rows.

use super::format::{count, percent, short, split_text};
use super::html::Html;
use super::input::RowExample;

/// Maximum characters shown at once, and maximum of those that can be unfolded.
const MAX_SHOWN: usize = 600;
const MAX_FOLDED: usize = 20_000;

/// Minimum length of a rest that is folded.
const MIN_FOLDED_BYTES: usize = 100;

/// Title and note of a list.
pub(super) struct Titles {
    open: &'static str,
    note: &'static str,
}

pub(super) const WORST: Titles = Titles {
    open: "<section id=\"worst\"><h2>Worst errors</h2>",
    note: "<p class=\"quiet\">wrong predictions with the highest confidence</p>",
};

pub(super) const SUSPECTS: Titles = Titles {
    open: "<section id=\"suspects\"><h2>Likely mislabelled</h2>",
    note: "<p class=\"quiet\">training rows that the model contradicts most</p>",
};

pub(super) fn section(page: &mut Html, titles: &Titles, rows: &[RowExample]) {
    if rows.is_empty() {
        return;
    }
    page.raw(titles.open).raw(titles.note);
    for row in rows {
        article(page, row);
    }
    page.raw("</section>");
}

fn article(page: &mut Html, row: &RowExample) {
    page.wrap(
        "<article><header><code>",
        short(&row.place, 200),
        "</code> labelled ",
    );
    page.wrap(
        "<span class=\"chip label\">",
        short(&row.label, 60),
        "</span> predicted ",
    );
    page.wrap(
        "<span class=\"chip label\">",
        short(&row.predicted, 60),
        "</span> ",
    );
    if let Some(probability) = row.probability {
        page.wrap(
            "<span class=\"quiet\">probability ",
            percent(probability, 1),
            "</span> ",
        );
    }
    page.wrap(
        "<span class=\"quiet\">score ",
        format_args!("{:.3}", row.score),
        "</span>",
    );
    page.raw("</header>");

    let (head, rest) = match split_text(&row.text, MAX_SHOWN) {
        (_, rest) if rest.len() < MIN_FOLDED_BYTES => (row.text.as_str(), ""),
        parts => parts,
    };
    page.raw("<p class=\"sample\" dir=\"auto\">").text(head);
    if rest.is_empty() {
        page.raw("</p></article>");
        return;
    }
    page.raw("\u{2026}</p>");
    let (rest, hidden) = split_text(rest, MAX_FOLDED);
    let length = count(rest.chars().count() as u64);
    page.wrap("<details><summary>", length, " more characters</summary>");
    page.wrap("<p class=\"sample\" dir=\"auto\">", rest, "</p>");
    if !hidden.is_empty() {
        let length = count(hidden.chars().count() as u64);
        page.wrap(
            "<p class=\"quiet\">and ",
            length,
            " more, in the file only</p>",
        );
    }
    page.raw("</details></article>");
}
