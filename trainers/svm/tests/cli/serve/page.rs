//! The page of `serve`, used by a person in headless Chromium.

use serde_json::{Value, json};
use testkit::{Server, chromium, judge, several_label_rows};

use crate::Workspace;

/// Runs if it becomes part of the page.
const HTML: &str = "<img src=x onerror=\"window.executed = true\">";

/// Types requests into the page of a server. Returns what `tests/judges/page.py` prints, after the
/// checks that hold for every page.
fn used(server: &Server, requests: Value) -> Value {
    let url = format!("http://127.0.0.1:{}/", server.port());
    let found = judge("page", &[chromium(), url, requests.to_string()]);
    assert_eq!(found["foreign_urls"], json!([]), "it loads from elsewhere");
    for answer in items(&found["answers"]) {
        assert_eq!(answer["executed"], false, "{answer}");
        assert_eq!(answer["foreign_elements"], 0, "{answer}");
    }
    let layouts = items(&found["layouts"]);
    assert_eq!(layouts.len(), 6);
    for layout in layouts {
        let number = |name: &str| layout[name].as_f64().unwrap();
        assert!(number("beyond") <= 0.0, "it scrolls sideways: {layout}");
        // The least of WCAG's level AA.
        assert!(number("contrast") >= 4.5, "{layout}");
        let is_light = number("background") > 0.5;
        assert_eq!(is_light, layout["scheme"] == "light", "{layout}");
        assert_eq!(layout["unlabelled"], 0, "{layout}");
        assert_eq!(layout["language"], "en");
    }
    found
}

fn items(list: &Value) -> &[Value] {
    list.as_array().unwrap()
}

/// Fails unless a page shows what the server answers to `/explain`.
fn assert_shows(shown: &Value, server: &Server, text: &str) {
    let body = json!({ "inputs": text }).to_string();
    let answer = server.post("/explain", "application/json", body);
    let explained = answer.expect(200).json();
    let prediction = &explained["prediction"];
    assert_eq!(shown["error"], "");
    assert_eq!(shown["headings"][0], prediction["label"]);
    let probabilities = prediction["probabilities"].as_object().unwrap();
    let rows = items(&shown["scores"]);
    assert_eq!(rows.len(), probabilities.len());
    let mut last = 1.0;
    for row in rows {
        let number: f64 = row[1].as_str().unwrap().parse().unwrap();
        let exact = probabilities[row[0].as_str().unwrap()].as_f64().unwrap();
        assert!((number - exact).abs() < 0.000_51, "{row}, {exact}");
        assert!(number <= last, "the largest is not the first: {shown}");
        last = number;
    }
    let classes = items(&explained["classes"]).iter();
    let with_words = classes.filter(|class| !items(&class["features"]).is_empty());
    let expected: Vec<Value> = with_words
        .map(|class| {
            let words = items(&class["features"]).iter().map(|feature| {
                let (word, weight) = (feature[0].as_str(), feature[1].as_f64());
                format!("{} {:.2}", word.unwrap(), weight.unwrap())
            });
            json!([class["label"], words.collect::<Vec<_>>().join(", ")])
        })
        .collect();
    assert_eq!(shown["words"], json!(expected));
}

/// By the button and by Ctrl+Enter; a text with HTML is a text.
#[test]
fn page_shows_what_the_server_answers() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let server = workspace.serve(&[]);
    let html = format!("{HTML} dull<script>window.executed = true</script>");
    let texts = ["a wonderful film", html.as_str(), "dull and\nmuch too long"];
    let requests: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
    let found = used(&server, json!(requests));
    let answers = items(&found["answers"]);
    for (shown, text) in answers.iter().zip(texts) {
        assert_eq!(shown["title"], "Trainyard: svm");
        assert_shows(shown, &server, text);
    }
    assert_eq!(found["focus"], json!(["text", "button"]));
    assert_eq!(found["console"], json!([]));
}

/// Several labels, labels with HTML, no probabilities, no words.
#[test]
fn page_shows_every_kind_of_model() {
    let answer = |flags: &[&str], csv: &[u8], text: &str| {
        let workspace = Workspace::new();
        let csv = workspace.write("rows.csv", csv);
        let flags = [&["--no-report"][..], flags].concat();
        workspace.train(&csv, &flags).expect_code(0);
        let found = used(&workspace.serve(&[]), json!([{ "text": text }]));
        found["answers"][0].clone()
    };
    let rows = [
        format!("good film,\"{}\"\n", HTML.replace('"', "\"\"")),
        "bad,other\n".to_owned(),
    ];
    let two = format!("text,label\n{}", rows.concat().repeat(30));
    let shown = answer(&["--calibration", "none"], two.as_bytes(), "good film");
    assert_eq!(shown["headings"], json!([HTML, "Words that decided"]));
    let note = "Scores: the model is not calibrated and has no probabilities";
    assert_eq!(shown["notes"], json!([note]));
    let score: f64 = shown["scores"][0][1].as_str().unwrap().parse().unwrap();
    assert!(score > 0.5, "{shown}");

    let shown = answer(&["--kernel", "rbf"], two.as_bytes(), "good film");
    assert_eq!(shown["headings"], json!([HTML]));
    let note = shown["notes"][1].as_str().unwrap();
    assert!(note.contains("expected a linear model"), "{note}");

    let several = testkit::to_csv(&several_label_rows(400, 3));
    let flags = ["--multi-label", "--label-separator", "|"];
    let shown = answer(&flags, &several, "nothing that it knows");
    assert_eq!(shown["headings"][0], "No label", "{shown}");
}

/// The page has no data: it is shown without the key, and asks for it.
#[test]
fn page_asks_for_the_key() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let key = workspace.write("key", "s3cret\n");
    let server = workspace.serve(&["--api-key-file", key.to_str().unwrap()]);
    let text = "a wonderful film";
    let requests = json!([
        { "text": text, "key": "wrong" },
        { "text": text, "key": "no h\u{e9}ader \u{20ac}" },
        { "text": text, "key": "s3cret" },
    ]);
    let found = used(&server, requests);
    let error = |at: usize| &found["answers"][at]["error"];
    assert_eq!(error(0), "This is not the key of the server.");
    assert_eq!(
        error(1),
        "The server does not answer: check that it runs, and the key."
    );
    assert_eq!(error(2), "");
    let by_command = workspace.svm("explain", &["--json", text]).json();
    let shown = &found["answers"][2];
    assert_eq!(shown["headings"][0], by_command["prediction"]["label"]);
    assert_eq!(shown["asks_key"], true);
    let rows = items(&shown["scores"]);
    assert_eq!(rows.len(), 2, "{shown}");
}
