//! Answers without predictions: errors, and small JSON documents.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::engine::Failure;

/// An error as its client reads it: `{"error": ..., "help": ...}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    message: String,
    pub(crate) help: String,
    /// Seconds after which the client may try again.
    retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            status,
            message: message.into(),
            help: help.into(),
            retry_after: None,
        }
    }

    /// 400: the request is wrong.
    pub(crate) fn bad(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, help)
    }

    /// 429: there is too much work.
    pub(crate) fn busy(message: impl Into<String>, retry_after: u64) -> Self {
        let help = "send the request again later, or serve the model on more machines";
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, message, help)
        }
    }

    /// 413: the body, or the number of its records, is too large.
    pub(crate) fn too_large(found: &str, most: &str) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("expected at most {most}, found {found}"),
            "split the request",
        )
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        match failure {
            Failure::QueueFull { retry_after } => Self::busy("the queue is full", retry_after),
            Failure::TooLate => Self::new(
                unavailable,
                "the request cannot be answered before its deadline",
                "send fewer texts at once, pass a longer --timeout, or serve the model on more \
                 machines",
            ),
            Failure::Stopping => Self::new(
                unavailable,
                "the server stops",
                "send the request to another server",
            ),
            Failure::Broken(message) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the model failed: {message}"),
                "send fewer texts at once; if it fails again, start the server with \
                 RUST_BACKTRACE=1, which prints panics, and report it",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.message, "help": self.help });
        let mut response = json_response(self.status, &body);
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Returns a response with a JSON document.
pub(crate) fn json_response(status: StatusCode, value: &Value) -> Response {
    body_response(status, "application/json", value.to_string())
}

/// Returns a response with a body of this type.
pub(crate) fn body_response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queue_is_429_with_the_time_of_the_next_try() {
        let of = |failure: Failure| Refusal::from(failure).into_response();
        let full = of(Failure::QueueFull { retry_after: 7 });
        assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(full.headers()[RETRY_AFTER], "7");
        for (failure, status) in [
            (Failure::TooLate, 503),
            (Failure::Stopping, 503),
            (Failure::Broken("it panicked".to_owned()), 500),
        ] {
            let response = of(failure);
            assert_eq!(response.status().as_u16(), status);
            assert!(!response.headers().contains_key(RETRY_AFTER));
        }
    }
}
