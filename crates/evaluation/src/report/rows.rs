//! Rows of the data that deserve a look.

use super::format::{count, cut, percent, short};
use super::html::Html;
use super::input::RowExample;

/// Characters shown at once, and those that can be unfolded: one row may be a whole book.
const SHOWN: usize = 600;
const FOLDED: usize = 20_000;

/// Bytes that are not worth a click.
const SHORT_REST: usize = 100;

/// What a list of rows is called.
pub(super) struct Titles {
    open: &'static str,
    note: &'static str,
}

pub(super) const WORST: Titles = Titles {
    open: "<section id=\"worst\"><h2>Worst errors</h2>",
    note: "<p class=\"quiet\">wrong predictions that the model was surest of</p>",
};

pub(super) const SUSPECTS: Titles = Titles {
    open: "<section id=\"suspects\"><h2>Likely mislabelled</h2>",
    note: "<p class=\"quiet\">rows whose label the model doubts most</p>",
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

    let (head, rest) = match cut(&row.text, SHOWN) {
        (_, rest) if rest.len() < SHORT_REST => (row.text.as_str(), ""),
        parts => parts,
    };
    page.raw("<p class=\"sample\" dir=\"auto\">").text(head);
    if rest.is_empty() {
        page.raw("</p></article>");
        return;
    }
    page.raw("\u{2026}</p>");
    let (rest, hidden) = cut(rest, FOLDED);
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
