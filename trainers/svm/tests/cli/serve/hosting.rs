//! The server with the feature `serve`.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Server, judge_command, movie_rows, run_within, several_label_rows};

use crate::Workspace;

pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(25);
/// It takes 20 s, most of them in Python.
const SCHEMATHESIS_TIMEOUT: Duration = Duration::from_secs(300);
pub(super) const JSON: &str = "application/json";
const LINES: &str = "application/jsonlines";

impl Workspace {
    pub(super) fn serve(&self, flags: &[&str]) -> Server {
        let command = self.command("serve", flags);
        Server::start(command, |command| command).wait_until_ready()
    }
}

fn with_model() -> Workspace {
    Workspace::with_model(&["--no-report"])
}

/// Starts a server that loads models by requests.
fn without_models() -> Server {
    let mut command = Command::new(crate::BIN);
    command
        .env_clear()
        .env("SAGEMAKER_MULTI_MODEL", "true")
        .arg("serve");
    Server::start(command, |command| command).wait_until_ready()
}

fn texts(number: usize) -> Vec<String> {
    let rows = movie_rows().into_iter().take(number);
    rows.map(|row| row.text).collect()
}

#[test]
fn address_is_printed_and_ctrl_c_ends_it() {
    let workspace = with_model();
    let server = workspace.command("serve", &["--port", "0"]);
    let log = workspace.path("log");
    let mut shell = Command::new("/bin/sh");
    shell
        .env_clear()
        .args(["-c", "log=$1; shift; exec \"$@\" 2>\"$log\"", "sh"])
        .arg(&log)
        .arg(server.get_program())
        .args(server.get_args());
    let mut running = testkit::start(shell);
    let is_loaded = || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("\"event\":\"loaded\"")
    };
    let until = Instant::now() + STOP_TIMEOUT;
    while !is_loaded() {
        assert!(Instant::now() < until && !running.ended(), "it loads");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.sigint();
    let outcome = running.finish(STOP_TIMEOUT);
    outcome.expect_code(0);
    let port = outcome
        .stdout
        .trim()
        .strip_prefix("listening on http://127.0.0.1:");
    let port: u16 = port.unwrap().parse().unwrap();
    assert_ne!(port, 0);
}

#[test]
fn every_format_has_the_same_answers() {
    let workspace = with_model();
    let server = workspace.serve(&[]);
    let texts = [
        "a wonderful film, with \"heart\"",
        "dull and much too long",
        "ä\u{1F600}",
    ];
    let expected = server.post("/invocations", JSON, json!(texts).to_string());
    let expected = expected.expect(200).json();
    let objects = texts.map(|text| json!({ "id": 7, "text": text }).to_string() + "\r\n");
    let quoted = texts.map(|text| format!("\"{}\"\n", text.replace('"', "\"\"")));
    let with_header = quoted.clone().map(|text| format!("1,{text}"));
    for (content_type, body) in [
        (LINES, objects.concat()),
        ("text/csv; charset=utf-8", quoted.concat()),
        ("text/csv", "id,text\n".to_owned() + &with_header.concat()),
        ("text/plain", texts.join("\n")),
    ] {
        let headers = [("content-type", content_type), ("accept", JSON)];
        let answer = server.request("POST", "/invocations", &headers, body.as_bytes());
        assert_eq!(answer.expect(200).json(), expected, "{content_type}");
        let answer = server.post("/invocations", content_type, &body).text();
        assert_eq!(answer.lines().count(), 3, "{content_type}: {answer}");
    }
    let csv = server
        .post("/invocations", "text/csv", quoted.concat())
        .text();
    let by_predict = workspace
        .svm("predict", &[&["--"], &texts[..]].concat())
        .stdout;
    let rows = by_predict
        .lines()
        .skip(1)
        .map(|row| row.split_once(',').unwrap().1);
    assert_eq!(csv.lines().collect::<Vec<_>>(), rows.collect::<Vec<_>>());
}

