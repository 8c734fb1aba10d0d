//! Requests for predictions.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use evaluation::metrics::Scores;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use crate::app::{App, MAX_RESPONSE_BYTES};
use crate::body::{self, Format, kibibytes};
use crate::engine::{Failure, Served};
use crate::json::{self, Document};
use crate::queue::Reply;
use crate::records::{LineFormat, Record, RecordReader, max_records};
use crate::render::{Output, Renderer, Shape};
use crate::reply::{Refusal, body_response};
use crate::stream;
use crate::traces::Scoring;

/// Number of records of a response, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) records: usize,
    pub(crate) bad: usize,
}

/// Answers a request to `/invocations`.
pub(crate) async fn invoke(
    app: &Arc<App>,
    model: Arc<Served>,
    request: Request,
    deadline: Instant,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let format = body::format(&parts.headers)?;
    let output = body::output(&parts.headers, format)?;
    let all_classes = body::wants_all_classes(&parts.uri, &parts.headers);
    let format = match (format, app.config.batch) {
        (Format::Lines(LineFormat::Plain), Some(batch)) if batch.is_single_record => {
            Format::Lines(LineFormat::Whole)
        }
        (format, _) => format,
    };
    let renderer = Renderer {
        shape: Shape::Rows {
            in_predictions: false,
        },
        output,
        all_classes,
    };
    if let (Format::Lines(format), Some(batch)) = (format, app.config.batch) {
        let most = batch.max_payload.unwrap_or(usize::MAX);
        let body = body::check_headers(&parts.headers, body, most).await?;
        return stream::respond(app, model, format, renderer, (body, batch.max_payload)).await;
    }
    let most = app.max_body();
    let (bytes, _permit) = body::read(&parts.headers, body, most, deadline, &app.memory).await?;
    let info = model.classifier.info();
    let (records, renderer) = match format {
        Format::Json => {
            let document = json::invocations(info, body::utf8(&bytes)?)?;
            of_document(document, renderer)
        }
        Format::Lines(format) => (lines(&model, format, &bytes)?, renderer),
    };
    drop(bytes);
    answer(app, &model, records, renderer, deadline).await
}

/// Answers a request to `/predict`.
pub(crate) async fn predict(
    app: &Arc<App>,
    model: Arc<Served>,
    request: Request,
) -> Result<Response, Refusal> {
    let deadline = app.deadline();
    let (parts, body) = request.into_parts();
    if body::format(&parts.headers)? != Format::Json {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let help = "send the header `content-type: application/json`, or use /invocations";
        return Err(Refusal::new(status, "expected JSON", help));
    }
    let most = app.max_body();
    let (bytes, _permit) = body::read(&parts.headers, body, most, deadline, &app.memory).await?;
    let document = json::predict(model.classifier.info(), body::utf8(&bytes)?)?;
    drop(bytes);
    let renderer = Renderer {
        shape: document.shape,
        output: Output::Json,
        all_classes: false,
    };
    answer(app, &model, document.records, renderer, deadline).await
}

fn of_document(document: Document, renderer: Renderer) -> (Vec<Record>, Renderer) {
    let renderer = Renderer {
        shape: document.shape,
        all_classes: renderer.all_classes || document.all_classes,
        ..renderer
    };
    (document.records, renderer)
}

/// Reads all records of a body.
fn lines(model: &Served, format: LineFormat, bytes: &[u8]) -> Result<Vec<Record>, Refusal> {
    let info = model.classifier.info();
    let most = max_records(info);
    let mut reader = RecordReader::new(info, format);
    reader.push(bytes);
    let records: Vec<Record> = std::iter::from_fn(|| reader.next(true))
        .take(most + 1)
        .collect();
    if records.len() > most {
        return Err(Refusal::too_large("more", &format!("{most} records")));
    }
    Ok(records)
}

/// Separates the texts of records from their errors; there is an entry of the second per record.
pub(crate) fn split(records: Vec<Record>) -> (Vec<String>, Vec<Option<String>>) {
    let mut texts = Vec::with_capacity(records.len());
    let errors = records.into_iter().map(|record| match record {
        Ok(text) => {
            texts.push(text);
            None
        }
        Err(error) => Some(error),
    });
    let errors = errors.collect();
    (texts, errors)
}

