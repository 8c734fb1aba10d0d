//! Many mutated data files, more with `./test --long`: no panic, and every row is accounted for.

use super::*;
use dataset::{RowCounts, check, sources};
use testkit::campaign::{Campaign, data_files, mutate, rows_in};

#[track_caller]
fn assert_accounted(name: &str, counts: &RowCounts) {
    let dropped: u64 = counts.dropped.values().sum();
    assert_eq!(counts.read, counts.used + dropped, "{name}: {counts:?}");
}

#[test]
fn mutated_files_lose_no_row() {
    let files = data_files();
    let mut campaign = Campaign::new("dataset: mutated data files", 1_500, 50_000);
    while let Some(mut random) = campaign.next_case() {
        let (name, whole) = random.pick(&files);
        let bytes = mutate(whole, &mut random);
        let file = given(name, &bytes);
        let options = random.pick(&[options(), dropping()]).clone();
        let sources = sources(&file.path).unwrap();
        let mut each = |_: &diagnostics::Diagnostic| {};
        let checked = check(&sources, &[], &options, 1, &GO, &mut each).unwrap();
        assert_accounted(name, &checked.rows);
        match read(&sources, &options, Texts::default, &GO) {
            Ok(rows) => {
                let counts = &rows.counts;
                assert_accounted(name, counts);
                assert_eq!(counts.used, rows.order.len() as u64, "{name}");
                // Only `read` computes checksums.
                let number =
                    |counts: &RowCounts| (counts.read, counts.used, counts.dropped.clone());
                assert_eq!(number(counts), number(&checked.rows), "{name}");
                if let Some(expected) = rows_in(name, &bytes) {
                    assert_eq!(counts.read, expected, "{name}: {}", rows.findings);
                }
                campaign.count("accepted");
            }
            Err(ReadError::Data(bad)) => {
                assert_accounted(name, &bad.counts);
                let message = bad.findings.to_string();
                let has_help = message.contains("error[") && message.contains("help: ");
                assert!(has_help, "{name}: {message}");
                assert!(checked.findings.has_errors(), "{name}: {message}");
                campaign.count("refused");
            }
            Err(ReadError::Stopped) => panic!("not stopped"),
        }
    }
}
