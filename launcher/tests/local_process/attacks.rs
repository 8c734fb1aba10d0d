//! Local jobs: other users of the machine.

use super::*;

/// ATTACK F5: temporary folders are private from the first moment, for any umask. The trainer
/// reports the modes, once as a check of hyperparameters and once as a job.
#[test]
fn temporary_folders_are_private() {
    let jobs = toys("p-mode");
    let script = jobs.path("script");
    let seen = jobs.path("seen");
    fs::write(
        &script,
        format!(
            "#!/bin/sh\nstat -c '%a' \"$SAGEMAKER_BASE_DIR\" >> '{}'\n",
            seen.display()
        ),
    )
    .expect("written");
    run({
        let mut chmod = Command::new("chmod");
        chmod.arg("755").arg(&script);
        chmod
    });
    for umask in ["000", "027", "077"] {
        let _ = fs::remove_file(&seen);
        let mut command = Command::new("sh");
        jobs.environment(&mut command);
        let line = format!(
            "umask {umask}; exec '{}' train svm --data '{}' --output '{}' --instance-type local-process --trainer-binary '{}'",
            env!("CARGO_BIN_EXE_trainyard"),
            jobs.data().display(),
            jobs.path("out").display(),
            script.display(),
        );
        command.args(["-c", &line]);
        run(command).expect_code(0);
        let modes = fs::read_to_string(&seen).expect("the trainer ran");
        let modes: Vec<_> = modes.lines().collect();
        assert!(
            modes.len() > 1 && modes.iter().all(|mode| *mode == "700"),
            "{umask}: {modes:?}"
        );
    }
}
