//! SageMaker's hosting contract: `serve` in a fake `/opt/ml`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Trainer, job, test_rows};
use crate::process::run;
use crate::{
    Answer, FakeMl, Server, as_pid_1, judge_command, no_network_allowed, pid_1_allowed, skip,
    small_disk_allowed, with_read_only_mount, without_network,
};

/// Maximum time from SIGTERM to exit; SageMaker kills after 30 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);
/// Clients of the test of SIGTERM under load.
const CLIENTS: usize = 4;

/// Runs all parts of the hosting contract with one model.
pub fn hosting(trainer: &Trainer) {
    let ml = trained(trainer);
    answers_are_those_of_predict(trainer, &ml);
    batch_transform_has_an_answer_per_line(trainer, &ml);
    sigterm_loses_no_answer(trainer, &ml);
    begun_requests_are_answered_after_sigterm(trainer, &ml);
    container_is_process_1_on_a_read_only_disk(trainer, &ml);
    container_has_another_user_and_no_network(trainer, &ml);
    models_are_loaded_and_unloaded(trainer, &ml);
    reason_is_last_line_without_model(trainer);
}

/// Runs the part about answers only, to test the suite.
pub fn hosting_answers(trainer: &Trainer) {
    answers_are_those_of_predict(trainer, &trained(trainer));
}

/// Runs the parts about SIGTERM only, to test the suite.
pub fn hosting_ends(trainer: &Trainer) {
    let ml = trained(trainer);
    sigterm_loses_no_answer(trainer, &ml);
    begun_requests_are_answered_after_sigterm(trainer, &ml);
}

fn trained(trainer: &Trainer) -> FakeMl {
    let ml = job();
    trainer.train(&ml, &[] as &[&str]).expect_code(0);
    ml
}

/// Returns `serve` as SageMaker starts it.
fn serve(trainer: &Trainer, ml: &FakeMl) -> Command {
    let mut command = Command::new(&trainer.bin);
    command
        .env_clear()
        .env("SAGEMAKER_BASE_DIR", ml.path(""))
        .arg("serve");
    command
}

fn texts() -> Vec<String> {
    let rows = test_rows().into_iter().take(20);
    let mut texts: Vec<String> = rows.map(|row| row.text).collect();
    texts.extend(["", "ä 文字", "quoted \"text\", with a comma"].map(str::to_owned));
    texts
}

/// Returns the rows of `predict --format jsonl`, without the number of the record.
fn predicted(trainer: &Trainer, ml: &FakeMl, texts: &[String]) -> Vec<Value> {
    let lines = texts.iter().map(|text| json!({ "text": text }).to_string());
    ml.write("texts.jsonl", lines.collect::<Vec<_>>().join("\n"));
    let mut command = Command::new(&trainer.bin);
    command
        .env_clear()
        .args(["predict", "--format", "jsonl", "--model-dir"])
        .arg(ml.model_dir())
        .arg("--input")
        .arg(ml.path("texts.jsonl"));
    let outcome = run(command);
    outcome.expect_code(0);
    let rows = outcome.stdout.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).expect("predict writes JSON lines");
        row.as_object_mut().expect("an object").remove("record");
        row
    });
    rows.collect()
}

