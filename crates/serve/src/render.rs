//! Answers with predictions, as JSON, JSON lines or CSV.
//!
//! Rows have the digits of `predict` (`harness`), whose writer has other columns, escapes for
//! terminals and a map per row. The contract suite and the tests of `svm` compare the two.

use std::io::Write as _;

use evaluation::metrics::Scores;

use crate::engine::Served;

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A list with an item per record.
    Json,
    /// A JSON value per record and line.
    JsonLines,
    /// A row per record, without a header.
    Csv,
}

impl Output {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonlines",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// The shape of the answer to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As Hugging Face's pipelines: the best label with its probability as `score`, or a list of
    /// the `top` best ones.
    HuggingFace { top: Option<usize> },
    /// As text-embeddings-inference: all labels; of a single record without the outer list.
    Tei { is_single: bool, raw_scores: bool },
    /// As `predict` of the trainers: label, probability and score (decision value).
    Rows {
        /// The list is the member `predictions` of an object.
        in_predictions: bool,
    },
}

/// Writes answers.
#[derive(Clone, Copy)]
pub(crate) struct Renderer {
    pub(crate) shape: Shape,
    pub(crate) output: Output,
    /// Adds the probability of each class to rows.
    pub(crate) all_classes: bool,
}

/// The scores of a text.
struct Row<'a> {
    decision: &'a [f32],
    probability: Option<&'a [f32]>,
    /// Classes that are predicted: exactly one, unless the model has several labels per text.
    predicted: &'a [u32],
}

impl Renderer {
    /// Returns the bytes of scores and answer of these numbers of records and texts: an estimate
    /// that is rather too large.
    pub(crate) fn answer_bytes(&self, model: &Served, records: usize, texts: usize) -> usize {
        /// A message, or what stands around the labels and numbers of a row.
        const ROW_BYTES: usize = 128;
        /// Two scores in memory, and up to three numbers and two labels without their names.
        const CLASS_BYTES: usize = 8 + 96;
        let lengths = || model.labels.iter().map(String::len);
        let is_short = match self.shape {
            Shape::HuggingFace { top } => top.is_none(),
            Shape::Tei { .. } => false,
            Shape::Rows { .. } => !self.all_classes,
        };
        let row = match is_short && !model.classifier.info().multi_label {
            true => 8 * model.labels.len() + lengths().max().unwrap_or(0),
            false => CLASS_BYTES * model.labels.len() + 2 * lengths().sum::<usize>(),
        };
        records * ROW_BYTES + texts.saturating_mul(row)
    }

