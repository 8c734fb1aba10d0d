//! Help texts of `trainyard`, and docs/reference/cli/trainyard.md, which is generated from them.

use std::path::Path;
use std::process::Command;

use testkit::run;

const TRAINYARD: &str = env!("CARGO_BIN_EXE_trainyard");

/// Returns the help text of a command.
fn help(arguments: &[&str]) -> String {
    let mut trainyard = Command::new(TRAINYARD);
    trainyard.args(arguments).env("COLUMNS", "100");
    run(trainyard).expect_code(0).stdout.clone()
}

/// Appends the names of the subcommands of `command`, recursively.
fn add_subcommands(command: &str, commands: &mut Vec<String>) {
    let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
    let help = help(&arguments);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        let name = format!("{command} {name}").trim_start().to_owned();
        commands.push(name.clone());
        add_subcommands(&name, commands);
    }
}

#[test]
fn reference_is_up_to_date() {
    let mut commands = Vec::new();
    add_subcommands("", &mut commands);
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    assert!(commands.contains(&"infra terraform"), "{commands:?}");
    testkit::check_cli_reference(Path::new(TRAINYARD), "trainyard", &commands, "");
}

#[test]
fn help_of_help_is_help() {
    assert_eq!(help(&["help", "-h"]), help(&["help"]));
}

/// `-h` shows one line per option, except where it has to wrap.
#[test]
fn short_help_is_shorter_than_long_help() {
    for command in [
        "train",
        "push",
        "build",
        "download",
        "upload",
        "doctor",
        "logs",
        "list",
        "status",
        "stop",
        "describe",
        "recommend",
    ] {
        let (short, long) = (help(&[command, "-h"]), help(&[command, "--help"]));
        assert!(short.lines().count() < long.lines().count(), "{short}");
        assert!(
            long.contains("Examples:") && !short.contains("Examples:"),
            "{long}"
        );
    }
}
