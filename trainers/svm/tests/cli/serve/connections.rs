//! Mutated requests over real connections; more with `./test --long`.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use testkit::campaign::{Campaign, mutate};

use super::hosting::{JSON, STOP_TIMEOUT};
use crate::Workspace;

/// Time in which most requests are answered; broken ones wait for more bytes.
const PAUSE: Duration = Duration::from_millis(20);
/// Time after which a connection that the client has ended is closed, at most.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

const BODY: &str = r#"["a film I shall remember", {"text": "dull"}]"#;

/// Returns requests that are right, and tries to smuggle a second one behind a first.
fn requests() -> Vec<String> {
    const START: &str = "POST /invocations HTTP/1.1\r\nhost: x\r\n";
    let post = |headers: &str, body: &str| format!("{START}{headers}\r\n{body}");
    let length = BODY.len();
    let whole = format!("content-length: {length}\r\n");
    let right = post(&whole, BODY);
    let chunk = format!("{length:x};name=value\r\n{BODY}\r\n0\r\ntrailer: x\r\n\r\n");
    let (first, second) = BODY.split_at(9);
    let chunks = format!("9\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", length - 9);
    let get = "GET /info HTTP/1.1\r\nhost: x\r\n\r\n";
    let smuggled = |headers: &str| post(headers, &format!("0\r\n\r\n{get}"));
    vec![
        right.clone(),
        post(&format!("{whole}expect: 100-continue\r\n"), BODY),
        post("transfer-encoding: chunked\r\n", &chunk),
        post("Transfer-Encoding: Chunked\r\n", &chunks),
        format!("{get}{right}{get}"),
        format!("{right}{right}"),
        right.replace("HTTP/1.1", "HTTP/1.0"),
        right.replace("\r\n", "\n"),
        right.replace("/invocations", "http://x/predict?all_classes=true"),
        smuggled("content-length: 4\r\ntransfer-encoding: chunked\r\n"),
        smuggled("transfer-encoding: chunked\r\ncontent-length: 4\r\n"),
        smuggled("transfer-encoding: identity, chunked\r\n"),
        smuggled("transfer-encoding: xchunked\r\ncontent-length: 5\r\n"),
        smuggled("transfer-encoding:\tchunked\r\ntransfer-encoding: x\r\n"),
        smuggled("content-length: 5\r\ncontent-length: 44\r\n"),
        smuggled("content-length: +5\r\n"),
        smuggled("content-length : 5\r\n"),
        smuggled("content_length: 5\r\n x: folded\r\n"),
        smuggled("upgrade: h2c\r\nconnection: upgrade, content-length\r\ncontent-length: 5\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ]
}

/// Sends bytes, ends the sending side and returns what the server sends until it closes.
fn exchange(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(bytes);
    stream.set_read_timeout(Some(PAUSE)).unwrap();
    let mut received = vec![0; 1 << 14];
    let read = stream.read(&mut received).unwrap_or(0);
    received.truncate(read);
    let _ = stream.shutdown(Shutdown::Write);
    stream.set_read_timeout(Some(CLOSE_TIMEOUT)).unwrap();
    let started = Instant::now();
    // A reset after the answer is not an error.
    let _ = stream.read_to_end(&mut received);
    assert!(started.elapsed() < CLOSE_TIMEOUT, "it stays open");
    received
}

/// Returns the statuses of all answers.
fn statuses(received: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(received);
    let answers = text.split("HTTP/1.").skip(1);
    answers
        .filter_map(|answer| answer.get(2..5)?.parse().ok())
        .collect()
}

/// A mutated request is answered, refused or closed, and none changes the answer of a good one.
#[test]
fn mutated_requests_over_connections_harm_no_other() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let server = workspace.serve(&[]);
    let good = || server.post("/invocations", JSON, BODY);
    let expected = good().expect(200).json();
    assert_eq!(expected.as_array().map(Vec::len), Some(2), "{expected}");
    let requests = requests();
    let mut campaign = Campaign::new("svm: mutated requests over connections", 200, 20_000);
    let mut sent = 0;
    while let Some(mut random) = campaign.next_case() {
        let mut bytes = random.pick(&requests).as_bytes().to_vec();
        if random.below(8) > 0 {
            bytes = mutate(&bytes, &mut random);
        }
        let statuses = statuses(&exchange(server.port(), &bytes));
        for status in &statuses {
            let is_expected = matches!(status, 100 | 200 | 400..=431);
            assert!(is_expected, "{status}: {}", bytes.escape_ascii());
        }
        campaign.count(match statuses.into_iter().max() {
            None => "closed",
            Some(400..) => "refused",
            Some(_) => "answered",
        });
        sent += 1;
        if sent % 10 == 0 {
            assert_eq!(good().expect(200).json(), expected);
        }
    }
    assert!(campaign.counted("answered") > 0);
    let outcome = server.stop(STOP_TIMEOUT);
    outcome.expect_code(0);
    assert!(
        !outcome.output().contains("panicked"),
        "{}",
        outcome.output()
    );
}
