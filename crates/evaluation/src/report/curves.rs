//! ROC, precision-recall and calibration plots of one set.

use kuva::plot::LinePlot;
use kuva::render::plots::Plot;

use super::format;
use super::html::Html;
use super::plots::{COLORS, FAINT, dots, legend, line, unit_square};
use crate::metrics::{Bin, ClassMetrics, Evaluation, thin, wilson};

/// Maximum coloured lines; of more, only the weakest classes are coloured.
const MAX_COLOURED: usize = 8;

/// Classes to colour if there are many.
const WEAKEST: usize = 3;

/// Minimum rows of a dot in the calibration plot: its 95 % interval is at most 0.53 wide.
const MIN_BIN_ROWS: u64 = 10;

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
        let why = match (evaluation.log_loss, &evaluation.multi_label) {
            (Some(_), Some(_)) => "rows may have several labels",
            _ => "the model gives no probabilities",
        };
        page.wrap("<p class=\"quiet\">no calibration plot: ", why, "</p>");
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
            let area = format!("{area_name} {}", format::optional(area_of(class), 4));
            names.push((color, label, area));
        }
    }
    page.svg(&unit_square(plots, x, y));
    page.raw("<p class=\"quiet\">each class against the rest");
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
    let least = (evaluation.rows / 100).max(MIN_BIN_ROWS);
    let merged = merge(bins, least);
    let points: Vec<(f64, f64)> = merged.iter().map(Dot::point).collect();
    let perfect = line(&[(0.0, 0.0), (1.0, 1.0)], FAINT, 1.5).with_dashed();
    let mut plots = vec![
        line(&histogram(bins), FAINT, 1.0)
            .with_fill()
            .with_fill_opacity(0.5)
            .into(),
        perfect.into(),
        line(&points, COLORS[0], 2.0).into(),
        dots(&points, COLORS[0]),
    ];
    plots.extend(merged.iter().map(|dot| dot.interval().into()));
    page.raw("<figure><figcaption>Calibration</figcaption>");
    page.svg(&unit_square(
        plots,
        "probability of the prediction",
        "share that is right",
    ));
    let error = format::optional(evaluation.ece, 4);
    page.wrap("<p class=\"quiet\">expected calibration error ", error, "");
    page.raw("; vertical lines: 95 % intervals");
    if bins.iter().any(|bin| (1..least).contains(&bin.count)) {
        page.text(format_args!("; bins of fewer than {least} rows are merged"));
    }
    page.raw("</p>");
    let names = [
        (COLORS[0], "model", "dashed: perfect"),
        (FAINT, "share of rows", "of each bin"),
    ];
    legend(
        page,
        &names.map(|(color, name, note)| (color, name.to_owned(), note.to_owned())),
    );
    page.raw("</figure>");
}

/// Adjacent bins of the calibration plot, drawn as one dot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Dot {
    /// Sum of the probabilities.
    confidence: f64,
    right: u64,
    rows: u64,
}

impl Dot {
    /// (mean probability, share that is right)
    fn point(&self) -> (f64, f64) {
        let rows = self.rows.max(1) as f64;
        (self.confidence / rows, self.right as f64 / rows)
    }

    fn interval(&self) -> LinePlot {
        let (x, _) = self.point();
        let (low, high) = wilson(self.right, self.rows);
        line(&[(x, low), (x, high)], COLORS[0], 1.2)
    }
}

/// Merges adjacent bins until each dot stands for at least `least` rows: the accuracy of a handful
/// of rows is noise.
fn merge(bins: &[Bin], least: u64) -> Vec<Dot> {
    let mut merged: Vec<Dot> = Vec::new();
    let mut open = Dot::default();
    for bin in bins {
        if let (Some(confidence), Some(accuracy)) = (bin.mean_confidence, bin.accuracy) {
            open.confidence += confidence * bin.count as f64;
            open.right += (accuracy * bin.count as f64).round() as u64;
            open.rows += bin.count;
        }
        if open.rows >= least {
            merged.push(std::mem::take(&mut open));
        }
    }
    // The rest joins the last dot.
    if open.rows > 0 {
        let last = merged.pop().unwrap_or_default();
        merged.push(Dot {
            confidence: last.confidence + open.confidence,
            right: last.right + open.right,
            rows: last.rows + open.rows,
        });
    }
    merged
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

#[cfg(test)]
mod public_reports {
    use super::*;

    /// USER 8: bins of a handful of rows are merged, and each dot has an interval.
    #[test]
    fn small_bins_are_merged() {
        let bin = |at: u64, right: u64, count: u64| Bin {
            lower: at as f64 / 15.0,
            upper: (at + 1) as f64 / 15.0,
            mean_confidence: (count > 0).then_some((at as f64 + 0.5) / 15.0),
            accuracy: (count > 0).then(|| right as f64 / count as f64),
            count,
        };
        let bins = [
            bin(5, 0, 2),
            bin(6, 0, 0),
            bin(7, 5, 8),
            bin(8, 9, 12),
            bin(9, 1, 1),
        ];
        let dots = merge(&bins, 10);
        let rows: Vec<_> = dots.iter().map(|dot| (dot.right, dot.rows)).collect();
        assert_eq!(rows, [(5, 10), (10, 13)]);
        let (x, y) = dots[0].point();
        // (2 * 5.5 + 8 * 7.5) / 15 / 10
        assert!((x - 71.0 / 150.0).abs() < 1e-12 && (y - 0.5).abs() < 1e-12);
        // scipy.stats.binomtest(5, 10).proportion_ci(method="wilson")
        let interval = dots[0].interval();
        let ends: Vec<f64> = interval.data.iter().map(|point| point.y).collect();
        assert!((ends[0] - 0.236_593_1).abs() < 1e-6 && (ends[1] - 0.763_406_9).abs() < 1e-6);
        assert_eq!(merge(&bins, 100).len(), 1, "fewer rows than a dot needs");
        assert!(merge(&bins[1..2], 10).is_empty());
    }
}
