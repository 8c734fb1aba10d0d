//! Local jobs: public reports.

use super::*;

/// USER 11: commands about a local job say where its results are, without a region.
#[test]
fn local_job_is_told_from_a_job_on_sagemaker() {
    let jobs = toys("p-told");
    let answer = jobs.toy("quick", &[]).expect_code(0).json();
    let job = answer["name"].as_str().expect("a name");
    let results = jobs.path("out").join(job).join("output");
    for arguments in [
        &["status", job][..],
        &["describe", job],
        &["logs", job],
        &["download", "model", "--job-name", job],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
        jobs.environment(&mut command);
        command.env_remove("AWS_REGION").args(arguments);
        let text = run(command).expect_code(1).stderr.clone();
        assert!(
            text.contains(&format!("job `{job}` is a local job"))
                && text.contains(&format!("its results are in `{}`", results.display()))
                && text.contains("model.tar.gz -C model` unpacks its model")
                && !text.contains("no AWS region"),
            "{text}"
        );
        // The command of the help line works.
        let line = text
            .split('`')
            .find(|part| part.starts_with("mkdir"))
            .expect("a command");
        let mut shell = Command::new("sh");
        let _ = fs::remove_dir_all(jobs.path("model"));
        shell.args(["-c", line]).current_dir(jobs.folder.path());
        run(shell).expect_code(0);
        assert!(
            jobs.path("model")
                .read_dir()
                .expect("unpacked")
                .next()
                .is_some()
        );
    }
    let mut other = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    jobs.environment(&mut other);
    other
        .env_remove("AWS_REGION")
        .args(["status", "another-job"]);
    let text = run(other).expect_code(2).stderr.clone();
    assert!(text.contains("no AWS region"), "{text}");
}
