//! Real rows for tests.

use std::path::{Path, PathBuf};

use crate::SplitMix64;

/// One labelled text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The text.
    pub text: String,
    /// The label.
    pub label: String,
}

/// The repository's own sample: 600 film reviews.
pub fn movie_csv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/movie.csv")
}

/// The rows of [`movie_csv`], the labels alternating.
pub fn movie_rows() -> Vec<Row> {
    let path = movie_csv();
    let mut reader = csv::Reader::from_path(&path)
        .unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()));
    reader
        .records()
        .map(|record| {
            let record = record.expect("data/movie.csv is well-formed");
            Row {
                text: record[0].to_owned(),
                label: record[1].to_owned(),
            }
        })
        .collect()
}

/// Made-up rows of many classes: 14 words whose frequencies follow Zipf's law, and two of the six
/// words that are typical of the class. A linear SVM is right for most rows.
pub fn many_class_rows(classes: u64, rows_per_class: u64) -> Vec<Row> {
    const WORDS: u64 = 5000;
    let mut state = 1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let mut row = |number: u64| {
        let class = number % classes;
        let mut text = String::new();
        for _ in 0..14 {
            let share = random() as f64 / (1u64 << 53) as f64;
            let word = (WORDS as f64).powf(share) as u64;
            text.push_str(&format!("w{word} "));
        }
        for _ in 0..2 {
            let word = (class * 7919 + random() % 6 * 2741) % WORDS;
            text.push_str(&format!("w{word} "));
        }
        Row {
            text,
            label: format!("class {class}"),
        }
    };
    (0..classes * rows_per_class).map(&mut row).collect()
}

/// Made-up rows with several of four labels, joined by `|`, or none: each label is in a quarter of
/// the rows, and a third of the words of a row are typical of one of its labels.
pub fn several_label_rows(count: usize, seed: u64) -> Vec<Row> {
    const LABELS: [&str; 4] = ["art", "music", "sport", "war"];
    let mut random = SplitMix64(seed);
    let mut row = |_| {
        let labels = LABELS.into_iter().filter(|_| random.uniform() < 0.25);
        let labels: Vec<&str> = labels.collect();
        let mut words = Vec::new();
        for _ in 0..12 {
            let word = (random.uniform() * 40.0) as usize;
            let own = (random.uniform() * labels.len() as f64) as usize;
            match labels.get(own).filter(|_| random.uniform() < 0.3) {
                Some(label) => words.push(format!("{label}{word}")),
                None => words.push(format!("any{word}")),
            }
        }
        Row {
            text: words.join(" "),
            label: labels.join("|"),
        }
    };
    (0..count).map(&mut row).collect()
}

/// Made-up texts with words of the labels `good` and `long`, and which of the labels they have. Some
/// labels are wrong: sigmoids cannot be fitted otherwise.
pub fn two_label_rows(count: usize) -> Vec<(String, [bool; 2])> {
    let row = |number: usize| {
        let mut text = format!("film number{}", number % 7);
        let (good, long) = (number.is_multiple_of(2), number.is_multiple_of(3));
        for (words, is_there) in [(" fine lovely", good), (" endless slow", long)] {
            text.push_str(if is_there { words } else { "" });
        }
        (
            text,
            [good != (number % 11 == 5), long != (number % 13 == 6)],
        )
    };
    (0..count).map(row).collect()
}

/// Made-up film reviews without blanks between words, in Chinese and in Thai.
pub fn unsegmented_rows(count: usize, seed: u64) -> [Vec<Row>; 2] {
    let scripts = [
        (
            ["电影", "音乐", "剧情", "演员", "结局", "画面"],
            ["让人觉得", "真的是非常", "从头到尾都", "实在太"],
            [
                ["精彩", "感动", "好看", "喜欢", "温暖"],
                ["糟糕", "无聊", "难看", "失望", "拖沓"],
            ],
        ),
        (
            ["หนังเรื่องนี้", "เพลง", "นักแสดง", "ตอนจบ", "ภาพ", "เนื้อเรื่อง"],
            ["ทำให้", "จริงๆ", "มาก", "เลย"],
            [
                ["สนุก", "ชอบ", "ประทับใจ", "ยอดเยี่ยม", "น่ารัก"],
                ["เสียเวลา", "แย่", "น่าเบื่อ", "ผิดหวัง", "ง่วงนอน"],
            ],
        ),
    ];
    let mut random = SplitMix64(seed);
    scripts.map(|(topics, links, opinions)| {
        let mut row = |number: usize| {
            let label = number % 2;
            let mut text = String::new();
            for _ in 0..2 {
                text.push_str(random.pick::<&str>(&topics));
                text.push_str(random.pick::<&str>(&links));
                text.push_str(random.pick::<&str>(&opinions[label]));
            }
            Row {
                text,
                label: label.to_string(),
            }
        };
        (0..count).map(&mut row).collect()
    })
}

/// Rows as a CSV with the columns `text` and `label`.
pub fn to_csv(rows: &[Row]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let records = [["text", "label"]]
        .into_iter()
        .chain(rows.iter().map(|row| [row.text.as_str(), &row.label]));
    for record in records {
        writer.write_record(record).expect("a Vec can be written");
    }
    writer.into_inner().expect("a Vec can be written")
}

/// The folder of real data: `TRAINYARD_DATA`, else the repository's `data`.
///
/// # Panics
/// In CI without `TRAINYARD_DATA`: CI must use the real data.
pub fn data_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os("TRAINYARD_DATA") {
        return folder.into();
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "`TRAINYARD_DATA` is not set, expected the folder of real data\nhelp: run the tests with `./test`"
    );
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

/// The 25,000 reviews of `imdb/train.csv` if the real data is available, else the small sample.
pub fn imdb_train() -> PathBuf {
    let path = data_dir().join("imdb/train.csv");
    if path.is_file() { path } else { movie_csv() }
}
