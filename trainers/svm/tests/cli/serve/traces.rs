//! OpenTelemetry traces of `serve`, read by OpenTelemetry's own Python package.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Server, free_port, judge_command, run, run_within};

use crate::Workspace;

const STOP_TIMEOUT: Duration = Duration::from_secs(25);
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";
const BODY: &[u8] = br#"["unmistakable words", 7]"#;

/// Starts a server that sends its traces to this port, at its end.
fn serve(workspace: &Workspace, port: u16) -> Server {
    let mut command = workspace.command("serve", &[] as &[&str]);
    let address = format!("http://127.0.0.1:{port}");
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        .env("OTEL_BSP_SCHEDULE_DELAY", "600000");
    Server::start(command, |command| command).wait_until_ready()
}

/// Answers a request; returns its first line and its body.
fn collect(listener: &TcpListener) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(listener.accept().unwrap().0);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let mut lengths = head
        .lines()
        .filter_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; lengths.next().unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    reader.get_mut().write_all(answer).unwrap();
    (head.lines().next().unwrap().to_owned(), body)
}

/// Returns the events of a log with this name.
fn events(log: &str, name: &str) -> Vec<Value> {
    let events = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == name).collect()
}

/// A request with a `traceparent`, one without, one that is not sampled, and one of no route.
#[test]
fn requests_are_spans_without_texts() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = serve(&workspace, listener.local_addr().unwrap().port());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(collect(&listener)));
    let traceparent = |sampled| format!("00-{TRACE_ID}-{PARENT_ID}-{sampled}");
    let (sampled, other) = (traceparent("01"), traceparent("00"));
    let headers = [
        ("content-type", "application/json"),
        ("x-request-id", "my-id"),
        ("traceparent", sampled.as_str()),
    ];
    let answer = server.request("POST", "/invocations", &headers, BODY);
    answer.expect(200);
    server.get("/info").expect(200);
    let not_sampled = [("traceparent", other.as_str())];
    server
        .request("GET", "/info", &not_sampled, b"")
        .expect(200);
    server
        .request("SECRET", "/unmistakable", &[], b"")
        .expect(404);
    let outcome = server.stop(STOP_TIMEOUT);
    outcome.expect_code(0);
    let (line, body) = receiver.recv_timeout(STOP_TIMEOUT).unwrap();
    assert_eq!(line, "POST /v1/traces HTTP/1.1");
    let text = String::from_utf8_lossy(&body);
    assert!(!text.contains("unmistakable") && !text.contains("SECRET"));

    let path = workspace.write("traces.bin", &body);
    let mut judge = judge_command("TRAINYARD_SERVING_PYTHON", "traces");
    judge.arg(path);
    let found = run(judge).expect_code(0).json();
    assert_eq!(found["resource"]["service.name"], "svm");
    let spans = found["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 3, "{found}");
    let invocation = json!({
        "trace_id": TRACE_ID,
        "parent_span_id": PARENT_ID,
        "name": "POST /invocations",
        "kind": "SPAN_KIND_SERVER",
        "status": "STATUS_CODE_UNSET",
        "attributes": {
            "http.request.method": "POST",
            "http.route": "/invocations",
            "http.response.status_code": 200,
            "url.scheme": "http",
            "trainyard.request_id": "my-id",
            "trainyard.records": 2,
            "trainyard.bad_records": 1,
        },
        "events": ["queued", "scored"],
    });
    assert_eq!(spans[0], invocation);
    assert_eq!(spans[1]["name"], "GET /info");
    assert_eq!(spans[1]["parent_span_id"], "");
    assert_ne!(spans[1]["trace_id"], TRACE_ID);
    assert_eq!(spans[2]["name"], "HTTP");
    assert_eq!(spans[2]["attributes"]["http.request.method"], "_OTHER");
    assert_eq!(spans[2]["attributes"]["http.route"], Value::Null);

    let mut logged = events(&outcome.stderr, "request");
    // While the model was loaded.
    logged.retain(|event| event["route"] != "/ping");
    let ids: Vec<_> = logged.iter().map(|event| &event["trace_id"]).collect();
    let of_spans = [&spans[0], &spans[1], &Value::Null, &spans[2]];
    assert_eq!(ids, of_spans.map(|span| &span["trace_id"]));
    assert!(events(&outcome.stderr, "traces_not_sent").is_empty());
}

/// No collector listens.
#[test]
fn collector_that_is_down_costs_no_request() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let server = serve(&workspace, free_port());
    for _ in 0..600 {
        server.get("/info").expect(200);
    }
    let outcome = server.stop(STOP_TIMEOUT);
    outcome.expect_code(0);
    let failures = events(&outcome.stderr, "traces_not_sent");
    assert_eq!(failures.len(), 1, "{failures:?}");
    let error = failures[0]["error"].as_str().unwrap();
    assert!(error.contains("cannot connect to `127.0.0.1:"), "{error}");
}

#[test]
fn collector_behind_https_is_refused_with_help() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let mut command = workspace.command("serve", &["--port", "0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://example.com");
    let outcome = run_within(command, STOP_TIMEOUT);
    outcome.expect_code(2);
    assert!(outcome.stderr.contains("over http"), "{}", outcome.stderr);
}