/// Sigmoids of all labels and thresholds, as `predict --all-classes`.
#[test]
fn several_labels_have_the_scores_of_predict() {
    let workspace = Workspace::new();
    let rows = several_label_rows(400, 3);
    let csv = workspace.write("rows.csv", testkit::to_csv(&rows));
    let flags = [
        "--multi-label",
        "--label-separator",
        "|",
        "--threshold-metric",
        "f1",
    ];
    workspace
        .train(&csv, &[&flags[..], &["--no-report"]].concat())
        .expect_code(0);
    let texts: Vec<&str> = rows.iter().take(40).map(|row| row.text.as_str()).collect();
    let flags = ["--all-classes", "--format", "jsonl", "--"];
    let by_predict = workspace.svm("predict", &[&flags[..], &texts].concat());
    let expected: Vec<Value> = by_predict
        .expect_code(0)
        .stdout
        .lines()
        .map(|line| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            row.as_object_mut().unwrap().remove("record");
            row
        })
        .collect();
    let server = workspace.serve(&[]);
    let answer = server.post("/invocations", JSON, json!(texts).to_string());
    assert_eq!(answer.expect(200).json(), json!(expected));
    let ranked = server.post("/predict", JSON, json!({ "inputs": texts[0] }).to_string());
    let ranked = ranked.expect(200).json();
    assert_eq!(ranked.as_array().unwrap().len(), 4);
    let probability = |row: &Value| row["score"].as_f64().unwrap();
    assert!(
        ranked
            .as_array()
            .unwrap()
            .is_sorted_by(|a, b| probability(a) >= probability(b))
    );
    for row in ranked.as_array().unwrap() {
        let label = row["label"].as_str().unwrap();
        assert_eq!(row["score"], expected[0]["probabilities"][label]);
    }
}

#[test]
fn bad_requests_are_refused_with_help() {
    let workspace = with_model();
    let server = workspace.serve(&[]);
    let invoke = |content_type, body: &[u8]| server.post("/invocations", content_type, body);
    let long = format!("[\"{}\"]", "x".repeat(7 << 20));
    let many = format!("[{}\"x\"]", "\"x\",".repeat(1_000_000));
    let deep = "[".repeat(1 << 20);
    for (status, answer) in [
        (400, invoke(JSON, b"{\"inputs\": ")),
        (400, invoke(JSON, b"\xff\xfe")),
        (400, invoke(JSON, b"{\"other\": 1}")),
        (400, invoke(JSON, deep.as_bytes())),
        (400, invoke(LINES, b"{\n")),
        (400, invoke("text/csv", b"a,b\n")),
        (413, invoke(JSON, long.as_bytes())),
        (413, invoke(JSON, many.as_bytes())),
        (400, invoke(JSON, b"{\"text\": \"a\", \"text\": \"b\"}")),
        (400, invoke("text/csv", b"text\na film, which is awful\n")),
        (415, invoke("image/png", b"x")),
        (
            406,
            server.request("POST", "/invocations", &[("accept", "image/png")], b"[]"),
        ),
        (404, server.get("/nothing")),
        (404, server.get("/models")),
        (405, server.get("/invocations")),
        (415, server.post("/predict", "text/csv", "x")),
    ] {
        let found = answer.expect(status).json();
        assert!(
            found["error"].is_string() && found["help"].is_string(),
            "{found}"
        );
    }
    let long = format!("\"{}\"", "x".repeat(70_000));
    let refused = server.post("/explain", JSON, long).expect(413).json();
    assert_eq!(refused["help"], "send a shorter text");
    let marked = invoke(JSON, b"\xef\xbb\xbf[\"a\"]");
    assert_eq!(marked.expect(200).body, invoke(JSON, b"[\"a\"]").body);
    assert_eq!(invoke(JSON, b"[]").expect(200).json(), json!([]));
    server.get("/ping").expect(200);
}

