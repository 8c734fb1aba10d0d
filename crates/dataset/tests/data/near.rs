//! Texts that share most of their words, and labels with a single row.

mod public_reports {
    use std::collections::HashSet;

    use crate::*;
    use dataset::random::Random;
    use dataset::{CheckSummary, check, codes};
    use testkit::{Row, to_csv};

    /// Returns the summary of `check` and the findings with this code.
    fn checked(train: &Given, test: Option<&Given>, code: &str) -> (CheckSummary, Vec<String>) {
        let (train, test) = (train.source(), test.map(Given::source).unwrap_or_default());
        let mut found = Vec::new();
        let mut each = |finding: &diagnostics::Diagnostic| {
            if finding.code == code {
                found.push(finding.to_string());
            }
        };
        let options = ReadOptions {
            sketches: true,
            ..options()
        };
        let summary = check(&train, &test, &options, 1000, &GO, &mut each).unwrap();
        (summary, found)
    }

    /// Jaccard's similarity of the sequences of five words.
    fn similarity(a: &str, b: &str) -> f64 {
        let sequences = |text: &str| -> HashSet<Vec<String>> {
            let words = text.split_whitespace();
            let words: Vec<String> = words
                .map(|word| word.trim_end_matches(',').to_lowercase())
                .collect();
            words.windows(5).map(<[String]>::to_vec).collect()
        };
        let (a, b) = (sequences(a), sequences(b));
        a.intersection(&b).count() as f64 / a.union(&b).count() as f64
    }

    /// Returns pairs of a text of 120 words and one in which up to four words are others.
    fn pairs() -> Vec<(Row, Row)> {
        let mut random = Random::new(17, &[]);
        let mut word = || format!("w{}", (random.uniform() * 500.0) as u32);
        let pair = |row: usize| {
            let words: Vec<String> = (0..120).map(|_| word()).collect();
            let mut other = words.clone();
            for change in 0..[0, 1, 3, 4][row % 4] {
                other[7 + 25 * change] = format!("new{row}");
            }
            let label = ["x", "y"][row % 2].to_owned();
            let row = |text: String| Row {
                text,
                label: label.clone(),
            };
            (row(words.join(" ")), row(other.join(", ").to_uppercase()))
        };
        (0..60).map(pair).collect()
    }

    /// Issue 17, DATA 35 (OpenTextShield#195): MinHash finds the pairs that are similar enough, and
    /// no others.
    #[test]
    fn almost_equal_texts_are_found_by_their_words() {
        let mut pairs = pairs();
        "y".clone_into(&mut pairs[4].1.label);
        let is_similar = |pair: &&(Row, Row)| similarity(&pair.0.text, &pair.1.text) >= 0.8;
        let expected = pairs.iter().filter(is_similar).count();
        assert_eq!(expected, 30);

        let rows: Vec<Row> = pairs
            .iter()
            .flat_map(|(a, b)| [a.clone(), b.clone()])
            .collect();
        let (summary, found) = checked(&given("a.csv", to_csv(&rows)), None, "D049");
        assert_eq!(summary.findings.count(&codes::NEAR_DUPLICATE), 30);
        assert_eq!(found.len(), 30);
        for (row, parts) in [
            (
                0,
                [
                    "shares 100 % of the sequences of 5 words with the text at",
                    "the same label",
                ],
            ),
            (
                1,
                ["shares 91 % of", "(record 3)`, which has the same label"],
            ),
            (
                2,
                ["shares 100 % of", "which has the label `x`, here it is `y`"],
            ),
        ] {
            assert!(
                parts.iter().all(|part| found[row].contains(part)),
                "{found:#?}"
            );
        }

        let (train, test): (Vec<Row>, Vec<Row>) = pairs.into_iter().unzip();
        let [train, test] = [train, test].map(|rows| given("a.csv", to_csv(&rows)));
        let (summary, found) = checked(&train, Some(&test), "D038");
        assert_eq!(summary.findings.count(&codes::NEAR_LEAK), 30);
        assert_eq!(summary.findings.count(&codes::NEAR_DUPLICATE), 0);
        let near = "shares 91 % of the sequences of 5 words with the text of the training data at";
        let by_words = found.iter().filter(|text| text.contains(near)).count();
        assert_eq!(by_words, 15, "{found:#?}");
    }

    /// Issue 17: in Chinese, Japanese and Thai, letters take the place of words.
    #[test]
    fn almost_equal_texts_without_blanks_are_found() {
        let letters = |from: u32| -> String {
            let letters = (from..from + 200).filter_map(char::from_u32);
            letters.collect()
        };
        let rows = |change: bool| -> Given {
            let row = |row: u32| {
                let mut text = letters(0x4e00 + 300 * row);
                if change {
                    text = text.replacen(char::from_u32(0x4e00 + 300 * row + 9).unwrap(), "龥", 1);
                }
                format!("{text},{}\n", row % 2)
            };
            let rows: String = (0..40).map(row).collect();
            given("a.csv", format!("text,label\n{rows}"))
        };
        // Of 196 sequences, 5 are others: similarity 191 / 201.
        let (summary, found) = checked(&rows(false), Some(&rows(true)), "D038");
        assert_eq!(summary.findings.count(&codes::NEAR_LEAK), 40);
        assert!(found[0].contains("shares 95 % of"), "{}", found[0]);
        let (summary, _) = checked(&rows(false), None, "D049");
        assert_eq!(summary.findings.count(&codes::NEAR_DUPLICATE), 0);
    }

    /// Equal texts are a finding of their own, and short texts are not compared.
    #[test]
    fn equal_and_short_texts_are_not_almost_equal() {
        let text = "one two three four five six";
        let rows = format!("text,label\n{text},x\n{text},y\na film,x\nA film,y\n");
        let (summary, _) = checked(&given("a.csv", rows), None, "");
        assert_eq!(summary.findings.count(&codes::CONFLICT), 1);
        assert_eq!(summary.findings.count(&codes::NEAR_DUPLICATE), 0);
    }

    /// Issue 17: labels that never repeat, in data of some size.
    #[test]
    fn labels_with_a_single_row_are_counted() {
        let rows = |count: usize, single: &str| {
            let rows: String = (0..count)
                .map(|row| format!("{row},{}\n", row % 2))
                .collect();
            let file = given("a.csv", format!("text,label\n{rows}{single}"));
            let (summary, found) = checked(&file, None, "D048");
            (summary.findings.count(&codes::SINGLE_ROW), found)
        };
        let (count, found) = rows(30, "a,b\nc,d\n");
        assert_eq!(count, 2);
        assert!(found[0].contains("labels with a single row") && found[0].contains("`b`, `d`"));
        assert!(found[0].contains("add rows with them, or join labels"));
        assert!(rows(30, "a,b\n").1[0].contains("add rows with it, or join labels"));
        assert_eq!(rows(30, "").0, 0);
        assert_eq!(rows(10, "a,b\n").0, 0);
    }
}
