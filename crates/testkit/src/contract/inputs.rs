//! Hyperparameters, channels, resource configuration.

use super::{
    Trainer, assert_cause, failure, flag, job, test_rows, train_rows, validation_rows, weights,
};
use crate::{FakeMl, run, to_csv};

/// Hyperparameters, however they are encoded, give the same model as the flags of the same names.
pub fn hyperparameters_become_flags(trainer: &Trainer) {
    let by_flags = trainer.weights(&job(), &trainer.flags);
    assert_ne!(
        by_flags,
        trainer.weights::<&str>(&job(), &[]),
        "the flags must matter"
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
                "`{name}` given as `{encoded}` is not understood"
            );
        }
    }
}

/// `True` and `False` in all their spellings switch a flag on, or leave it off.
pub fn hyperparameters_may_be_switches(trainer: &Trainer) {
    if trainer.switch.is_empty() {
        return;
    }
    let off = trainer.weights::<&str>(&job(), &[]);
    let on = trainer.weights(&job(), &[flag(&trainer.switch)]);
    assert_ne!(on, off, "the switch must matter");
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

/// A flag on the command line wins over the hyperparameter of the same name.
pub fn the_command_line_wins_over_hyperparameters(trainer: &Trainer) {
    let (name, one, two) = &trainer.number;
    let as_one = trainer.weights(&job(), &[flag(name), one.clone()]);
    let as_two = trainer.weights(&job(), &[flag(name), two.clone()]);
    assert_ne!(as_one, as_two, "the values must matter");
    let ml = job().hyperparameter(name, two);
    assert!(as_one == trainer.weights(&ml, &[flag(name), one.clone()]));
}

/// What SageMaker adds for itself is no error and changes nothing.
pub fn sagemakers_own_hyperparameters_are_ignored(trainer: &Trainer) {
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

/// A misspelt hyperparameter fails, and the message names the one that was meant.
pub fn an_unknown_hyperparameter_names_the_nearest(trainer: &Trainer) {
    let name = &trainer.number.0;
    let mut misspelt = name.clone();
    misspelt.pop();
    let ml = job().hyperparameter(&misspelt, "1");
    let outcome = trainer.train::<&str>(&ml, &[]);
    assert_cause(&ml, &outcome, &[&misspelt]);
    // Cut the wrong name out, so that it does not pass for the right one.
    let rest = failure(&ml, &outcome).replace(&format!("`{misspelt}`"), "");
    let dashed = name.replace('_', "-");
    assert!(
        rest.contains(name) || rest.contains(&dashed),
        "no `{name}` in: {rest}"
    );
    assert!(ml.model_files().is_empty());
}

/// A value that does not fit fails; name and value stand in the first line of the failure file.
pub fn a_bad_value_is_the_failure(trainer: &Trainer) {
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

/// A file that is no JSON object fails, and is named.
pub fn broken_hyperparameters_are_the_failure(trainer: &Trainer) {
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

/// The train channel by its folder, by `SM_CHANNEL_TRAIN` and by `--train` gives the same model; the
/// variable wins over the folder, and the flag over both.
pub fn a_channel_is_a_folder_a_variable_or_a_flag(trainer: &Trainer) {
    let by_folder = trainer.weights::<&str>(&job(), &[]);
    let other = || {
        let half = &train_rows()[..200];
        FakeMl::new().channel("train", "train.csv", to_csv(half))
    };
    assert_ne!(
        by_folder,
        trainer.weights::<&str>(&other(), &[]),
        "the rows must matter"
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

/// Without a train channel the run fails and says which one it looked for.
pub fn a_missing_train_channel_is_the_failure(trainer: &Trainer) {
    let ml = FakeMl::new().channel("validation", "rows.csv", to_csv(&validation_rows()));
    let outcome = trainer.train::<&str>(&ml, &[]);
    assert_cause(&ml, &outcome, &["train"]);
    assert!(
        failure(&ml, &outcome).contains("help:"),
        "no way out is named"
    );
    assert!(ml.model_files().is_empty());
}

/// The channels `validation` and `test` are evaluated, each on its own rows.
pub fn validation_and_test_channels_are_used(trainer: &Trainer) {
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
        let judged = trainer.evaluate(&ml.model_dir(), &data);
        let judged = judged.expect_code(0).json()["accuracy"].as_f64();
        let judged = judged.expect("`evaluate --json` has a number `accuracy`");
        // Metric lines may be rounded, to four places at the coarsest.
        assert!(
            (printed - judged).abs() < 1e-4,
            "{name}: printed {printed}, evaluated {judged}"
        );
    }
}

/// The fields that local mode leaves out may be absent; a broken file fails and is named.
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
