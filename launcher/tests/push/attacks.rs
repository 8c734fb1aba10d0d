//! Registries that do not do as they say.

use std::io::BufRead as _;

use super::*;

/// Starts a registry that takes every part and answers the PUT of a manifest with this status and
/// location. It has no manifest. Returns its address.
fn registry_answering(status: &'static str, location: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let connection = connection.unwrap();
            thread::spawn(move || answer(connection, status, location));
        }
    });
    address
}

fn answer(connection: TcpStream, status: &str, location: &str) -> Option<()> {
    let mut reader = std::io::BufReader::new(&connection);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    std::io::copy(&mut Read::take(&mut reader, length), &mut std::io::sink()).ok()?;
    let (status, location) = match first.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["PUT", path] if path.contains("/manifests/") => (status, location),
        ["PUT", _] => ("201 Created", "/v2/elsewhere"),
        ["POST", _] => ("202 Accepted", "/v2/upload/1"),
        ["GET", "/v2/"] => ("200 OK", ""),
        _ => ("404 Not Found", ""),
    };
    let location = match location {
        "" => String::new(),
        location => format!("location: {location}\r\n"),
    };
    write!(
        &connection,
        "HTTP/1.1 {status}\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n"
    )
    .ok()
}

/// ATTACK F14: only 201 is success for the PUT of a manifest.
#[test]
fn redirected_manifest_is_not_success() {
    let toy = Workspace::new("toy-redirected");
    for (status, location) in [
        ("307 Temporary Redirect", "/v2/elsewhere"),
        ("307 Temporary Redirect", ""),
        ("302 Found", "/v2/"),
        ("202 Accepted", "/v2/elsewhere"),
        ("200 OK", ""),
        ("201 Created", "/v2/elsewhere"),
    ] {
        let registry = registry_answering(status, location);
        let outcome = push(&toy, &format!("{registry}/team/toy"), &["--no-latest"]);
        outcome.expect_code(1);
        let text = &outcome.stderr;
        assert!(
            text.contains("cannot set the tag") && text.contains("help:"),
            "{status}: {text}"
        );
    }
}
