//! The command line reference in `docs/reference/cli`, generated from the programs themselves.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::run;

/// Compares `docs/reference/cli/NAME.md` with the help of the program's commands. With
/// `UPDATE_DOCS=1` in the environment the file is written instead.
///
/// # Panics
/// If the file is stale.
#[track_caller]
pub fn check_cli_reference(program: &Path, name: &str, commands: &[&str], introduction: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/reference/cli")
        .join(name)
        .with_extension("md");
    let mut page = format!(
        "# {name}\n\nGenerated from `{name} --help` by a test. CONTRIBUTING.md says how to update it.\n\n{introduction}"
    );
    section(&mut page, name, &help(program, &[]));
    for command in commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        section(
            &mut page,
            &format!("{name} {command}"),
            &help(program, &words),
        );
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/reference/cli can be written");
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "`docs/reference/cli/{name}.md` is stale\nhelp: run the test with UPDATE_DOCS=1 and commit the file"
    );
}

/// Like [`check_cli_reference`] for a trainer, with a table of its hyperparameters.
///
/// # Panics
/// If the file is stale, or `describe --json` fails.
#[track_caller]
pub fn check_trainer_reference(program: &Path, name: &str) {
    let mut command = Command::new(program);
    command.args(["describe", "--json"]);
    let outcome = run(command);
    outcome.expect_code(0);
    let description: Value = outcome.json();
    let commands: Vec<&str> = strings(&description["commands"]);
    check_cli_reference(program, name, &commands, &hyperparameters(&description));
}

fn section(page: &mut String, title: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "\n## `{title}`\n\n```text\n{}\n```\n",
        help.trim_end()
    );
}

fn help(program: &Path, words: &[&str]) -> String {
    let mut command = Command::new(program);
    let words = if words.is_empty() { &["--help"] } else { words };
    command
        .args(words)
        .env_remove("COLUMNS")
        .env("NO_COLOR", "1");
    let outcome = run(command);
    outcome.expect_code(0);
    let lines = outcome.stdout.lines().map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n")
}

fn hyperparameters(description: &Value) -> String {
    let mut table =
        String::from("| hyperparameter | type | default | accepted |\n|---|---|---|---|\n");
    let all = description["hyperparameters"].as_array();
    for parameter in all
        .into_iter()
        .flatten()
        .filter(|one| one["reserved"] == false)
    {
        let range = &parameter["range"];
        let accepted = match (range["min"].as_str(), range["max"].as_str()) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("from {min}"),
            _ => strings(&range["choices"]).join(", "),
        };
        let name = parameter["name"].as_str().unwrap_or_default();
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {accepted} |",
            name.replace('-', "_"),
            parameter["type"].as_str().unwrap_or_default(),
            parameter["default"].as_str().unwrap_or_default(),
        );
    }
    table
}

fn strings(value: &Value) -> Vec<&str> {
    let values = value.as_array().into_iter().flatten();
    values.filter_map(Value::as_str).collect()
}
