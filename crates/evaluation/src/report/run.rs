//! Warnings, row counts, and settings that repeat the run.

use dataset::RowCounts;
use diagnostics::Warning;

use super::format::{bytes, count, seconds, short};
use super::html::Html;
use super::input::{RunInfo, Trials};

/// Maximum warnings, files, and characters of a warning or value: a page must stay readable.
const MAX_WARNINGS: usize = 50;
const MAX_FILES: usize = 100;
const MAX_CHARS: usize = 2000;

pub(super) fn warnings(page: &mut Html, warnings: &[Warning]) {
    if warnings.is_empty() {
        return;
    }
    page.raw("<section class=\"warnings\" id=\"warnings\"><h2>Warnings</h2><ul>");
    for warning in warnings.iter().take(MAX_WARNINGS) {
        page.raw("<li>");
        if let Some(code) = warning.code {
            page.wrap("<b>", code, "</b> ");
        }
        page.text(short(&warning.message, MAX_CHARS));
        if let Some(place) = &warning.place {
            page.wrap("<p><code>", short(&place.to_string(), 200), "</code></p>");
        }
        for help in &warning.help {
            page.wrap("<p><b>help:</b> ", short(help, MAX_CHARS), "</p>");
        }
        page.raw("</li>");
    }
    page.raw("</ul>");
    more(page, warnings.len(), MAX_WARNINGS, "warnings");
    page.raw("</section>");
}

/// Counts what a list leaves out.
fn more(page: &mut Html, all: usize, shown: usize, things: &'static str) {
    if all > shown {
        let rest = count((all - shown) as u64);
        page.wrap("<p class=\"quiet\">and ", rest, " more ")
            .raw(things);
        page.raw(", in metrics.json</p>");
    }
}

/// Statements about the training.
pub(super) fn summary(page: &mut Html, lines: &[String]) {
    for line in lines {
        page.wrap("<p class=\"quiet\">", line, "</p>");
    }
}

/// The table of a hyperparameter search.
pub(super) fn trials(page: &mut Html, trials: Option<&Trials>) {
    let Some(trials) = trials else {
        return;
    };
    page.raw("<section id=\"tuning\"><h2>Tuning</h2><div class=\"wide\" tabindex=\"0\">")
        .raw("<table><thead><tr><th>trial");
    for column in &trials.columns {
        page.wrap("<th>", column, "</th>");
    }
    page.raw("<th class=\"left\"></th></tr></thead><tbody>");
    for (number, values) in trials.rows.iter().enumerate() {
        page.wrap("<tr><th scope=\"row\">", number + 1, "</th>");
        for value in values {
            page.wrap("<td>", value, "</td>");
        }
        let chosen = number == trials.chosen;
        let mark = if chosen { "<b>selected</b>" } else { "" };
        page.raw("<td class=\"left\">").raw(mark).raw("</td></tr>");
    }
    page.raw("</tbody></table></div></section>");
}

pub(super) fn channels(page: &mut Html, channels: &[(&str, RowCounts)]) {
    if channels.is_empty() {
        return;
    }
    page.raw(
        "<section id=\"data\"><h2>Data</h2><div class=\"wide\" tabindex=\"0\"><table><thead><tr>",
    )
    .raw("<th>channel<th>rows read<th>used<th>dropped<th class=\"left\">why</tr></thead><tbody>");
    for (name, counts) in channels {
        let dropped: u64 = counts.dropped.values().sum();
        page.wrap("<tr><th scope=\"row\">", name, "</th>");
        for rows in [counts.read, counts.used, dropped] {
            page.wrap("<td>", count(rows), "</td>");
        }
        page.raw("<td class=\"left\">");
        for (i, (reason, rows)) in counts.dropped.iter().enumerate() {
            page.raw(if i > 0 { "; " } else { "" });
            page.text(format_args!("{reason}: {}", count(*rows)));
        }
        let lost = counts.read.saturating_sub(counts.used + dropped);
        if lost > 0 {
            page.wrap(" <b>not accounted for: ", count(lost), "</b>");
        }
        page.raw("</td></tr>");
    }
    page.raw("</tbody></table></div>");
    files(page, channels);
    page.raw("</section>");
}

fn files(page: &mut Html, channels: &[(&str, RowCounts)]) {
    page.raw("<h3>Files</h3><div class=\"wide\" tabindex=\"0\"><table class=\"files\">")
        .raw("<thead><tr><th>channel")
        .raw(
            "<th class=\"left\">file<th>rows<th>size<th class=\"left\">SHA-256</tr></thead><tbody>",
        );
    let all = channels
        .iter()
        .flat_map(|(name, counts)| counts.files.iter().map(move |file| (name, file)));
    let files = all.clone().count();
    for (name, file) in all.take(MAX_FILES) {
        page.wrap("<tr><th scope=\"row\">", name, "</th>");
        page.wrap(
            "<td class=\"left\"><code>",
            short(&file.path, 300),
            "</code></td>",
        );
        page.wrap("<td>", count(file.rows_read), "</td>");
        page.wrap("<td>", bytes(file.bytes), "</td>");
        page.wrap(
            "<td class=\"left\"><code class=\"hash\">",
            file.sha256.as_deref().unwrap_or_default(),
            "</code></td></tr>",
        );
    }
    page.raw("</tbody></table></div>");
    more(page, files, MAX_FILES, "files");
}

pub(super) fn section(page: &mut Html, run: &RunInfo) {
    page.raw(
        "<section id=\"run\"><h2>Run</h2><div class=\"columns\"><div><h3>Environment</h3><dl>",
    );
    entry(page, "version", &run.version);
    entry(page, "started", &run.started);
    entry(page, "time", &seconds(run.seconds));
    if let Some(cpu) = run.cpu_seconds {
        entry(page, "CPU time", &seconds(cpu));
    }
    if let Some(peak) = run.peak_rss_bytes {
        entry(page, "peak memory", &bytes(peak));
    }
    // An evaluation has neither.
    let has_hyperparameters = !run.hyperparameters.is_empty();
    if has_hyperparameters {
        entry(page, "seed", &run.seed.to_string());
    }
    entry(page, "threads", &run.threads.to_string());
    page.raw("</dl></div>");
    if has_hyperparameters {
        page.raw("<div><h3>Hyperparameters</h3><dl>");
        for (name, value) in &run.hyperparameters {
            entry(page, name, value);
        }
        page.raw("</dl></div>");
    }
    page.raw("</div>");
    if !run.command.is_empty() {
        page.wrap(
            "<h3>Command</h3><pre>",
            short(&run.command, MAX_CHARS),
            "</pre>",
        );
    }
    page.raw("</section>");
}

fn entry(page: &mut Html, name: &str, value: &str) {
    page.wrap("<dt>", name, "</dt>")
        .wrap("<dd>", short(value, MAX_CHARS), "</dd>");
}
