//! Situations of public reports about other programs (issue 16, list DATA).

use testkit::movie_rows;

use super::Workspace;

/// Rows of the sample with this delimiter, every text in quotes.
fn delimited(delimiter: char, rows: usize) -> String {
    let line = |(text, label): (&str, &str)| {
        format!("\"{}\"{delimiter}{label}\n", text.replace('"', "\"\""))
    };
    let rows: Vec<_> = movie_rows().into_iter().take(rows).collect();
    let lines = rows.iter().map(|row| line((&row.text, &row.label)));
    format!("text{delimiter}label\n") + &lines.collect::<String>()
}

/// DATA 02, 03: every command reads the file, warns, and is silent with `--delimiter`.
#[test]
fn every_command_finds_the_delimiter() {
    let workspace = Workspace::new();
    let path = workspace.write("rows.csv", delimited(';', 300));
    let path = path.to_str().unwrap();
    let commands: [(&str, &[&str]); 3] = [
        ("train", &["--train", path, "--no-report"]),
        ("evaluate", &["--data", path]),
        ("predict", &["--input", path]),
    ];
    let warning = "warning[D030]: the file is split at `;`, as its header shows";
    for (name, arguments) in commands {
        let outcome = workspace.svm(name, arguments);
        let stderr = &outcome.expect_code(0).stderr;
        assert!(stderr.contains(warning), "{name}: {stderr}");
        let outcome = workspace.svm(name, &[arguments, &["--delimiter", ";"]].concat());
        let stderr = &outcome.expect_code(0).stderr;
        assert!(!stderr.contains("D030"), "{name}: {stderr}");
    }
    let found = workspace.model();
    let same = workspace.write("same.csv", delimited(',', 300));
    workspace.train(&same, &["--no-report"]).expect_code(0);
    assert!(
        workspace.model() == found,
        "the delimiter does not change the model"
    );
    let tabs = workspace.write("tabs.csv", delimited('\t', 300));
    let tab = workspace.train(&tabs, &["--no-report", "--delimiter=tab"]);
    tab.expect_code(0);
    assert!(workspace.model() == found);
    for wrong in ["", "ab", "\"", "é"] {
        let outcome = workspace.train(&tabs, &["--delimiter", wrong]);
        let expected = "expected one ASCII character, or `tab`";
        assert!(
            outcome.expect_code(2).stderr.contains(expected),
            "{}",
            outcome.stderr
        );
    }
}

/// DATA 01: the error stops every command; `--quoting none`, which its help names, removes it.
#[test]
fn every_command_refuses_swallowed_rows() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let others = (0..40).map(|row| format!("lovely {row}\t{}\n", row % 2));
    let head = "text\tlabel\n\"dull\t0\nfine\t1\na 42\"\t0\n".to_owned();
    let path = workspace.write("rows.tsv", head + &others.collect::<String>());
    let path = path.to_str().unwrap();
    let commands: [(&str, &[&str]); 3] = [
        (
            "train",
            &["--train", path, "--no-report", "--validation-split", "0"],
        ),
        ("evaluate", &["--data", path]),
        ("predict", &["--input", path]),
    ];
    for (name, arguments) in commands {
        let outcome = workspace.svm(name, arguments);
        let stderr = &outcome.expect_code(1).stderr;
        assert!(
            stderr.contains("error[D031]: `3` lines"),
            "{name}: {stderr}"
        );
        assert!(stderr.contains("pass --quoting none"), "{name}: {stderr}");
        let none = [arguments, &["--quoting", "none"]].concat();
        workspace.svm(name, &none).expect_code(0);
    }
}
