//! Compares vocabulary and matrix with `TfidfVectorizer`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dataset::{self, ReadOptions};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use svm::tf_idf::{TermFrequency, idf, weigh_all};
use testkit::{judge, judge_cases};
use text::features::{Counts, FeatureParams, Frequency, fit};
use text::{Accents, Analyzer, Pattern, TokenizedRows, Tokens, english};

/// Options of the feature extraction.
struct Features {
    params: FeatureParams,
    analyzer: Analyzer,
    stop_words: Arc<[String]>,
    tf: TermFrequency,
    /// The same options for the Python judge.
    flags: &'static [&'static str],
}

/// Options without limits.
fn unlimited(max_ngrams: usize) -> FeatureParams {
    FeatureParams {
        min_df: Frequency::Count(1),
        max_df: Frequency::Share(1.0),
        tokens: Tokens::Word,
        min_ngrams: 1,
        max_ngrams,
        max_features: None,
        subwords: None,
    }
}

/// Options of the original script.
fn script(max_ngrams: usize, flags: &'static [&'static str]) -> Features {
    Features {
        params: FeatureParams {
            min_df: Frequency::Count(5),
            ..unlimited(max_ngrams)
        },
        analyzer: Analyzer::words(2),
        stop_words: english(),
        tf: TermFrequency::Raw,
        flags,
    }
}

fn counts(rows: &Path, features: &Features) -> Counts {
    let sources = dataset::sources(rows).unwrap();
    // Two threads have two encoders.
    let options = ReadOptions {
        threads: 2.try_into().unwrap(),
        ..ReadOptions::default()
    };
    let make = || TokenizedRows::new(&features.stop_words, &features.analyzer);
    let read = dataset::read(&sources, &options, make, &AtomicBool::new(false)).unwrap();
    let counted = vec![true; read.labels.len()];
    let order = read
        .order
        .iter()
        .map(|row| (row.encoder as usize, row.index as usize));
    fit(read.encoders, order, &counted, &features.params).expect("some terms are left")
}

/// Writes the terms, and the matrix with its columns in their order.
fn dump(counts: &Counts, tf: TermFrequency, folder: &Path) {
    let (pattern, mut values) = (&counts.pattern, counts.values.clone());
    // All rows are training rows.
    let mut frequency = vec![0u32; pattern.width];
    for &column in &pattern.columns {
        frequency[column as usize] += 1;
    }
    let scale: Vec<f32> = frequency
        .iter()
        .map(|&df| idf(pattern.rows(), df))
        .collect();
    weigh_all(&mut values, pattern, &scale, tf);
    let mut term_of_column = vec![-1i32; pattern.width];
    for (term, &column) in (0..).zip(&counts.column_of_term) {
        term_of_column[column as usize] = term;
    }
    let indptr: Vec<u8> = pattern
        .starts
        .iter()
        .flat_map(|&start| (start as i64).to_le_bytes())
        .collect();
    let indices: Vec<u8> = pattern
        .columns
        .iter()
        .flat_map(|&at| term_of_column[at as usize].to_le_bytes())
        .collect();
    let data: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let view = |dtype, length, bytes| TensorView::new(dtype, vec![length], bytes).unwrap();
    let tensors = [
        ("indptr", view(Dtype::I64, pattern.starts.len(), &indptr)),
        ("indices", view(Dtype::I32, pattern.columns.len(), &indices)),
        ("data", view(Dtype::F32, values.len(), &data)),
    ];
    let bytes = safetensors::serialize(tensors, None).unwrap();
    std::fs::write(folder.join("matrix.safetensors"), bytes).unwrap();
    std::fs::write(
        folder.join("vocabulary.txt"),
        counts.terms.to_lines().as_bytes(),
    )
    .unwrap();
}

