//! Traces for OpenTelemetry: a span per request. No text of a request is ever in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use bytes::Bytes;
use diagnostics::Error;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use sagemaker::{Env, env_vars};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::config::flag;
use crate::invocations::Counts;
use crate::log;
use crate::routes::NO_ROUTE;

/// Time in which spans are sent at the end of the server, at most.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Time until the collector answers, at most.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum bytes of the collector's answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Maximum bytes of a header of a trace, which is kept until its span is sent; W3C's limit.
const MAX_HEADER_BYTES: usize = 512;
/// OpenTelemetry's value for methods that it does not know.
const OTHER_METHOD: &str = "_OTHER";

/// The OpenTelemetry collector that gets the traces.
#[derive(Clone, Debug)]
pub struct Collector {
    endpoint: String,
    program: &'static str,
    service_name: Option<String>,
}

impl Collector {
    /// Reads OpenTelemetry's variables; `None` if there is no collector. The program is the default
    /// of the service's name.
    ///
    /// # Errors
    /// The address is not one of HTTP.
    pub fn from_env(env: &Env, program: &'static str) -> Result<Option<Self>, Error> {
        let (variable, path) = match env.get(env_vars::OTEL_TRACES_ENDPOINT) {
            Some(_) => (env_vars::OTEL_TRACES_ENDPOINT, ""),
            None => (env_vars::OTEL_ENDPOINT, "/v1/traces"),
        };
        let Some(address) = env.get(variable) else {
            return Ok(None);
        };
        if flag(env, env_vars::OTEL_SDK_DISABLED) {
            return Ok(None);
        }
        let address = address.to_string_lossy();
        let is_http = address.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !is_http {
            let name = variable.name;
            let found = diagnostics::sanitize(&address);
            let message = format!("expected an address with http:// in `{name}`, found `{found}`");
            return Err(Error::usage(message).help(
                "send traces to a collector or agent on the same machine over http, such as \
                 http://localhost:4318; it can send them on over https",
            ));
        }
        let base = match path {
            "" => &*address,
            _ => address.trim_end_matches('/'),
        };
        let service_name = env.get(env_vars::OTEL_SERVICE_NAME);
        Ok(Some(Self {
            endpoint: format!("{base}{path}"),
            program,
            service_name: service_name.map(|name| name.to_string_lossy().into_owned()),
        }))
    }

    /// Returns what all spans have in common.
    fn resource(&self) -> Resource {
        let resource = Resource::builder_empty()
            .with_service_name(self.program)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_detectors(&[
                Box::new(TelemetryResourceDetector),
                Box::new(EnvResourceDetector::new()),
            ]);
        match &self.service_name {
            Some(name) => resource.with_service_name(name.clone()).build(),
            None => resource.build(),
        }
    }
}

/// When texts came into the queue, and when they were scored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scoring {
    pub(crate) queued: SystemTime,
    pub(crate) scored: SystemTime,
}

/// Makes spans, which a thread of the SDK sends in batches. If its queue is full, spans are lost.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Starts the thread. Called in the runtime that sends.
    ///
    /// # Errors
    /// One of the SDK's variables has a wrong value.
    pub(crate) fn start(collector: &Collector) -> Result<Self, Error> {
        let client = Client {
            runtime: Handle::current(),
            is_failing: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&collector.endpoint)
            .with_http_client(client)
            .build()
            .map_err(|error| {
                Error::usage(format!("cannot send traces: {error}"))
                    .help("correct or unset the variables `OTEL_EXPORTER_OTLP_*`")
            })?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(collector.resource())
            .build();
        Ok(Self {
            tracer: provider.tracer("trainyard"),
            provider,
        })
    }

    /// Starts the span of a request, as a child of the one in its headers.
    pub(crate) fn begin(&self, method: &Method, route: &'static str, headers: &HeaderMap) -> Span {
        let parent = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &TraceHeaders(headers));
        let method = method_name(method);
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.scheme", "http"),
        ];
        let mut name = match method {
            OTHER_METHOD => "HTTP".to_owned(),
            _ => method.to_owned(),
        };
        if route != NO_ROUTE {
            attributes.push(KeyValue::new("http.route", route));
            name = format!("{name} {route}");
        }
        self.tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent)
    }

    /// Sends what is left.
    pub(crate) async fn close(&self) {
        let provider = self.provider.clone();
        let close = move || provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        // The client has logged why spans were not sent.
        let _ = tokio::task::spawn_blocking(close).await;
    }
}

