//! Issue 18: `serve`, by real connections.

#[cfg(feature = "serve")]
mod clients;
#[cfg(feature = "serve")]
mod connections;
#[cfg(feature = "serve")]
mod hosting;
#[cfg(feature = "serve")]
mod page;
#[cfg(feature = "serve")]
mod traces;

/// The help has the command that builds it in.
#[cfg(not(feature = "serve"))]
#[test]
fn build_without_the_feature_names_the_command() {
    let outcome = super::Workspace::new().svm("serve", &[] as &[&str]);
    outcome.expect_code(2);
    let help = "help: build it: cargo build --release -p svm --features serve";
    assert!(outcome.stderr.contains(help), "{}", outcome.stderr);
}

/// Models and keys are local: the server would listen without the model that was meant.
#[test]
fn addresses_of_models_and_keys_are_refused() {
    for (option, help) in [
        ("--model-dir", "aws s3 cp --recursive s3://bucket/m m"),
        ("--api-key-file", "aws s3 cp s3://bucket/m m"),
    ] {
        let mut command = std::process::Command::new(super::BIN);
        command.env_clear().args(["serve", option, "s3://bucket/m"]);
        let outcome = testkit::run(command);
        outcome.expect_code(2);
        let help = format!("help: fetch it, and pass {option} m: {help}\n");
        assert!(outcome.stderr.contains(&help), "{}", outcome.stderr);
    }
}
