//! A job's log events, from all its streams in CloudWatch: none lost, none twice.
//!
//! A stream is `JOB/HOST-TIME`; a host that starts again, as after a spot interruption, gets another one. The place in
//! each stream is the token of its last page, which moves together with the events that were handed on.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;

use crate::aws::{Aws, explain};
use diagnostics::Error;
use transport::retry::is_transient;

const GROUP: &str = "/aws/sagemaker/TrainingJobs";

/// One line of a job, or several where the trainer wrote them at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Milliseconds since 1970.
    pub(super) time: i64,
    /// `algo-1`
    pub(super) host: String,
    /// Without the job's name.
    pub(super) stream: String,
    pub(super) message: String,
}

/// Why there are no logs now.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Throttling, a server's error, the network: it may pass.
    Passing(Error),
    /// Missing permission, expired credentials.
    Lasting(Error),
}

/// Reads on where it was.
#[derive(Debug)]
pub(super) struct Tail {
    client: Client,
    prefix: String,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    name: String,
    token: Option<String>,
    /// Events behind the token that were handed on, where no other token came with them.
    handed_on: usize,
    /// Nothing more in this look.
    at_end: bool,
}

impl Tail {
    pub(super) fn new(aws: &Aws, job: &str) -> Self {
        Self {
            client: aws.logs(),
            prefix: format!("{job}/"),
            streams: Vec::new(),
        }
    }

    /// Begins a look: looks for streams that are new.
    pub(super) async fn discover(&mut self) -> Result<(), Trouble> {
        for stream in &mut self.streams {
            stream.at_end = false;
        }
        let mut next = None;
        loop {
            let answer = self
                .client
                .describe_log_streams()
                .log_group_name(GROUP)
                .log_stream_name_prefix(&self.prefix)
                .set_next_token(next)
                .send()
                .await;
            let page = match answer {
                Ok(page) => page,
                // The group is made with the first job's first line.
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|e| e.is_resource_not_found_exception()) =>
                {
                    return Ok(());
                }
                Err(error) => {
                    let passing = is_transient(&error);
                    let failure = explain("cannot list the job's log streams", error);
                    return Err(Trouble::new(passing, failure));
                }
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
                        handed_on: 0,
                        at_end: false,
                    });
                }
            }
            next = page.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// The next page of each stream in `events`, and whether there may be more: a long log is more than the memory
    /// should hold. After trouble, what came before it is there, and the rest comes next time.
    pub(super) async fn read(&mut self, events: &mut Vec<Event>) -> Result<bool, Trouble> {
        let mut result = Ok(());
        for stream in self.streams.iter_mut().filter(|stream| !stream.at_end) {
            result = stream.read(&self.client, &self.prefix, events).await;
            if result.is_err() {
                break;
            }
        }
        // Hosts side by side; within a stream CloudWatch's order stays.
        events.sort_by_key(|event| event.time);
        result.map(|()| self.streams.iter().any(|stream| !stream.at_end))
    }
}

impl Stream {
    async fn read(
        &mut self,
        client: &Client,
        prefix: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), Trouble> {
        let answer = client
            .get_log_events()
            .log_group_name(GROUP)
            .log_stream_name(&self.name)
            .start_from_head(true)
            .set_next_token(self.token.clone())
            .send()
            .await;
        let page = match answer {
            Ok(page) => page,
            // Retention may have taken it away.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_resource_not_found_exception()) =>
            {
                self.at_end = true;
                return Ok(());
            }
            Err(error) => {
                let passing = is_transient(&error);
                let failure = explain("cannot read the job's logs", error);
                return Err(Trouble::new(passing, failure));
            }
        };
        let token = page.next_forward_token().map(str::to_owned);
        let found = self.take(page.events.unwrap_or_default(), token);
        let short = self.name.strip_prefix(prefix).unwrap_or(&self.name);
        let host = short.rsplit_once('-').map_or(short, |(host, _)| host);
        events.extend(found.map(|event| Event::new(event, host, short)));
        Ok(())
    }

    /// Moves on, and gives what is new in the page.
    fn take(
        &mut self,
        found: Vec<OutputLogEvent>,
        token: Option<String>,
    ) -> impl Iterator<Item = OutputLogEvent> + use<> {
        let known = self.handed_on;
        // A page may be empty before the end; at the end the same token comes back.
        self.at_end = token.is_none() || token == self.token;
        if self.at_end {
            self.handed_on = known.max(found.len());
        } else {
            self.token = token;
            self.handed_on = 0;
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

impl Trouble {
    fn new(passing: bool, failure: Error) -> Self {
        if passing {
            Self::Passing(failure)
        } else {
            Self::Lasting(failure)
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
    fn every_event_once_whatever_the_tokens() {
        let mut stream = Stream {
            name: "svm/algo-1-1".to_owned(),
            token: None,
            handed_on: 0,
            at_end: false,
        };
        let mut look = |texts: &[&str], token: Option<&str>| {
            let found = stream.take(page(texts), token.map(str::to_owned));
            let found: Vec<_> = found.filter_map(|event| event.message).collect();
            (found.concat(), stream.at_end)
        };
        // An answer with events and without a token must neither go on for ever nor be shown twice.
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
