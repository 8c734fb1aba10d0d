//! JSON bodies: records in the forms of Hugging Face, text-embeddings-inference, SageMaker's
//! built-in algorithms, and plain lists.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::classifier::ModelInfo;
use crate::records::{Record, max_records};
use crate::render::Shape;
use crate::reply::Refusal;

/// The records of a body, and the shape of its answer.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) records: Vec<Record>,
    pub(crate) shape: Shape,
    /// True if the probabilities of all classes are wanted.
    pub(crate) all_classes: bool,
}

/// Options of Hugging Face's pipelines, and ours.
#[derive(Default, Deserialize)]
struct Parameters {
    /// Absent: the best label; null: all labels.
    #[serde(default, deserialize_with = "present")]
    top_k: Option<Option<usize>>,
    #[serde(default)]
    return_all_scores: bool,
    #[serde(default)]
    all_classes: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<usize>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

const FORMS: &str = "send a text, a list of texts, or an object with `inputs` or `instances`";

fn invalid(error: &serde_json::Error) -> Refusal {
    Refusal::bad(format!("expected JSON: {error}"), FORMS)
}

/// Reads a body of `/invocations`.
///
/// # Errors
/// It is not JSON, has another form, or has too many records.
pub(crate) fn invocations(info: &ModelInfo, body: &str) -> Result<Document, Refusal> {
    let rows = |records, in_predictions| Document {
        records,
        shape: Shape::Rows { in_predictions },
        all_classes: false,
    };
    match kind(body) {
        Kind::List => Ok(rows(list(info, body)?, false)),
        Kind::Object => object(info, body, rows),
        Kind::Text => {
            let text = serde_json::from_str(body).map_err(|error| invalid(&error))?;
            Ok(rows(vec![one(info, text)], false))
        }
        Kind::Other(found) => {
            // Rather the error of the parser, if it is not JSON at all.
            let parsed: Result<&RawValue, _> = serde_json::from_str(body);
            parsed.map_err(|error| invalid(&error))?;
            let message = format!("expected a text, a list or an object, found {found}");
            Err(Refusal::bad(message, FORMS))
        }
    }
}

fn object(
    info: &ModelInfo,
    body: &str,
    rows: impl Fn(Vec<Record>, bool) -> Document,
) -> Result<Document, Refusal> {
    let Fields(fields) = serde_json::from_str(body).map_err(|error| invalid(&error))?;
    let parameters: Parameters = match fields.get("parameters") {
        Some(raw) => serde_json::from_str(raw.get()).map_err(|error| {
            let help = "send `parameters` as {\"top_k\": 3} or {\"all_classes\": true}";
            Refusal::bad(format!("expected options in `parameters`: {error}"), help)
        })?,
        None => Parameters::default(),
    };
    let mut document = if let Some(inputs) = fields.get("inputs") {
        let inputs = inputs.get();
        let records = match kind(inputs) {
            Kind::List => list(info, inputs)?,
            _ => vec![record(info, inputs)],
        };
        let all = parameters.return_all_scores.then_some(usize::MAX);
        let top = parameters
            .top_k
            .map(|top| top.unwrap_or(usize::MAX))
            .or(all);
        let mut document = rows(records, false);
        document.shape = Shape::HuggingFace { top };
        document
    } else if let Some(instances) = fields.get("instances") {
        match kind(instances.get()) {
            Kind::List => rows(list(info, instances.get())?, true),
            other => {
                let message = format!("expected a list in `instances`, found {other}");
                return Err(Refusal::bad(message, FORMS));
            }
        }
    } else {
        rows(vec![of_fields(info, &fields)], false)
    };
    document.all_classes = parameters.all_classes;
    Ok(document)
}

/// Reads a body of `/predict`, the route of text-embeddings-inference: `inputs` is a text, a pair
/// as a list of two texts, or a list of lists with one or two texts each. For models of single
/// texts, a list of texts is a list of records.
///
/// # Errors
/// As [`invocations`].
pub(crate) fn predict(info: &ModelInfo, body: &str) -> Result<Document, Refusal> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        inputs: &'a RawValue,
        #[serde(default)]
        raw_scores: bool,
    }
    let help = "send {\"inputs\": \"a text\"}, or {\"inputs\": [[\"a text\"], [\"another\"]]}";
    let body: Body<'_> = serde_json::from_str(body)
        .map_err(|error| Refusal::bad(format!("expected JSON with `inputs`: {error}"), help))?;
    let inputs = body.inputs.get();
    let is_pair = info.text_pair && serde_json::from_str::<[String; 2]>(inputs).is_ok();
    let is_single = is_pair || !matches!(kind(inputs), Kind::List);
    Ok(Document {
        records: match is_single {
            true => vec![record(info, inputs)],
            false => list(info, inputs)?,
        },
        shape: Shape::Tei {
            is_single,
            raw_scores: body.raw_scores,
        },
        all_classes: false,
    })
}

