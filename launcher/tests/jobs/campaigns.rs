//! Random faults of AWS; more with `./test --long`.

use std::collections::BTreeSet;

use testkit::campaign::{Campaign, assert_has_help};

use crate::cloud::{jobs, moto, train_with};

const OPERATIONS: [&str; 4] = [
    "CreateTrainingJob",
    "DescribeTrainingJob",
    "DescribeLogStreams",
    "GetLogEvents",
];
const KINDS: [&str; 5] = ["throttle", "500", "503", "drop_before", "drop_after"];

#[test]
fn faults_never_submit_a_job_twice() {
    let moto = moto();
    let mut campaign = Campaign::new("launcher: jobs with faults of AWS", 3, 60);
    while let Some(mut random) = campaign.next_case() {
        moto.forget();
        let before = jobs(&moto).len();
        for _ in 0..=random.below(4) {
            let (operation, kind) = (*random.pick(&OPERATIONS), *random.pick(&KINDS));
            let times = if random.below(2) == 0 { 1 } else { 3 };
            moto.fault(operation, kind, times);
        }
        let outcome = train_with(&moto, &["--json"]);
        let requests = moto.requests("CreateTrainingJob");
        let name = |request: &serde_json::Value| request["body"]["TrainingJobName"].to_string();
        let names: BTreeSet<String> = requests.iter().map(name).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let created = jobs(&moto).len() - before;
        if outcome.code() == Some(0) {
            assert_eq!(created, 1, "{}", outcome.output());
            campaign.count("finished");
        } else {
            outcome.expect_code(1);
            assert_has_help(&outcome);
            assert!(created <= 1, "{}", outcome.output());
            campaign.count("ended with an error");
        }
    }
}
