//! The commit of an image.

use std::path::Path;
use std::process::Stdio;
use std::sync::Once;

use tokio::process::Command;

use diagnostics::eprint_line;

/// A commit, and whether files differ from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision {
    commit: String,
    dirty: bool,
}

impl Revision {
    /// Returns the commit of a workspace. Returns none and prints the reason once if git is missing
    /// or refuses, or there is no commit.
    pub(crate) async fn of(workspace: &Path) -> Option<Self> {
        static REPORTED: Once = Once::new();
        Self::run_git(workspace)
            .await
            .map_err(|reason| {
                REPORTED.call_once(|| {
                    eprint_line(format!(
                        "no commit in the image's tag, so every build of this version has the same one: {reason}"
                    ));
                });
            })
            .ok()
    }

    async fn run_git(workspace: &Path) -> Result<Self, String> {
        let output = Command::new("git")
            .args(["status", "--porcelain=v2", "--branch"])
            .current_dir(workspace)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| format!("cannot start `git`: {error}"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().next().unwrap_or_default();
            return Err(format!(
                "git reports `{}`",
                diagnostics::sanitize(line.trim())
            ));
        }
        Self::parse(&String::from_utf8_lossy(&output.stdout))
            .ok_or_else(|| "the repository has no commit yet".to_owned())
    }

    fn parse(status: &str) -> Option<Self> {
        let commit = status
            .lines()
            .find_map(|line| line.strip_prefix("# branch.oid "))
            .filter(|oid| oid.len() >= 40 && oid.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        Some(Self {
            commit: commit.to_owned(),
            dirty: status.lines().any(|line| !line.starts_with('#')),
        })
    }

    /// Returns the full hash, with `-dirty` if files differ.
    pub(crate) fn full(&self) -> String {
        format!("{}{}", self.commit, self.mark())
    }

    /// Returns the short hash for a tag.
    pub(crate) fn short(&self) -> String {
        format!("{}{}", &self.commit[..12], self.mark())
    }

    fn mark(&self) -> &'static str {
        if self.dirty { "-dirty" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "# branch.oid 0123456789abcdef0123456789abcdef01234567\n# branch.head main\n";

    #[test]
    fn parses_git_status() {
        let clean = Revision::parse(HEAD).expect("a commit");
        assert_eq!(clean.short(), "0123456789ab");
        let dirty = Revision::parse(&format!("{HEAD}? new.rs\n")).expect("a commit");
        assert_eq!(
            dirty.full(),
            "0123456789abcdef0123456789abcdef01234567-dirty"
        );
        assert_eq!(Revision::parse("# branch.oid (initial)\n"), None);
        assert_eq!(Revision::parse(""), None);
    }
}