/// Reads a body of `/explain`: as [`invocations`]. If the model is one of pairs, two texts in
/// `inputs` are one, as in [`predict`].
///
/// # Errors
/// As [`invocations`].
pub(crate) fn explain(info: &ModelInfo, body: &str) -> Result<Vec<Record>, Refusal> {
    #[derive(Deserialize)]
    struct Pair {
        inputs: [String; 2],
    }
    if info.text_pair
        && let Ok(pair) = serde_json::from_str::<Pair>(body)
    {
        return Ok(vec![join(info, &pair.inputs)]);
    }
    Ok(invocations(info, body)?.records)
}

/// Reads a record: a text, a list of texts, or an object with the columns of the training data.
///
/// # Errors
/// It has another form.
pub(crate) fn record(info: &ModelInfo, json: &str) -> Record {
    match kind(json) {
        Kind::Text => one(info, parse(json)?),
        Kind::List => {
            let texts: Vec<String> = parse(json)?;
            join(info, &texts)
        }
        Kind::Object => {
            let Fields(fields) = parse(json)?;
            of_fields(info, &fields)
        }
        Kind::Other(found) => Err(format!("expected a text or an object, found {found}")),
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("expected a text or an object: {error}"))
}

fn one(info: &ModelInfo, text: String) -> Record {
    match info.text_pair {
        false => Ok(text),
        true => Err("expected two texts, found one: the model is one of pairs".to_owned()),
    }
}

fn join(info: &ModelInfo, texts: &[String]) -> Record {
    let expected = info.texts();
    if texts.len() != expected && (info.text_pair || texts.len() != 1) {
        return Err(format!("expected {expected} texts, found {}", texts.len()));
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ok(info.join(&texts))
}

/// Joins the text columns of an object; `text` and `text_pair`, or `inputs`, in their place.
fn of_fields(info: &ModelInfo, fields: &BTreeMap<String, &RawValue>) -> Record {
    let of = |names: &[&str]| -> Option<Vec<&RawValue>> {
        names
            .iter()
            .map(|name| fields.get(*name).copied())
            .collect()
    };
    let own: Vec<&str> = info.text_columns.iter().map(String::as_str).collect();
    let found = of(&own).filter(|found| !found.is_empty());
    let mut others = info.other_columns().iter();
    let Some(values) = found.or_else(|| others.find_map(|names| of(names))) else {
        return Err(format!("expected the keys `{}`", own.join("`, `")));
    };
    let text = |value: &&RawValue| {
        let text: Result<String, _> = serde_json::from_str(value.get());
        text.map_err(|_| format!("expected a text, found {}", kind(value.get())))
    };
    let texts: Vec<String> = values.iter().map(text).collect::<Result<_, _>>()?;
    join(info, &texts)
}

/// The members of an object, each of them once.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            if fields.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
            }
            fields.insert(key, value);
        }
        Ok(Fields(fields))
    }
}

/// Kind of a JSON value, by its first character.
enum Kind {
    Text,
    List,
    Object,
    Other(&'static str),
}

fn kind(json: &str) -> Kind {
    match json.trim_start().bytes().next() {
        Some(b'"') => Kind::Text,
        Some(b'[') => Kind::List,
        Some(b'{') => Kind::Object,
        Some(b'n') => Kind::Other("null"),
        Some(b't' | b'f') => Kind::Other("a boolean"),
        Some(_) => Kind::Other("a number"),
        None => Kind::Other("nothing"),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a text that is not valid",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Other(name) => name,
        })
    }
}

/// Reads a list of records.
fn list(info: &ModelInfo, json: &str) -> Result<Vec<Record>, Refusal> {
    let most = max_records(info);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let items = Items { most }
        .deserialize(&mut deserializer)
        .and_then(|items| deserializer.end().map(|()| items));
    let items = items.map_err(|error| match error.is_data() {
        true => Refusal::too_large("more", &format!("{most} records")),
        false => invalid(&error),
    })?;
    Ok(items.iter().map(|item| record(info, item.get())).collect())
}

/// Reads a list of at most so many items.
struct Items {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<&'de RawValue>()? {
            if items.len() == self.most {
                return Err(A::Error::custom("too many records"));
            }
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{info, pair_info};

    fn texts(info: &ModelInfo, body: &str) -> Vec<Record> {
        invocations(info, body).unwrap().records
    }

    fn ok(texts: &[&str]) -> Vec<Record> {
        texts.iter().map(|text| Ok((*text).to_owned())).collect()
    }

