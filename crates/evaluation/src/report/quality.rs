//! Headline numbers, table of classes and confusion matrix.

use super::format::{bytes, count, optional, percent, seconds, short};
use super::html::Html;
use super::input::{Report, SetReport};
use super::{curves, format};
use crate::metrics::{ClassMetrics, Comparison, Evaluation};

/// Rows of the class table and columns of the matrix.
const MAX_CLASSES: usize = 40;
const MAX_MATRIX: usize = 30;

/// Length of the list of confused pairs, which is also no longer than half of all pairs.
const MAX_PAIRS: usize = 12;

/// The main numbers.
pub(super) fn headline(page: &mut Html, report: &Report, primary: Option<&SetReport>) {
    page.raw("<section class=\"tiles\">");
    if let Some(set) = primary {
        let e = set.evaluation;
        let (low, high) = e.accuracy_interval;
        let interval = match set.seen {
            true => "of rows that the model was trained on".to_owned(),
            false => format!("95 % interval {} to {}", percent(low, 2), percent(high, 2)),
        };
        let accuracy = e.accuracy_name();
        let name = format!("{accuracy}, {}", set.name);
        tile(page, &name, &percent(e.accuracy, 2), &interval);
        several_labels(page, e);
        if let Some((class, share)) = e.most_frequent() {
            let note = format!("always predicting `{}`", short(&class.label, 24));
            tile(page, "baseline", &percent(share, 2), &note);
        }
        if let Some(unseen) = set.unseen {
            let (value, note) = match unseen.accuracy {
                Some(accuracy) => (
                    percent(accuracy, 2),
                    format!("{} rows whose text is not in train", count(unseen.rows)),
                ),
                None => (
                    optional(None, 2),
                    format!("all {} rows' texts are also in train", count(e.rows)),
                ),
            };
            tile(page, &format!("{accuracy}, unseen texts"), &value, &note);
        }
        let note = e.macro_f1_note().map(|note| format!("mean {note}"));
        let note = note.as_deref().unwrap_or("mean of the classes");
        tile(page, "macro-F1", &format!("{:.4}", e.macro_f1), note);
        if e.log_loss.is_some() {
            tile(
                page,
                "log loss",
                &optional(e.log_loss, 4),
                "lower is better, in nats",
            );
        }
        if e.ece.is_some() {
            tile(
                page,
                "calibration error",
                &optional(e.ece, 4),
                "expected, of 15 bins",
            );
        }
        let classes = format!("{} classes", count(e.per_class.len() as u64));
        tile(page, "rows evaluated", &count(e.rows), &classes);
    }
    let run = &report.run;
    let cpu = run
        .cpu_seconds
        .map(|cpu| format!("{} of CPU", seconds(cpu)));
    let peak = run.peak_rss_bytes;
    let peak = peak.map(|peak| format!("{} of memory", bytes(peak)));
    let note: Vec<String> = cpu.into_iter().chain(peak).collect();
    tile(page, "time", &seconds(run.seconds), &note.join(", "));
    page.raw("</section>");
}

fn tile(page: &mut Html, name: &str, value: &str, note: &str) {
    page.wrap("<div><h3>", name, "</h3>")
        .wrap("<b>", value, "</b>");
    page.wrap("<p>", note, "</p></div>");
}

/// The comparison with another model on the same rows. `accuracy`: its name.
pub(super) fn comparison(page: &mut Html, comparison: Option<&Comparison>, accuracy: &str) {
    let Some(c) = comparison else {
        return;
    };
    page.raw("<section id=\"comparison\"><h2>Comparison</h2><p class=\"quiet\">");
    page.wrap(
        "with <code>",
        short(&c.against, 200),
        "</code> on the same rows</p>",
    );
    page.raw("<dl>");
    let (low, high) = c.difference_interval;
    let other_name = format!("{accuracy} of the other model");
    let entries = [
        (other_name.as_str(), percent(c.accuracy, 2)),
        (
            "difference of the accuracies",
            format!("{:+.4}", c.difference),
        ),
        (
            "95 % interval of the difference, paired bootstrap",
            format!("{low:+.4} to {high:+.4}"),
        ),
        ("p-value of McNemar's exact test", c.p_value_text()),
        ("rows that both predict right", count(c.both_right)),
        (
            "rows that only this model predicts right",
            count(c.only_this_right),
        ),
        (
            "rows that only the other predicts right",
            count(c.only_other_right),
        ),
        ("rows that both predict wrong", count(c.both_wrong)),
    ];
    for (name, value) in entries {
        page.wrap("<dt>", name, "</dt>")
            .wrap("<dd>", value, "</dd>");
    }
    page.raw("</dl></section>");
}