/// Ends the span of a request. Returns the id of its trace, if it will be sent.
pub(crate) fn end(
    mut span: Span,
    request_id: &str,
    response: &axum::response::Response,
) -> Option<String> {
    let status = response.status();
    span.set_attributes([
        KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
        KeyValue::new("trainyard.request_id", request_id.to_owned()),
    ]);
    if let Some(counts) = response.extensions().get::<Counts>() {
        span.set_attributes([
            KeyValue::new("trainyard.records", counts.records as i64),
            KeyValue::new("trainyard.bad_records", counts.bad as i64),
        ]);
    }
    if let Some(scoring) = response.extensions().get::<Scoring>() {
        span.add_event_with_timestamp("queued", scoring.queued, Vec::new());
        span.add_event_with_timestamp("scored", scoring.scored, Vec::new());
    }
    if status.is_server_error() {
        span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
        span.set_status(Status::error(""));
    }
    let context = span.span_context();
    let trace_id = context.is_sampled().then(|| context.trace_id().to_string());
    span.end();
    trace_id
}

/// Returns a method that OpenTelemetry knows: others may have anything of a user.
fn method_name(method: &Method) -> &'static str {
    const METHODS: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let mut methods = METHODS.into_iter();
    let known = methods.find(|known| *known == method.as_str());
    known.unwrap_or(OTHER_METHOD)
}

/// The headers of a request, for the propagator.
struct TraceHeaders<'a>(&'a HeaderMap);

impl Extractor for TraceHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?.to_str().ok()?;
        (value.len() <= MAX_HEADER_BYTES).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Sends requests of the SDK's thread, which has no runtime of its own.
#[derive(Debug)]
struct Client {
    runtime: Handle,
    /// True if the last request failed.
    is_failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = async move { timeout(EXPORT_TIMEOUT, send(request)).await };
        let answer = match self.runtime.spawn(sending).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the collector does not answer".into()),
            // The runtime ends.
            Err(error) => Err(error.into()),
        };
        self.log(&answer);
        answer
    }
}

impl Client {
    /// Logs a failure, but not those that follow it.
    fn log(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let failure = match answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("the collector answers {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        let is_new = !self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        if let Some(failure) = failure.filter(|_| is_new) {
            log::event("traces_not_sent", json!({ "error": failure }));
        }
    }
}

/// Sends a request in a connection of its own.
async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    let host = parts.uri.host().unwrap_or_default().to_owned();
    let port = parts.uri.port_u16().unwrap_or(80);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse()?;
    let address = HeaderValue::try_from(format!("{host}:{port}"))?;
    parts.headers.insert(HOST, address);
    // An IPv6 address is in brackets.
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
    let stream = stream.map_err(|error| format!("cannot connect to `{host}:{port}`: {error}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; the request has its errors.
    tokio::spawn(connection);
    let request = Request::from_parts(parts, Full::new(body));
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(variables: &[(&str, &str)]) -> Result<Option<Collector>, Error> {
        Collector::from_env(&Env::from_map(variables.iter().copied()), "svm")
    }

    #[test]
    fn collector_has_opentelemetrys_variables() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1]:4318/");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://agent/x?y=1");
        let endpoint = |variables: &[(&str, &str)]| {
            let found = collector(variables).unwrap();
            found.map(|collector| collector.endpoint)
        };
        assert_eq!(endpoint(&[]), None);
        assert_eq!(
            endpoint(&[all]).as_deref(),
            Some("http://[::1]:4318/v1/traces")
        );
        assert_eq!(endpoint(&[all, own]).as_deref(), Some("http://agent/x?y=1"));
        assert_eq!(endpoint(&[all, ("OTEL_SDK_DISABLED", "true")]), None);
    }

    #[test]
    fn addresses_without_http_are_refused() {
        for address in ["https://example.com:4318", "localhost:4318", "http://", "x"] {
            let error = collector(&[("OTEL_EXPORTER_OTLP_ENDPOINT", address)]).unwrap_err();
            let (message, help) = error.into_parts();
            assert!(message.contains(address), "{message}");
            assert!(help.concat().contains("on the same machine over http"));
        }
    }

    #[test]
    fn methods_have_no_text_of_users() {
        assert_eq!(method_name(&Method::PATCH), "PATCH");
        let other = Method::from_bytes(b"SECRET").unwrap();
        assert_eq!(method_name(&other), "_OTHER");
    }

    #[test]
    fn long_headers_of_traces_are_ignored() {
        let mut headers = HeaderMap::new();
        headers.insert("tracestate", HeaderValue::from_static("a=b"));
        assert_eq!(TraceHeaders(&headers).get("tracestate"), Some("a=b"));
        let long = HeaderValue::try_from(format!("a={}", "b".repeat(511))).unwrap();
        headers.insert("tracestate", long);
        assert_eq!(TraceHeaders(&headers).get("tracestate"), None);
    }
}
