//! Requests of a batch transform job, which may be too large for the memory: records are read,
//! scored and answered at the same time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use evaluation::metrics::Scores;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use crate::app::App;
use crate::body::kibibytes;
use crate::engine::Served;
use crate::invocations::{split, wait};
use crate::queue::Reply;
use crate::records::{LineFormat, Record, RecordReader};
use crate::render::{Output, Renderer};
use crate::reply::{Refusal, body_response};

/// Bytes of records that are scored together.
const CHUNK_BYTES: usize = 256 * 1024;
/// Maximum scores of records that are scored together, of eight bytes each: with thousands of
/// classes, they would need more memory than the texts.
const MAX_CHUNK_SCORES: usize = 1 << 18;
/// Maximum bytes of answers that wait for the client. Many clients read only after they have sent
/// everything: with less, they and the server would wait for each other.
const MAX_HELD_BYTES: usize = 128 << 20;
/// Time in which some bytes of the body must arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Some records of a body.
struct Chunk {
    /// An entry per record: the reason why it has no scores.
    errors: Vec<Option<String>>,
    /// Scores of the others; `None` if there are no others.
    reply: Option<Reply>,
}

/// Some bytes of the answer, and their part of [`MAX_HELD_BYTES`].
struct Piece {
    bytes: Bytes,
    _held: OwnedSemaphorePermit,
}

/// Answers a request. `body`: the body and the maximum of its bytes.
pub(crate) async fn respond(
    app: &Arc<App>,
    model: Arc<Served>,
    format: LineFormat,
    mut renderer: Renderer,
    body: (Body, Option<usize>),
) -> Result<Response, Refusal> {
    let permit = Arc::clone(&app.streams).acquire_owned().await;
    let permit = permit.map_err(|_| Refusal::busy("the server stops", 1))?;
    if renderer.output == Output::Json {
        // A list of all records would not be a list of those of a whole file.
        renderer.output = Output::JsonLines;
    }
    let (chunk_sender, chunks) = mpsc::channel(app.engine.threads() * 2);
    let (piece_sender, pieces) = mpsc::unbounded_channel();
    let reading = Reading {
        app: Arc::clone(app),
        model: Arc::clone(&model),
        chunks: chunk_sender,
    };
    tokio::spawn(reading.run(format, body));
    let app = Arc::clone(app);
    tokio::spawn(async move {
        write(&app, &model, renderer, chunks, piece_sender).await;
        drop(permit);
    });
    let stream = futures_util::stream::unfold(pieces, |mut pieces| async move {
        let piece: io::Result<Piece> = pieces.recv().await?;
        Some((piece.map(|piece| piece.bytes), pieces))
    });
    let content_type = renderer.output.content_type();
    Ok(body_response(
        StatusCode::OK,
        content_type,
        Body::from_stream(stream),
    ))
}

/// Reads the records of a body.
struct Reading {
    app: Arc<App>,
    model: Arc<Served>,
    chunks: mpsc::Sender<io::Result<Chunk>>,
}

impl Reading {
    async fn run(self, format: LineFormat, body: (Body, Option<usize>)) {
        if let Err(error) = self.read(format, body).await {
            // The client may have gone.
            let _ = self.chunks.send(Err(error)).await;
        }
    }

    async fn read(
        &self,
        format: LineFormat,
        (mut body, most): (Body, Option<usize>),
    ) -> io::Result<()> {
        let info = self.model.classifier.info();
        let by_scores = MAX_CHUNK_SCORES / info.classes.len().max(1);
        let max_records = by_scores.clamp(1, CHUNK_BYTES / 16);
        let mut reader = RecordReader::new(info, format);
        let mut records: Vec<Record> = Vec::new();
        let (mut bytes, mut total) = (0, 0);
        loop {
            let frame = timeout(READ_TIMEOUT, body.frame())
                .await
                .map_err(io::Error::other)?;
            let is_end = frame.is_none();
            let frame = frame.transpose().map_err(io::Error::other)?;
            if let Some(Ok(data)) = frame.map(|frame| frame.into_data()) {
                total += data.len();
                if most.is_some_and(|most| total > most) {
                    return Err(io::Error::other("the body is too large"));
                }
                reader.push(&data);
            }
            while let Some(record) = reader.next(is_end) {
                bytes += record.as_ref().map_or(0, String::len);
                records.push(record);
                if bytes >= CHUNK_BYTES || records.len() >= max_records {
                    bytes = 0;
                    self.submit(std::mem::take(&mut records)).await?;
                }
            }
            if is_end {
                return self.submit(records).await;
            }
        }
    }

    /// Puts records into the queue.
    async fn submit(&self, records: Vec<Record>) -> io::Result<()> {
        let (texts, errors) = split(records);
        let reply = match texts.is_empty() {
            true => None,
            false => {
                let reply = self.app.engine.submit(&self.model, texts, None);
                Some(reply.map_err(|_| io::Error::other("the server stops"))?)
            }
        };
        let chunk = self.chunks.send(Ok(Chunk { errors, reply })).await;
        chunk.map_err(|_| io::Error::other("the client has gone"))
    }
}

/// Writes the answers to chunks, in order.
async fn write(
    app: &App,
    model: &Served,
    renderer: Renderer,
    mut chunks: mpsc::Receiver<io::Result<Chunk>>,
    pieces: mpsc::UnboundedSender<io::Result<Piece>>,
) {
    let room = Arc::new(Semaphore::new(kibibytes(MAX_HELD_BYTES) as usize));
    while let Some(chunk) = chunks.recv().await {
        let Chunk { mut errors, reply } = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                // The client may have gone.
                let _ = pieces.send(Err(error));
                return;
            }
        };
        let mut scores = Scores::default();
        if let Some(reply) = reply {
            match wait(reply).await {
                Ok(found) => scores = found,
                Err(failure) => {
                    let message = Refusal::from(failure).message().to_owned();
                    errors.iter_mut().for_each(|error| {
                        error.get_or_insert_with(|| message.clone());
                    });
                }
            }
        }
        let bad = errors.iter().filter(|error| error.is_some()).count();
        app.metrics.records(errors.len(), bad);
        let mut bytes = Vec::new();
        renderer.write(&mut bytes, model, &errors, &scores);
        let held = kibibytes(bytes.len()).min(kibibytes(MAX_HELD_BYTES));
        let Ok(held) = Arc::clone(&room).acquire_many_owned(held).await else {
            return;
        };
        let piece = Piece {
            bytes: Bytes::from(bytes),
            _held: held,
        };
        if pieces.send(Ok(piece)).is_err() {
            return;
        }
    }
}
