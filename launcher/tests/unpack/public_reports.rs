//! Models of jobs: public reports.

use super::*;

/// LAUNCHER 04: SDK PR#3862. A job with `CompressionType` `NONE`.
#[test]
fn uncompressed_model_is_downloaded() {
    let world = World { moto: moto() };
    world.moto.boto(
        "s3 = client('s3'); s3.create_bucket(Bucket='bucket')\nfor key, body in [('config.json', b'{}'), ('sub/weights', b'123')]: s3.put_object(Bucket='bucket', Key='out/job-1/output/model/' + key, Body=body)",
    );
    let outcome = world.run(&["model", "--json"]);
    let answer = outcome.expect_code(0).json();
    assert_eq!(answer["unpacked"]["files"], 2);
    let read = |name: &str| fs::read_to_string(world.path("model").join(name)).expect("there");
    assert_eq!(
        (read("config.json"), read("sub/weights")),
        ("{}".to_owned(), "123".to_owned())
    );
    assert!(!world.path(".model.trainyard-model").exists());
    // An existing folder is replaced as by an archive.
    world.run(&["model"]).expect_code(2);
    let text = world
        .run(&["model", "--force"])
        .expect_code(0)
        .stdout
        .clone();
    assert!(
        text.contains("downloaded `s3://bucket/out/job-1/output/model/`"),
        "{text}"
    );

    let mut missing = world.moto.command(env!("CARGO_BIN_EXE_trainyard"));
    missing.args(["download", "s3://bucket/out", "x", "--job-name", "job-2"]);
    let text = run(missing).expect_code(1).stderr.clone();
    assert!(!text.contains("describe JOB"), "{text}");
}
