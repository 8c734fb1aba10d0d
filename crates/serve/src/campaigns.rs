//! Many seeded cases of mutated requests; more with `./test --long` (docs/reliability.md).

use std::iter::from_fn;

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use evaluation::metrics::Scores;
use serde_json::Value;
use testkit::SplitMix64;
use testkit::campaign::{Campaign, mutate};

use crate::body::{self, Format};
use crate::classifier::ModelInfo;
use crate::invocations::split;
use crate::json::{self, Document};
use crate::records::{LineFormat, Record, RecordReader};
use crate::render::{Output, Renderer, Shape};
use crate::reply::Refusal;
use crate::testing::{info, length_model, lengths, pair_info};

const JSON: [&str; 10] = [
    r#"["a film I shall remember", "dull \"and\" \u00e4\ud83d\ude00", ""]"#,
    r#"{"inputs": ["one", {"text": "two", "id": 7}, ["three"]]}"#,
    r#"{"inputs": "one", "parameters": {"top_k": 3, "return_all_scores": true}}"#,
    r#"{"inputs": ["x", "y"], "parameters": {"top_k": null, "all_classes": true}}"#,
    r#"{"instances": [{"text": "one"}, {"a": "x", "b": "y"}, {"text": "x", "text_pair": "y"}]}"#,
    r#"{"inputs": [["x", "y"], ["z", "w"]], "raw_scores": true, "truncate": false}"#,
    r#"{"text": "one", "other": [1, -2.5e3, null, true, {"deep": [[["x"]]]}]}"#,
    r#""a text""#,
    "[]",
    "[1, null, {}, [], true, \"one\"]",
];

const LINES: [&str; 8] = [
    "{\"text\": \"one\"}\n\"two\"\r\n[\"three\"]\n{\"text\": \"x\", \"text_pair\": \"y\"}\n",
    "{\"id\": 1, \"inputs\": \"\\u00e4 \\\"b\\\"\"}\n\n{\"a\": \"x\", \"b\": \"y\"}",
    "id,text,other\n1,\"a, \"\"b\"\"\nc\",x\n2,d,y\r\n3,,\n",
    "one\n\"two, three\"\n\"four\"\"\"\nfive\n",
    "a,b\nx,y\n\"x\n\",\"y\"\n",
    "x,y\r\nz,w\r\n",
    "\u{feff}a plain text\r\nand \u{e4}nother\n\n  \nlast",
    "inputs\n5\" nails\n\"open\nx\n",
];

const HEADERS: [&str; 8] = [
    "application/json; charset=utf-8",
    "application/jsonlines",
    "application/x-ndjson;charset=\"UTF-8\"",
    "text/csv; header=present; charset=us-ascii",
    "text/plain",
    "*/*",
    "text/html, application/json;q=0.9, text/csv;q=0, application/*",
    "/invocations?all_classes=true&x=1,all_classes=false;a",
];

/// Returns a changed copy, sometimes with deep nesting, a huge number, quotes, or bytes that are
/// not UTF-8.
fn mutated(bytes: &[u8], random: &mut SplitMix64) -> Vec<u8> {
    let mut bytes = mutate(bytes, random);
    let at = random.below(bytes.len() + 1);
    let depth = *random.pick(&[3, 127, 10_000]);
    let new = match random.below(18) {
        0 => b"[".repeat(depth),
        1 => b"{\"a\":".repeat(depth),
        2 => b"9".repeat(400),
        3 => b"\"a\"\n\"".repeat(random.below(60)),
        4 => b"\xf0\x9f\x98".to_vec(),
        5 => b"\xef\xbb\xbf".to_vec(),
        _ => Vec::new(),
    };
    bytes.splice(at..at, new);
    bytes
}

fn any_info(random: &mut SplitMix64) -> ModelInfo {
    match random.below(2) {
        0 => info(),
        _ => pair_info(),
    }
}

