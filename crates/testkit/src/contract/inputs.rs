//! Hyperparameters, channels, resource configuration.

use super::{
    Trainer, assert_cause, failure, flag, job, test_rows, train_rows, validation_rows, weights,
};
use crate::{FakeMl, run, to_csv};

/// Hyperparameters in all encodings give the same model as flags.
pub fn hyperparameters_equal_flags(trainer: &Trainer) {
    let by_flags = trainer.weights(&job(), &trainer.flags);
    assert_ne!(
        by_flags,
        trainer.weights::<&str>(&job(), &[]),
        "the flags change the model"
    );

    let mut ml = job();
    for (name, value) in &trainer.hyperparameters {
        ml = ml.hyperparameter(name, value);
    }
    assert!(
        by_flags == trainer.weights::<&str>(&ml, &[]),
        "hyperparameters and flags differ"
    );

    let (name, one, _) = &trainer.number;
    let by_flag = trainer.weights(&job(), &[flag(name), one.clone()]);
    for encoded in [
        one.clone(),
        format!("\"{one}\""),
        format!("\"\\\"{one}\\\"\""),
    ] {
        for name in [name.clone(), name.replace('_', "-")] {
            let ml = job().hyperparameter(&name, &encoded);
            let found = trainer.weights::<&str>(&ml, &[]);
            assert!(
                found == by_flag,
                "`{name}` = `{encoded}` differs from the flag"
            );
        }
    }
}

/// `True` and `False` in all spellings set a boolean flag.
pub fn boolean_hyperparameters_accept_python_spelling(trainer: &Trainer) {
    if trainer.switch.is_empty() {
        return;
    }
    let off = trainer.weights::<&str>(&job(), &[]);
    let on = trainer.weights(&job(), &[flag(&trainer.switch)]);
    assert_ne!(on, off, "the flag changes the model");
    for (value, expected) in [
        ("True", &on),
        ("true", &on),
        ("\"true\"", &on),
        ("False", &off),
        ("false", &off),
        ("\"False\"", &off),
    ] {
        let ml = job().hyperparameter(&trainer.switch, value);
        let found = trainer.weights::<&str>(&ml, &[]);
        assert!(found == *expected, "`{}` as `{value}`", trainer.switch);
    }
}

/// A flag on the command line overrides the hyperparameter.
pub fn command_line_overrides_hyperparameters(trainer: &Trainer) {
    let (name, one, two) = &trainer.number;
    let as_one = trainer.weights(&job(), &[flag(name), one.clone()]);
    let as_two = trainer.weights(&job(), &[flag(name), two.clone()]);
    assert_ne!(as_one, as_two, "the values change the model");
    let ml = job().hyperparameter(name, two);
    assert!(as_one == trainer.weights(&ml, &[flag(name), one.clone()]));
}

/// Hyperparameters that SageMaker adds are ignored.
pub fn sagemaker_hyperparameters_are_ignored(trainer: &Trainer) {
    let plain = trainer.weights::<&str>(&job(), &[]);
    let ml = job()
        .hyperparameter("sagemaker_program", "\"train.py\"")
        .hyperparameter(
            "sagemaker_submit_directory",
            "\"s3://bucket/source.tar.gz\"",
        )
        .hyperparameter("sagemaker_container_log_level", "20")
        .hyperparameter("sagemaker_region", "\"eu-west-1\"")
        .hyperparameter("_tuning_objective_metric", "\"validation:accuracy\"");
    assert!(plain == trainer.weights::<&str>(&ml, &[]));
}

/// A misspelt hyperparameter is an error that suggests the nearest name.
pub fn unknown_hyperparameter_suggests_nearest(trainer: &Trainer) {
    let name = &trainer.number.0;
    let mut misspelt = name.clone();
    misspelt.pop();
    let ml = job().hyperparameter(&misspelt, "1");
    let outcome = trainer.train::<&str>(&ml, &[]);
    assert_cause(&ml, &outcome, &[&misspelt]);
    // Remove the wrong name, which may contain the right one.
    let rest = failure(&ml, &outcome).replace(&format!("`{misspelt}`"), "");
    let dashed = name.replace('_', "-");
    assert!(
        rest.contains(name) || rest.contains(&dashed),
        "no `{name}` in: {rest}"
    );
    assert!(ml.model_files().is_empty());
}

