//! `--dry-run`: the steps of a command, with the exact requests.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::output::Format;
use diagnostics::{Exit, Result};

/// Planned steps, in order.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Plan {
    steps: Vec<Step>,
}

/// A step of a plan.
#[derive(Debug, Serialize)]
struct Step {
    /// Description, values in backticks.
    what: String,
    /// Request that the step sends, or file that it writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Value>,
}

impl From<s3::DryRun> for Plan {
    fn from(steps: s3::DryRun) -> Self {
        let steps = steps.into_iter();
        let steps = steps.map(|(what, request)| Step { what, request });
        Self {
            steps: steps.collect(),
        }
    }
}

impl Plan {
    /// Adds a step without a request, such as a build.
    pub(crate) fn step(&mut self, what: impl Into<String>) {
        self.steps.push(Step {
            what: what.into(),
            request: None,
        });
    }

    /// Adds a step with its request, recorded by [`crate::aws::Aws::dry_run`] or built by the
    /// command.
    pub(crate) fn request(&mut self, what: impl Into<String>, request: Value) {
        self.steps.push(Step {
            what: what.into(),
            request: Some(request),
        });
    }

    /// Prints the plan: `{"dry_run": true, "steps": [{"what", "request"}]}`, or text.
    pub(crate) fn print(&self, format: Format) -> Result<Exit> {
        let document = serde_json::json!({"dry_run": true, "steps": self.steps});
        format.print(&document, |_| self.text())
    }

    fn text(&self) -> String {
        let mut text = String::from("dry run: nothing is sent or changed\n");
        for (number, step) in (1..).zip(&self.steps) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{number}. {}", step.what);
            if let Some(request) = &step.request {
                let pretty = format!("{request:#}");
                for line in pretty.lines() {
                    let _ = writeln!(text, "   {line}");
                }
            }
        }
        text
    }
}
