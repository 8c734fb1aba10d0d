//! The contract suite on a toy trainer: the correct toy passes, and each fault is detected.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside of a test function"
)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use testkit::{Trainer, pairs, strings};

/// A small executable that starts the toy; the folder keeps it alive.
fn toy(folder: &Path, fault: &str) -> Trainer {
    let python = std::env::var("TRAINYARD_PYTHON")
        .expect("`TRAINYARD_PYTHON` is not set\nhelp: run the tests with `./test`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/toy.py");
    let bin = folder.join("toy");
    let start = format!(
        "#!/bin/sh\nexec '{python}' -B '{}' --fault '{fault}' \"$@\"\n",
        script.display()
    );
    std::fs::write(&bin, start).unwrap();
    std::fs::set_permissions(&bin, Permissions::from_mode(0o755)).unwrap();
    let metrics = ["train", "validation", "test"].iter().flat_map(|set| {
        ["accuracy", "macro_f1"].map(|metric| {
            let name = format!("{set}:{metric}");
            (name.clone(), format!(r"(?:^|\s){name}=([0-9.eE+-]+);"))
        })
    });
    Trainer {
        bin,
        quick: Vec::new(),
        // The toy is slow on IMDB; the pause takes the time of a solver.
        long_data: testkit::movie_csv(),
        long: strings(&["--pause", "0.5"]),
        tune: strings(&["--pause", "1"]),
        hyperparameters: pairs(&[("min_df", "\"3\""), ("stopwords", "\"\\\"english\\\"\"")]),
        flags: strings(&["--min-df", "3", "--stopwords", "english"]),
        number: ("min_df".into(), "2".into(), "8".into()),
        switch: "sublinear_tf".into(),
        metrics: metrics.collect(),
    }
}

mod right {
    use super::toy;

    /// The executable's folder lives as long as the test uses it.
    struct Toy {
        trainer: testkit::Trainer,
        _folder: tempfile::TempDir,
    }

    impl std::ops::Deref for Toy {
        type Target = testkit::Trainer;
        fn deref(&self) -> &testkit::Trainer {
            &self.trainer
        }
    }

    fn trainer() -> Toy {
        let folder = tempfile::tempdir().unwrap();
        Toy {
            trainer: toy(folder.path(), ""),
            _folder: folder,
        }
    }

    testkit::contract_suite!(trainer());

    #[test]
    fn hosting_answers() {
        testkit::contract::hosting_answers(&trainer());
    }

    #[test]
    fn hosting_ends() {
        testkit::contract::hosting_ends(&trainer());
    }
}

/// Runs one contract test on a toy with one fault: it must panic with `message`.
fn assert_detects(
    name: &str,
    fault: &str,
    test: fn(&Trainer),
    message: &str,
    allowed: fn() -> bool,
) {
    if !allowed() {
        return testkit::skip(
            &format!("suite: faulty::{name}"),
            "the kernel forbids namespaces",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let trainer = toy(folder.path(), fault);
    let panic = std::panic::catch_unwind(|| test(&trainer)).expect_err("the fault is not found");
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).to_owned());
    assert!(
        text.contains(message),
        "expected `{message}`, found: {text}"
    );
}

/// Each fault with the test that detects it, the test's message, and the kernel feature it needs.
macro_rules! faults {
    ($($name:ident: $fault:literal, $test:ident, $message:literal $(, $allowed:ident)?;)*) => {
        mod faulty {
            $(
                #[test]
                fn $name() {
                    let allowed: &[fn() -> bool] = &[$(testkit::$allowed,)? || true];
                    super::assert_detects(stringify!($name), $fault, testkit::contract::$test, $message, allowed[0]);
                }
            )*
        }
    };
}

faults! {
    no_hyperparameters: "ignores_hyperparameters", hyperparameters_equal_flags, "hyperparameters and flags differ";
    nested_json: "decodes_once", hyperparameters_equal_flags, "expected a number";
    switches: "switch_always_on", boolean_hyperparameters_accept_python_spelling, "`sublinear_tf` as `False`";
    precedence: "hyperparameters_win", command_line_overrides_hyperparameters, "as_one ==";
    own_keys: "takes_sagemakers_own", sagemaker_hyperparameters_are_ignored, "expected exit code 0, found exit status: 1";
    suggestion: "no_suggestion", unknown_hyperparameter_suggests_nearest, "no `min_df` in";
    cause: "cause_last", invalid_value_is_in_failure_file, "name or value missing";
    failure_file: "no_failure_file", missing_train_channel_is_in_failure_file, "no failure file";
    exit_code: "exits_0", invalid_hyperparameters_file_is_in_failure_file, "expected exit code 1, found exit status: 0";
    resources: "exits_0", resource_config_is_read, "expected exit code 1, found exit status: 0";
    channel_variable: "ignores_variables", train_channel_from_folder_variable_or_flag, "SM_CHANNEL_TRAIN";
    output_variable: "ignores_variables", variables_set_output_folders, "no weights at";
    two_channels: "other_format", validation_and_test_channels_are_evaluated, "is not printed";
    metric_format: "other_format", metric_lines_match_definitions, "is not printed";
    carriage_return: "carriage_return", logs_are_plain_without_terminal, "a carriage return";
    colour: "colour", logs_are_plain_without_terminal, "an escape sequence";
    forgery: "forge", data_cannot_forge_metrics, "the data forged";
    noise: "chatty", json_prints_one_object, "expected one JSON object";
    length: "long_failure", failure_file_is_short_and_starts_with_cause, "characters in the failure file";
    full_disk: "exits_0", full_disk_is_in_failure_file, "expected exit code 1, found exit status: 0", small_disk_allowed;
    read_only: "exits_0", read_only_model_folder_is_in_failure_file, "expected exit code 1, found exit status: 0", read_only_allowed;
    temporary: "leaves_temporary", mounted_model_folder_is_written, "temporary files are left", small_disk_allowed;
    killed: "half_model", killed_run_leaves_complete_model_or_none, "incomplete model";
    stopped_writing: "half_model", sigterm_while_saving, "incomplete model";
    no_handler: "no_handler", process_1_handles_sigterm, "does not catch SIGTERM", pid_1_allowed;
    deaf: "ignores_sigterm", sigterm_before_data, "not done after";
    code_mid_data: "exits_143", sigterm_while_reading, "expected exit code 0, found exit status: 143";
    code_in_training: "exits_143", sigterm_while_training, "expected exit code 0, found exit status: 143";
    probability: "other_probability", hosting_answers, "in one request";
    lost_answer: "loses_answers", hosting_ends, "expected status 200, found 0";
    code_in_search: "exits_143", sigterm_while_tuning, "expected exit code 0, found exit status: 143";
}
