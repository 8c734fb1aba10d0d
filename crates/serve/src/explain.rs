//! The words that decided.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::time::timeout_at;

use crate::app::App;
use crate::body;
use crate::engine::{Failure, Served};
use crate::invocations::score;
use crate::json;
use crate::render::{Output, Renderer, Shape};
use crate::reply::{Refusal, json_response};

/// Maximum bytes of a body with a text that is explained: networks need a pass per word.
const MAX_BYTES: usize = 64 * 1024;
/// Features per class.
const TOP: usize = 15;

/// A single text cannot be split.
fn shorter(mut refusal: Refusal) -> Refusal {
    if refusal.status == StatusCode::PAYLOAD_TOO_LARGE {
        refusal.help = "send a shorter text".to_owned();
    }
    refusal
}

/// Answers a request to `/explain`: the prediction for a text, and its strongest features.
pub(crate) async fn explain(
    app: &Arc<App>,
    model: Arc<Served>,
    request: Request,
) -> Result<Response, Refusal> {
    let deadline = app.deadline();
    let (parts, body) = request.into_parts();
    let (bytes, _permit) = body::read(&parts.headers, body, MAX_BYTES, deadline, &app.memory)
        .await
        .map_err(shorter)?;
    let info = model.classifier.info();
    let records = json::explain(info, body::utf8(&bytes)?)?;
    let help = match info.text_pair {
        true => "send {\"inputs\": [\"a text\", \"another\"]}",
        false => "send {\"inputs\": \"a text\"}",
    };
    let mut records = records.into_iter();
    let text = match (records.next(), records.next()) {
        (Some(Ok(text)), None) => text,
        (Some(Err(error)), None) => return Err(Refusal::bad(error, help)),
        _ => return Err(Refusal::bad("expected one text", help)),
    };
    let permit = Arc::clone(&app.explanations).try_acquire_owned();
    let permit = permit.map_err(|_| Refusal::busy("another text is being explained", 1))?;
    let scores = score(app, &model, vec![text.clone()], deadline).await?;
    let renderer = Renderer {
        shape: Shape::Rows {
            in_predictions: false,
        },
        output: Output::Json,
        all_classes: true,
    };
    let mut rows = Vec::new();
    renderer.write(&mut rows, &model, &[None], &scores);
    // What the renderer writes is JSON.
    let rows: Value = serde_json::from_slice(&rows).unwrap_or_default();
    let explained = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        model.classifier.explain(&text, TOP)
    });
    // The thread goes on, with the permit, if it takes longer.
    let Ok(explained) = timeout_at(deadline.into(), explained).await else {
        return Err(Failure::TooLate.into());
    };
    match explained {
        Ok(Ok(classes)) => {
            let document = json!({ "prediction": rows[0], "classes": classes });
            Ok(json_response(StatusCode::OK, &document))
        }
        Ok(Err(error)) => Err(Refusal::bad(
            error.into_parts().0,
            "see the docs of the trainer",
        )),
        Err(_) => Err(Failure::Broken("it panicked".to_owned()).into()),
    }
}
