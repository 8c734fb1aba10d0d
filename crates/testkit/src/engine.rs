//! The Docker engine for one test; its containers and images are removed after the test, also on
//! failure.

use std::cell::RefCell;
use std::process::Command;

use crate::process::{Outcome, Running, run, start};

/// A handle of the engine. It labels its containers to find them again.
pub struct Engine {
    name: String,
    images: RefCell<Vec<String>>,
}

/// Returns the engine of this machine.
///
/// # Panics
/// If none answers: `./test` starts one.
pub fn engine() -> Engine {
    let mut command = Command::new("docker");
    command.args(["version", "--format", "{{.Server.Version}}"]);
    let outcome = run(command);
    assert!(
        outcome.code() == Some(0),
        "no Docker engine answers, expected one\nhelp: `./test` starts it\n{}",
        outcome.stderr
    );
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos();
    Engine {
        name: format!("toy-{}-{nanos}", std::process::id()),
        images: RefCell::new(Vec::new()),
    }
}

impl Engine {
    /// A unique name for a container, an image or a crate.
    pub fn unique(&self) -> &str {
        &self.name
    }

    /// Runs `docker ARGUMENTS`.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new("docker");
        command.args(arguments);
        run(command)
    }

    /// Runs `docker run --rm ARGUMENTS`.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        run(self.command(arguments))
    }

    /// Starts `docker run --rm ARGUMENTS`.
    pub fn start(&self, arguments: &[&str]) -> Running {
        start(self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command
            .args(["run", "--rm", "--label"])
            .arg(self.label())
            .args(arguments);
        command
    }

    fn label(&self) -> String {
        format!("trainyard-test={}", self.name)
    }

    /// Removes the image at the end of the test.
    pub fn remove_later(&self, image: &str) {
        self.images.borrow_mut().push(image.to_owned());
    }

    /// Removes an image now.
    pub fn remove(&self, image: &str) {
        self.docker(&["rmi", "--force", image]);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // No panics: the test may be panicking already.
        let docker = |arguments: &[&str]| Command::new("docker").args(arguments).output().ok();
        let filter = format!("label={}", self.label());
        if let Some(found) = docker(&["ps", "--all", "--quiet", "--filter", &filter]) {
            for id in String::from_utf8_lossy(&found.stdout).split_whitespace() {
                docker(&["rm", "--force", "--volumes", id]);
            }
        }
        // Stages of a build, labelled by the Dockerfile.
        docker(&["image", "prune", "--force", "--filter", &filter]);
        for image in self.images.borrow().iter() {
            docker(&["rmi", "--force", image]);
        }
    }
}
