//! `report.html`: the results of a run on one page, without scripts or network access.
//!
//! All user data (labels, texts, words, paths, values) goes through `Html::text`, which escapes it.
//! The page also forbids scripts and external content by its policy.

mod curves;
mod format;
mod html;
mod input;
mod plots;
mod quality;
mod rows;
mod run;
#[cfg(test)]
mod tests;
mod words;

pub use input::{
    ClassFeatures, CurveLine, LearningCurve, Report, RowExample, RunInfo, SetReport, Trials,
};

pub use words::MAX_STRONGEST;

use html::Html;

const STYLE: &str = include_str!("style.css");

/// Start of the page; identifies reports of Trainyard.
pub const START: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
    <meta name=\"color-scheme\" content=\"light dark\"><title>";

/// Renders the page.
pub fn html(report: &Report) -> String {
    let mut page = Html::new();
    page.raw(START)
        .text(title(report))
        .raw("</title><style>")
        .raw(STYLE)
        .raw("</style></head><body><header><h1>")
        .text(report.title);
    if !report.data.is_empty() {
        page.wrap(" <small>on ", format::short(&report.data, 100), "</small>");
    }
    page.raw("</h1><p class=\"quiet\">");
    if !report.model.is_empty() {
        page.wrap("model <b>", format::short(report.model, 200), "</b>, ");
    }
    let (started, version) = (&report.run.started, &report.run.version);
    page.text(format_args!("started {started}, version {version}"))
        .raw("</p></header>");

    let primary = primary(&report.sets);
    contents(&mut page, report);
    page.raw("<main>");
    quality::headline(&mut page, report, primary);
    run::summary(&mut page, report.summary);
    run::warnings(&mut page, &report.warnings);
    let name = primary.map_or("accuracy", |set| set.evaluation.accuracy_name());
    quality::comparison(&mut page, report.comparison, name);
    if let Some(set) = primary {
        quality::section(&mut page, set);
    }
    plots::learning(&mut page, &report.curves);
    run::trials(&mut page, report.trials);
    words::section(&mut page, &report.strongest);
    let several = primary.is_some_and(|set| set.evaluation.multi_label.is_some());
    rows::section(&mut page, &rows::WORST, &report.worst, several);
    rows::section(&mut page, &rows::SUSPECTS, &report.suspects, several);
    for set in &report.sets {
        if !primary.is_some_and(|primary| std::ptr::eq(primary, set)) {
            quality::folded_section(&mut page, set);
        }
    }
    run::channels(&mut page, report.channels);
    run::section(&mut page, &report.run);
    page.raw("</main></body></html>\n");
    page.finish()
}

/// Returns the title of the browser's tab: trainer, data and model, and the headline accuracy if
/// it is of other rows than those of the training.
fn title(report: &Report) -> String {
    let mut title = report.title.to_owned();
    for (name, value) in [(" on ", report.data.as_str()), (": ", report.model)] {
        if !value.is_empty() {
            title.push_str(name);
            title.push_str(&format::short(value, 60));
        }
    }
    if let Some(set) = primary(&report.sets).filter(|set| !set.seen) {
        let (name, accuracy) = (set.evaluation.accuracy_name(), set.evaluation.accuracy);
        title.push_str(&format!(", {name} {accuracy:.4}"));
    }
    title
}

/// Returns the main set: test, else validation, else the first.
fn primary<'r, 'a>(sets: &'r [SetReport<'a>]) -> Option<&'r SetReport<'a>> {
    let named = |name| sets.iter().find(|set| set.name == name);
    named("test")
        .or_else(|| named("validation"))
        .or_else(|| sets.first())
}

/// Links to the sections that the page has.
fn contents(page: &mut Html, report: &Report) {
    let links: [(bool, &str); 9] = [
        (
            report.comparison.is_some(),
            "<a href=\"#comparison\">comparison</a>",
        ),
        (!report.sets.is_empty(), "<a href=\"#quality\">quality</a>"),
        (
            !report.curves.is_empty(),
            "<a href=\"#learning\">learning curves</a>",
        ),
        (report.trials.is_some(), "<a href=\"#tuning\">tuning</a>"),
        (
            !report.strongest.is_empty(),
            "<a href=\"#words\">strongest features</a>",
        ),
        (
            !report.worst.is_empty(),
            "<a href=\"#worst\">worst errors</a>",
        ),
        (
            !report.suspects.is_empty(),
            "<a href=\"#suspects\">likely mislabelled</a>",
        ),
        (!report.channels.is_empty(), "<a href=\"#data\">data</a>"),
        (true, "<a href=\"#run\">run</a>"),
    ];
    page.raw("<nav>");
    for (_, link) in links.into_iter().filter(|(shown, _)| *shown) {
        page.raw(link);
    }
    page.raw("</nav>");
}