/// Broken and hostile connections get a 4xx or nothing, and harm no other.
#[test]
fn hostile_connections_harm_nobody() {
    let workspace = with_model();
    let server = workspace.serve(&[]);
    let body = json!(texts(1)).to_string();
    let expected = server.post("/invocations", JSON, &body).body;
    let both = "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\
                transfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                0\r\n\r\nGET /info HTTP/1.1\r\nhost: x\r\n\r\n";
    let long_header = format!(
        "GET /ping HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n",
        "b".repeat(1 << 20)
    );
    let attacks: [&[u8]; 8] = [
        both.as_bytes(),
        b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\
          content-length: 5\r\n\r\nabcd",
        b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\
          connection: close\r\n\r\nzz\r\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n",
        long_header.as_bytes(),
    ];
    // Open connections that send nothing more, half a head and half a body.
    let open: Vec<TcpStream> = [
        "",
        "POST /invocations HTTP/1.1\r\nhost:",
        "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n[",
    ]
    .into_iter()
    .cycle()
    .take(60)
    .map(|start| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.write_all(start.as_bytes()).unwrap();
        stream
    })
    .collect();
    for attack in attacks {
        let mut bytes = attack.to_vec();
        // Some wait for more: an end of the headers ends them.
        bytes.extend_from_slice(b"\r\n\r\n");
        let answer = server.send(&bytes);
        assert!(matches!(answer.status, 0 | 400..=431), "{answer:?}");
        assert_eq!(server.post("/invocations", JSON, &body).body, expected);
    }
    drop(open);
    server.stop(STOP_TIMEOUT).expect_code(0);
}

/// The body of a request that is refused before it is read does not cost the next one.
#[test]
fn connections_are_kept_after_errors() {
    let workspace = with_model();
    let key = workspace.write("key", "s3cret\n");
    let server = workspace.serve(&["--api-key-file", key.to_str().unwrap()]);
    let next = "GET /info HTTP/1.1\r\nhost: x\r\nx-api-key: s3cret\r\nconnection: close\r\n\r\n";
    let body = "x".repeat(60_000);
    for (status, path, headers) in [
        (401, "/invocations", ""),
        (404, "/nothing", "x-api-key: s3cret\r\n"),
        (405, "/info", "x-api-key: s3cret\r\n"),
        (
            406,
            "/invocations",
            "x-api-key: s3cret\r\naccept: image/png\r\n",
        ),
        (
            415,
            "/invocations",
            "x-api-key: s3cret\r\ncontent-type: image/png\r\n",
        ),
        (
            415,
            "/explain",
            "x-api-key: s3cret\r\ncontent-encoding: gzip\r\n",
        ),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length:");
        let request = format!("{head} {}\r\n\r\n{body}{next}", body.len());
        let answer = server.send(request.as_bytes());
        answer.expect(status);
        assert_eq!(answer.header("connection"), None);
        let second = answer.text();
        assert!(second.contains("HTTP/1.1 200"), "{path}: {second}");
        // The client does not send it.
        let request = format!("{head} 9\r\nexpect: 100-continue\r\n\r\n");
        let answer = server.send(request.as_bytes());
        assert_eq!(answer.expect(status).header("connection"), Some("close"));
    }
}

/// Nobody reads standard error, or only at the end.
#[test]
fn full_log_does_not_stop_the_server() {
    for is_read in [false, true] {
        let workspace = with_model();
        let log = workspace.path("log");
        let command = workspace.command("serve", &[] as &[&str]);
        let server = Server::start(command, |command| {
            let mut unread = Command::new("sh");
            let script = "mkfifo \"$0\" && exec 3<>\"$0\" && exec \"$@\" 2>&3";
            unread.args(["-c", script]).arg(&log);
            unread.arg(command.get_program()).args(command.get_args());
            unread
        });
        let server = server.wait_until_ready();
        let requests = "GET /info HTTP/1.1\r\nhost: x\r\n\r\n".repeat(149)
            + "GET /info HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        for _ in 0..20 {
            let answer = server.send(requests.as_bytes());
            let others = answer.expect(200).text().matches("HTTP/1.1 200").count();
            assert_eq!(others, 149);
        }
        let reader = is_read.then(|| {
            let log = std::fs::File::open(&log).unwrap();
            std::thread::spawn(|| std::io::read_to_string(log).unwrap())
        });
        // The thread of the log has room again.
        std::thread::sleep(Duration::from_millis(500));
        server.stop(STOP_TIMEOUT).expect_code(0);
        if let Some(reader) = reader {
            let text = reader.join().unwrap();
            let events = text.lines().map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                line["event"].as_str().unwrap().to_owned()
            });
            let events: Vec<String> = events.filter(|event| event != "request").collect();
            let expected = ["start", "loaded", "log_lines_dropped", "stop", "end"];
            assert_eq!(events, expected);
        }
    }
}