/// Probabilities are equal to those of `predict`, bit for bit, whatever the batch.
fn answers_are_those_of_predict(trainer: &Trainer, ml: &FakeMl) {
    let texts = texts();
    let expected = predicted(trainer, ml, &texts);
    let server = Server::start(serve(trainer, ml), |command| command).wait_until_ready();
    let invoke = |body: &Value| {
        let body = body.to_string();
        let answer = server.post("/invocations", "application/json", body);
        answer.expect(200).json()
    };
    assert_eq!(invoke(&json!(texts)), json!(expected), "in one request");
    let each = texts.iter().map(|text| invoke(&json!([text]))[0].clone());
    assert_eq!(each.collect::<Vec<_>>(), expected, "one by one");
    let instances = invoke(&json!({ "instances": texts }));
    assert_eq!(instances["predictions"], json!(expected));
    let scores = invoke(&json!({ "inputs": texts }));
    for (row, score) in expected.iter().zip(scores.as_array().into_iter().flatten()) {
        assert_eq!(row["label"], score["label"]);
        let value = match &row["probability"] {
            Value::Null => &row["score"],
            probability => probability,
        };
        assert_eq!(value, &score["score"]);
    }
    let wrong = server.post("/invocations", "application/json", "{");
    assert!(wrong.expect(400).json()["help"].is_string());
    for path in ["/health", "/info", "/metrics", "/openapi.json", "/"] {
        server.get(path).expect(200);
    }
    let parameters = server.get("/execution-parameters");
    assert_eq!(parameters.expect(200).json()["MaxPayloadInMB"], 6);
    server.stop(STOP_TIMEOUT).expect_code(0);
}

/// Also for bad lines, and whatever the rows are: none costs another its answer.
fn batch_transform_has_an_answer_per_line(trainer: &Trainer, ml: &FakeMl) {
    let texts = texts();
    let expected = predicted(trainer, ml, &texts);
    let mut command = serve(trainer, ml);
    command
        .env("SAGEMAKER_BATCH", "true")
        .env("SAGEMAKER_MAX_PAYLOAD_IN_MB", "20");
    let server = Server::start(command, |command| command).wait_until_ready();
    let mut body = String::new();
    for text in &texts {
        body += &format!("{}\n{{\"text\": \n", json!({ "text": text }));
    }
    let answer = server.post("/invocations", "application/jsonlines", body);
    let answer = answer.expect(200).text();
    let lines: Vec<Value> = answer
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect();
    assert_eq!(lines.len(), 2 * texts.len());
    for (pair, expected) in lines.chunks(2).zip(&expected) {
        assert_eq!(&pair[0], expected);
        assert!(pair[1]["error"].is_string(), "{}", pair[1]);
    }
    server.stop(STOP_TIMEOUT).expect_code(0);
}

/// Requests that were sent before the server stops are answered, and rightly.
fn sigterm_loses_no_answer(trainer: &Trainer, ml: &FakeMl) {
    let server = Server::start(serve(trainer, ml), |command| command).wait_until_ready();
    let body = json!(texts().first()).to_string();
    let expected = server.post("/invocations", "application/json", &body).body;
    let (stopped, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let was_stopped = stopped.load(Ordering::SeqCst);
                    let answer = server.post("/invocations", "application/json", &body);
                    match answer.status {
                        200 => assert_eq!(answer.body, expected),
                        // Not accepted any more.
                        0 if stopped.load(Ordering::SeqCst) => return,
                        _ => panic!("{was_stopped}: {answer:?}"),
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(500));
        stopped.store(true, Ordering::SeqCst);
        server.sigterm();
    });
    assert!(answered.load(Ordering::SeqCst) >= CLIENTS);
    let outcome = server.finish(STOP_TIMEOUT);
    outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("\"all_requests_answered\":true"),
        "{}",
        outcome.stderr
    );
}

