//! The parts of a request: types, limits, body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::{timeout, timeout_at};

use crate::records::LineFormat;
use crate::render::Output;
use crate::reply::Refusal;

/// The types of JSON lines.
const JSON_LINES: [&str; 4] = [
    "application/jsonlines",
    "application/x-jsonlines",
    "application/jsonl",
    "application/x-ndjson",
];

/// The format of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Lines(LineFormat),
}

/// Returns the format of a request; without a content type it is JSON.
///
/// # Errors
/// The type is not supported.
pub(crate) fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(Format::Json);
    };
    let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let format = match parts.next().unwrap_or_default() {
        "application/json" => Some(Format::Json),
        name if JSON_LINES.contains(&name) => Some(Format::Lines(LineFormat::JsonLines)),
        "text/csv" => Some(Format::Lines(LineFormat::Csv)),
        "text/plain" => Some(Format::Lines(LineFormat::Plain)),
        _ => None,
    };
    let other_charset = parts.find(|part| {
        let charset = part.strip_prefix("charset=");
        charset.is_some_and(|name| !matches!(name.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"))
    });
    let unsupported = |message: &str, help: &str| {
        Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            message,
            help,
        ))
    };
    match (format, other_charset) {
        (Some(format), None) => Ok(format),
        (Some(_), Some(_)) => unsupported("expected UTF-8, found another charset", "send UTF-8"),
        (None, _) => unsupported(
            "expected another content type",
            "send the header `content-type: application/json`, application/jsonlines, text/csv or \
             text/plain",
        ),
    }
}

/// Returns the format of the answer.
///
/// # Errors
/// None of the accepted types is supported.
pub(crate) fn output(headers: &HeaderMap, format: Format) -> Result<Output, Refusal> {
    let default = match format {
        Format::Json => Output::Json,
        Format::Lines(LineFormat::Csv) => Output::Csv,
        Format::Lines(_) => Output::JsonLines,
    };
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return Ok(default);
    }
    let values = values.filter_map(|value| value.to_str().ok());
    let mut found = values
        .flat_map(|value| value.split(','))
        .filter_map(|item| {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let refused = parameters
                .split(';')
                .any(|one| matches!(one.trim(), "q=0" | "q=0.0"));
            let output = match name.trim().to_ascii_lowercase().as_str() {
                "" | "*/*" | "application/*" => default,
                "application/json" => Output::Json,
                name if JSON_LINES.contains(&name) => Output::JsonLines,
                "text/csv" | "text/*" => Output::Csv,
                _ => return None,
            };
            (!refused).then_some(output)
        });
    found.next().ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            "expected another type in the header `accept`",
            "accept application/json, application/jsonlines or text/csv",
        )
    })
}

/// SageMaker's header for options of a container.
const CUSTOM_ATTRIBUTES: &str = "x-amzn-sagemaker-custom-attributes";

/// True if the probabilities of all classes are wanted: `all_classes=true` in the query or in
/// SageMaker's custom attributes.
pub(crate) fn wants_all_classes(uri: &Uri, headers: &HeaderMap) -> bool {
    let attributes = headers.get(CUSTOM_ATTRIBUTES);
    let attributes = attributes.and_then(|value| value.to_str().ok());
    let options = [uri.query(), attributes].into_iter().flatten();
    let mut options = options.flat_map(|options| options.split(['&', ',', ';']));
    options.any(|option| option.trim() == "all_classes=true")
}

/// Returns the length of the body, if the header has it.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Refuses a body that is encoded, or larger than `most`, by its headers.
///
/// # Errors
/// It is.
pub(crate) async fn check_headers(
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Body, Refusal> {
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|name| !name.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected no header `content-encoding` but `identity`",
            "send the body without content-encoding",
        ));
    }
    match content_length(headers).filter(|length| *length > most) {
        Some(length) => {
            // Such a client waits for an answer before it sends the body.
            if !headers.contains_key(EXPECT) {
                discard(body).await;
            }
            Err(too_large(length, most))
        }
        None => Ok(body),
    }
}

