use std::collections::HashSet;

use dataset::{FileCounts, RowCounts};
use diagnostics::{Place, Warning};

use super::*;
use crate::metrics::{Comparison, Evaluation, Scores, UnseenTexts, evaluate, multilabel};

const EVIL: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

/// An evaluation with two of three rows right.
fn evaluation(names: &[&str], rows: usize, calibrated: bool) -> Evaluation {
    let classes = names.len();
    let mut decision = vec![0.0; classes * rows];
    let mut labels = Vec::new();
    for row in 0..rows {
        labels.push((row % classes) as u32);
        let guess = if row % 3 == 0 {
            (row + 1) % classes
        } else {
            row % classes
        };
        decision[row * classes + guess] = 0.5 + row as f32 / rows as f32;
    }
    let probability = calibrated.then(|| {
        let softmax = decision.chunks_exact(classes).flat_map(|row| {
            let sum: f32 = row.iter().map(|score| score.exp()).sum();
            row.iter().map(move |score| score.exp() / sum)
        });
        softmax.collect()
    });
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    evaluate(
        &labels,
        &names,
        &Scores {
            classes,
            decision,
            probability,
        },
    )
}

fn example(word: &str) -> RowExample {
    RowExample {
        place: word.to_owned(),
        text: word.to_owned(),
        label: word.to_owned(),
        predicted: word.to_owned(),
        probability: Some(0.9),
        score: 1.5,
    }
}

fn warning(word: &str) -> Warning {
    Warning {
        place: Some(Place {
            file: word.to_owned(),
            line: Some(3),
            column: None,
            record: None,
        }),
        ..Warning::from(format!("{word}\n  help: {word}"))
    }
}

fn sets<'a>(word: &'static str, evaluation: &'a Evaluation) -> Vec<SetReport<'a>> {
    let set = |name, unseen| SetReport {
        name,
        evaluation,
        note: word,
        seen: false,
        unseen,
    };
    let unseen = UnseenTexts {
        rows: 40,
        accuracy: Some(0.75),
    };
    vec![
        set("validation", None),
        set("test", Some(unseen)),
        set(word, None),
    ]
}

/// A report with `word` in every place that user data can reach.
fn full<'a>(word: &'static str, evaluation: &'a Evaluation) -> Report<'a> {
    let own = || word.to_owned();
    let row = example(word);
    let counts = RowCounts {
        files: vec![FileCounts {
            path: own(),
            rows_read: 1,
            bytes: 2,
            sha256: Some(own()),
            named_labels: false,
        }],
        read: 10,
        used: 7,
        dropped: [(word, 2)].into(),
    };
    Report {
        title: word,
        data: own(),
        model: word,
        run: RunInfo {
            version: own(),
            started: own(),
            command: own(),
            hyperparameters: [(own(), own())].into(),
            cpu_seconds: Some(1.0),
            peak_rss_bytes: Some(1 << 20),
            ..RunInfo::default()
        },
        sets: sets(word, evaluation),
        summary: vec![own()].leak(),
        trials: Some(Box::leak(Box::new(Trials {
            columns: vec!["C"],
            rows: vec![vec![own()], vec![own()]],
            chosen: 1,
        }))),
        channels: vec![(word, counts)].leak(),
        strongest: vec![ClassFeatures {
            label: own(),
            features: vec![(own(), 2.0), (own(), -1.0)],
        }],
        worst: vec![row.clone()],
        suspects: vec![row],
        curves: vec![LearningCurve {
            name: own(),
            x_name: own(),
            lines: vec![CurveLine {
                name: own(),
                points: vec![(1.0, 2.0), (2.0, 1.0)],
            }],
            saved: Some(1.0),
        }],
        warnings: vec![warning(word)],
        comparison: Some(Box::leak(Box::new(Comparison::of(
            own(),
            [(true, true), (true, false)].into_iter(),
            0,
        )))),
    }
}

/// The names of all tags in the page, in order.
fn tags(page: &str) -> Vec<&str> {
    let names = page.split('<').skip(1);
    names
        .map(|tag| tag.split([' ', '>']).next().unwrap_or_default())
        .collect()
}

#[test]
fn hostile_data_adds_no_tags() {
    let tame_set = evaluation(&["aaa", "bbb", "ccc"], 60, true);
    let evil_set = evaluation(&[EVIL, "</table></svg>", "<style>"], 60, true);
    let tame = html(&full("word", &tame_set));
    let evil = html(&full(EVIL, &evil_set));
    assert_eq!(tags(&tame), tags(&evil));
    assert!(evil.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!evil.contains("\"><script") && !evil.contains("<img"));
}

