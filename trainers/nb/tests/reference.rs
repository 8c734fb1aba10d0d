//! The command line reference and the Python code of the docs.

use std::path::Path;

#[test]
fn reference_is_up_to_date() {
    testkit::check_trainer_reference(Path::new(env!("CARGO_BIN_EXE_nb")), "nb");
}

/// The code applies thresholds and returns sets of labels.
#[test]
fn documented_code_has_the_labels_of_predict() {
    let binary = Path::new(env!("CARGO_BIN_EXE_nb"));
    testkit::check_documented_labels("nb", binary, testkit::judge::<String>);
}