    /// Appends the answers to records. `errors` has an entry per record: the reason why it has no
    /// scores, else `None`. `scores` has a row for each of the others.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        model: &Served,
        errors: &[Option<String>],
        scores: &Scores,
    ) {
        let classes = scores.classes;
        let sets: Vec<Vec<u32>> = match model.classifier.info().multi_label {
            true => scores.sets().collect(),
            false => scores
                .predictions()
                .into_iter()
                .map(|class| vec![class])
                .collect(),
        };
        let mut rows = sets.iter().enumerate().map(|(row, predicted)| {
            let range = row * classes..(row + 1) * classes;
            Row {
                decision: &scores.decision[range.clone()],
                probability: scores.probability.as_ref().map(|all| &all[range]),
                predicted,
            }
        });
        let (start, separator, end) = self.frame();
        out.extend_from_slice(start);
        for (at, error) in errors.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(separator);
            }
            match (error, self.output) {
                (Some(_), Output::Csv) => {}
                (Some(error), _) => json(out, &serde_json::json!({ "error": error })),
                (None, output) => {
                    if let Some(row) = rows.next() {
                        match output {
                            Output::Csv => self.csv(out, model, &row),
                            Output::Json | Output::JsonLines => self.item(out, model, &row),
                        }
                    }
                }
            }
            if self.output != Output::Json {
                out.push(b'\n');
            }
        }
        out.extend_from_slice(end);
    }

    /// Returns what stands before, between and after the items.
    fn frame(&self) -> (&'static [u8], &'static [u8], &'static [u8]) {
        match (self.output, self.shape) {
            (Output::JsonLines | Output::Csv, _)
            | (
                _,
                Shape::Tei {
                    is_single: true, ..
                },
            ) => (b"", b"", b""),
            (
                _,
                Shape::Rows {
                    in_predictions: true,
                },
            ) => (b"{\"predictions\":[", b",", b"]}"),
            _ => (b"[", b",", b"]"),
        }
    }

    fn item(&self, out: &mut Vec<u8>, model: &Served, row: &Row<'_>) {
        let several = model.classifier.info().multi_label;
        let all = row.probability.unwrap_or(row.decision);
        match self.shape {
            Shape::HuggingFace { top: None } if !several => {
                for class in row.predicted {
                    label_and_score(out, model, *class as usize, all);
                }
            }
            Shape::HuggingFace { top } => {
                let top = top.unwrap_or(usize::MAX);
                list(out, ranked(all).take(top), |out, class| {
                    label_and_score(out, model, class, all);
                });
            }
            Shape::Tei { raw_scores, .. } => {
                let all = if raw_scores { row.decision } else { all };
                list(out, ranked(all), |out, class| {
                    label_and_score(out, model, class, all);
                });
            }
            Shape::Rows { .. } => self.object(out, model, row, several),
        }
    }

    fn object(&self, out: &mut Vec<u8>, model: &Served, row: &Row<'_>, several: bool) {
        let label = |class: usize| model.labels[class].as_bytes();
        if several {
            let predicted = || row.predicted.iter().map(|class| *class as usize);
            out.extend_from_slice(b"{\"labels\":");
            list(out, predicted(), |out, class| {
                out.extend_from_slice(label(class))
            });
            out.extend_from_slice(b",\"probability\":");
            match row.probability {
                Some(all) => list(out, predicted(), |out, class| number(out, all[class])),
                None => out.extend_from_slice(b"null"),
            }
            out.extend_from_slice(b",\"score\":");
            list(out, predicted(), |out, class| {
                number(out, row.decision[class])
            });
        } else {
            for class in row.predicted {
                let class = *class as usize;
                out.extend_from_slice(b"{\"label\":");
                out.extend_from_slice(label(class));
                out.extend_from_slice(b",\"probability\":");
                match row.probability {
                    Some(all) => number(out, all[class]),
                    None => out.extend_from_slice(b"null"),
                }
                out.extend_from_slice(b",\"score\":");
                number(out, row.decision[class]);
            }
        }
        if let Some(all) = row.probability.filter(|_| self.all_classes || several) {
            out.extend_from_slice(b",\"probabilities\":{");
            for (class, probability) in all.iter().enumerate() {
                if class > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(label(class));
                out.push(b':');
                number(out, *probability);
            }
            out.push(b'}');
        }
        out.push(b'}');
    }

    /// Appends the columns `label`, `probability` and `score` as `predict` writes them.
    fn csv(&self, out: &mut Vec<u8>, model: &Served, row: &Row<'_>) {
        let info = model.classifier.info();
        let of = |values: &[f32], digits: fn(f32) -> String| -> Vec<String> {
            let each = row.predicted.iter().map(|class| values[*class as usize]);
            each.map(digits).collect()
        };
        let joined = |values: Vec<String>| match (&info.label_separator, info.multi_label) {
            (_, false) => values.concat(),
            (Some(separator), true) => values.join(separator.as_str()),
            (None, true) => format!("[{}]", values.join(",")),
        };
        let labels = row.predicted.iter().map(|class| *class as usize);
        let labels = labels.map(|class| match (&info.label_separator, info.multi_label) {
            (None, true) => model.labels[class].clone(),
            _ => info.classes[class].clone(),
        });
        let six_digits: fn(f32) -> String = |value| format!("{value:.6}");
        quote(out, &joined(labels.collect()));
        out.push(b',');
        if let Some(all) = row.probability {
            quote(out, &joined(of(all, six_digits)));
        }
        out.push(b',');
        quote(out, &joined(of(row.decision, |value| value.to_string())));
        if self.all_classes {
            for class in 0..info.classes.len() {
                out.push(b',');
                if let Some(all) = row.probability {
                    out.extend_from_slice(six_digits(all[class]).as_bytes());
                }
            }
        }
    }
}

/// Returns the classes, those with the largest values first.
fn ranked(values: &[f32]) -> impl Iterator<Item = usize> + use<> {
    let mut classes: Vec<usize> = (0..values.len()).collect();
    classes.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    classes.into_iter()
}

fn list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn label_and_score(out: &mut Vec<u8>, model: &Served, class: usize, values: &[f32]) {
    out.extend_from_slice(b"{\"label\":");
    out.extend_from_slice(model.labels[class].as_bytes());
    out.extend_from_slice(b",\"score\":");
    number(out, values[class]);
    out.push(b'}');
}

/// Appends a number with the digits of `predict --format jsonl`; `null` if it is not finite.
fn number(out: &mut Vec<u8>, value: f32) {
    json(out, &serde_json::json!(value));
}

fn json(out: &mut Vec<u8>, value: &serde_json::Value) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{value}");
}

