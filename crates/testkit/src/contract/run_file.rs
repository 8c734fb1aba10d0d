//! Run files: `train --config`. They are not part of SageMaker's contract, so not of the suite.

use super::{Trainer, flag, job, strings};
use crate::campaign::files;
use crate::run;

/// Training with the run file beside a model gives the same files, byte for byte.
pub fn run_file_trains_the_same_model(trainer: &Trainer) {
    const DATA: &str = "input/data/train/train.csv";
    let ml = job();
    let flags = [trainer.flags.clone(), strings(&["--train", DATA])].concat();
    trainer.train(&ml, &flags).expect_code(0);
    let first = files(&ml.model_dir());
    let text = String::from_utf8_lossy(&first["run.toml"]).into_owned();
    assert!(text.contains(&format!("\ntrain = \"{DATA}\"\n")), "{text}");
    run(ml.train(&trainer.bin, &["--config", "model/run.toml"])).expect_code(0);
    let again = files(&ml.model_dir());
    let changed = first
        .keys()
        .find(|name| first.get(*name) != again.get(*name));
    assert!(
        changed.is_none(),
        "{changed:?} differs; the run file:\n{text}"
    );
    assert_eq!(first.len(), again.len());
}

/// The command line takes precedence over the run file, and that over hyperparameters.
pub fn run_file_is_between_flags_and_hyperparameters(trainer: &Trainer) {
    let (name, one, two) = &trainer.number;
    let as_one = trainer.weights(&job(), &[flag(name), one.clone()]);
    let as_two = trainer.weights(&job(), &[flag(name), two.clone()]);
    assert_ne!(as_one, as_two, "the values change the model");
    let ml = job().hyperparameter(name, two);
    ml.write("own.toml", format!("{name} = {one}\n"));
    let by_file = strings(&["--config", "own.toml"]);
    assert!(as_one == trainer.weights(&ml, &by_file));
    let by_flag = [by_file, vec![flag(name), two.clone()]].concat();
    assert!(as_two == trainer.weights(&ml, &by_flag));
}
