//! The command line reference of the docs.

use std::path::Path;

#[test]
fn reference_is_up_to_date() {
    testkit::check_trainer_reference(Path::new(env!("CARGO_BIN_EXE_nb")), "nb");
}