fn assert_helps(refusal: &Refusal) {
    let is_client_error = refusal.status.is_client_error();
    assert!(
        is_client_error && !refusal.message().is_empty(),
        "{refusal:?}"
    );
    assert!(!refusal.help.is_empty(), "{refusal:?}");
}

/// Returns the number of records in a body that serde_json reads too; `None` if it is unknown.
fn items(value: &Value) -> Option<usize> {
    let of_inputs = |inputs: &Value| inputs.as_array().map_or(1, Vec::len);
    match value {
        Value::Array(items) => Some(items.len()),
        Value::String(_) => Some(1),
        Value::Object(fields) if fields.contains_key("parameters") => None,
        Value::Object(fields) => match (fields.get("inputs"), fields.get("instances")) {
            (Some(inputs), _) => Some(of_inputs(inputs)),
            (None, Some(instances)) => instances.as_array().map(Vec::len),
            (None, None) => Some(1),
        },
        _ => None,
    }
}

#[test]
fn mutated_requests_of_json_are_read_or_refused() {
    let mut campaign = Campaign::new("serve: mutated JSON requests", 3_000, 1_000_000);
    while let Some(mut random) = campaign.next_case() {
        let info = any_info(&mut random);
        let bytes = mutated(random.pick(&JSON).as_bytes(), &mut random);
        let body = match body::utf8(&bytes) {
            Ok(body) => body,
            Err(refusal) => {
                assert_helps(&refusal);
                campaign.count("refused");
                continue;
            }
        };
        let value: Option<Value> = serde_json::from_str(body).ok();
        let found = json::invocations(&info, body);
        match (&found, value.as_ref().and_then(items)) {
            (Ok(document), Some(expected)) => assert_eq!(document.records.len(), expected),
            (Ok(_), None) => {}
            (Err(refusal), expected) => {
                assert_helps(refusal);
                assert_eq!(expected, None, "{refusal:?}: {body:?}");
            }
        }
        if let (Ok(Document { records, .. }), Some(Value::Array(items)), false) =
            (&found, &value, info.text_pair)
        {
            for (record, text) in records.iter().zip(items) {
                if let Some(text) = text.as_str() {
                    assert_eq!(record, &Ok(text.to_owned()));
                }
            }
        }
        if let Err(refusal) = json::predict(&info, body) {
            assert_helps(&refusal);
        }
        campaign.count(if found.is_ok() { "accepted" } else { "refused" });
    }
}

/// Reads a body in pieces.
fn read(
    info: &ModelInfo,
    format: LineFormat,
    body: &[u8],
    mut piece: impl FnMut() -> usize,
) -> Vec<Record> {
    let mut reader = RecordReader::new(info, format);
    let mut records = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (bytes, next) = rest.split_at(piece().min(rest.len()));
        reader.push(bytes);
        records.extend(from_fn(|| reader.next(false)));
        rest = next;
    }
    records.extend(from_fn(|| reader.next(true)));
    records
}

/// Returns the number of records in a body, counted by its lines; `None` for CSV with quotes.
fn lines(info: &ModelInfo, format: LineFormat, body: &[u8]) -> Option<usize> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.is_empty() || format == LineFormat::Whole {
        return Some(usize::from(!body.is_empty()));
    }
    if format == LineFormat::Csv && body.contains(&b'"') {
        return None;
    }
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let mut lines = body.split(|byte| *byte == b'\n');
    let count = lines.clone().count();
    let first = lines.next().unwrap_or_default();
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    let has = |names: &[&str]| {
        let mut names = names.iter();
        names.all(|name| {
            first
                .split(|byte| *byte == b',')
                .any(|field| field == name.as_bytes())
        })
    };
    let has_header = match info.text_pair {
        true => has(&["a", "b"]) || has(&["text", "text_pair"]),
        false => has(&["text"]) || has(&["inputs"]),
    };
    Some(count - usize::from(has_header && format == LineFormat::Csv))
}

