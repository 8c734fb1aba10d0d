//! Every number here was printed by the snippet above it, with scikit-learn 1.9.1.

use super::*;

fn names(classes: usize) -> Vec<String> {
    (0..classes).map(|class| format!("class {class}")).collect()
}

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6,
        "found {found}, scikit-learn has {expected}"
    );
}

/// ```python
/// y = np.array([0,0,0,0,1,1,1,1,2,2,0,1])
/// P = np.array([[.7,.2,.1,0],[.4,.4,.2,0],[.1,.8,.1,0],[.5,.25,.25,0],[.2,.6,.2,0],
///   [.3,.3,.4,0],[.4,.5,.1,0],[0,1,0,0],[.2,.3,.5,0],[1,0,0,0],[.6,.2,.2,0],[.25,.5,.25,0]],
///   dtype=np.float32)
/// pred = P.argmax(1)
/// print(accuracy_score(y, pred), f1_score(y, pred, average="macro", zero_division=0),
///   f1_score(y, pred, average="weighted", zero_division=0))
/// print(log_loss(y, P, labels=[0, 1, 2, 3]))
/// for k in range(3): print(roc_auc_score(y == k, P[:, k]), average_precision_score(y == k, P[:, k]))
/// print(precision_recall_fscore_support(y, pred, labels=[0, 1, 2, 3], zero_division=0))
/// print(confusion_matrix(y, pred, labels=[0, 1, 2, 3]).tolist())
/// c = P.max(1); e = np.linspace(0, 1, 16, dtype=np.float32); s = 0
/// for lo, hi in zip(e[:-1], e[1:]):
///   m = (c > lo) & (c <= hi)
///   if m.any(): s += m.mean() * abs((pred == y)[m].mean() - c[m].mean())
/// print(s)
/// ```
#[test]
fn four_classes_with_one_unseen() {
    let labels = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 0, 1];
    #[rustfmt::skip]
    let probability = vec![
        0.7, 0.2, 0.1, 0.0,   0.4, 0.4, 0.2, 0.0,   0.1, 0.8, 0.1, 0.0,   0.5, 0.25, 0.25, 0.0,
        0.2, 0.6, 0.2, 0.0,   0.3, 0.3, 0.4, 0.0,   0.4, 0.5, 0.1, 0.0,   0.0, 1.0, 0.0, 0.0,
        0.2, 0.3, 0.5, 0.0,   1.0, 0.0, 0.0, 0.0,   0.6, 0.2, 0.2, 0.0,   0.25, 0.5, 0.25, 0.0,
    ];
    let scores = Scores {
        classes: 4,
        decision: probability.clone(),
        probability: Some(probability),
    };
    let found = evaluate(&labels, &names(4), &scores);

    close(found.accuracy, 0.75);
    close(found.macro_f1, 0.7);
    close(found.weighted_f1, 0.75);
    close(found.log_loss.unwrap(), 2.0430123805999756);
    close(found.ece.unwrap(), 0.4249999970197677);
    let expected = [
        (0.8, 0.8, 0.8, 5, 0.7, 0.6075757575757575),
        (0.8, 0.8, 0.8, 5, 0.8428571428571429, 0.7783333333333333),
        (0.5, 0.5, 0.5, 2, 0.525, 0.5833333333333334),
    ];
    for (class, (precision, recall, f1, support, auc, ap)) in expected.into_iter().enumerate() {
        let metrics = &found.per_class[class];
        close(metrics.precision, precision);
        close(metrics.recall, recall);
        close(metrics.f1, f1);
        assert_eq!(metrics.support, support);
        close(metrics.roc_auc.unwrap(), auc);
        close(metrics.average_precision.unwrap(), ap);
    }
    let unseen = &found.per_class[3];
    assert_eq!(
        (unseen.precision, unseen.recall, unseen.f1),
        (0.0, 0.0, 0.0)
    );
    assert_eq!((unseen.support, unseen.predicted), (0, 0));
    assert_eq!((unseen.roc_auc, unseen.average_precision), (None, None));
    assert!(found.curves[3].roc.is_empty() && found.curves[3].pr.is_empty());
    assert_eq!(
        found.confusion,
        [[4, 1, 0, 0], [0, 4, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]].map(Vec::from)
    );
    let counts: Vec<u64> = found.calibration.iter().map(|bin| bin.count).collect();
    assert_eq!(counts, [0, 0, 0, 0, 0, 2, 0, 4, 2, 0, 1, 1, 0, 0, 2]);
    close(found.calibration[14].mean_confidence.unwrap(), 1.0);
    close(found.calibration[14].accuracy.unwrap(), 0.5);
}

