//! The scripts of the repository: data, counting, README commands, judges.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{judge, movie_csv, movie_rows, python, run};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn sample_is_balanced_and_has_no_duplicates() {
    let rows = movie_rows();
    assert_eq!(rows.len(), 600);
    assert_eq!(rows.iter().filter(|row| row.label == "1").count(), 300);
    let texts: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.text).collect();
    assert_eq!(texts.len(), 600);
    assert!(std::fs::metadata(movie_csv()).unwrap().len() < 700_000);
}

#[test]
fn sample_is_reproducible() {
    let source = testkit::data_dir().join("imdb/train.csv");
    if !source.is_file() {
        return testkit::skip("scripts: sample_is_reproducible", "no imdb/train.csv");
    }
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("movie.csv");
    let script = repository().join("data/make_sample.py");
    python(&script, &[&source, &drawn]).expect_code(0);
    assert!(std::fs::read(drawn).unwrap() == std::fs::read(movie_csv()).unwrap());
}

#[test]
fn imdb_folders_convert_to_csv() {
    let folder = tempfile::tempdir().unwrap();
    let script = repository().join("data/imdb_to_csv.py");
    let csv = folder.path().join("imdb.csv");
    let train = folder.path().join("train");
    std::fs::create_dir_all(train.join("pos")).unwrap();
    std::fs::create_dir_all(train.join("unsup")).unwrap();
    for (name, text) in [
        ("pos/10_9.txt", "\"Good\", she said,\nand é"),
        ("pos/9_7.txt", "fine"),
        ("unsup/1_0.txt", "no label"),
    ] {
        std::fs::write(train.join(name), text).unwrap();
    }
    let incomplete = python(&script, &[&train, &csv]);
    incomplete.expect_code(1);
    assert!(incomplete.stderr.contains("no reviews in") && incomplete.stderr.contains("help:"));
    assert!(!csv.exists(), "no partial CSV");

    std::fs::create_dir_all(train.join("neg")).unwrap();
    std::fs::write(train.join("neg/0_1.txt"), "bad").unwrap();
    python(&script, &[&train, &csv]).expect_code(0);
    let expected = "text,label\nbad,0\nfine,1\n\"\"\"Good\"\", she said,\nand é\",1\n";
    assert_eq!(std::fs::read_to_string(csv).unwrap(), expected);
}

#[test]
fn test_counts_match_the_runners() {
    let folder = tempfile::tempdir().unwrap();
    let (log, skips) = (folder.path().join("log"), folder.path().join("skips"));
    let script = repository().join("tests/count.py");
    let count = |text: &str, early: &str| {
        std::fs::write(&log, text).unwrap();
        std::fs::write(&skips, early).unwrap();
        let outcome = python(&script, &[&log, &skips]);
        (outcome.code(), outcome.stdout)
    };
    let nextest = "     Summary [   1.2s] 12 tests run: 12 passed (1 slow), 2 skipped\n";
    let cargo = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
    let both = format!("{nextest}{cargo}");
    assert_eq!(
        count(&both, ""),
        (Some(0), "15 passed, 0 failed, 3 skipped\n".into())
    );
    assert_eq!(
        count(&both, "a: b\na: b\n"),
        (Some(0), "14 passed, 0 failed, 4 skipped\n".into())
    );
    let failed = "  Summary [ 1s] 3/9 tests run: 1 passed, 1 failed, 1 timed out, 0 skipped\n";
    assert_eq!(
        count(failed, ""),
        (Some(1), "1 passed, 2 failed, 0 skipped\n".into())
    );
    let coloured = "\u{1b}[1m Summary\u{1b}[0m [ 1s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32mpassed\u{1b}[0m, 0 skipped\n";
    assert_eq!(
        count(coloured, ""),
        (Some(0), "2 passed, 0 failed, 0 skipped\n".into())
    );
    let flaky = "  Summary [ 1s] 2 tests run: 2 passed (1 flaky), 0 skipped\n   FLAKY 2/2 [   0.005s] (2/2) svm resumes\n";
    let expected = "passed only when repeated: svm resumes\n2 passed, 0 failed, 0 skipped\n";
    assert_eq!(count(flaky, ""), (Some(0), expected.into()));
    assert_eq!(
        count("error: could not compile\n", "").0,
        Some(1),
        "no test ran"
    );
}

#[test]
fn readme_commands_run_in_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let readme = folder.path().join("README.md");
    let script = repository().join("tests/readme_commands");
    let run_readme = |text: &str| {
        std::fs::write(&readme, text).unwrap();
        python(&script, &[&readme])
    };
    let good = "```sh\ngit clone https://example.org/trainyard\ncd trainyard\n# a comment\nx=7\necho \\\n  \"x is $x\"\n./test\n```\n\
                <!-- not run: needs a cloud -->\n```sh\nexit 3\n```\n```console\n$ ls data/movie.csv target/\ndata/movie.csv\n```\n```\nexit 4\n```\n";
    let outcome = run_readme(good);
    outcome.expect_code(0);
    for part in [
        "x is 7",
        "not run: needs a cloud",
        "done already: ./test",
        "3 commands, 0 blocks failed",
    ] {
        assert!(
            outcome.stdout.contains(part),
            "no `{part}` in {}",
            outcome.stdout
        );
    }
    run_readme("```sh\nfalse\ntrue\n```\n").expect_code(1);
    run_readme("no command at all\n").expect_code(1);
}

