//! Reports of users of this and other programs, with scikit-learn as the judge.

use testkit::{Row, SplitMix64, judge, to_csv};

use super::{number, svm, train};

/// Rows of which 6 % are of the class `rare`, whose words the others have too, but less often.
fn rows(count: usize, seed: u64, labels: &[&str]) -> Vec<u8> {
    let mut random = SplitMix64(seed);
    let mut row = |number: usize| {
        let class = match number % 50 < 3 {
            true => 0,
            false => 1 + number % (labels.len() - 1),
        };
        let mut words = Vec::new();
        for _ in 0..14 {
            let own = random.uniform() < 0.16;
            let word = (random.uniform() * if own { 25.0 } else { 900.0 }) as usize;
            words.push(match own {
                true => format!("own{class}x{word}"),
                false => format!("any{word}"),
            });
            // A word of another class.
            if random.uniform() < 0.08 {
                let other = (random.uniform() * labels.len() as f64) as usize;
                words.push(format!("own{other}x{}", word % 25));
            }
        }
        Row {
            text: words.join(" "),
            label: labels[class].to_owned(),
        }
    };
    to_csv(&(0..count).map(&mut row).collect::<Vec<_>>())
}

/// DATA 37: scikit-learn#8592, PR#17541: with the default calibration, `--class-weight balanced`
/// had no effect, because the sigmoids undid the weights.
#[test]
fn balanced_class_weights_act_after_calibration() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (train_rows, test_rows, model) = (at("train.csv"), at("test.csv"), at("model"));
    for labels in [&["rare", "other"][..], &["rare", "one", "two"]] {
        std::fs::write(&train_rows, rows(1_500, 1, labels)).unwrap();
        std::fs::write(&test_rows, rows(3_000, 2, labels)).unwrap();
        for loss in ["hinge", "squared_hinge", "log"] {
            if loss == "log" && labels.len() > 2 {
                // liblinear's logistic regression is for two classes.
                continue;
            }
            let paths = [train_rows.to_str().unwrap(), test_rows.to_str().unwrap()];
            let theirs = judge("balanced", &[&paths[..], &["--loss", loss]].concat());
            let (expected, unweighted) = (number(&theirs["recall"]), number(&theirs["unweighted"]));
            assert!(
                expected > unweighted + 0.1,
                "{loss}: weights matter: {theirs}"
            );
            for calibration in ["auto", "cv", "none"] {
                let flags = ["--loss", loss, "--calibration", calibration];
                let weights = ["--class-weight", "balanced"];
                train(&train_rows, &model, &[&flags[..], &weights].concat());
                let paths = [model.to_str().unwrap(), test_rows.to_str().unwrap()];
                let found = svm(&[
                    "evaluate",
                    "--json",
                    "--model-dir",
                    paths[0],
                    "--data",
                    paths[1],
                ]);
                let found = found.json();
                let classes = found["per_class"].as_array().unwrap();
                let rare = classes
                    .iter()
                    .find(|class| class["label"] == "rare")
                    .unwrap();
                let recall = number(&rare["recall"]);
                assert!(
                    (recall - expected).abs() <= 0.03,
                    "{loss}, {calibration}: recall {recall}, scikit-learn {expected}"
                );
            }
        }
    }
}
