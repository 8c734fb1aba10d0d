//! Lists of wrong or suspicious rows.

use super::format::{count, percent, short, split_text};
use super::html::Html;
use super::input::RowExample;

/// Maximum characters shown at once, and maximum of those that can be unfolded.
const MAX_SHOWN: usize = 600;
const MAX_FOLDED: usize = 20_000;

/// Minimum length of a rest that is folded.
const MIN_FOLDED_BYTES: usize = 100;

/// Title and content of a list.
pub(super) struct Titles {
    open: &'static str,
    order: &'static str,
}

pub(super) const WORST: Titles = Titles {
    open: "<section id=\"worst\"><h2>Worst errors</h2>",
    order: "wrong predictions",
};

pub(super) const SUSPECTS: Titles = Titles {
    open: "<section id=\"suspects\"><h2>Likely mislabelled</h2>",
    order: "training rows whose label is not the prediction",
};

/// `several`: rows may have several labels.
pub(super) fn section(page: &mut Html, titles: &Titles, rows: &[RowExample], several: bool) {
    if rows.is_empty() {
        return;
    }
    page.raw(titles.open);
    page.raw("<p class=\"quiet\">").raw(titles.order);
    page.raw(match rows[0].probability {
        Some(_) => ", highest probability of the prediction first</p>",
        None if several => {
            ", largest score of a wrong or missing label first, without its sign</p>"
        }
        None => {
            ", largest margin first: decision value of the prediction minus that of the label</p>"
        }
    });
    let score_name = if several { "score " } else { "margin " };
    for row in rows {
        article(page, row, score_name);
    }
    page.raw("</section>");
}

fn article(page: &mut Html, row: &RowExample, score_name: &'static str) {
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
    page.raw("<span class=\"quiet\">");
    match row.probability {
        Some(probability) => page.wrap("probability ", percent(probability, 1), ""),
        None => page.wrap(score_name, format_args!("{:.3}", row.score), ""),
    };
    page.raw("</span></header>");

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
