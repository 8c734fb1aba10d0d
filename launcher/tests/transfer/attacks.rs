//! Transfers: hostile servers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use testkit::run;

use crate::World;

/// Starts a server that returns the same page of every listing. Returns its URL.
fn endless_listing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let mut lines = BufReader::new(&connection).lines();
            let first = lines.next().expect("a request").expect("text");
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let listed = if first.contains("uploads") {
                "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker></ListMultipartUploadsResult>"
            } else {
                "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken><Contents><Key>p/a</Key><Size>1</Size></Contents></ListBucketResult>"
            };
            let body = if first.starts_with("HEAD") {
                ""
            } else {
                listed
            };
            let length = body.len();
            let status = if first.starts_with("HEAD") {
                "404 Not Found"
            } else {
                "200 OK"
            };
            let _ = write!(
                connection,
                "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

/// ATTACK F11: a listing that returns the same token again and again ends with an error.
#[test]
fn endless_listing_is_error() {
    let world = World::new();
    let url = endless_listing();
    world.write("big", b"x");
    for arguments in [
        &["download", "s3://bucket/p/", "back"][..],
        &["download", "s3://bucket/p", "back", "--dry-run"],
        &["upload", "big", "s3://bucket/big", "--abort"],
    ] {
        let mut command = world.command(arguments);
        command.env("AWS_ENDPOINT_URL", &url);
        let outcome = run(command);
        let text = &outcome.expect_code(1).stderr;
        assert!(
            text.contains("the server returns the same page again and again")
                && text.contains("help: check `--endpoint-url`"),
            "{arguments:?}: {text}"
        );
    }
}