#[test]
fn tags_are_balanced_and_ids_unique() {
    let set = evaluation(&["no", "yes"], 60, true);
    let page = html(&full("word", &set));
    let tags = tags(&page);
    for tag in [
        "html", "body", "main", "section", "div", "details", "table", "tr", "figure", "article",
        "svg", "g", "p", "ul", "dl", "h2", "h3", "span", "small",
    ] {
        let opened = tags.iter().filter(|&&name| name == tag).count();
        let closed = tags
            .iter()
            .filter(|&&name| name.strip_prefix('/') == Some(tag))
            .count();
        assert_eq!(opened, closed, "<{tag}>");
    }
    let ids: Vec<&str> = page
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(
        ids.iter().collect::<HashSet<_>>().len(),
        ids.len(),
        "{ids:?}"
    );
    for target in page
        .split("url(#")
        .skip(1)
        .chain(page.split("href=\"#").skip(1))
    {
        let target = target.split([')', '"']).next().unwrap_or_default();
        assert!(ids.contains(&target), "`{target}` is linked but not there");
    }
}

#[test]
fn page_loads_nothing_and_plots_scale() {
    let set = evaluation(&["no", "yes"], 60, true);
    let page = html(&full("word", &set));
    for outside in [
        "http:", "https:", "//", "@import", "src=", "<script", "<link",
    ] {
        assert!(!page.contains(outside), "the page has `{outside}`");
    }
    let plots = page.matches("<svg").count();
    assert_eq!(plots, 3 * 3 + 1, "three per set and a learning curve");
    assert_eq!(page.matches("<svg viewBox=\"0 0 440 340\"").count(), plots);
}

#[test]
fn headline_shows_test_rows() {
    let (few, many) = (
        evaluation(&["no", "yes"], 60, true),
        evaluation(&["no", "yes"], 6000, false),
    );
    let mut report = full("word", &few);
    report.sets[1].evaluation = &many;
    let page = html(&report);
    assert!(page.contains("accuracy, test") && page.contains("<b>6,000</b>"));
    assert!(
        page.contains("<b>66.67\u{a0}%</b>") && page.contains("65.46\u{a0}% to 67.85\u{a0}%"),
        "scipy's binomtest(4000, 6000)"
    );
    assert!(
        page.contains("<b>not accounted for: 1</b>"),
        "10 rows read, 7 used, 2 dropped"
    );
    assert!(page.contains("no calibration plot"));
}

/// The legend of a learning curve has the value of the selected epoch, not that of the last one.
#[test]
fn legend_has_the_value_of_the_selected_epoch() {
    let set = evaluation(&["no", "yes"], 60, true);
    let mut report = full("epoch", &set);
    assert!(html(&report).contains("2.0000 in the selected epoch 1"));
    report.curves[0].saved = None;
    assert!(html(&report).contains("final 1.0000"));
}

/// Several labels: the plot was missing because "the model gives no probabilities", the order was
/// that of a margin, and the subset accuracy was an accuracy.
#[test]
fn page_of_several_labels_names_its_numbers() {
    let names = ["no", "yes"].map(str::to_owned);
    let truth: [&[u32]; 3] = [&[0, 1], &[], &[1]];
    let scores = Scores {
        classes: 2,
        decision: vec![1.0, -1.0, -1.0, -1.0, -1.0, 1.0],
        probability: Some(vec![0.7, 0.3, 0.3, 0.3, 0.3, 0.7]),
    };
    let set = multilabel::evaluate(&truth, &names, &scores);
    let mut report = full("word", &set);
    report.worst[0].probability = None;
    let page = html(&report);
    for part in [
        "no calibration plot: rows may have several labels",
        "largest score of a wrong or missing label first",
        "score 1.500",
        "subset accuracy 0.6667</title>",
        "<dt>subset accuracy of the other model</dt>",
        "subset accuracy 66.67",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("no probabilities") && !page.contains("margin "));
}

#[test]
fn empty_sections_are_left_out() {
    let page = html(&Report {
        title: "svm",
        ..Report::default()
    });
    for id in [
        "quality",
        "learning",
        "tuning",
        "words",
        "worst",
        "suspects",
        "data",
        "warnings",
        "comparison",
    ] {
        assert!(
            !page.contains(&format!("id=\"{id}\"")) && !page.contains(&format!("#{id}")),
            "{id}"
        );
    }
    assert!(page.contains("id=\"run\""));
    // USER 26: of an evaluation.
    assert!(!page.contains("Hyperparameters") && !page.contains("<dt>seed</dt>"));
}

