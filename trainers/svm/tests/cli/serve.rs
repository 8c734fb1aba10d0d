//! Issue 18: `serve`, by real connections.

#[cfg(feature = "serve")]
mod hosting;

/// The help has the command that builds it in.
#[cfg(not(feature = "serve"))]
#[test]
fn build_without_the_feature_names_the_command() {
    let outcome = super::Workspace::new().svm("serve", &[] as &[&str]);
    outcome.expect_code(2);
    let help = "help: build it: cargo build --release -p svm --features serve";
    assert!(outcome.stderr.contains(help), "{}", outcome.stderr);
}
