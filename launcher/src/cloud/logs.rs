//! Reads the log events of a job from all its streams in CloudWatch, each event exactly once.
//!
//! A stream is named `JOB/HOST-TIME`; a host that restarts, as after a spot interruption, gets a
//! new one. The position in a stream is the token of its last page. It advances together with the
//! events that were forwarded.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::consistency_window::ConsistencyWindow;
use crate::aws::{Aws, explain};
use diagnostics::Error;
use transport::page_tokens::{self, PageTokens};
use transport::retry::is_transient;

const GROUP: &str = "/aws/sagemaker/TrainingJobs";

/// Error code of a log group or stream that does not exist yet.
const NOT_FOUND: &str = "ResourceNotFoundException";

/// A log event: one line, or several lines written at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Milliseconds since 1970.
    pub(super) time: i64,
    /// Host, such as `algo-1`.
    pub(super) host: String,
    /// Stream without the name of the job.
    pub(super) stream: String,
    pub(super) message: String,
}

/// Error of a log request.
#[derive(Debug)]
pub(super) enum LogError {
    /// Throttling, a server error or a network error.
    Transient(Error),
    /// Missing permission, expired credentials.
    Permanent(Error),
}

/// Reader of new log events.
#[derive(Debug)]
pub(super) struct LogTail {
    client: Client,
    prefix: String,
    streams: Vec<Stream>,
    /// Of the job.
    pub(super) consistency_window: ConsistencyWindow,
}

#[derive(Debug)]
struct Stream {
    name: String,
    token: Option<String>,
    /// Number of events after the token that were forwarded, while the token has not changed.
    forwarded: usize,
    /// True if this poll has read everything.
    at_end: bool,
}

impl LogTail {
    pub(super) fn new(aws: &Aws, job: &str, consistency_window: ConsistencyWindow) -> Self {
        Self {
            client: aws.logs(),
            prefix: format!("{job}/"),
            streams: Vec::new(),
            consistency_window,
        }
    }

    /// Starts a poll: finds new streams.
    pub(super) async fn discover(&mut self) -> Result<(), LogError> {
        for stream in &mut self.streams {
            stream.at_end = false;
        }
        let what = "cannot list the job's log streams";
        let mut next = None;
        let mut seen = PageTokens::default();
        loop {
            let response = self
                .client
                .describe_log_streams()
                .log_group_name(GROUP)
                .log_stream_name_prefix(&self.prefix)
                .set_next_token(next)
                .send()
                .await;
            let page = match response {
                Ok(page) => page,
                // The log group is created with the first line of the first job.
                Err(error) if error.code() == Some(NOT_FOUND) => return Ok(()),
                Err(error) => return Err(LogError::new(what, error, self.consistency_window)),
            };
            for name in page
                .log_streams()
                .iter()
                .filter_map(|stream| stream.log_stream_name())
            {
                if !self.streams.iter().any(|stream| stream.name == name) {
                    self.streams.push(Stream {
                        name: name.to_owned(),
                        token: None,
                        forwarded: 0,
                        at_end: false,
                    });
                }
            }
            next = page.next_token().map(str::to_owned);
            match &next {
                None => return Ok(()),
                Some(token) if !seen.insert(token) => {
                    let error = Error::new(format!("{what}: {}", page_tokens::REPEATED));
                    return Err(LogError::Permanent(error.help(page_tokens::REPEATED_HELP)));
                }
                Some(_) => {}
            }
        }
    }

    /// Appends the next page of each stream to `events`. Returns true if there may be more: pages
    /// bound the memory for a long log. After an error, `events` has the pages read before it.
    pub(super) async fn read(&mut self, events: &mut Vec<Event>) -> Result<bool, LogError> {
        let mut result = Ok(());
        for stream in self.streams.iter_mut().filter(|stream| !stream.at_end) {
            let consistency_window = self.consistency_window;
            result = stream
                .read(&self.client, &self.prefix, consistency_window, events)
                .await;
            if result.is_err() {
                break;
            }
        }
        // Merges hosts by time; the sort is stable, so each stream keeps its order.
        events.sort_by_key(|event| event.time);
        result.map(|()| self.streams.iter().any(|stream| !stream.at_end))
    }
}