/// Writes terms and matrix of the rows to the folder; returns the arguments of the judge.
fn judge_case(rows: &Path, features: &Features, folder: &Path) -> Vec<String> {
    dump(&counts(rows, features), features.tf, folder);
    let matrix = folder.join("matrix.safetensors");
    let paths = [matrix.to_str().unwrap(), rows.to_str().unwrap()];
    let arguments = paths.iter().chain(features.flags);
    arguments.map(|&argument| argument.to_owned()).collect()
}

#[track_caller]
fn assert_equal(compared: &Value) {
    assert_eq!(compared["equal_vocabulary"], true, "{compared}");
    assert_eq!(
        compared["nonzeros"][0], compared["nonzeros"][1],
        "{compared}"
    );
    let difference = compared["max_abs_difference"].as_f64().unwrap();
    assert!(difference <= 1e-6, "{compared}");
}

/// Compares the matrix of the rows; returns the output of the judge.
fn compare(rows: &Path, features: &Features) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let compared = judge("tfidf", &judge_case(rows, features, folder.path()));
    assert_equal(&compared);
    compared
}

/// Asserts the known number of columns on the real training data.
fn assert_columns(compared: &Value, columns: u64) {
    if compared["rows"] == 25_000 {
        assert_eq!(compared["columns"][1], columns, "{compared}");
    }
}

#[test]
fn imdb_unigrams() {
    let flags = &[
        "--max-ngrams",
        "1",
        "--min-df",
        "5",
        "--stopwords",
        "english",
    ];
    let compared = compare(&testkit::imdb_train(), &script(1, flags));
    assert_columns(&compared, 26_968);
}

#[test]
fn imdb_bigrams() {
    let flags = &[
        "--max-ngrams",
        "2",
        "--min-df",
        "5",
        "--stopwords",
        "english",
    ];
    let compared = compare(&testkit::imdb_train(), &script(2, flags));
    assert_columns(&compared, 81_093);
}

#[test]
fn sublinear_with_shares_and_without_stop_words() {
    let features = Features {
        params: FeatureParams {
            min_df: Frequency::Share(0.001),
            max_df: Frequency::Share(0.1),
            ..unlimited(3)
        },
        analyzer: Analyzer::words(2),
        stop_words: Arc::new([]),
        tf: TermFrequency::Sublinear,
        flags: &[
            "--max-ngrams",
            "3",
            "--min-df",
            "0.001",
            "--max-df",
            "0.1",
            "--sublinear-tf",
        ],
    };
    compare(&super::data("ag_news/train.csv"), &features);
}

/// `max_features` keeps the most frequent terms. scikit-learn sorts ties unstably, so the limit is
/// chosen without a tie.
#[test]
fn max_features_keeps_the_most_frequent() {
    let rows = super::data("ag_news/train.csv");
    let mut features = Features {
        params: FeatureParams {
            max_df: Frequency::Count(2000),
            ..unlimited(2)
        },
        analyzer: Analyzer::words(2),
        stop_words: Arc::new([]),
        tf: TermFrequency::Raw,
        flags: &[],
    };
    let all = counts(&rows, &features);
    let mut totals = vec![0f32; all.pattern.width];
    for (&column, count) in all.pattern.columns.iter().zip(&all.values) {
        totals[column as usize] += count;
    }
    totals.sort_by(|a, b| b.total_cmp(a));
    let limit = (400..)
        .find(|&limit| totals[limit - 1] != totals[limit])
        .unwrap();
    features.params.max_features = Some(limit);
    let limit: &'static str = limit.to_string().leak();
    features.flags = vec![
        "--max-ngrams",
        "2",
        "--max-df",
        "2000",
        "--max-features",
        limit,
    ]
    .leak();
    compare(&rows, &features);
}

