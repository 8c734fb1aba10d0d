//! The strongest words of each class, as bars.

use super::format::{count, short};
use super::html::Html;
use super::input::ClassFeatures;

/// Maximum words per class, and maximum classes that are not folded.
const MAX_WORDS: usize = 25;
const MAX_UNFOLDED: usize = 12;

/// Maximum classes whose strongest features a report shows.
pub const MAX_STRONGEST: usize = 100;

pub(super) fn section(page: &mut Html, classes: &[ClassFeatures]) {
    if classes.is_empty() {
        return;
    }
    page.raw("<section id=\"words\"><h2>Strongest features</h2>")
        .raw("<p class=\"quiet\">strongest weights of each class</p>");
    let hidden = classes.len().saturating_sub(MAX_STRONGEST);
    let classes = &classes[..classes.len() - hidden];
    let (open, folded) = classes.split_at(classes.len().min(MAX_UNFOLDED));
    cards(page, open);
    if !folded.is_empty() {
        page.wrap(
            "<details><summary>",
            folded.len(),
            " more classes</summary>",
        );
        cards(page, folded);
        page.raw("</details>");
    }
    if hidden > 0 {
        let hidden = count(hidden as u64);
        page.wrap(
            "<p class=\"quiet\">and ",
            hidden,
            " more classes: see `explain`</p>",
        );
    }
    page.raw("</section>");
}

fn cards(page: &mut Html, classes: &[ClassFeatures]) {
    // No row has a single card, if another number of columns prevents it.
    let columns = [4, 3, 5, 2]
        .into_iter()
        .find(|columns| classes.len() % columns != 1);
    page.wrap(
        "<div class=\"cards\" style=\"--columns:",
        columns.unwrap_or(4).min(classes.len()),
        "\">",
    );
    for class in classes {
        page.wrap(
            "<div class=\"words\"><h3 class=\"label\">",
            short(&class.label, 60),
            "</h3>",
        );
        let shown = &class.features[..class.features.len().min(MAX_WORDS)];
        if shown.is_empty() {
            page.raw("<p class=\"quiet\">none</p>");
        }
        // One scale per class: the strongest word's bar is full.
        let largest = shown
            .iter()
            .map(|(_, weight)| weight.abs())
            .fold(f64::MIN_POSITIVE, f64::max);
        for (word, weight) in shown {
            let against = if *weight < 0.0 { "against" } else { "" };
            page.raw("<div class=\"word ")
                .raw(against)
                .raw("\" style=\"--v:");
            page.text(format_args!("{:.3}", (weight / largest).abs()));
            page.wrap("\"><span class=\"label\">", short(word, 40), "</span>");
            page.wrap("<span>", format_args!("{weight:.3}"), "</span></div>");
        }
        page.raw("</div>");
    }
    page.raw("</div>");
}