#[test]
fn long_texts_are_folded_and_truncated() {
    let set = evaluation(&["no", "yes"], 60, true);
    let mut report = full("word", &set);
    report.worst[0].text = format!("{}TAIL", "ä".repeat(1000));
    report.suspects[0].text = "x".repeat(1_000_000);
    let page = html(&report);
    assert!(page.contains("<summary>404 more characters</summary>") && page.contains("TAIL</p>"));
    assert!(page.contains("<summary>20,000 more characters</summary>"));
    assert!(page.contains("and 979,400 more, in the file only"));
    assert!(page.len() < 300_000, "{} bytes", page.len());
}

#[test]
fn all_shapes_of_data_render() {
    let names: Vec<String> = (0..200).map(|i| format!("topic {i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for classes in [1, 2, 4, 20, 31, 200] {
        for rows in [0, 1, 7, 900] {
            let set = evaluation(&names[..classes], rows, rows != 7);
            let page = html(&full("word", &set));
            assert!(
                !page.contains("NaN") && !page.contains("inf\""),
                "{classes} classes, {rows} rows"
            );
            assert!(page.ends_with("</html>\n"));
            assert_eq!(page.contains("class=\"corner\""), classes <= 30);
        }
    }
    let set = evaluation(&["no", "yes"], 9, true);
    let mut report = full("word", &set);
    let odd = [
        (1.0, f64::NAN),
        (2.0, 3.0),
        (3.0, f64::INFINITY),
        (4.0, 3.0),
    ];
    report.curves[0].lines[0].points = odd.to_vec();
    report.curves.push(LearningCurve::default());
    let page = html(&report);
    assert!(!page.contains("NaN") && page.contains("fewer than two points"));
}

#[test]
fn many_classes_show_the_weakest() {
    let names: Vec<String> = (0..50).map(|i| format!("topic {i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let some = evaluation(&names[..20], 900, true);
    let page = html(&full("word", &some));
    assert!(page.contains("the 3 weakest of 20 are coloured"));
    assert_eq!(
        page.matches("<li><span class=\"chip label\">").count(),
        3 * 12,
        "pairs of three sets"
    );

    let many = evaluation(&names, 900, true);
    let page = html(&full("word", &many));
    assert!(page.contains("the 40 classes of the lowest F1; 10 more are in metrics.json"));
    assert!(
        page.contains("too many classes for a matrix") && page.contains("too many classes for ROC")
    );
}

mod public_reports {
    use super::*;

    /// USER 17: the title names trainer, data and model; warnings have parts; labels that are
    /// numbers are told from values; no grid ends with a single card.
    #[test]
    fn page_names_data_and_model_and_formats_warnings() {
        let set = evaluation(&["0", "1", "2", "3"], 60, true);
        let mut report = full("word", &set);
        (report.title, report.data, report.model) = ("svm", "movie.csv".to_owned(), "models/svm");
        report.warnings[0].code = Some("D022");
        report.strongest = vec![report.strongest[0].clone(); 4];
        let page = html(&report);
        for expected in [
            "<title>svm on movie.csv: models/svm, accuracy 0.6667</title>",
            "<h1>svm <small>on movie.csv</small></h1>",
            "model <b>models/svm</b>, ",
            "<li><b>D022</b> word<p><code>word:3</code></p><p><b>help:</b> word</p></li>",
            "<b class=\"label\">0</b>: area ",
            "<li><span class=\"chip label\">0</span> taken for <span class=\"chip label\">1</span>",
            "<div class=\"cards\" style=\"--columns:4\">",
        ] {
            assert!(page.contains(expected), "{expected}");
        }
        report.strongest.truncate(3);
        assert!(html(&report).contains("--columns:3"));
    }

    /// USER 29: the share of the most frequent class and the accuracy on unseen texts.
    #[test]
    fn headline_has_baseline_and_accuracy_on_unseen_texts() {
        let set = evaluation(&["no", "yes"], 61, true);
        let page = html(&full("word", &set));
        assert!(page.contains("<h3>baseline</h3><b>50.82\u{a0}%</b><p>always predicting `no`</p>"));
        assert!(page.contains("<b>75.00\u{a0}%</b><p>40 rows whose text is not in train</p>"));
    }

    /// USER 17: equal rows of a narrow range have different ticks; they were `1.385` twice.
    #[test]
    fn ticks_of_a_learning_curve_differ() {
        let set = evaluation(&["no", "yes"], 60, true);
        let mut report = full("word", &set);
        report.curves[0].lines[0].points = vec![(1.0, 1.3862), (2.0, 1.3851), (3.0, 1.3835)];
        let page = html(&report);
        let plot = page.split("id=\"learning\"").nth(1).unwrap();
        let plot = plot.split("</figure>").next().unwrap();
        let ticks: Vec<&str> = plot
            .split('>')
            .filter_map(|text| text.split('<').next())
            .filter(|text| text.starts_with("1.38"))
            .collect();
        assert!(ticks.len() > 3, "{ticks:?}");
        let different: HashSet<_> = ticks.iter().collect();
        assert_eq!(different.len(), ticks.len(), "{ticks:?}");
        report.curves[0].lines[0].points = vec![(1.0, 1.0), (2.0, 1.0)];
        assert!(!html(&report).contains(">1.05<"), "no accuracy is above 1");
    }

    /// USER 17: the cells of a large matrix are narrow, and text is white on dark shades only.
    #[test]
    fn cells_of_a_matrix_are_readable() {
        let names: Vec<String> = (0..20).map(|i| format!("topic {i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let set = evaluation(&names, 900, true);
        let page = html(&full("word", &set));
        assert!(
            page.contains("<small>67\u{a0}%</small>"),
            "two of three rows are right"
        );
        // A hit of 67 % and a miss of 33 %, whose square root is 0.58.
        assert!(page.contains("class=\"hit\"") && page.contains("class=\"miss\""));
        assert!(!page.contains("class=\"dark "));
        let all = evaluation(&["word"], 9, true);
        assert!(html(&full("word", &all)).contains("class=\"dark hit\""));
    }

    /// USER 9: an accuracy of seen rows is not a headline without saying so.
    #[test]
    fn headline_of_seen_rows_says_so() {
        let set = evaluation(&["no", "yes"], 60, true);
        let mut report = full("word", &set);
        report.sets.truncate(1);
        (report.sets[0].name, report.sets[0].seen) = ("train", true);
        // The interval of a difference is not that of the headline.
        report.comparison = None;
        let page = html(&report);
        assert!(page.contains("<title>word on word: word</title>"));
        assert!(page.contains("<p>of rows that the model was trained on</p>"));
        assert!(
            !page.contains("95 % interval "),
            "seen rows have no interval"
        );
    }

    /// USER 12: the order of the worst errors is stated, and the shown number is the one sorted by.
    #[test]
    fn order_of_worst_errors_is_stated() {
        let set = evaluation(&["no", "yes"], 60, true);
        let mut report = full("word", &set);
        let page = html(&report);
        assert!(page.contains("highest probability of the prediction first"));
        assert!(page.contains("probability 90.0\u{a0}%") && !page.contains("margin "));
        report.worst[0].probability = None;
        report.suspects.clear();
        let page = html(&report);
        assert!(page.contains("largest margin first") && page.contains("margin 1.500"));
    }
}

mod attacks {
    use super::*;

    /// F9 and figures: report.html is bounded for 100,000 files, thousands of classes and epochs.
    #[test]
    fn page_is_bounded() {
        let names: Vec<String> = (0..2000).map(|i| format!("topic {i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let set = evaluation(&names, 4000, false);
        let mut report = full("word", &set);
        let mut counts = report.channels[0].1.clone();
        counts.files = vec![counts.files[0].clone(); 100_000];
        report.channels = vec![("train", counts)].leak();
        report.strongest[0].features = vec![("word".repeat(100), 1.0); 25];
        report.strongest = vec![report.strongest[0].clone(); 2000];
        report.warnings = vec![report.warnings[0].clone(); 1000];
        report.warnings[0].message = "x".repeat(1_000_000);
        report.curves[0].lines[0].points = (0..100_000)
            .map(|x| (f64::from(x), f64::from(x % 7)))
            .collect();
        report.run.hyperparameters = [("x".to_owned(), "x".repeat(1_000_000))].into();
        let page = html(&report);
        assert!(page.len() < 1_500_000, "{} bytes", page.len());
        for rest in [
            "99,900 more files",
            "1,900 more classes",
            "950 more warnings",
        ] {
            assert!(page.contains(rest), "{rest}");
        }
    }
}