/// Letters whose lower case has another length or depends on the context, marks, digits of many
/// scripts, and characters that Python classifies as letters.
const SCRIPTS: [&str; 24] = [
    "ΟΔΥΣΣΕΥΣ ΣΟΦΟΣ. ΑΣ'Α ΑΣ' ΑΣ\u{301} ΑΣ1 ΣΣ ΑΣ",
    "ΑΣ",
    "İstanbul İİ DİYARBAKIR ısı Iı",
    "Straße STRASSE GROẞ ﬁne ﬂow ǅungla Ǆ ǆ ŉ ǰ",
    "naïve nai\u{308}ve CAFÉ cafe\u{301}s A\u{30a}ngström Ångström \u{212b}ngström \u{212a}elvin \u{2126}hm",
    "日本語のテスト 漢字 かな カタカナ ｶﾅ 中文，测试。한국어 단어",
    "١٢٣ ४५६ ２３ ①② ½ ⅔ Ⅳⅳ ²³ x² 10₂ ㊿",
    "😀😀 ok👍🏽done 👩\u{200d}👩\u{200d}👧 a❤\u{fe0f}b",
    "snake_case __init__ _ __ a_ _b a_b _1",
    "क्षि दिल्ली தமிழ் ไทยกำ ভাষা ភាសា",
    "שָׁלוֹם שלום السَّلَامُ عليكم",
    "co\u{ad}operate zero\u{200b}width no\u{a0}break \u{feff}bom l\u{2028}s",
    "don't don’t o'clock rock'n'roll 'tis",
    "𐐀𐐁𐐂 𝐁𝐨𝐥𝐝 𝔉𝔯 ᏣᎳᎩ ᲐᲑᲒ აბგ Ꭰꭰ",
    "supercalifragilisticexpialidocious SUPERCALIFRAGILISTICEXPIALIDOCIOUS",
    "ÄÖÜ äöü ÆØÅ æøå ŁÓDŹ łódź ČĚŠ",
    "tab\tand\nnew line\r\nend",
    "a b c ab bc",
    "é è ê ë",
    "x1y2 3d 2nd 1st 42 007 3.14 1,000",
    "http://example.org/a_b?c=d&e=f#g user@example.org",
    "«guillemets» „quotes“ “double” ‘single’ — dash … dots",
    "ªº µm ΜΜ ςσ Σς",
    "ﷺ ﬀ ｆｕｌｌ ＷＩＤＴＨ Ａ１",
];

/// Rows of random letters of all scripts up to Unicode 14, the version of the table.
fn random_texts() -> Vec<String> {
    let assigned = regex::Regex::new(r"\p{age:14.0}").unwrap();
    let mut random = testkit::SplitMix64(14);
    let mut next = |limit: u64| random.bits() % limit;
    let planes = [
        0x20..0x80,
        0x80..0x600,
        0x600..0x3100,
        0xa000..0xac00,
        0xf900..0x1_2500,
        0x1_d400..0x1_f900,
    ];
    let mut text = |_| {
        let plane = planes[next(6) as usize].clone();
        let letters = (0..120).filter_map(|_| {
            char::from_u32(plane.start + next(u64::from(plane.end - plane.start)) as u32)
        });
        let known = letters.filter(|letter| assigned.is_match(letter.encode_utf8(&mut [0; 4])));
        known.collect()
    };
    (0..400).map(&mut text).collect()
}

/// Writes texts of all scripts to a file in this folder.
fn scripts(folder: &Path) -> std::path::PathBuf {
    let rows = folder.join("scripts.csv");
    let texts = SCRIPTS.into_iter().map(str::to_owned).chain(random_texts());
    let rows_of = texts.enumerate().map(|(row, text)| testkit::Row {
        text,
        label: (row % 2).to_string(),
    });
    std::fs::write(
        &rows,
        testkit::to_csv(
            &rows_of
                .filter(|row| !row.text.trim().is_empty())
                .collect::<Vec<_>>(),
        ),
    )
    .unwrap();
    rows
}

#[test]
fn texts_of_all_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let rows = scripts(folder.path());
    let features = Features {
        params: unlimited(3),
        analyzer: Analyzer::words(2),
        stop_words: Arc::new([]),
        tf: TermFrequency::Raw,
        flags: &["--max-ngrams", "3"],
    };
    let compared = compare(&rows, &features);
    assert!(
        compared["columns"][1].as_u64().unwrap() > 2000,
        "{compared}"
    );
}

