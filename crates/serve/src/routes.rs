//! Routes, and what happens before and after every request: key, request id, log, metrics.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::body::{self, SharedBody};
use crate::explain::explain;
use crate::invocations::{Counts, invoke, predict};
use crate::log;
use crate::metrics::CONTENT_TYPE;
use crate::reply::{Refusal, body_response, json_response};
use crate::traces;

type Result<T = Response> = std::result::Result<T, Refusal>;
type Shared = State<Arc<App>>;
/// The name of a model in a path, which may be no text.
type Name = std::result::Result<Path<String>, PathRejection>;

/// Returns the routes of the server.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new()
        .route("/ping", get(ping))
        .route("/health", get(ping))
        .route("/invocations", post(post_invocations))
        .route("/predict", post(post_predict))
        .route("/explain", post(post_explain))
        .route("/info", get(get_info))
        .route("/metrics", get(get_metrics))
        .route("/openapi.json", get(get_openapi))
        .route("/execution-parameters", get(get_execution_parameters));
    // The page explains with the only model.
    if app.config.ui && !app.models.is_multi() {
        router = router.route("/", get(get_page));
    }
    if app.models.is_multi() {
        router = router
            .route("/models", get(list_models).post(load_model))
            .route("/models/{name}", get(describe_model).delete(unload_model))
            .route("/models/{name}/invoke", post(invoke_model));
    }
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(app), observe))
        .with_state(Arc::clone(app))
}

async fn ping(State(app): Shared) -> Result {
    if !app.models.is_multi() {
        app.models.single()?;
    }
    Ok(Response::new(Body::empty()))
}

async fn post_invocations(State(app): Shared, request: Request) -> Result {
    let model = app.models.single()?;
    invoke(&app, model, request, app.deadline()).await
}

async fn post_predict(State(app): Shared, request: Request) -> Result {
    let model = app.models.single()?;
    predict(&app, model, request).await
}

async fn post_explain(State(app): Shared, request: Request) -> Result {
    let model = app.models.single()?;
    explain(&app, model, request).await
}

async fn get_info(State(app): Shared) -> Result {
    let model = match app.models.is_multi() {
        true => None,
        false => Some(app.models.single()?),
    };
    let info = model.as_ref().map(|model| model.classifier.info());
    let document = json!({
        "model_type": { "classifier": info.map(labels) },
        "trainer": info.map(|info| &info.program),
        "version": info.map(|info| &info.version),
        "multi_label": info.map(|info| info.multi_label),
        "text_pair": info.map(|info| info.text_pair),
        "text_columns": info.map(|info| &info.text_columns),
        "threads": app.config.threads,
        "max_concurrent_requests": app.config.max_queue,
        "max_input_bytes": app.max_body(),
        "timeout_seconds": app.config.timeout.as_secs_f64(),
    });
    Ok(json_response(StatusCode::OK, &document))
}

/// Returns the labels by their ids, and the ids by their labels.
fn labels(info: &crate::ModelInfo) -> Value {
    let ids = info.classes.iter().enumerate();
    let id2label = ids
        .clone()
        .map(|(id, label)| (id.to_string(), json!(label)));
    let label2id = ids.map(|(id, label)| (label.clone(), json!(id)));
    json!({
        "id2label": id2label.collect::<serde_json::Map<_, _>>(),
        "label2id": label2id.collect::<serde_json::Map<_, _>>(),
    })
}

async fn get_metrics(State(app): Shared) -> Response {
    body_response(StatusCode::OK, CONTENT_TYPE, app.metrics.document())
}

async fn get_openapi() -> Response {
    let document = include_str!("openapi.json");
    body_response(StatusCode::OK, "application/json", document)
}

async fn get_page() -> Response {
    let page = include_str!("page.html");
    let mut response = body_response(StatusCode::OK, "text/html; charset=utf-8", page);
    response.headers_mut().insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
             connect-src 'self'; img-src data:",
        ),
    );
    response
}