/// An invalid value is an error; the first line of the failure file has name and value.
pub fn invalid_value_is_in_failure_file(trainer: &Trainer) {
    let name = &trainer.number.0;
    let ml = job().hyperparameter(name, "\"a-dozen\"");
    let outcome = trainer.train::<&str>(&ml, &[]);
    let first = failure(&ml, &outcome);
    let first = first.lines().next().unwrap_or_default();
    let named = first.contains(name) || first.contains(&name.replace('_', "-"));
    assert!(
        named && first.contains("a-dozen"),
        "name or value missing in: {first}"
    );
    assert!(ml.model_files().is_empty());
}

/// A hyperparameters file that is not a JSON object is an error that names the file.
pub fn invalid_hyperparameters_file_is_in_failure_file(trainer: &Trainer) {
    for broken in ["{\"min_df\": ", "[1, 2]", ""] {
        let ml = job();
        ml.write("input/config/hyperparameters.json", broken);
        let outcome = trainer.train::<&str>(&ml, &[]);
        let text = failure(&ml, &outcome);
        assert!(
            text.contains("hyperparameters.json"),
            "the file is not named: {text}"
        );
    }
}

/// The train channel from its folder, `SM_CHANNEL_TRAIN` and `--train` gives the same model. The
/// variable overrides the folder, the flag overrides both.
pub fn train_channel_from_folder_variable_or_flag(trainer: &Trainer) {
    let by_folder = trainer.weights::<&str>(&job(), &[]);
    let other = || {
        let half = &train_rows()[..200];
        FakeMl::new().channel("train", "train.csv", to_csv(half))
    };
    assert_ne!(
        by_folder,
        trainer.weights::<&str>(&other(), &[]),
        "the rows change the model"
    );

    let elsewhere = job();
    let folder = elsewhere.path("input/data/train");

    let ml = other();
    let mut command = ml.train(&trainer.bin, &trainer.quick);
    command.env("SM_CHANNEL_TRAIN", &folder);
    run(command).expect_code(0);
    assert!(by_folder == weights(&ml.model_dir()), "SM_CHANNEL_TRAIN");

    for path in [folder.clone(), folder.join("train.csv")] {
        let ml = other();
        let more = ["--train".to_owned(), path.to_string_lossy().into_owned()];
        let mut command = ml.train(&trainer.bin, &trainer.quick_and(&more));
        command.env("SM_CHANNEL_TRAIN", "/nowhere");
        run(command).expect_code(0);
        assert!(
            by_folder == weights(&ml.model_dir()),
            "--train {}",
            path.display()
        );
    }
}

/// Without a train channel the error names the missing folder.
pub fn missing_train_channel_is_in_failure_file(trainer: &Trainer) {
    let ml = FakeMl::new().channel("validation", "rows.csv", to_csv(&validation_rows()));
    let outcome = trainer.train::<&str>(&ml, &[]);
    assert_cause(&ml, &outcome, &["train"]);
    assert!(failure(&ml, &outcome).contains("help:"), "no help");
    assert!(ml.model_files().is_empty());
}

/// The channels `validation` and `test` are evaluated separately.
pub fn validation_and_test_channels_are_evaluated(trainer: &Trainer) {
    let ml = job()
        .channel("validation", "validation.csv", to_csv(&validation_rows()))
        .channel("test", "test.csv", to_csv(&test_rows()));
    let outcome = trainer.train::<&str>(&ml, &[]);
    outcome.expect_code(0);
    for channel in ["validation", "test"] {
        let name = format!("{channel}:accuracy");
        let printed = super::outputs::printed(trainer, &name, &outcome);
        let printed = *printed
            .last()
            .unwrap_or_else(|| panic!("`{name}` is not printed:\n{}", outcome.output()));
        let data = ml.path(format!("input/data/{channel}"));
        let outcome = trainer.evaluate(&ml.model_dir(), &data);
        let evaluated = outcome.expect_code(0).json()["accuracy"].as_f64();
        let evaluated = evaluated.expect("`evaluate --json` has a number `accuracy`");
        // Metric lines are rounded to at least four digits.
        assert!(
            (printed - evaluated).abs() < 1e-4,
            "{name}: printed {printed}, evaluated {evaluated}"
        );
    }
}

/// Fields that local mode leaves out are optional; an invalid file is an error that names it.
pub fn resource_config_is_read(trainer: &Trainer) {
    let ml = job();
    let local =
        r#"{"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}"#;
    ml.write("input/config/resourceconfig.json", local);
    trainer.train::<&str>(&ml, &[]).expect_code(0);

    let ml = job();
    ml.write("input/config/resourceconfig.json", "{\"hosts\": ");
    let outcome = trainer.train::<&str>(&ml, &[]);
    let text = failure(&ml, &outcome);
    assert!(
        text.contains("resourceconfig.json"),
        "the file is not named: {text}"
    );
}
