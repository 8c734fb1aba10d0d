//! Jobs in the cloud: the real binary against moto.

use serde_json::json;
use testkit::{Moto, Outcome, moto, run};

fn trainyard(moto: &Moto, arguments: &[&str]) -> Outcome {
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    command.args(arguments);
    run(command)
}

#[test]
fn moto_answers_and_records() {
    let moto = moto();
    let account = moto.boto("show(client('sts').get_caller_identity()['Account'])");
    assert_eq!(account, json!("123456789012"));
    assert_eq!(moto.requests("GetCallerIdentity").len(), 1);
    trainyard(&moto, &["--help"]).expect_code(0);
}