/// The bytes of an answer, and their memory until they are sent.
struct HeldBytes {
    bytes: Vec<u8>,
    _memory: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reserves memory for scores and an answer.
fn reserve(app: &App, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    if bytes > MAX_RESPONSE_BYTES {
        let found = format!("{} MB in scores and answer", (bytes >> 20) + 1);
        let most = format!("{} MB", MAX_RESPONSE_BYTES >> 20);
        return Err(Refusal::too_large(&found, &most));
    }
    let permit = Arc::clone(&app.answers).try_acquire_many_owned(kibibytes(bytes));
    permit.map_err(|_| Refusal::busy("other requests need the memory", 1))
}

/// Scores records and writes the answer. If all are bad, the request is.
async fn answer(
    app: &Arc<App>,
    model: &Arc<Served>,
    records: Vec<Record>,
    renderer: Renderer,
    deadline: Instant,
) -> Result<Response, Refusal> {
    let (texts, errors) = split(records);
    let counts = Counts {
        records: errors.len(),
        bad: errors.len() - texts.len(),
    };
    if let (true, Some(Some(error)), None) = (texts.is_empty(), errors.first(), app.config.batch) {
        app.metrics.records(counts.records, counts.bad);
        let help = "GET /openapi.json describes requests";
        return Err(Refusal::bad(error.clone(), help));
    }
    let needed = renderer.answer_bytes(model, counts.records, texts.len());
    let memory = reserve(app, needed)?;
    let queued = SystemTime::now();
    let scores = score(app, model, texts, deadline).await?;
    let scored = SystemTime::now();
    app.metrics.records(counts.records, counts.bad);
    let mut out = Vec::new();
    renderer.write(&mut out, model, &errors, &scores);
    let content_type = renderer.output.content_type();
    let out = HeldBytes {
        bytes: out,
        _memory: memory,
    };
    let mut response = body_response(StatusCode::OK, content_type, Bytes::from_owner(out));
    response.extensions_mut().insert(counts);
    response.extensions_mut().insert(Scoring { queued, scored });
    Ok(response)
}

/// Scores texts.
pub(crate) async fn score(
    app: &Arc<App>,
    model: &Arc<Served>,
    texts: Vec<String>,
    deadline: Instant,
) -> Result<Scores, Refusal> {
    if texts.is_empty() {
        return Ok(Scores::default());
    }
    if let Some(scored) = app.engine.score_short(model, &texts) {
        return Ok(scored?);
    }
    let reply = app.engine.submit(model, texts, Some(deadline))?;
    match timeout_at(deadline.into(), wait(reply)).await {
        Ok(scores) => Ok(scores?),
        Err(_) => Err(Failure::TooLate.into()),
    }
}

/// Waits for scores.
pub(crate) async fn wait(reply: Reply) -> Result<Scores, Failure> {
    // The sender is dropped only by a thread that panicked.
    let lost = || Failure::Broken("it panicked".to_owned());
    reply.await.unwrap_or_else(|_| Err(lost()))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::classifier::Load;
    use crate::config::Config;
    use crate::testing::{length_classifier, length_model};

    /// Records of a request that is refused are not counted.
    #[test]
    fn records_are_counted_by_their_answers() {
        let config = Config {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            threads: 1,
            timeout: Duration::from_secs(1),
            max_queue: 10,
            ui: false,
            api_key: None,
            model_dir: Some("model".into()),
            model_bytes: 1 << 20,
            batch: None,
            collector: None,
        };
        let load: Load = Arc::new(|_: &Path| Ok(length_classifier()));
        let app = App::new(config, load, None);
        let model = length_model();
        let renderer = Renderer {
            shape: Shape::Rows {
                in_predictions: false,
            },
            output: Output::Json,
            all_classes: false,
        };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        let status = |records: Vec<Record>, ms: u64| {
            let deadline = Instant::now() + Duration::from_millis(ms);
            let answer = answer(&app, &model, records, renderer, deadline);
            let answer = runtime.block_on(answer);
            answer.map_or_else(|refusal| refusal.status, |response| response.status())
        };
        let counted = |all: usize, bad: usize| {
            let text = app.metrics.document();
            let has = |line: String| text.lines().any(|found| found == line);
            has(format!("trainyard_records_total {all}"))
                && has(format!("trainyard_bad_records_total {bad}"))
        };
        let bad = || Err("no text".to_owned());
        // There are no threads yet.
        let late = status(vec![Ok("a".to_owned()), bad()], 20);
        assert_eq!(late, StatusCode::SERVICE_UNAVAILABLE);
        assert!(counted(0, 0), "{}", app.metrics.document());
        assert_eq!(status(vec![bad(), bad()], 20), StatusCode::BAD_REQUEST);
        assert!(counted(2, 2), "{}", app.metrics.document());
        let threads = app.engine.start().unwrap();
        let answered = status(vec![Ok("a".to_owned()), bad()], 60_000);
        assert_eq!(answered, StatusCode::OK);
        assert!(counted(4, 3), "{}", app.metrics.document());
        app.engine.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}