impl Stream {
    async fn read(
        &mut self,
        client: &Client,
        prefix: &str,
        consistency_window: ConsistencyWindow,
        events: &mut Vec<Event>,
    ) -> Result<(), LogError> {
        let response = client
            .get_log_events()
            .log_group_name(GROUP)
            .log_stream_name(&self.name)
            .start_from_head(true)
            .set_next_token(self.token.clone())
            .send()
            .await;
        let page = match response {
            Ok(page) => page,
            // Deleted by the retention setting.
            Err(error) if error.code() == Some(NOT_FOUND) => {
                self.at_end = true;
                return Ok(());
            }
            Err(error) => {
                let what = "cannot read the job's logs";
                return Err(LogError::new(what, error, consistency_window));
            }
        };
        let token = page.next_forward_token().map(str::to_owned);
        let found = self.take(page.events.unwrap_or_default(), token);
        let short = self.name.strip_prefix(prefix).unwrap_or(&self.name);
        let host = short.rsplit_once('-').map_or(short, |(host, _)| host);
        events.extend(found.map(|event| Event::new(event, host, short)));
        Ok(())
    }

    /// Advances the position and returns the new events of a page.
    fn take(
        &mut self,
        found: Vec<OutputLogEvent>,
        token: Option<String>,
    ) -> impl Iterator<Item = OutputLogEvent> + use<> {
        let known = self.forwarded;
        // An empty page does not mean the end; at the end the token stays the same.
        self.at_end = token.is_none() || token == self.token;
        if self.at_end {
            self.forwarded = known.max(found.len());
        } else {
            self.token = token;
            self.forwarded = 0;
        }
        found.into_iter().skip(known)
    }
}

impl Event {
    fn new(event: OutputLogEvent, host: &str, stream: &str) -> Self {
        Self {
            time: event.timestamp.unwrap_or_default(),
            host: host.to_owned(),
            stream: stream.to_owned(),
            message: event.message.unwrap_or_default(),
        }
    }
}

impl LogError {
    fn new<E>(
        what: &str,
        error: SdkError<E, HttpResponse>,
        consistency_window: ConsistencyWindow,
    ) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let transient = is_transient(&error) || consistency_window.tolerates(&error);
        let error = explain(what, error);
        if transient {
            Self::Transient(error)
        } else {
            Self::Permanent(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(texts: &[&str]) -> Vec<OutputLogEvent> {
        let event = |text: &&str| OutputLogEvent::builder().message(*text).build();
        texts.iter().map(event).collect()
    }

    #[test]
    fn forwards_each_event_once_for_any_tokens() {
        let mut stream = Stream {
            name: "svm/algo-1-1".to_owned(),
            token: None,
            forwarded: 0,
            at_end: false,
        };
        let mut look = |texts: &[&str], token: Option<&str>| {
            let found = stream.take(page(texts), token.map(str::to_owned));
            let found: Vec<_> = found.filter_map(|event| event.message).collect();
            (found.concat(), stream.at_end)
        };
        // A page with events and without a token must neither loop forever nor be shown twice.
        assert_eq!(look(&["a", "b"], None), ("ab".to_owned(), true));
        assert_eq!(look(&["a", "b", "c"], None), ("c".to_owned(), true));
        assert_eq!(look(&["a", "b", "c"], Some("1")), (String::new(), false));
        assert_eq!(look(&["d"], Some("1")), ("d".to_owned(), true));
        assert_eq!(look(&["d"], Some("1")), (String::new(), true));
        assert_eq!(look(&["d", "e"], Some("2")), ("e".to_owned(), false));
        assert_eq!(look(&[], Some("3")), (String::new(), false));
        assert_eq!(look(&["f"], Some("4")), ("f".to_owned(), false));
        assert_eq!(look(&[], Some("4")), (String::new(), true));
    }
}