#[test]
fn word_characters_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("word_ranges.rs");
    let script = repository().join("tests/judges/word_ranges.py");
    let rust = python(&script, &["rust"]);
    std::fs::write(&table, &rust.expect_code(0).stdout).unwrap();
    let compare = || judge("word_ranges", &[Path::new("compare"), &table]);
    assert_eq!(compare()["equal"], true);
    // The feminine ordinal sign is the first word character beyond ASCII.
    std::fs::write(&table, rust.stdout.replace("(0xaa, 0xaa), ", "")).unwrap();
    let compared = compare();
    assert_eq!(compared["equal"], false);
    assert_eq!(compared["python_only"], serde_json::json!([0xaa]));
    assert_eq!(compared["table_only"], serde_json::json!([]));
}

/// Judges accept scikit-learn's own results and reject a changed number.
#[test]
fn judges_agree_with_scikit_learn() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judged.py");
    let made = python(&script, &[movie_csv(), folder.path().to_owned()]);
    made.expect_code(0);
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let csv = movie_csv().to_string_lossy().into_owned();

    let features = [
        "--max-ngrams",
        "2",
        "--min-df",
        "3",
        "--stopwords",
        "english",
    ];
    let with = |first: &[String]| [first, &features.map(str::to_owned)].concat();
    let same = judge("tfidf", &with(&[path("matrix.safetensors"), csv.clone()]));
    assert_eq!(same["equal_vocabulary"], true);
    assert!(
        same["max_abs_difference"].as_f64().unwrap() < 1e-7,
        "{same}"
    );
    let other = judge("tfidf", &with(&[path("changed.safetensors"), csv.clone()]));
    assert!(
        other["max_abs_difference"].as_f64().unwrap() > 1e-3,
        "{other}"
    );

    for loss in ["hinge", "squared_hinge", "log"] {
        let flags = ["--loss", loss, "--c", "0.5", "--model-dir"].map(str::to_owned);
        let model = path(&format!("model-{loss}"));
        let compared = judge(
            "liblinear",
            &with(&[std::slice::from_ref(&csv), &flags, &[model]].concat()),
        );
        let problem = &compared["problems"][0];
        assert_eq!(problem["converged"], true, "{compared}");
        let difference = problem["relative_difference"].as_f64().unwrap();
        assert!(difference.abs() < 1e-6, "{loss}: {compared}");
    }

    let read = judge("read_model", &[path("model-hinge"), csv]);
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path("expected.json")).unwrap()).unwrap();
    assert_eq!(read["predicted"], expected["predicted"]);

    let metrics = judge("metrics", &[path("predictions.csv"), path("truth.csv")]);
    // Four rows by hand: a a b b, predicted a b b b with these probabilities of a: 0.9 0.4 0.2 0.3.
    assert_eq!(metrics["accuracy"], 0.75);
    let close = |value: &serde_json::Value, expected: f64| {
        assert!(
            (value.as_f64().unwrap() - expected).abs() < 1e-9,
            "{value} is not {expected}"
        );
    };
    close(&metrics["macro_f1"], (2.0 / 3.0 + 0.8) / 2.0);
    let log_loss = -(0.9f64.ln() + 0.4f64.ln() + 0.8f64.ln() + 0.7f64.ln()) / 4.0;
    close(&metrics["log_loss"], log_loss);
    close(&metrics["ece"], (0.1 + 0.6 + 0.2 + 0.3) / 4.0);
    close(&metrics["per_class"]["a"]["roc_auc"], 1.0);
}

#[test]
fn comparison_tests_pass() {
    let script = repository().join("tests/tests/comparison.py");
    python(&script, &[] as &[&str]).expect_code(0);
}

#[test]
fn comparison_without_data_is_an_error_with_help() {
    let script = repository().join("bench/compare");
    let empty = tempfile::tempdir().unwrap();
    let no_data = python(&script, &["--data", empty.path().to_str().unwrap()]);
    no_data.expect_code(1);
    assert!(
        no_data.stderr.contains("none of imdb") && no_data.stderr.contains("help:"),
        "{}",
        no_data.stderr
    );
    let no_results = python(&script, &["--tables"]);
    no_results.expect_code(1);
    assert!(no_results.stderr.contains("--out"), "{}", no_results.stderr);
}

#[test]
fn scripts_print_usage() {
    for script in [
        "data/make_sample.py",
        "data/imdb_to_csv.py",
        "bench/compare",
        "bench/gpu_bilstm.py",
        "bench/gpu_transformer.py",
    ] {
        let help = python(&repository().join(script), &["--help"]);
        assert!(help.expect_code(0).stdout.contains("usage:"), "{script}");
    }
    let mut usage = Command::new("bash");
    usage.arg("-n").arg(repository().join("test"));
    run(usage).expect_code(0);
}

#[test]
fn gpu_benchmark_without_gpu_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    let results = folder.path().join("results");
    for trainer in ["bilstm", "transformer"] {
        let script = repository().join(format!("bench/gpu_{trainer}.py"));
        let mut bench = Command::new(std::env::var_os("TRAINYARD_PYTHON").unwrap());
        // Without `nvidia-smi`, also on a machine that has it.
        bench.env("PATH", folder.path()).arg("-B").arg(&script);
        bench.args(["--only", "check"]);
        bench.arg(format!("--{trainer}")).arg(&script);
        if trainer == "transformer" {
            bench.arg("--pretrained-model").arg(folder.path());
        }
        bench.arg("--out").arg(&results);
        let stderr = run(bench).expect_code(1).stderr.clone();
        assert!(stderr.contains("error: no GPU"), "{stderr}");
        assert!(
            stderr.contains("help: run it where `nvidia-smi` shows one"),
            "{stderr}"
        );
        assert!(!results.exists(), "no results without a GPU");
    }
}