/// The numbers of rows that may have several labels.
fn several_labels(page: &mut Html, evaluation: &Evaluation) {
    let Some(multi) = evaluation.multi_label else {
        return;
    };
    for (name, value, note) in [
        ("micro-F1", multi.micro_f1, "of all rows and labels"),
        ("samples F1", multi.samples_f1, "mean of the rows"),
        ("Hamming loss", multi.hamming_loss, "share of wrong labels"),
        ("LRAP", multi.lrap, "precision of the ranked labels"),
    ] {
        tile(page, name, &format!("{value:.4}"), note);
    }
}

/// The full evaluation of one set.
pub(super) fn section(page: &mut Html, set: &SetReport) {
    page.wrap(
        "<section id=\"quality\"><h2>Quality on the ",
        set.name,
        " rows</h2>",
    );
    page.wrap("<p class=\"quiet\">", set.note, "</p>");
    body(page, set.evaluation);
    page.raw("</section>");
}

/// The same, folded.
pub(super) fn folded_section(page: &mut Html, set: &SetReport) {
    let e = set.evaluation;
    page.wrap(
        "<section><details><summary><h2>Quality on the ",
        set.name,
        " rows</h2> ",
    );
    page.text(format_args!(
        "{} {}, macro-F1 {}, log loss {}, {} rows",
        e.accuracy_name(),
        percent(e.accuracy, 2),
        e.macro_f1_text(),
        optional(e.log_loss, 4),
        count(e.rows)
    ));
    page.raw("</summary>");
    page.wrap("<p class=\"quiet\">", set.note, "</p>");
    body(page, e);
    page.raw("</details></section>");
}

fn body(page: &mut Html, evaluation: &Evaluation) {
    page.raw("<h3>Classes</h3>");
    classes(page, evaluation);
    if evaluation.multi_label.is_none() {
        confusion(page, evaluation);
    }
    page.raw("<h3>Curves</h3>");
    curves::figures(page, evaluation);
}

fn confusion(page: &mut Html, evaluation: &Evaluation) {
    page.raw("<h3>Confusion matrix</h3>");
    if evaluation.per_class.len() <= MAX_MATRIX {
        matrix(page, evaluation);
    } else {
        page.raw("<p class=\"quiet\">too many classes for a matrix; the most confused pairs:</p>");
    }
    if evaluation.per_class.len() > 2 {
        confused_pairs(page, evaluation);
    }
}

fn classes(page: &mut Html, evaluation: &Evaluation) {
    page.raw("<div class=\"wide\" tabindex=\"0\"><table class=\"classes\"><thead><tr><th>class")
        .raw("<th>precision<th>recall<th>F1<th>rows<th>predicted<th>ROC area<th>average precision")
        .raw("</tr></thead><tbody>");
    let mut shown: Vec<&ClassMetrics> = evaluation.per_class.iter().collect();
    if shown.len() > MAX_CLASSES {
        shown.sort_by(|a, b| a.f1.total_cmp(&b.f1));
        shown.truncate(MAX_CLASSES);
    }
    for class in &shown {
        page.raw("<tr><th scope=\"row\" class=\"label\" title=\"")
            .text(short(&class.label, 500));
        page.wrap("\">", short(&class.label, 60), "</th>");
        for value in [class.precision, class.recall, class.f1] {
            page.wrap(
                "<td class=\"bar\" style=\"--v:",
                format_args!("{value:.4}"),
                "\">",
            );
            page.wrap("<span>", format_args!("{value:.4}"), "</span></td>");
        }
        for value in [class.support, class.predicted] {
            page.wrap("<td>", count(value), "</td>");
        }
        for value in [class.roc_auc, class.average_precision] {
            page.wrap("<td>", optional(value, 4), "</td>");
        }
        page.raw("</tr>");
    }
    page.raw("</tbody></table></div>");
    let hidden = evaluation.per_class.len() - shown.len();
    if hidden > 0 {
        let note = format!(
            "the {MAX_CLASSES} classes of the lowest F1; {hidden} more are in metrics.json"
        );
        page.wrap("<p class=\"quiet\">", note, "</p>");
    }
}

