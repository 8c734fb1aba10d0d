//! Writes a report of made-up data, to look at the page: `report_sample OUT [CLASSES] [ROWS]`.

use std::time::Instant;

use evaluation::metrics::{Scores, evaluate};
use evaluation::report::{
    ChannelCounts, ClassFeatures, CurveLine, FileRow, LearningCurve, Report, RowExample, RunInfo,
    SetReport, html,
};

/// A fixed stream of numbers in 0..1 (Knuth's MMIX constants).
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() * limit as f64) as usize
    }
}

const TOPICS: [&str; 20] = [
    "negative",
    "positive",
    "science and technology",
    "sport",
    "world",
    "business",
    "film & music",
    "<b>markup</b>",
    "سياسة",
    "天気",
    "food",
    "health",
    "travel",
    "law",
    "a very long label that nobody would like to read in full",
    "weather",
    "history",
    "chess",
    "gardening",
    "misc.for-sale",
];

const WORDS: [&str; 12] = [
    "wonderful",
    "waste of",
    "plot",
    "the worst",
    "acting",
    "excellent",
    "boring",
    "<br />",
    "must see",
    "7 10",
    "superb",
    "ending",
];

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let out = args.next().unwrap_or_else(|| "report.html".to_owned());
    let mut number = |default| {
        args.next()
            .and_then(|arg| arg.parse().ok())
            .unwrap_or(default)
    };
    let (classes, rows): (usize, usize) = (number(2).max(2), number(25_000));

    let mut stream = Stream(7);
    let names: Vec<String> = (0..classes)
        .map(|class| {
            TOPICS
                .get(class)
                .map_or_else(|| format!("topic {class}"), |&t| t.to_owned())
        })
        .collect();
    let (labels, scores) = made_up(&mut stream, classes, rows);
    let begin = Instant::now();
    let test = evaluate(&labels, &names, &scores);
    let evaluated = begin.elapsed();
    let (labels, scores) = made_up(&mut stream, classes, rows / 10);
    let validation = evaluate(&labels, &names, &scores);

    let report = Report {
        title: "svm",
        run: RunInfo {
            version: "0.1.0".to_owned(),
            git_sha: Some("84216890c0ffee".to_owned()),
            seed: 42,
            threads: 2,
            started: "2026-11-22T22:13:05Z".to_owned(),
            seconds: 3.71,
            cpu_seconds: Some(6.9),
            peak_rss_bytes: Some(212 << 20),
            command: "svm train --train data/movie.csv --model-dir models/svm --max-ngrams 2".to_owned(),
            hyperparameters: [("c", "0.25"), ("loss", "squared-hinge"), ("max_ngrams", "2"),
                ("min_df", "2"), ("stopwords", "none"), ("sublinear_tf", "true")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        },
        sets: vec![
            SetReport { name: "validation", evaluation: &validation },
            SetReport { name: "test", evaluation: &test },
        ],
        account: accounts(rows as u64),
        strongest: names.iter().map(|label| words(&mut stream, label)).collect(),
        worst: (0..20).map(|i| example(&mut stream, &names, i)).collect(),
        suspects: (0..10).map(|i| example(&mut stream, &names, i)).collect(),
        curves: vec![
            epochs(&mut stream, "loss", ["train", "validation"]),
            epochs(&mut stream, "validation", ["accuracy", "macro-F1"]),
        ],
        warnings: vec![
            "3 texts stand in train and in test: the test numbers are too good by up to 0.01 points".to_owned(),
        ],
    };
    let begin = Instant::now();
    let page = html(&report);
    let built = begin.elapsed();
    eprintln!(
        "{classes} classes, {rows} rows: evaluated in {evaluated:.1?}, page of {} kB in {built:.1?}",
        page.len() / 1000
    );
    std::fs::write(out, page)
}

/// Labels, and a model that mostly agrees with them.
fn made_up(stream: &mut Stream, classes: usize, rows: usize) -> (Vec<u32>, Scores) {
    let (mut labels, mut decision, mut probability) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let label = stream.below(classes);
        labels.push(label as u32);
        let mut row: Vec<f64> = (0..classes)
            .map(|class| {
                let noise = stream.next() + stream.next() + stream.next() - 1.5;
                let near = if class + 1 == label { 0.6 } else { 0.0 };
                if class == label {
                    1.0 + noise
                } else {
                    near - 0.5 + noise
                }
            })
            .collect();
        if classes == 2 {
            let d = row[1] - row[0];
            row = vec![-d, d];
        }
        let sum: f64 = row.iter().map(|score| (2.0 * score).exp()).sum();
        probability.extend(row.iter().map(|score| ((2.0 * score).exp() / sum) as f32));
        decision.extend(row.iter().map(|&score| score as f32));
    }
    (
        labels,
        Scores {
            classes,
            decision,
            probability: Some(probability),
        },
    )
}

fn words(stream: &mut Stream, label: &str) -> ClassFeatures {
    let mut weight = 4.0;
    let features = (0..20)
        .map(|i| {
            weight *= 0.8 + 0.19 * stream.next();
            let sign = if i % 9 == 8 { -1.0 } else { 1.0 };
            (WORDS[stream.below(WORDS.len())].to_owned(), sign * weight)
        })
        .collect();
    ClassFeatures {
        label: label.to_owned(),
        features,
    }
}

fn example(stream: &mut Stream, names: &[String], i: usize) -> RowExample {
    let length = 20 + stream.below(200);
    let mut text = String::new();
    for _ in 0..length {
        text.push_str(WORDS[stream.below(WORDS.len())]);
        text.push(' ');
    }
    let label = stream.below(names.len());
    RowExample {
        place: format!("test/movie.csv:{}", 1 + stream.below(25_000)),
        text,
        label: names[label].clone(),
        predicted: names[(label + 1) % names.len()].clone(),
        probability: Some(0.999 - 0.01 * i as f64),
        score: 4.0 - 0.1 * i as f64,
    }
}

fn epochs(stream: &mut Stream, name: &str, lines: [&str; 2]) -> LearningCurve {
    let lines = lines.map(|line| CurveLine {
        name: line.to_owned(),
        points: (1..=12)
            .map(|epoch| {
                let error = 0.7 / f64::from(epoch).sqrt() + 0.05 * stream.next();
                let y = if name == "loss" {
                    error
                } else {
                    1.0 - error / 2.0
                };
                (f64::from(epoch), y)
            })
            .collect(),
    });
    LearningCurve {
        name: name.to_owned(),
        x_name: "epoch".to_owned(),
        lines: lines.to_vec(),
    }
}

fn accounts(rows: u64) -> Vec<ChannelCounts> {
    ["train", "test"]
        .map(|channel| ChannelCounts {
            channel: channel.to_owned(),
            files: (0..2)
                .map(|i| FileRow {
                    path: format!("data/{channel}/part-{i}.csv.gz"),
                    rows: rows / 2,
                    bytes: rows * 600,
                    sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
                        .to_owned(),
                })
                .collect(),
            read: rows + 5,
            used: rows,
            dropped: vec![
                ("duplicate".to_owned(), 3),
                ("row has no label".to_owned(), 2),
            ],
        })
        .to_vec()
}
