//! ROC, precision-recall and calibration plots of one set.

use kuva::render::plots::Plot;

use super::format;
use super::html::Html;
use super::plots::{COLORS, FAINT, dots, legend, line, unit_square};
use crate::metrics::{Bin, ClassMetrics, Evaluation, thin};

/// Maximum coloured lines; of more, only the weakest classes are coloured.
const MAX_COLOURED: usize = 8;

/// Classes to colour if there are many.
const WEAKEST: usize = 3;

/// Points of a line in the background.
const FAINT_POINTS: usize = 40;

pub(super) fn figures(page: &mut Html, evaluation: &Evaluation) {
    page.raw("<div class=\"plots\">");
    if evaluation.curves.is_empty() && !evaluation.per_class.is_empty() {
        page.raw("<p class=\"quiet\">too many classes for ROC and precision-recall curves; ");
        page.raw("their areas are in the table</p>");
    } else {
        roc(page, evaluation);
        precision_recall(page, evaluation);
    }
    if evaluation.ece.is_some() {
        calibration(page, evaluation);
    } else {
        page.raw("<p class=\"quiet\">no calibration plot: the model gives no probabilities</p>");
    }
    page.raw("</div>");
}

fn roc(page: &mut Html, evaluation: &Evaluation) {
    let lines = evaluation.curves.iter().map(|curves| &curves.roc[..]);
    let chance = line(&[(0.0, 0.0), (1.0, 1.0)], FAINT, 1.5).with_dashed();
    let area = |class: &ClassMetrics| class.roc_auc;
    page.raw("<figure><figcaption>ROC curve</figcaption>");
    class_lines(
        page,
        evaluation,
        lines.collect(),
        vec![chance.into()],
        area,
        ["false positive rate", "true positive rate", "area"],
    );
    page.raw("</figure>");
}

fn precision_recall(page: &mut Html, evaluation: &Evaluation) {
    let area = |class: &ClassMetrics| class.average_precision;
    page.raw("<figure><figcaption>Precision and recall</figcaption>");
    let names = ["recall", "precision", "average precision"];
    let lines = evaluation.curves.iter().map(|curves| &curves.pr[..]);
    class_lines(page, evaluation, lines.collect(), Vec::new(), area, names);
    page.raw("</figure>");
}

/// One line per class, weakest drawn last so that it is on top.
fn class_lines(
    page: &mut Html,
    evaluation: &Evaluation,
    lines: Vec<&[(f64, f64)]>,
    mut plots: Vec<Plot>,
    area: impl Fn(&ClassMetrics) -> Option<f64>,
    [x, y, area_name]: [&str; 3],
) {
    let area_of = |class: usize| area(&evaluation.per_class[class]);
    let mut shown: Vec<usize> = (0..lines.len()).filter(|&c| lines[c].len() > 1).collect();
    if shown.is_empty() {
        page.raw("<p class=\"quiet\">needs rows of at least two classes</p>");
        return;
    }
    let mut faint = 0;
    if shown.len() > MAX_COLOURED {
        let rank = |class: usize| area_of(class).unwrap_or(0.0);
        shown.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)).then(a.cmp(&b)));
        faint = shown.len() - WEAKEST;
    }
    let mut names = Vec::new();
    for (i, &class) in shown.iter().enumerate() {
        if i < faint {
            let few = thin(lines[class], FAINT_POINTS);
            plots.push(line(&few, FAINT, 1.0).into());
        } else {
            let color = COLORS[(i - faint) % COLORS.len()];
            plots.push(line(lines[class], color, 2.0).into());
            let label = format::short(&evaluation.per_class[class].label, 30);
            names.push((color, label, format::optional(area_of(class), 4)));
        }
    }
    page.svg(&unit_square(plots, x, y));
    page.wrap(
        "<p class=\"quiet\">",
        area_name,
        " per class, one against the rest",
    );
    if faint > 0 {
        page.text(format_args!(
            "; the {WEAKEST} weakest of {} are coloured",
            shown.len()
        ));
    }
    page.raw("</p>");
    legend(page, &names);
}

fn calibration(page: &mut Html, evaluation: &Evaluation) {
    let bins = &evaluation.calibration;
    // Bins with few rows are noise.
    let least = (evaluation.rows / 1000).max(1);
    let points: Vec<(f64, f64)> = bins
        .iter()
        .filter(|bin| bin.count >= least)
        .filter_map(|bin| Some((bin.mean_confidence?, bin.accuracy?)))
        .collect();
    let perfect = line(&[(0.0, 0.0), (1.0, 1.0)], FAINT, 1.5).with_dashed();
    let plots = vec![
        line(&histogram(bins), FAINT, 1.0)
            .with_fill()
            .with_fill_opacity(0.5)
            .into(),
        perfect.into(),
        line(&points, COLORS[0], 2.0).into(),
        dots(&points, COLORS[0]),
    ];
    page.raw("<figure><figcaption>Calibration</figcaption>");
    page.svg(&unit_square(
        plots,
        "probability of the prediction",
        "share that is right",
    ));
    let error = format::optional(evaluation.ece, 4);
    page.wrap("<p class=\"quiet\">expected calibration error ", error, "");
    if bins.iter().any(|bin| (1..least).contains(&bin.count)) {
        page.text(format_args!("; no dot for bins of fewer than {least} rows"));
    }
    page.raw("</p>");
    let names = [
        (COLORS[0], "model", "(dashed: perfect)"),
        (FAINT, "share of rows", ""),
    ];
    legend(
        page,
        &names.map(|(color, name, note)| (color, name.to_owned(), note.to_owned())),
    );
    page.raw("</figure>");
}

/// The outline of one column per bin, as high as its share of the rows.
fn histogram(bins: &[Bin]) -> Vec<(f64, f64)> {
    let rows: u64 = bins.iter().map(|bin| bin.count).sum();
    bins.iter()
        .flat_map(|bin| {
            let share = bin.count as f64 / rows.max(1) as f64;
            [
                (bin.lower, 0.0),
                (bin.lower, share),
                (bin.upper, share),
                (bin.upper, 0.0),
            ]
        })
        .collect()
}