/// Drops the rest of a body that is too large: many clients read an answer only after they have
/// sent everything, and would see a closed connection instead of the answer.
async fn discard(body: Body) {
    // Otherwise, the client has lost its chance.
    let _ = skip(body, 64 << 20, Duration::from_secs(2)).await;
}

/// Reads and drops the rest of a body; false if it has more bytes, takes longer or breaks off.
async fn skip(mut body: Body, most: usize, time: Duration) -> bool {
    let read = async {
        let mut bytes = 0;
        loop {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
            }
            if bytes > most {
                return false;
            }
        }
    };
    timeout(time, read).await.unwrap_or(false)
}

/// The body of a request, which can be read on after the handler of the request has dropped it.
#[derive(Clone)]
pub(crate) struct SharedBody(Arc<Mutex<Rest>>);

/// The part of a body that is not read yet.
struct Rest {
    body: Body,
    is_ended: bool,
    /// True if the client sends the body in any case, and it may be short.
    may_be_drained: bool,
}

/// Maximum bytes of a body that are read after its request was answered.
const MAX_DRAINED_BYTES: usize = 64 << 10;

impl SharedBody {
    pub(crate) fn new(headers: &HeaderMap, body: Body) -> Self {
        let is_ended = body.is_end_stream();
        let is_long = content_length(headers).is_some_and(|length| length > MAX_DRAINED_BYTES);
        Self(Arc::new(Mutex::new(Rest {
            body,
            is_ended,
            // A client that waits for an answer need not send the body.
            may_be_drained: !is_long && !headers.contains_key(EXPECT),
        })))
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the handler of the request left: the next request of the connection follows it.
    /// False if it is too long, and the connection must be closed.
    pub(crate) async fn drain(self) -> bool {
        const TIME: Duration = Duration::from_secs(1);
        let Some(rest) = Arc::into_inner(self.0) else {
            // A stream reads it.
            return true;
        };
        let rest = rest.into_inner().unwrap_or_else(PoisonError::into_inner);
        rest.is_ended || rest.may_be_drained && skip(rest.body, MAX_DRAINED_BYTES, TIME).await
    }
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut rest = self.rest();
        if rest.is_ended {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut rest.body).poll_frame(context);
        rest.is_ended = matches!(frame, Poll::Ready(None)) || rest.body.is_end_stream();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest().is_ended
    }
}

fn too_large(length: usize, most: usize) -> Refusal {
    Refusal::too_large(&format!("{length} bytes"), &format!("{most} bytes"))
}

/// Returns how many KiB these bytes are, for a semaphore.
pub(crate) fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

/// Time in which more bytes of a body must arrive: until then it keeps its memory.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Reads a body of at most `most` bytes. `memory`: the KiB that bodies may take; the permit keeps
/// those of this one. They are taken as the bytes arrive: a client that announces a large body and
/// does not send it must not keep others out.
///
/// # Errors
/// It is too large, does not arrive before the deadline, or there is no memory for it.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    deadline: Instant,
    memory: &Arc<Semaphore>,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), Refusal> {
    let mut body = check_headers(headers, body, most).await?;
    let full = |_: TryAcquireError| Refusal::busy("other requests need the memory", 1);
    let permit = Arc::clone(memory).try_acquire_many_owned(1);
    let mut permit = permit.map_err(full)?;
    // The system gives memory to pages that are written only.
    let mut bytes = Vec::with_capacity(content_length(headers).unwrap_or(0));
    loop {
        let until = deadline.min(Instant::now() + IDLE_TIMEOUT);
        let frame = match timeout_at(until.into(), body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => {
                let message = "the body ended before its length, or its chunks are wrong";
                return Err(Refusal::bad(message, "send the whole body"));
            }
            Ok(None) => return Ok((bytes, permit)),
            Err(_) => {
                let status = StatusCode::REQUEST_TIMEOUT;
                let message = "the body did not arrive in time";
                return Err(Refusal::new(status, message, "send it faster, or in parts"));
            }
        };
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > most {
                discard(body).await;
                return Err(too_large(bytes.len() + data.len(), most));
            }
            let held = u32::try_from(permit.num_permits()).unwrap_or(u32::MAX);
            let more = kibibytes(bytes.len() + data.len()).saturating_sub(held);
            match Arc::clone(memory).try_acquire_many_owned(more) {
                Ok(more) => permit.merge(more),
                Err(error) => {
                    drop((permit, bytes));
                    discard(body).await;
                    return Err(full(error));
                }
            }
            bytes.extend_from_slice(&data);
        }
    }
}