/// Fails unless an answer of each format has exactly one item per record.
fn assert_one_answer_each(records: Vec<Record>) {
    let count = records.len();
    let (texts, errors) = split(records);
    assert!(errors.iter().flatten().all(|error| !error.is_empty()));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let scores = match texts.is_empty() {
        true => Scores::default(),
        false => lengths(&texts),
    };
    let written = |output| {
        let renderer = Renderer {
            shape: Shape::Rows {
                in_predictions: false,
            },
            output,
            all_classes: true,
        };
        let mut out = Vec::new();
        renderer.write(&mut out, &length_model(), &errors, &scores);
        String::from_utf8(out).unwrap()
    };
    let list: Vec<Value> = serde_json::from_str(&written(Output::Json)).unwrap();
    assert_eq!(list.len(), count);
    let text = written(Output::JsonLines);
    let values = text.lines().map(serde_json::from_str::<Value>);
    assert_eq!(values.map(Result::unwrap).collect::<Vec<_>>(), list);
    assert_eq!(written(Output::Csv).lines().count(), count);
}

#[test]
fn mutated_requests_of_lines_have_one_answer_each() {
    let mut campaign = Campaign::new("serve: mutated requests of lines", 2_000, 500_000);
    while let Some(mut random) = campaign.next_case() {
        let info = any_info(&mut random);
        let body = mutated(random.pick(&LINES).as_bytes(), &mut random);
        let format = *random.pick(&[
            LineFormat::JsonLines,
            LineFormat::Csv,
            LineFormat::Plain,
            LineFormat::Whole,
        ]);
        let mut reader = RecordReader::new(&info, format);
        reader.push(&body);
        let whole: Vec<Record> = from_fn(|| reader.next(true)).collect();
        if let Some(expected) = lines(&info, format, &body) {
            assert_eq!(whole.len(), expected, "{format:?}: {}", body.escape_ascii());
        }
        let largest = 1 + random.below(body.len() / 8 + 2);
        let least = body.len() / 256;
        let in_pieces = read(&info, format, &body, || 1 + least + random.below(largest));
        assert_eq!(in_pieces, whole, "{format:?}: {}", body.escape_ascii());
        let bad = whole.iter().filter(|record| record.is_err()).count();
        campaign.count(if bad == 0 {
            "accepted"
        } else {
            "answered with errors"
        });
        assert_one_answer_each(whole);
    }
}

#[test]
fn mutated_requests_have_a_known_type_or_are_refused() {
    let mut campaign = Campaign::new("serve: mutated headers", 3_000, 1_000_000);
    while let Some(mut random) = campaign.next_case() {
        let text = mutated(random.pick(&HEADERS).as_bytes(), &mut random);
        if let Ok(uri) = Uri::try_from(text.as_slice()) {
            body::wants_all_classes(&uri, &HeaderMap::new());
        }
        let Ok(value) = HeaderValue::from_bytes(&text) else {
            campaign.count("refused");
            continue;
        };
        let of = |name| HeaderMap::from_iter([(name, value.clone())]);
        let found = body::format(&of(CONTENT_TYPE));
        let accepted = body::output(&of(ACCEPT), Format::Json);
        let statuses = [
            (found.as_ref().err(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (accepted.as_ref().err(), StatusCode::NOT_ACCEPTABLE),
        ];
        for (refusal, status) in statuses {
            if let Some(refusal) = refusal {
                assert_helps(refusal);
                assert_eq!(refusal.status, status);
            }
        }
        // The case of letters has no meaning.
        let upper = HeaderValue::from_bytes(&text.to_ascii_uppercase()).unwrap();
        let of_upper = body::format(&HeaderMap::from_iter([(CONTENT_TYPE, upper)]));
        assert_eq!(of_upper, found);
        campaign.count(if found.is_ok() { "accepted" } else { "refused" });
    }
}