/// ```python
/// d = np.array([-1.5,-.5,-.5,0,0,.25,.25,2,3,-0.], dtype=np.float32)
/// t = np.array([0,0,1,0,1,1,0,1,1,1])
/// print(accuracy_score(t, d > 0), f1_score(t, d > 0, average="macro"), roc_auc_score(t, d),
///   average_precision_score(t, d), average_precision_score(t == 0, -d))
/// ```
#[test]
fn two_classes_with_ties() {
    let decision = [-1.5, -0.5, -0.5, 0.0, 0.0, 0.25, 0.25, 2.0, 3.0, -0.0f32];
    let labels = [0, 0, 1, 0, 1, 1, 0, 1, 1, 1];
    let decision = decision.iter().flat_map(|d| [-d, *d]).collect();
    let found = evaluate(
        &labels,
        &names(2),
        &Scores {
            classes: 2,
            decision,
            probability: None,
        },
    );

    close(found.accuracy, 0.6);
    close(found.macro_f1, 0.6);
    close(found.per_class[0].roc_auc.unwrap(), 0.75);
    close(found.per_class[1].roc_auc.unwrap(), 0.75);
    close(
        found.per_class[0].average_precision.unwrap(),
        0.6666666666666666,
    );
    close(
        found.per_class[1].average_precision.unwrap(),
        0.8075396825396824,
    );
    assert_eq!(
        (found.log_loss, found.ece, found.calibration.len()),
        (None, None, 0)
    );
    // Three rows tie at zero, so the step there is a slope.
    assert!(
        found.curves[1].roc.contains(&(0.25, 0.5))
            && found.curves[1].roc.contains(&(0.5, 5.0 / 6.0))
    );
}