/// Clients that go away at random moments, and others that count their answers.
#[test]
fn clients_that_go_away_do_not_cost_others_their_answers() {
    let workspace = with_model();
    let server = workspace.serve(&[]);
    let texts = texts(8);
    let bodies: Vec<String> = texts.iter().map(|text| json!([text]).to_string()).collect();
    let expected: Vec<Vec<u8>> = bodies
        .iter()
        .map(|body| server.post("/invocations", JSON, body).body)
        .collect();
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (server, bodies, expected, answered) = (&server, &bodies, &expected, &answered);
            scope.spawn(move || {
                for round in 0..60 {
                    let at = (client + round) % bodies.len();
                    let answer = server.post("/invocations", JSON, &bodies[at]);
                    assert_eq!(answer.expect(200).body, expected[at]);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for client in 0..4 {
            let (server, bodies) = (&server, &bodies);
            scope.spawn(move || {
                for round in 0..60 {
                    let body = bodies.concat();
                    let request = format!(
                        "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n\
                         content-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let sent = request.len() * (client + round) / 64;
                    let stream = TcpStream::connect(("127.0.0.1", server.port()));
                    let _ = stream
                        .unwrap()
                        .write_all(&request.as_bytes()[..sent.min(request.len())]);
                }
            });
        }
    });
    assert_eq!(answered.load(Ordering::Relaxed), 240);
}

#[test]
fn key_is_needed_and_logs_have_no_texts() {
    let workspace = with_model();
    let key = workspace.write("key", "s3cret\n");
    let server = workspace.serve(&["--api-key-file", key.to_str().unwrap()]);
    let body = r#"["unmistakable words"]"#.as_bytes();
    server.post("/invocations", JSON, body).expect(401);
    let with = |name: &str, value: &str| {
        let headers = [
            ("content-type", JSON),
            ("x-request-id", "my-id"),
            (name, value),
        ];
        server.request("POST", "/invocations", &headers, body)
    };
    with("authorization", "Bearer wrong").expect(401);
    let answer = with("authorization", "Bearer s3cret");
    assert_eq!(answer.expect(200).header("x-request-id"), Some("my-id"));
    with("x-api-key", "s3cret").expect(200);
    server.get("/ping").expect(200);
    server.get("/unmistakable").expect(401);
    let outcome = server.stop(STOP_TIMEOUT);
    outcome.expect_code(0);
    assert!(
        !outcome.output().contains("unmistakable"),
        "{}",
        outcome.output()
    );
    let lines = outcome
        .stderr
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let logged: Vec<Value> = lines.filter(|line| line["event"] == "request").collect();
    assert!(
        logged
            .iter()
            .any(|line| line["request_id"] == "my-id" && line["records"] == 1)
    );
}

#[test]
fn explanation_page_and_info() {
    let workspace = with_model();
    let server = workspace.serve(&[]);
    let body = json!({ "inputs": "a wonderful film" }).to_string();
    let explained = server.post("/explain", JSON, &body).expect(200).json();
    let by_command = workspace
        .svm("explain", &["--json", "a wonderful film"])
        .json();
    assert_eq!(explained["classes"], by_command["classes"]);
    let label = &explained["prediction"]["label"];
    assert_eq!(label, &by_command["prediction"]["label"]);
    let info = server.get("/info").expect(200).json();
    assert_eq!(info["trainer"], "svm");
    assert_eq!(
        info["model_type"]["classifier"]["label2id"]
            .as_object()
            .unwrap()
            .len(),
        2
    );
    let page = server.get("/");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(!page.text().contains("http"), "the page loads nothing");
    workspace.serve(&["--no-ui"]).get("/").expect(404);
}

/// 100,000 rows in pieces of a batch transform job, with a client that reads at the end.
#[test]
fn batch_transform_streams() {
    let workspace = with_model();
    let mut command = workspace.command("serve", &[] as &[&str]);
    command
        .env("SAGEMAKER_BATCH", "true")
        .env("SAGEMAKER_MAX_PAYLOAD_IN_MB", "100");
    let server = Server::start(command, |command| command).wait_until_ready();
    let line = "\"a wonderful film that I shall remember for a long time\"\n";
    let answer = server.post("/invocations", LINES, line.repeat(100_000));
    let text = answer.expect(200).text();
    let first = text.lines().next().unwrap();
    assert_eq!(text.lines().count(), 100_000);
    assert!(text.lines().all(|line| line == first));
    let large = [("content-length", "200000000"), ("content-type", LINES)];
    server.request("GET", "/ping", &[], b"").expect(200);
    let head = large
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .concat();
    let request =
        format!("POST /invocations HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}\r\n");
    server.send(request.as_bytes()).expect(413);
}

#[test]
fn models_are_loaded_by_requests() {
    let workspace = with_model();
    let server = without_models();
    let load = |name: &str, url: &str| {
        let body = json!({ "model_name": name, "url": url }).to_string();
        server.post("/models", JSON, body)
    };
    let model = workspace.path("model");
    let model = model.to_str().unwrap();
    load("a", model).expect(200);
    load("a", model).expect(409);
    load("b", "/nowhere").expect(400);
    for name in ["", "a/b"] {
        let refused = load(name, model).expect(400).json();
        assert_eq!(refused["help"], "name the model as in /models/NAME");
    }
    assert!(server.get("/models/%FF").expect(400).json()["help"].is_string());
    let listed = server.get("/models").expect(200).json();
    assert_eq!(
        listed["models"],
        json!([{ "modelName": "a", "modelUrl": model }])
    );
    server.get("/models/a").expect(200);
    server.get("/models/b").expect(404);
    let answer = server.post("/models/a/invoke", JSON, r#"["a good film"]"#);
    assert!(answer.expect(200).json()[0]["label"].is_string());
    server.post("/models/b/invoke", JSON, "[]").expect(404);
    server.post("/invocations", JSON, "[]").expect(404);
    server.request("DELETE", "/models/a", &[], b"").expect(200);
    server.request("DELETE", "/models/a", &[], b"").expect(404);
}

#[test]
fn taken_port_is_an_error_with_help() {
    let workspace = with_model();
    let server = workspace.serve(&[]);
    let port = server.port().to_string();
    let command = workspace.command("serve", &["--port", &port]);
    let outcome = run_within(command, STOP_TIMEOUT);
    outcome.expect_code(1);
    assert!(
        outcome.stderr.contains("pass another --port"),
        "{}",
        outcome.stderr
    );
}

/// Requests that schemathesis makes from the OpenAPI document get the answers that it has.
#[test]
fn answers_are_those_of_the_openapi_document() {
    let workspace = with_model();
    for (server, paths) in [
        (workspace.serve(&[]), "^/(?!models)"),
        (without_models(), "^/models"),
    ] {
        let mut judge = judge_command("TRAINYARD_SERVING_PYTHON", "openapi");
        judge
            .arg(format!("http://127.0.0.1:{}", server.port()))
            .arg(paths)
            .current_dir(workspace.path(""));
        run_within(judge, SCHEMATHESIS_TIMEOUT).expect_code(0);
        server.stop(STOP_TIMEOUT).expect_code(0);
    }
}