/// Analyzer, range of n-grams, and flags.
type AnalyzerCase = (Analyzer, (usize, usize), &'static [&'static str]);

fn analyzer_cases() -> [AnalyzerCase; 11] {
    let words = || Analyzer::words(2);
    let chars = || Analyzer {
        tokens: Tokens::Char,
        ..words()
    };
    let char_wb = || Analyzer {
        tokens: Tokens::CharWb,
        ..words()
    };
    let pattern = |pattern| Analyzer {
        token_pattern: Some(Pattern::new(pattern).unwrap()),
        ..words()
    };
    let accents = |accents| Analyzer {
        strip_accents: Some(accents),
        ..words()
    };
    let cased = Analyzer {
        lowercase: false,
        ..char_wb()
    };
    const WORDS: &str = r"(?u)\b[^\W\d_](?:[\w'’-]*\w)?\b";
    const LOOKAROUND: &str = r"(?<![@#])\b(\w+)\b(?!\s*[!,])";
    [
        (chars(), (1, 3), &["--analyzer", "char"]),
        (chars(), (2, 4), &["--analyzer", "char"]),
        (char_wb(), (1, 3), &["--analyzer", "char_wb"]),
        // Words of one to four characters are shorter than the n-grams.
        (char_wb(), (5, 6), &["--analyzer", "char_wb"]),
        (words(), (2, 3), &[]),
        (pattern(r"\S+"), (1, 2), &["--token-pattern", r"\S+"]),
        (pattern(WORDS), (1, 1), &["--token-pattern", WORDS]),
        (
            pattern(LOOKAROUND),
            (1, 2),
            &["--token-pattern", LOOKAROUND],
        ),
        (
            accents(Accents::Ascii),
            (1, 2),
            &["--strip-accents", "ascii"],
        ),
        (
            accents(Accents::Unicode),
            (1, 2),
            &["--strip-accents", "unicode"],
        ),
        (cased, (2, 3), &["--analyzer", "char_wb", "--no-lowercase"]),
    ]
}

/// The judge is scikit-learn with `analyzer`, `token_pattern`, `strip_accents`, `lowercase` and
/// `ngram_range`, on texts of all scripts, and every third case on real ones.
#[test]
fn analyzers_match_scikit_learn() {
    let home = tempfile::tempdir().unwrap();
    // Few n-grams are in two texts of all scripts.
    let (scripts, reviews) = (scripts(home.path()), testkit::movie_csv());
    let mut cases = Vec::new();
    for (number, (analyzer, (min, max), flags)) in analyzer_cases().into_iter().enumerate() {
        for (rows, min_df) in [(&scripts, 1), (&reviews, 2)] {
            if min_df == 2 && number % 3 > 0 {
                continue;
            }
            let lengths = format!("--min-ngrams {min} --max-ngrams {max} --min-df {min_df}");
            let lengths: &'static str = lengths.leak();
            let lengths: Vec<&str> = lengths.split(' ').collect();
            let features = Features {
                params: FeatureParams {
                    min_df: Frequency::Count(min_df),
                    tokens: analyzer.tokens,
                    min_ngrams: min,
                    ..unlimited(max)
                },
                analyzer: analyzer.clone(),
                stop_words: Arc::new([]),
                tf: TermFrequency::Raw,
                flags: [flags, &lengths].concat().leak(),
            };
            let folder = home.path().join(cases.len().to_string());
            std::fs::create_dir(&folder).unwrap();
            cases.push(judge_case(rows, &features, &folder));
        }
    }
    for (compared, case) in judge_cases("tfidf", &cases).iter().zip(&cases) {
        assert_equal(compared);
        let columns = compared["columns"][1].as_u64().unwrap();
        assert!(columns > 500, "{case:?}: {compared}");
    }
}
