//! Command-line reference in docs/reference/cli/trainyard.md, rendered from `--help` of all
//! commands.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use testkit::run;

const INTRODUCTION: &str = "\
# `trainyard`

This page is generated from the help texts of the program: `UPDATE_DOCS=1 cargo test -p launcher
--test cli_reference` rewrites it.
";

/// Returns the help text of a command.
fn help(command: &[&str]) -> String {
    let mut trainyard = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    trainyard.args(command).arg("--help").env("COLUMNS", "100");
    run(trainyard).expect_code(0).stdout.clone()
}

/// Returns the subcommands in a help text.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Appends a section for a command, and for its subcommands.
fn render(command: &[&str], page: &mut String) {
    let text = help(command);
    if !command.is_empty() {
        page.push_str(&format!("\n## `trainyard {}`\n", command.join(" ")));
    }
    let lines = text.trim_end().lines().map(|line| line.trim_end());
    let text = lines.collect::<Vec<_>>().join("\n");
    page.push_str(&format!("\n```text\n{text}\n```\n"));
    for name in subcommands(&text) {
        render(&[command, &[&name]].concat(), page);
    }
}

#[test]
fn reference_is_up_to_date() {
    let mut page = INTRODUCTION.to_owned();
    render(&[], &mut page);
    assert!(page.contains("## `trainyard infra terraform`"), "{page}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli/trainyard.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let saved = std::fs::read_to_string(&path).expect("the page exists");
    assert!(
        saved == page,
        "docs/reference/cli/trainyard.md is stale\n\
         help: UPDATE_DOCS=1 cargo test -p launcher --test cli_reference"
    );
}

/// `-h` shows one line per option, except where it has to wrap.
#[test]
fn short_help_is_shorter_than_long_help() {
    for command in [
        "train", "push", "build", "download", "upload", "doctor", "logs",
    ] {
        let mut short = Command::new(env!("CARGO_BIN_EXE_trainyard"));
        short.args([command, "-h"]).env("COLUMNS", "100");
        let short = run(short).expect_code(0).stdout.clone();
        let long = help(&[command]);
        assert!(short.lines().count() < long.lines().count(), "{short}");
        assert!(
            long.contains("Examples:") && !short.contains("Examples:"),
            "{long}"
        );
    }
}