/// Appends a CSV field, quoted if necessary (RFC 4180). Line breaks are escaped as in JSON: an
/// answer is one line.
fn quote(out: &mut Vec<u8>, field: &str) {
    if field.contains(['"', ',', '\n', '\r']) {
        let one_line = field.replace('\n', "\\n").replace('\r', "\\r");
        out.push(b'"');
        out.extend_from_slice(one_line.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(field.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{length_model, lengths, several_labels_model};

    fn scores() -> Scores {
        Scores {
            classes: 2,
            decision: vec![-1.5, 1.5, 2.0, -2.0],
            probability: Some(vec![0.25, 0.75, 0.875, 0.125]),
        }
    }

    fn written(shape: Shape, output: Output, model: &Served) -> String {
        let renderer = Renderer {
            shape,
            output,
            all_classes: false,
        };
        let errors = [None, Some("no \"text\"".to_owned()), None];
        let mut out = Vec::new();
        renderer.write(&mut out, model, &errors, &scores());
        String::from_utf8(out).unwrap()
    }

    fn value(shape: Shape, model: &Served) -> Value {
        serde_json::from_str(&written(shape, Output::Json, model)).unwrap()
    }

    const ROWS: Shape = Shape::Rows {
        in_predictions: false,
    };

    #[test]
    fn one_answer_per_record_in_order() {
        let model = length_model();
        let rows = [
            json!({ "label": "pos", "probability": 0.75, "score": 1.5 }),
            json!({ "error": "no \"text\"" }),
            json!({ "label": "neg", "probability": 0.875, "score": 2.0 }),
        ];
        assert_eq!(value(ROWS, &model), json!(rows));
        let wrapped = Shape::Rows {
            in_predictions: true,
        };
        assert_eq!(value(wrapped, &model), json!({ "predictions": rows }));
        let lines = written(ROWS, Output::JsonLines, &model);
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines, rows);
        let csv = written(ROWS, Output::Csv, &model);
        assert_eq!(csv, "pos,0.750000,1.5\n\nneg,0.875000,2\n");
    }

    #[test]
    fn csv_field_is_one_line() {
        for (field, expected) in [
            ("a b", "a b"),
            ("a\r\nb", r#""a\r\nb""#),
            ("\"a\", b", r#""""a"", b""#),
        ] {
            let mut out = Vec::new();
            quote(&mut out, field);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn forms_of_other_servers() {
        let model = length_model();
        let best = Shape::HuggingFace { top: None };
        assert_eq!(
            value(best, &model)[0],
            json!({ "label": "pos", "score": 0.75 })
        );
        let all = json!([{ "label": "pos", "score": 0.75 }, { "label": "neg", "score": 0.25 }]);
        let top = |top| value(Shape::HuggingFace { top: Some(top) }, &model);
        assert_eq!(top(5)[0], all);
        assert_eq!(top(1)[0], json!([all[0]]));
        let raw = Shape::Tei {
            is_single: false,
            raw_scores: true,
        };
        assert_eq!(
            value(raw, &model)[2],
            json!([{ "label": "neg", "score": 2.0 }, { "label": "pos", "score": -2.0 }])
        );
    }

    /// The estimate is not less than what is needed.
    #[test]
    fn memory_of_answers_is_estimated() {
        let long = "y".repeat(300);
        for model in [length_model(), several_labels_model(None)] {
            for shape in [
                ROWS,
                Shape::HuggingFace { top: None },
                Shape::HuggingFace { top: Some(9) },
                Shape::Tei {
                    is_single: false,
                    raw_scores: true,
                },
            ] {
                for output in [Output::Json, Output::JsonLines, Output::Csv] {
                    let renderer = Renderer {
                        shape,
                        output,
                        all_classes: true,
                    };
                    let scores = lengths(&[long.as_str(); 50]);
                    let mut out = Vec::new();
                    renderer.write(&mut out, &model, &vec![None; 50], &scores);
                    let in_memory = 8 * scores.decision.len() + out.len();
                    assert!(renderer.answer_bytes(&model, 50, 50) >= in_memory);
                }
            }
        }
    }

    /// Sets of labels, with the sigmoids of all.
    #[test]
    fn several_labels_are_lists() {
        let model = several_labels_model(None);
        assert_eq!(
            value(ROWS, &model)[0],
            json!({ "labels": ["pos"], "probability": [0.75], "score": [1.5],
                "probabilities": { "neg": 0.25, "pos": 0.75 } })
        );
        let best = Shape::HuggingFace { top: None };
        assert_eq!(value(best, &model)[0][1]["label"], "neg");
        let csv = written(ROWS, Output::Csv, &model);
        assert!(
            csv.starts_with("\"[\"\"pos\"\"]\",[0.750000],[1.5]\n"),
            "{csv}"
        );
        let csv = written(ROWS, Output::Csv, &several_labels_model(Some("|")));
        assert!(csv.starts_with("pos,0.750000,1.5\n"), "{csv}");
    }
}