/// Answers what SageMaker asks at the start of a batch transform job.
async fn get_execution_parameters(State(app): Shared) -> Response {
    let batch = app.config.batch;
    let strategy = match batch.is_some_and(|batch| batch.is_single_record) {
        true => "SINGLE_RECORD",
        false => "MULTI_RECORD",
    };
    let document = json!({
        "MaxConcurrentTransforms": batch.map_or(app.config.threads, |batch| batch.max_concurrent),
        "BatchStrategy": strategy,
        "MaxPayloadInMB": app.max_body() >> 20,
    });
    json_response(StatusCode::OK, &document)
}

/// Returns SageMaker's description of a model.
fn description(name: &str, dir: &std::path::Path) -> Value {
    json!({ "modelName": name, "modelUrl": dir.to_string_lossy() })
}

async fn list_models(State(app): Shared) -> Response {
    let models = app.models.list();
    let models = models.iter().map(|(name, dir)| description(name, dir));
    json_response(
        StatusCode::OK,
        &json!({ "models": models.collect::<Vec<_>>() }),
    )
}

/// Returns the name of a model.
fn name(name: Name) -> Result<String> {
    let help = "encode the name in UTF-8; GET /models lists the models";
    let wrong = |_| Refusal::bad("the name of the model is not valid", help);
    name.map(|Path(name)| name).map_err(wrong)
}

async fn describe_model(State(app): Shared, path: Name) -> Result {
    let name = name(path)?;
    let dir = app.models.dir(&name)?;
    Ok(json_response(StatusCode::OK, &description(&name, &dir)))
}

async fn load_model(State(app): Shared, request: Request) -> Result {
    #[derive(Deserialize)]
    struct Model {
        model_name: String,
        url: PathBuf,
    }
    const MAX_BYTES: usize = 64 * 1024;
    let (parts, body) = request.into_parts();
    let deadline = app.deadline();
    let (bytes, _permit) =
        body::read(&parts.headers, body, MAX_BYTES, deadline, &app.memory).await?;
    let model: Model = serde_json::from_str(body::utf8(&bytes)?).map_err(|error| {
        let help = "send {\"model_name\": \"NAME\", \"url\": \"/opt/ml/models/NAME/model\"}";
        Refusal::bad(format!("expected a name and a folder: {error}"), help)
    })?;
    if model.model_name.is_empty() || model.model_name.contains('/') {
        let message = "expected a `model_name` that is not empty and has no `/`";
        return Err(Refusal::bad(message, "name the model as in /models/NAME"));
    }
    app.models.add(&model.model_name, &model.url).await?;
    let document = description(&model.model_name, &model.url);
    Ok(json_response(StatusCode::OK, &document))
}

async fn unload_model(State(app): Shared, path: Name) -> Result {
    let name = name(path)?;
    app.models.remove(&name)?;
    Ok(json_response(StatusCode::OK, &json!({ "modelName": name })))
}

async fn invoke_model(State(app): Shared, path: Name, request: Request) -> Result {
    let name = name(path)?;
    let deadline = app.deadline();
    let model = app.models.get(&name, deadline).await?;
    invoke(&app, model, request, deadline).await
}

async fn no_route() -> Refusal {
    let help = "GET /openapi.json describes the routes";
    Refusal::new(StatusCode::NOT_FOUND, "there is no such route", help)
}

async fn no_method() -> Refusal {
    let help = "GET /openapi.json describes the routes";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Refusal::new(status, "the route has other methods", help)
}

/// Name of the header with the id of a request.
const REQUEST_ID: &str = "x-request-id";

/// Name of all paths that are no route.
pub(crate) const NO_ROUTE: &str = "other";