/// A request that the server may not have accepted yet, and one without its last bytes.
fn begun_requests_are_answered_after_sigterm(trainer: &Trainer, ml: &FakeMl) {
    let server = Server::start(serve(trainer, ml), |command| command).wait_until_ready();
    let body = json!(texts().first()).to_string();
    let expected = server.post("/invocations", "application/json", &body).body;
    let request = format!(
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let request = request.as_bytes();
    let begin = |sent: usize| {
        let (first, rest) = request.split_at(sent);
        let stream = TcpStream::connect(("127.0.0.1", server.port()));
        let mut stream = stream.expect("it listens");
        stream.write_all(first).expect("it reads");
        (stream, rest)
    };
    let begun = [request.len() - 3, request.len()].map(begin);
    server.sigterm();
    std::thread::sleep(Duration::from_millis(300));
    for (mut stream, rest) in begun {
        stream.write_all(rest).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert_eq!(Answer::parse(&answer).expect(200).body, expected);
    }
    server.finish(STOP_TIMEOUT).expect_code(0);
}

/// Process 1 ignores signals without a handler, and the root of a container may be read-only.
fn container_is_process_1_on_a_read_only_disk(trainer: &Trainer, ml: &FakeMl) {
    if !pid_1_allowed() || !small_disk_allowed() {
        let test = format!("{}: hosting as process 1", trainer.name());
        return skip(&test, "the kernel allows no namespaces");
    }
    let wrap = |command: Command| as_pid_1(&with_read_only_mount(&command, &ml.path("")));
    let mut server = Server::start(serve(trainer, ml), wrap).wait_until_ready();
    let answer = server.post("/invocations", "text/plain", "a good film");
    assert!(answer.expect(200).json()["label"].is_string());
    server.running().sigterm_to_process_1();
    server.finish(STOP_TIMEOUT).expect_code(0);
}

/// A user that is not root and has no capabilities, and no network besides loopback.
fn container_has_another_user_and_no_network(trainer: &Trainer, ml: &FakeMl) {
    if !no_network_allowed() {
        let test = format!("{}: hosting without network", trainer.name());
        return skip(&test, "the kernel allows no namespaces");
    }
    let texts = texts();
    let server = serve(trainer, ml);
    let mut judge = judge_command("TRAINYARD_PYTHON", "only_loopback");
    judge
        .env("SAGEMAKER_BASE_DIR", ml.path(""))
        .arg("8080")
        .arg(json!(texts).to_string())
        .arg(server.get_program())
        .args(server.get_args());
    let result = run(without_network(&judge)).expect_code(0).json();
    let answer: Value = match result["answer"].as_str().map(serde_json::from_str) {
        Some(Ok(answer)) => answer,
        _ => panic!("expected an answer in JSON, found {result}"),
    };
    assert_eq!(answer, json!(predicted(trainer, ml, &texts)));
    assert_eq!(
        (&result["user"], &result["code"]),
        (&json!(65534), &json!(0))
    );
}

/// A multi-model endpoint, whose models come and go by requests.
fn models_are_loaded_and_unloaded(trainer: &Trainer, ml: &FakeMl) {
    let texts = texts();
    let expected = predicted(trainer, ml, &texts);
    let mut command = serve(trainer, ml);
    command.env("SAGEMAKER_MULTI_MODEL", "true");
    let server = Server::start(command, |command| command).wait_until_ready();
    let load = || {
        let model = json!({ "model_name": "first", "url": ml.model_dir() });
        server.post("/models", "application/json", model.to_string())
    };
    let invoke = || {
        let body = json!(texts).to_string();
        server.post("/models/first/invoke", "application/json", body)
    };
    let unload = || server.request("DELETE", "/models/first", &[], b"");
    let list = || server.get("/models").expect(200).json()["models"].clone();
    assert_eq!(list(), json!([]));
    invoke().expect(404);
    for _ in 0..2 {
        load().expect(200);
        load().expect(409);
        let listed = json!([{ "modelName": "first", "modelUrl": ml.model_dir() }]);
        assert_eq!(list(), listed);
        assert_eq!(invoke().expect(200).json(), json!(expected));
        unload().expect(200);
        for answer in [invoke(), unload(), server.get("/models/first")] {
            answer.expect(404);
        }
        assert_eq!(list(), json!([]));
    }
    server.stop(STOP_TIMEOUT).expect_code(0);
}

fn reason_is_last_line_without_model(trainer: &Trainer) {
    let ml = FakeMl::new();
    let server = Server::start(serve(trainer, &ml), |command| command);
    let outcome = server.finish(STOP_TIMEOUT);
    assert!(outcome.code().is_some_and(|code| code != 0));
    let last = outcome.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("expected a model in"), "{}", outcome.stderr);
}
