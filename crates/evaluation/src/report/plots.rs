//! Plots as inline SVG, drawn by kuva. Their colours are variables of the page's style, so that a
//! plot follows the page into dark mode; their legends are HTML, which wraps and can be selected.

use std::sync::Arc;

use kuva::backend::svg::SvgBackend;
use kuva::plot::{LinePlot, ScatterPlot};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;

use super::format;
use super::html::{Html, Svg};
use super::input::LearningCurve;
use crate::metrics::{MAX_POINTS, thin};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 340.0;

/// Colours of lines, by the names that `style.css` gives them: blue, vermilion, green and so on,
/// distinguishable for colour-blind readers (Okabe and Ito 2008).
pub(super) const COLORS: [&str; 8] = [
    "var(--c0)",
    "var(--c1)",
    "var(--c2)",
    "var(--c3)",
    "var(--c4)",
    "var(--c5)",
    "var(--c6)",
    "var(--c7)",
];

/// Colour of background lines.
pub(super) const FAINT: &str = "var(--faint)";

/// Points joined by a line; NaN is left out.
pub(super) fn line(points: &[(f64, f64)], color: &str, width: f64) -> LinePlot {
    let finite = points
        .iter()
        .copied()
        .filter(|(x, y)| x.is_finite() && y.is_finite());
    LinePlot::new()
        .with_data(finite)
        .with_color(color)
        .with_stroke_width(width)
}

/// Dots of the same colour as their line.
pub(super) fn dots(points: &[(f64, f64)], color: &str) -> Plot {
    ScatterPlot::new()
        .with_data(points.iter().copied())
        .with_color(color)
        .with_size(3.5)
        .into()
}

/// A plot whose axes both run from 0 to 1.
pub(super) fn unit_square(plots: Vec<Plot>, x: &str, y: &str) -> Svg {
    let layout = Layout::new((0.0, 1.0), (0.0, 1.0))
        .with_x_axis_min(0.0)
        .with_x_axis_max(1.0)
        .with_y_axis_min(0.0)
        .with_y_axis_max(1.0);
    draw(plots, layout, x, y)
}

fn draw(plots: Vec<Plot>, layout: Layout, x: &str, y: &str) -> Svg {
    let theme = Theme {
        background: "none".into(),
        axis_color: "var(--axis)".into(),
        tick_color: "var(--axis)".into(),
        grid_color: "var(--grid)".into(),
        text_color: "var(--text)".into(),
        ..Theme::light()
    };
    let layout = layout
        .with_width(WIDTH)
        .with_height(HEIGHT)
        .with_theme(theme)
        .with_font_family("inherit")
        .with_x_label(x)
        .with_y_label(y)
        .with_label_size(13);
    let drawn = SvgBackend::new().render_scene(&render_multiple(plots, layout));
    // A view box instead of a fixed size lets the plot shrink with the page. The name space is
    // only needed outside HTML.
    let fixed = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"440\" height=\"340\"";
    Svg::drawn(drawn.replacen(fixed, "<svg viewBox=\"0 0 440 340\" role=\"img\"", 1))
}

/// An entry of a legend: colour, name, note.
pub(super) type Entry = (&'static str, String, String);

/// The names of the lines.
pub(super) fn legend(page: &mut Html, entries: &[Entry]) {
    page.raw("<ul class=\"legend\">");
    for (color, name, note) in entries {
        page.raw("<li><i style=\"background:")
            .raw(color)
            .raw("\"></i>");
        page.wrap("<b class=\"label\">", name, "</b>: ")
            .wrap("", note, "</li>");
    }
    page.raw("</ul>");
}

/// The section with one plot per group of learning curves; nothing without curves.
pub(super) fn learning(page: &mut Html, curves: &[LearningCurve]) {
    if curves.is_empty() {
        return;
    }
    page.raw("<section id=\"learning\"><h2>Learning curves</h2><div class=\"plots\">");
    for curve in curves {
        page.raw("<figure><figcaption>")
            .text(format::short(&curve.name, 60))
            .raw("</figcaption>");
        learning_plot(page, curve);
        page.raw("</figure>");
    }
    page.raw("</div></section>");
}

fn learning_plot(page: &mut Html, curve: &LearningCurve) {
    let (mut plots, mut entries): (Vec<Plot>, Vec<Entry>) = Default::default();
    let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = Default::default();
    for (drawn, color) in curve.lines.iter().zip(COLORS) {
        let finite = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
        let mut points: Vec<_> = drawn.points.iter().copied().filter(finite).collect();
        if points.len() < 2 {
            continue;
        }
        let is_saved = |&(x, _): &(f64, f64)| Some(x) == curve.saved;
        let saved = points.iter().copied().find(is_saved);
        if points.len() > MAX_POINTS {
            points = thin(&points, MAX_POINTS);
        }
        let plot = line(&points, color, 2.0);
        xs.extend(points.iter().map(|&(x, _)| x));
        ys.extend(points.iter().map(|&(_, y)| y));
        if points.len() <= 40 {
            plots.push(dots(&points, color));
        }
        plots.push(plot.into());
        let note = match (saved, points.last()) {
            (Some((x, y)), _) => format!("{y:.4} in the selected {} {x}", curve.x_name),
            (None, last) => format!("final {:.4}", last.map_or(f64::NAN, |&(_, y)| y)),
        };
        entries.push((color, format::short(&drawn.name, 40), note));
    }
    if plots.is_empty() {
        page.raw("<p class=\"quiet\">fewer than two points</p>");
        return;
    }
    let mut layout = x_axis(Layout::auto_from_plots(&plots), &xs);
    layout = layout.with_y_tick_format(tick_format(&ys));
    if range(&ys).1 == 1.0 {
        // No accuracy is above.
        layout = layout.with_y_axis_max(1.0);
    }
    page.svg(&draw(plots, layout, &format::short(&curve.x_name, 40), ""));
    legend(page, &entries);
}

fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (
        low,
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// As many decimals as tell the ticks of an axis apart: kuva's own format has three.
fn tick_format(values: &[f64]) -> TickFormat {
    let (low, high) = range(values);
    // A step is a fifth of the range or less, with up to two digits.
    let decimals = 2.0 - ((high - low) / 5.0).log10().ceil();
    if !(0.0..=8.0).contains(&decimals) {
        return TickFormat::Auto;
    }
    TickFormat::Custom(Arc::new(move |tick: f64| {
        let text = format!("{tick:.*}", decimals as usize);
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    }))
}

/// An axis that ends with its points, and has no tick at half an epoch.
fn x_axis(layout: Layout, xs: &[f64]) -> Layout {
    let (low, high) = range(xs);
    if low == high {
        return layout;
    }
    let layout = layout.with_x_axis_min(low).with_x_axis_max(high);
    let integral = xs.iter().all(|x| x.fract() == 0.0);
    if integral && high - low <= 12.0 {
        layout.with_x_tick_step(1.0)
    } else {
        layout
    }
}