/// Cells shaded by their share of the row: blue for hits, orange for errors.
fn matrix(page: &mut Html, evaluation: &Evaluation) {
    let small = evaluation.per_class.len() > 8;
    page.raw("<div class=\"wide\" tabindex=\"0\"><table class=\"")
        .raw(if small { "small " } else { "" })
        .raw("matrix\"><thead><tr><th class=\"corner\">true&nbsp;\u{2193} ")
        .raw("predicted&nbsp;\u{2192}</th>");
    for class in &evaluation.per_class {
        page.raw("<th title=\"").text(short(&class.label, 500));
        page.wrap(
            "\"><span class=\"label\">",
            short(&class.label, 24),
            "</span></th>",
        );
    }
    page.raw("</tr></thead><tbody>");
    for (truth, row) in evaluation.confusion.iter().enumerate() {
        let label = &evaluation.per_class[truth].label;
        page.raw("<tr><th scope=\"row\" class=\"label\" title=\"")
            .text(short(label, 500));
        page.wrap("\">", short(label, 24), "</th>");
        let rows: u64 = row.iter().sum();
        for (guess, &cell) in row.iter().enumerate() {
            let share = cell as f64 / rows.max(1) as f64;
            let shown = match small {
                true if share < 0.005 => "<1\u{a0}%".to_owned(),
                true => percent(share, 0),
                false => percent(share, 1),
            };
            matrix_cell(page, cell, share, truth == guess, &shown);
        }
        page.raw("</tr>");
    }
    page.raw(
        "</tbody></table></div><p class=\"quiet\">rows, and their share of the true class</p>",
    );
}

fn matrix_cell(page: &mut Html, rows: u64, share: f64, hit: bool, shown: &str) {
    if rows == 0 {
        page.raw("<td class=\"none\">\u{b7}</td>");
        return;
    }
    // The square root makes the few errors of a good model visible.
    let shade = if hit { share } else { share.sqrt() };
    // White text has a higher contrast than black on these shades of the light page's colours.
    let dark = match shade > if hit { 0.8 } else { 0.95 } {
        true => "dark ",
        false => "",
    };
    page.raw("<td class=\"")
        .raw(dark)
        .raw(if hit { "hit" } else { "miss" });
    page.wrap("\" style=\"--a:", format_args!("{shade:.3}"), "\">");
    page.text(count(rows))
        .wrap("<small>", shown, "</small></td>");
}

/// The largest cells off the diagonal.
fn confused_pairs(page: &mut Html, evaluation: &Evaluation) {
    if evaluation.confused.is_empty() {
        page.raw("<p class=\"quiet\">no errors</p>");
        return;
    }
    page.raw("<h3>Most confused</h3><ol class=\"pairs\">");
    let classes = evaluation.per_class.len();
    for pair in evaluation
        .confused
        .iter()
        .take(MAX_PAIRS.min(classes * (classes - 1) / 2))
    {
        page.wrap(
            "<li><span class=\"chip label\">",
            short(&pair.label, 40),
            "</span> taken for ",
        );
        page.wrap(
            "<span class=\"chip label\">",
            short(&pair.predicted, 40),
            "</span> <span class=\"quiet\">",
        );
        let share = format::percent(pair.share, 1);
        let unit = if pair.rows == 1 { "row" } else { "rows" };
        page.text(format_args!("{} {unit}, {share}", count(pair.rows)))
            .raw("</span></li>");
    }
    page.raw("</ol>");
}