/// ```python
/// s = np.uint64(1)
/// def lcg():
///   global s
///   s = s * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
///   return int(s >> np.uint64(40)) % 1000
/// N, K = 5000, 5
/// Z = np.array([[lcg() for _ in range(K)] for _ in range(N)], dtype=np.float32) / np.float32(250)
/// Y = np.array([max(range(K), key=lambda k: Z[i,k] + np.float32(lcg()) / np.float32(200)) for i in range(N)])
/// Q = np.exp(Z.astype(float)); Q /= Q.sum(1, keepdims=True); Q = Q.astype(np.float32)
/// p = Q.argmax(1)
/// print(accuracy_score(Y, p), f1_score(Y, p, average="macro"), f1_score(Y, p, average="weighted"),
///   log_loss(Y, Q.astype(float)), roc_auc_score(Y, Q.astype(float) / Q.astype(float).sum(1, keepdims=True),
///   multi_class="ovr"), average_precision_score(Y == 2, Q[:,2]))
/// for k in range(K): print(roc_auc_score(Y == k, Z[:,k]), average_precision_score(Y == k, Z[:,k]))
/// ```
#[test]
fn five_thousand_rows_with_many_ties() {
    const N: usize = 5000;
    const K: usize = 5;
    let mut state = 1u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((state >> 40) % 1000) as f32
    };
    let decision: Vec<f32> = (0..N * K).map(|_| draw() / 250.0).collect();
    let mut labels = Vec::new();
    let mut probability = Vec::new();
    for row in decision.chunks_exact(K) {
        let noisy: Vec<f32> = row.iter().map(|z| z + draw() / 200.0).collect();
        labels.push(argmax(&noisy));
        let sum: f64 = row.iter().map(|&z| f64::from(z).exp()).sum();
        probability.extend(row.iter().map(|&z| (f64::from(z).exp() / sum) as f32));
    }

    let mut scores = Scores {
        classes: K,
        decision,
        probability: None,
    };
    let ranked = evaluate(&labels, &names(K), &scores);
    let expected = [
        (0.7723676000412542, 0.431793328165503),
        (0.7721093363436956, 0.42510495737574305),
        (0.7689563016452021, 0.4194892803832947),
        (0.7667914303705534, 0.42752696545578983),
        (0.7658418955099809, 0.41048221919702843),
    ];
    for (class, (auc, ap)) in ranked.per_class.iter().zip(expected) {
        close(class.roc_auc.unwrap(), auc);
        close(class.average_precision.unwrap(), ap);
    }
    assert_eq!(
        ranked
            .per_class
            .iter()
            .map(|c| c.support)
            .collect::<Vec<_>>(),
        [960, 1036, 1010, 1048, 946]
    );
    for curves in &ranked.curves {
        assert!(curves.roc.len() <= MAX_POINTS && curves.pr.len() <= MAX_POINTS);
    }

    scores.probability = Some(probability);
    let found = evaluate(&labels, &names(K), &scores);
    close(found.accuracy, 0.4742);
    close(found.macro_f1, 0.47419672304765914);
    close(found.weighted_f1, 0.47417785464026474);
    close(found.log_loss.unwrap(), 1.225550151266669);
    close(found.macro_roc_auc.unwrap(), 0.8018775504882644);
    close(
        found.per_class[2].average_precision.unwrap(),
        0.48841646327762234,
    );
}

/// ```python
/// for k, n in [(8, 10), (0, 5), (5, 5), (22950, 25000)]:
///   print(scipy.stats.binomtest(k, n).proportion_ci(method="wilson"))
/// ```
#[test]
fn wilson_interval_as_scipy() {
    for (part, whole, low, high) in [
        (8, 10, 0.4901624715366418, 0.9433178485456248),
        (0, 5, 0.0, 0.43448246478317476),
        (5, 5, 0.5655175352168251, 1.0),
        (22_950, 25_000, 0.9145344378196655, 0.9213371235330415),
    ] {
        let found = wilson(part, whole);
        close(found.0, low);
        close(found.1, high);
    }
    assert_eq!(wilson(0, 0), (0.0, 1.0));
}

#[test]
fn nan_scores_give_no_nan_metrics() {
    let nan = vec![f32::NAN; 6];
    let scores = Scores {
        classes: 2,
        decision: nan.clone(),
        probability: Some(nan),
    };
    let found = evaluate(&[0, 1, 1], &names(2), &scores);
    assert_eq!((found.log_loss, found.ece), (None, None));
    assert_eq!(found.per_class[1].roc_auc, Some(0.5), "all rows tie");
    assert!(!format!("{found:?}").contains("NaN"));

    let empty = Scores {
        classes: 2,
        decision: vec![],
        probability: Some(vec![]),
    };
    let found = evaluate(&[], &names(2), &empty);
    assert_eq!(
        (found.rows, found.accuracy, found.accuracy_interval),
        (0, 0.0, (0.0, 1.0))
    );
    assert_eq!(
        (found.log_loss, found.ece, found.macro_roc_auc),
        (None, None, None)
    );
}

#[test]
fn confident_error_is_finite_and_curves_are_not_serialized() {
    let scores = Scores {
        classes: 2,
        decision: vec![1.0, -1.0],
        probability: Some(vec![1.0, 0.0]),
    };
    let found = evaluate(&[1], &names(2), &scores);
    close(found.log_loss.unwrap(), -f64::from(f32::EPSILON).ln());
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["per_class"][1]["recall"], 0.0);
    assert_eq!(json["per_class"][1]["roc_auc"], serde_json::Value::Null);
    assert_eq!(json["confusion"][1][0], 1);
    assert_eq!(json.get("curves"), None);
}