/// Answers a request, counts it, traces it and logs it.
async fn observe(State(app): Shared, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let route = route(request.uri().path());
    let method = request.method().clone();
    // SageMaker sends a ping every few seconds.
    let is_quiet = is_public(route) || route == "/metrics";
    let traces = app.traces.as_ref().filter(|_| !is_quiet);
    let span = traces.map(|traces| traces.begin(&method, route, request.headers()));
    let is_allowed = is_allowed(&app, request.headers(), route);
    let (parts, body) = request.into_parts();
    let body = SharedBody::new(&parts.headers, body);
    let request = Request::from_parts(parts, Body::new(body.clone()));
    let mut response = match is_allowed {
        true => next.run(request).await,
        false => {
            drop(request);
            let message = "expected the key of the server";
            let help = "send the header `authorization: Bearer KEY`";
            Refusal::new(StatusCode::UNAUTHORIZED, message, help).into_response()
        }
    };
    if !body.drain().await {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let took = started.elapsed();
    let status = response.status();
    app.metrics.request(route, status.as_u16(), took);
    let trace_id = span.and_then(|span| traces::end(span, &id, &response));
    if !is_quiet || !status.is_success() {
        let counts = response.extensions().get::<Counts>();
        log::event(
            "request",
            json!({
                "request_id": id,
                "trace_id": trace_id,
                "method": method.as_str(),
                "route": route,
                "status": status.as_u16(),
                "ms": (took.as_secs_f64() * 1e6).round() / 1e3,
                "records": counts.map(|counts| counts.records),
                "bad_records": counts.map(|counts| counts.bad),
            }),
        );
    }
    response
}

/// The routes without a name of a model.
const ROUTES: [&str; 11] = [
    "/",
    "/ping",
    "/health",
    "/invocations",
    "/predict",
    "/explain",
    "/info",
    "/metrics",
    "/openapi.json",
    "/execution-parameters",
    "/models",
];

/// Returns the name of a route, for logs and metrics: a path may have anything of a user.
fn route(path: &str) -> &'static str {
    if let Some(route) = ROUTES.into_iter().find(|route| *route == path) {
        return route;
    }
    match path.strip_prefix("/models/") {
        Some(rest) if rest.ends_with("/invoke") => "/models/{name}/invoke",
        Some(_) => "/models/{name}",
        None => NO_ROUTE,
    }
}

/// True for routes without a key: SageMaker's ping has none, and the page has no data.
fn is_public(route: &str) -> bool {
    matches!(route, "/ping" | "/health" | "/")
}

/// True if a request has the key, or needs none.
fn is_allowed(app: &App, headers: &HeaderMap, route: &str) -> bool {
    let Some(key) = app.config.api_key.as_ref().filter(|_| !is_public(route)) else {
        return true;
    };
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let plain = headers
        .get("x-api-key")
        .and_then(|value| value.to_str().ok());
    bearer
        .or(plain)
        .is_some_and(|given| key.is_equal(given.as_bytes()))
}

/// Returns the id of a request: its header, if it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let is_plain = |id: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=64).contains(&id.len()) && id.bytes().all(plain)
    };
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    given
        .filter(is_plain)
        .map_or_else(log::new_id, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_plain() {
        let id = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(value));
            request_id(&headers)
        };
        assert_eq!(id("a-B_1.x"), "a-B_1.x");
        for other in ["", "a b", "a;=", "\"x\""] {
            assert_ne!(id(other), other);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn routes_have_no_text_of_users() {
        assert_eq!(route("/ping"), "/ping");
        assert_eq!(route("/models/secret/invoke"), "/models/{name}/invoke");
        assert_eq!(route("/models/secret"), "/models/{name}");
        assert_eq!(route("/secret"), "other");
    }

    #[test]
    fn openapi_document_has_all_routes() {
        let document: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        // The page is for people.
        let mut expected: Vec<&str> = ROUTES.into_iter().filter(|path| *path != "/").collect();
        expected.extend(["/models/{name}", "/models/{name}/invoke"]);
        expected.sort_unstable();
        let mut paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        paths.sort_unstable();
        assert_eq!(paths, expected);
    }
}