/// Returns the body as text, without a byte order mark.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let message = format!("expected UTF-8, found another byte at {at} of the body");
        Refusal::bad(message, "encode the body in UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn content_types() {
        let of = |value| format(&headers(CONTENT_TYPE, value));
        assert_eq!(of("application/json; charset=UTF-8"), Ok(Format::Json));
        assert_eq!(of("text/csv"), Ok(Format::Lines(LineFormat::Csv)));
        assert_eq!(format(&HeaderMap::new()), Ok(Format::Json));
        for other in [
            "text/csv; charset=latin-1",
            "application/x-www-form-urlencoded",
            "",
        ] {
            assert_eq!(
                of(other).unwrap_err().status,
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            );
        }
    }

    /// Bodies that are announced and not sent take no memory. Those that were read take it until
    /// their permits are dropped.
    #[test]
    fn memory_is_taken_by_bytes_that_have_arrived() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        let memory = Arc::new(Semaphore::new(10));
        let deadline = Instant::now() + Duration::from_secs(60);
        let announced = headers(CONTENT_LENGTH, "9000");
        let read = |headers: HeaderMap, bytes: usize| {
            let body = Body::from(vec![b'x'; bytes]);
            let memory = Arc::clone(&memory);
            runtime.block_on(async move { read(&headers, body, 9000, deadline, &memory).await })
        };
        let first = read(announced.clone(), 100).unwrap();
        let second = read(announced, 8000).unwrap();
        assert_eq!(memory.available_permits(), 1);
        let refusal = read(HeaderMap::new(), 4000).unwrap_err();
        assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
        drop((first, second));
        assert_eq!(memory.available_permits(), 10);
    }

    #[test]
    fn encoded_bodies_are_refused() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        let check = |value| {
            let headers = headers(CONTENT_ENCODING, value);
            runtime.block_on(async { check_headers(&headers, Body::empty(), 9).await.err() })
        };
        assert_eq!(check("identity"), None);
        let refusal = check("gzip").unwrap();
        assert_eq!(refusal.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(refusal.message().contains("content-encoding"));
        assert_eq!(refusal.help, "send the body without content-encoding");
    }

    #[test]
    fn byte_order_mark_is_no_text() {
        assert_eq!(utf8(b"\xef\xbb\xbf[]"), Ok("[]"));
    }

    #[test]
    fn accepted_types() {
        let of = |value, format| output(&headers(ACCEPT, value), format);
        let csv = Format::Lines(LineFormat::Csv);
        assert_eq!(of("*/*", csv), Ok(Output::Csv));
        assert_eq!(
            of("text/html, application/jsonlines;q=0.9", csv),
            Ok(Output::JsonLines)
        );
        assert_eq!(
            of("application/json;q=0, text/*", Format::Json),
            Ok(Output::Csv)
        );
        assert_eq!(output(&HeaderMap::new(), Format::Json), Ok(Output::Json));
        assert_eq!(
            of("image/png", csv).unwrap_err().status,
            StatusCode::NOT_ACCEPTABLE
        );
    }

    #[test]
    fn all_classes_are_wanted_by_query_or_attribute() {
        let uri = |text: &'static str| Uri::from_static(text);
        let none = HeaderMap::new();
        assert!(wants_all_classes(
            &uri("/invocations?a=1&all_classes=true"),
            &none
        ));
        assert!(!wants_all_classes(
            &uri("/invocations?all_classes=false"),
            &none
        ));
        let attributes = headers(
            HeaderName::from_static(CUSTOM_ATTRIBUTES),
            "x=1, all_classes=true",
        );
        assert!(wants_all_classes(&uri("/invocations"), &attributes));
    }
}