#[test]
fn many_classes_have_areas_but_no_curves() {
    let classes = MAX_CURVES + 1;
    let mut decision = vec![0.0; classes * classes];
    (0..classes).for_each(|i| decision[i * classes + i] = 1.0);
    let labels: Vec<u32> = (0..classes as u32).collect();
    let found = evaluate(
        &labels,
        &names(classes),
        &Scores {
            classes,
            decision,
            probability: None,
        },
    );
    assert!(found.curves.is_empty());
    assert_eq!(
        (found.accuracy, found.macro_f1, found.macro_roc_auc),
        (1.0, 1.0, Some(1.0))
    );
}

mod public_reports {
    use super::*;

    /// DATA 30: scikit-learn#13034. The matrix of many classes would have gigabytes.
    #[test]
    fn many_classes_have_the_most_confused_pairs_only() {
        let classes = MAX_CONFUSION + 1;
        let scores = |labels: &[u32]| {
            // Class 2 is taken for 1 always, class 3 for 0 once.
            let mut decision = vec![0.0; labels.len() * classes];
            for (row, &label) in labels.iter().enumerate() {
                let predicted = match (label, row) {
                    (2, _) => 1,
                    (3, 0) => 0,
                    (other, _) => other as usize,
                };
                decision[row * classes + predicted] = 1.0;
            }
            Scores {
                classes,
                decision,
                probability: None,
            }
        };
        let labels = [3, 3, 2, 2, 5];
        let found = evaluate(&labels, &names(classes), &scores(&labels));
        assert!(found.confusion.is_empty());
        assert_eq!(found.confused_left_out, 0);
        let pairs: Vec<_> = found
            .confused
            .iter()
            .map(|pair| {
                (
                    pair.label.as_str(),
                    pair.predicted.as_str(),
                    pair.rows,
                    pair.share,
                )
            })
            .collect();
        let names = names(classes);
        assert_eq!(
            pairs,
            [
                (&*names[2], &*names[1], 2, 1.0),
                (&*names[3], &*names[0], 1, 0.5)
            ]
        );
        assert_eq!((found.accuracy, found.per_class[3].recall), (0.4, 0.5));
        assert_eq!(
            (found.per_class[1].predicted, found.per_class[1].support),
            (2, 0)
        );
    }
}

mod attacks {
    use super::*;

    /// ATTACK F9: the matrix of many classes is bounded, and what it leaves out is counted.
    #[test]
    fn pairs_beyond_the_most_confused_are_counted() {
        let classes = MAX_CONFUSION + 50;
        // Each class is taken for the next one, class 7 twice.
        let labels: Vec<u32> = (0..classes as u32).chain([7]).collect();
        let mut decision = vec![0.0; labels.len() * classes];
        for (row, &label) in labels.iter().enumerate() {
            decision[row * classes + (label as usize + 1) % classes] = 1.0;
        }
        let scores = Scores {
            classes,
            decision,
            probability: None,
        };
        let found = evaluate(&labels, &names(classes), &scores);
        assert_eq!(
            (found.confused[0].label.as_str(), found.confused[0].rows),
            ("class 7", 2)
        );
        assert_eq!(
            (found.confused.len(), found.confused_left_out),
            (MAX_CONFUSED, 50)
        );
    }
}

#[test]
fn probabilities_are_the_softmax() {
    let scores = Scores::of_logits(vec![0.0, 0.0, 1000.0, 0.0, 0.0, 3f32.ln()], 2);
    let expected = [0.5, 0.5, 1.0, 0.0, 0.25, 0.75];
    let probability = scores.probability.unwrap();
    assert!(
        probability
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-6),
        "{probability:?}"
    );
}
