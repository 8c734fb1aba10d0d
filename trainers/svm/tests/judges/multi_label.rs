//! Rows with several labels, with scikit-learn as the judge.

use testkit::{judge_cases, several_label_rows, to_csv};

use super::{close, number, predict, svm, train};

/// Flags of [`MinF1::EqualSets`], which give the model of `OneVsRestClassifier(LinearSVC())`.
const LINEAR_SVC: &str = "--calibration none --validation-split 0 --tol 1e-6";

/// Flags, those of the judge, and the least micro-F1. measured with scikit-learn: 0.75 for
/// LinearSVC, 0.77 with C = 3, 0.50 for SVC(gamma=1), 0.86 with naive Bayes weights.
const CASES: [(&str, &str, MinF1); 8] = [
    ("", "", MinF1::EqualSets),
    ("--class-weight balanced", "--balanced", MinF1::EqualSets),
    (
        "--class-weight 3.json",
        "--positive-weight 3",
        MinF1::EqualSets,
    ),
    ("--tol 0.0001", "", MinF1::Baseline),
    (
        "--threshold-metric f1 --calibration cv",
        "",
        MinF1::Baseline,
    ),
    ("--tune --tune-trials 4", "", MinF1::Of(0.7)),
    ("--weighting nbsvm", "", MinF1::Baseline),
    ("--kernel rbf", "", MinF1::Of(0.4)),
];

#[derive(Clone, Copy, PartialEq)]
enum MinF1 {
    /// Equal sets, and so an equal micro-F1.
    EqualSets,
    /// That of the baseline, but for 0.02.
    Baseline,
    Of(f64),
}

/// Issue 17: `OneVsRestClassifier` predicts the same, and scikit-learn has the same metrics.
#[test]
fn sets_and_metrics_are_those_of_scikit_learn() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (train_rows, test_rows, model, weights) =
        (at("train.csv"), at("test.csv"), at("model"), at("3.json"));
    std::fs::write(&train_rows, to_csv(&several_label_rows(800, 1))).unwrap();
    std::fs::write(&test_rows, to_csv(&several_label_rows(600, 2))).unwrap();
    let three = r#"{"art": 3, "music": 3, "sport": 3, "war": 3}"#;
    std::fs::write(&weights, three).unwrap();
    let (mut evaluated, mut cases) = (Vec::new(), Vec::new());
    for (number, (flags, judge_flags, min)) in CASES.into_iter().enumerate() {
        let more = if min == MinF1::EqualSets {
            LINEAR_SVC
        } else {
            ""
        };
        let flags = format!("--multi-label --label-separator | {flags} {more}");
        let flags = flags.replace("3.json", weights.to_str().unwrap());
        train(
            &train_rows,
            &model,
            &flags.split_whitespace().collect::<Vec<_>>(),
        );
        let predictions = at(&format!("{number}.jsonl"));
        std::fs::write(&predictions, predict(&model, &test_rows)).unwrap();
        let [model, train, test, predictions] =
            [&model, &train_rows, &test_rows, &predictions].map(|path| path.to_str().unwrap());
        evaluated.push(svm(&["evaluate", "--json", "--model-dir", model, test]).json());
        let judge_flags = ["--baseline", "svm"]
            .into_iter()
            .chain(judge_flags.split_whitespace());
        let arguments = [train, test, predictions].into_iter().chain(judge_flags);
        cases.push(arguments.map(str::to_owned).collect());
    }
    let judged = judge_cases("multi_label", &cases);
    for ((ours, theirs), (flags, _, min)) in evaluated.iter().zip(&judged).zip(CASES) {
        for (name, value) in theirs["metrics"].as_object().unwrap() {
            close(&ours[name], value, 1e-6, name);
        }
        assert_eq!(ours["rows"], 600);
        assert!(
            ours["rows_without_labels"].as_u64().unwrap() > 100,
            "{ours}"
        );
        let (baseline, equal) = (number(&theirs["baseline"]), number(&theirs["equal"]));
        assert!(baseline > 0.6, "the labels can be learnt: {theirs}");
        let least = match min {
            MinF1::EqualSets => {
                assert!(equal > 0.998, "{flags}: {theirs}");
                continue;
            }
            MinF1::Baseline => baseline - 0.02,
            MinF1::Of(least) => least,
        };
        let found = number(&ours["micro_f1"]);
        assert!(found > least, "{flags}: {found}, {theirs}");
    }
}
