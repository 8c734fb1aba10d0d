//! Command lines of a trainer and their messages, for snapshots.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{movie_rows, run, to_csv};

/// First words of progress lines, which are not messages.
const PROGRESS: [&str; 5] = ["reading", "loading", "training", "train:", "2 classes"];

/// A temporary folder in which command lines of one trainer run. It contains `rows.csv`, the first
/// 40 rows of the sample.
pub struct MessageFixture {
    dir: tempfile::TempDir,
    bin: PathBuf,
}

impl MessageFixture {
    /// Creates the folder for the trainer `bin`.
    ///
    /// # Panics
    /// If the folder cannot be created.
    pub fn new(bin: &str) -> Self {
        let fixture = Self {
            dir: tempfile::tempdir().expect("a temporary folder can be created"),
            bin: bin.into(),
        };
        fixture.write("rows.csv", to_csv(&movie_rows()[..40]));
        fixture
    }

    /// Writes a file into the folder.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.dir.path().join(name), content).expect("the folder can be written");
    }

    /// Runs the command lines in order. Returns each with its exit code and, if it failed, its
    /// messages.
    ///
    /// # Panics
    /// If a signal ends a command, or a failed command does not end with help.
    #[track_caller]
    pub fn run(&self, lines: &[&str]) -> String {
        let outputs: Vec<String> = lines.iter().map(|line| self.run_line(line)).collect();
        outputs.join("\n")
    }

    #[track_caller]
    fn run_line(&self, line: &str) -> String {
        let mut command = Command::new(&self.bin);
        command.env_clear().current_dir(self.dir.path());
        command.args(line.split_whitespace());
        let outcome = run(command);
        let code = outcome.code().expect("an exit code");
        let name = Path::new(&self.bin).file_name().unwrap_or_default();
        let mut answer = format!("$ {} {line}\n[exit code {code}]\n", name.display());
        // A successful run prints times, which differ.
        if code != 0 {
            let is_progress = |line: &&str| PROGRESS.iter().any(|start| line.starts_with(start));
            let messages: Vec<&str> = outcome.stderr.lines().filter(|l| !is_progress(l)).collect();
            let last = messages.last().copied().unwrap_or_default();
            let has_error = messages.iter().any(|line| line.contains("error"));
            assert!(
                has_error && last.starts_with("  help: "),
                "`{line}` does not end with help:\n{}",
                outcome.stderr
            );
            answer += &messages.join("\n");
            answer.push('\n');
        }
        answer
    }
}
