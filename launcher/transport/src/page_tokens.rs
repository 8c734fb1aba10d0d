//! Continuation tokens of a listing.

use std::collections::BTreeSet;

/// Tokens that a server returned. One that repeats would make the listing endless.
#[derive(Debug, Default)]
pub struct PageTokens(BTreeSet<String>);

/// Message about a token that repeats, to go after what is listed.
pub const REPEATED: &str = "the server returns the same page again and again";

/// Help for a token that repeats.
pub const REPEATED_HELP: &str =
    "check `--endpoint-url` and AWS_ENDPOINT_URL: is it AWS, or a proxy?";

impl PageTokens {
    /// Records a token. Returns false if it was returned before.
    pub fn insert(&mut self, token: &str) -> bool {
        self.0.insert(token.to_owned())
    }
}