    #[test]
    fn all_forms_are_read() {
        let info = info();
        for body in [
            r#"["a", "b\n"]"#,
            r#" {"inputs": ["a", {"text": "b\n"}]}"#,
            r#"{"instances": [{"text": "a", "id": [[1]]}, ["b\n"]]}"#,
        ] {
            assert_eq!(texts(&info, body), ok(&["a", "b\n"]), "{body}");
        }
        for body in [
            r#""a""#,
            r#"{"inputs": "a"}"#,
            r#"{"text": "a"}"#,
            r#"["a"]"#,
        ] {
            assert_eq!(texts(&info, body), ok(&["a"]), "{body}");
        }
        let shape = |body: &str| invocations(&info, body).unwrap().shape;
        let all = r#"{"inputs": "a", "parameters": {"top_k": null}}"#;
        let top = Some(usize::MAX);
        assert_eq!(shape(all), Shape::HuggingFace { top });
        let two = r#"{"inputs": "a", "parameters": {"top_k": 2}}"#;
        assert_eq!(shape(two), Shape::HuggingFace { top: Some(2) });
        assert_eq!(
            shape("[]"),
            Shape::Rows {
                in_predictions: false
            }
        );
    }

    #[test]
    fn pairs_are_joined() {
        let pair = pair_info();
        let joined: Record = Ok(dataset::join_pair("x", "y"));
        for body in [
            r#"[["x", "y"]]"#,
            r#"{"inputs": {"text": "x", "text_pair": "y"}}"#,
            r#"{"instances": [{"b": "y", "a": "x"}]}"#,
        ] {
            assert_eq!(texts(&pair, body), std::slice::from_ref(&joined), "{body}");
        }
        assert!(texts(&pair, r#"["x", "y"]"#).iter().all(Result::is_err));
        let tei = |body: &str| predict(&pair, body).unwrap();
        let single = tei(r#"{"inputs": ["x", "y"]}"#);
        assert_eq!(single.records, std::slice::from_ref(&joined));
        assert!(matches!(
            single.shape,
            Shape::Tei {
                is_single: true,
                ..
            }
        ));
        let several = tei(r#"{"inputs": [["x", "y"], ["x", "y"]], "raw_scores": true}"#);
        assert_eq!(several.records, [joined.clone(), joined]);
    }

    /// As in `predict`, which refuses such lines.
    #[test]
    fn keys_are_not_repeated() {
        let info = info();
        let found = texts(&info, r#"[{"text": "a", "text": "b"}, "c"]"#);
        let error = found[0].as_ref().unwrap_err();
        assert!(error.contains("duplicate key `text`"), "{error}");
        assert_eq!(found[1..], ok(&["c"]));
        for body in [
            r#"{"text": "a", "te\u0078t": "b"}"#,
            r#"{"inputs": "a", "inputs": "b"}"#,
        ] {
            let refusal = invocations(&info, body).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            assert!(refusal.message().contains("duplicate key"), "{body}");
        }
        assert!(predict(&info, r#"{"inputs": "a", "inputs": "b"}"#).is_err());
    }

    #[test]
    fn pair_is_explained_with_one_list_or_two() {
        let pair = pair_info();
        for body in [
            r#"{"inputs": ["x", "y"]}"#,
            r#"{"inputs": [["x", "y"]]}"#,
            r#"[["x", "y"]]"#,
            r#"{"a": "x", "b": "y"}"#,
        ] {
            let found = explain(&pair, body).unwrap();
            assert_eq!(found, [Ok(dataset::join_pair("x", "y"))], "{body}");
        }
        assert_eq!(
            explain(&info(), r#"{"inputs": ["x", "y"]}"#).unwrap().len(),
            2
        );
    }

    #[test]
    fn bad_records_do_not_cost_the_others() {
        let found = texts(&info(), r#"["a", 1, null, {}, {"text": 2}, "\ud800", "b"]"#);
        let good: Vec<bool> = found.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, false, false, false, false, true]);
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let info = info();
        let deep = "[".repeat(1 << 20);
        let closed = deep.clone() + &"]".repeat(1 << 20);
        for body in ["", "{", "nul", "1", "[1", "{\"inputs\"", "[\"a\"] x", &deep] {
            let refusal = invocations(&info, body).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{body:.20}");
        }
        assert!(invocations(&info, &closed).unwrap().records[0].is_err());
        let many = format!("[{}1]", "1,".repeat(1 << 20));
        let refusal = invocations(&info, &many).unwrap_err();
        assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    proptest! {
        /// Neither parser panics, and what is valid gives one record per item.
        #[test]
        fn arbitrary_bodies_do_not_panic(body in ".{0,200}", items in ".{0,3}") {
            let info = info();
            let _ = (invocations(&info, &body), predict(&info, &body), record(&info, &body));
            let list = serde_json::json!([items, body]).to_string();
            prop_assert_eq!(texts(&info, &list), ok(&[&items, &body]));
        }
    }
}
