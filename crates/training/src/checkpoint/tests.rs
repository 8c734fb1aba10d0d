use serde_json::json;

use super::*;
use testkit::campaign::{Campaign, files, mutate, write_files};

fn fingerprint(pairs: &[(&str, &str)]) -> Fingerprint {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Fingerprint(pairs.iter().map(owned).collect())
}

fn run() -> Fingerprint {
    fingerprint(&[("--seed", "0"), ("--epochs", "3")])
}

fn open(dir: &Path) -> (Checkpoints, Found) {
    Checkpoints::open(dir, 10, "toy", run()).unwrap()
}

fn save(checkpoints: &mut Checkpoints, step: u64) {
    let history = vec![EpochReport {
        epoch: step / 10,
        train_loss: 0.1 + 0.2,
        ..EpochReport::default()
    }];
    let state = json!({ "step": step, "third": 1.0 / 3.0 });
    let write = |dir: &Path| {
        for name in ["weights", "moments"] {
            fs::write(dir.join(name), format!("{name} {step}")).unwrap();
        }
        Ok(())
    };
    checkpoints.save(step, &state, &history, write).unwrap();
}

/// A folder with checkpoints of steps 10, 20 and 30, of which two are left.
fn saved() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let (mut checkpoints, found) = open(home.path());
    assert!(found.restored.is_none() && found.warnings.is_empty());
    for step in [10, 20, 30] {
        save(&mut checkpoints, step);
    }
    home
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn at(home: &tempfile::TempDir, step: u64) -> PathBuf {
    home.path().join(folder_name(step))
}

/// Flips one bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn restores_newest_exactly_and_keeps_two() {
    let home = saved();
    assert_eq!(
        names(home.path()),
        ["step-000000000020", "step-000000000030"]
    );
    let (checkpoints, found) = open(home.path());
    let restored = found.restored.unwrap();
    assert_eq!((restored.step, checkpoints.last()), (30, Some(30)));
    assert_eq!(restored.dir, at(&home, 30));
    assert_eq!(restored.state["third"].as_f64(), Some(1.0 / 3.0));
    assert_eq!(found.history[0].train_loss, 0.1 + 0.2);
    assert!(found.history[0].validation.is_none());
    assert!(found.warnings.is_empty());
}

#[test]
fn damaged_checkpoint_is_skipped_with_warning() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 8] = [
        ("`weights` of 10 bytes, found 4", |dir| {
            fs::write(dir.join("weights"), "weig").unwrap()
        }),
        ("`weights` does not match its sha256", |dir| {
            flip(&dir.join("weights"))
        }),
        ("`moments` is missing", |dir| {
            fs::remove_file(dir.join("moments")).unwrap()
        }),
        ("`manifest.json` is missing", |dir| {
            fs::remove_file(dir.join("manifest.json")).unwrap()
        }),
        ("`manifest.json` is damaged", |dir| {
            let text = fs::read(dir.join("manifest.json")).unwrap();
            fs::write(dir.join("manifest.json"), &text[..text.len() / 2]).unwrap();
        }),
        ("`manifest.json` is damaged", |dir| {
            fs::write(dir.join("manifest.json"), "").unwrap()
        }),
        // A changed digit of the state is valid JSON.
        ("`manifest.json` does not match its sha256", |dir| {
            let text = fs::read_to_string(dir.join("manifest.json")).unwrap();
            fs::write(dir.join("manifest.json"), text.replace("0.333", "0.332")).unwrap();
        }),
        ("`manifest.json` is missing", |dir| {
            fs::remove_dir_all(dir).unwrap();
            fs::create_dir(dir).unwrap();
        }),
    ];
    for (expected, damage) in damages {
        let home = saved();
        damage(&at(&home, 30));
        let (mut checkpoints, found) = open(home.path());
        assert_eq!(found.restored.unwrap().step, 20, "{expected}");
        assert_eq!(found.warnings.len(), 1);
        assert!(
            found.warnings[0].contains(expected),
            "{}",
            found.warnings[0]
        );
        assert!(found.warnings[0].contains("step-000000000030"));
        // The damaged one stays until a new one is written, which may have its name.
        assert_eq!(names(home.path()).len(), 2);
        save(&mut checkpoints, 30);
        assert_eq!(
            names(home.path()),
            ["step-000000000020", "step-000000000030"]
        );
        drop(checkpoints);
        assert_eq!(open(home.path()).1.restored.unwrap().step, 30);
    }
}

/// The state is that of a whole checkpoint, or none.
#[test]
fn torn_checkpoints_are_skipped() {
    let home = saved();
    let whole = files(home.path());
    let names: Vec<&String> = whole.keys().collect();
    let mut campaign = Campaign::new("training: torn checkpoints", 300, 30_000);
    while let Some(mut random) = campaign.next_case() {
        let mut torn = whole.clone();
        for _ in 0..=random.below(3) {
            let name = *random.pick(&names);
            torn.insert(name.clone(), mutate(&whole[name], &mut random));
        }
        if random.below(4) == 0 {
            torn.remove(*random.pick(&names));
        }
        write_files(home.path(), &torn);
        let (_checkpoints, found) = open(home.path());
        let is_same = |file: &str, step: u64| {
            let name = format!("{}/{file}", folder_name(step));
            torn.get(&name) == whole.get(&name)
        };
        let has_data = |step| is_same("weights", step) && is_same("moments", step);
        let is_whole = |step| has_data(step) && is_same("manifest.json", step);
        match found.restored {
            Some(restored) => {
                let step = restored.step;
                assert!(has_data(step) && (step == 30 || !is_whole(30)), "{step}");
                assert_eq!(restored.state, json!({ "step": step, "third": 1.0 / 3.0 }));
                campaign.count("restored");
            }
            None => {
                assert!(!is_whole(20) && !is_whole(30));
                campaign.count("started again");
            }
        }
    }
}

#[test]
fn starts_from_beginning_if_all_are_damaged() {
    let home = saved();
    for step in [20, 30] {
        flip(&at(&home, step).join("weights"));
    }
    let (mut checkpoints, found) = open(home.path());
    assert!(found.restored.is_none() && found.history.is_empty());
    assert!(
        found.warnings[1].contains("training starts from the beginning"),
        "{:?}",
        found.warnings
    );
    save(&mut checkpoints, 10);
    assert_eq!(names(home.path()), ["step-000000000010"]);
}

#[test]
fn checkpoint_with_wrong_step_is_damaged() {
    let home = saved();
    fs::remove_dir_all(at(&home, 30)).unwrap();
    fs::rename(at(&home, 20), at(&home, 30)).unwrap();
    let (_checkpoints, found) = open(home.path());
    assert!(found.restored.is_none() && found.warnings[0].contains("it belongs to step 20"));
}

#[test]
fn unset_flag_equals_false() {
    let home = saved();
    let mut same = run();
    same.0.insert("--no-buckets".to_owned(), "false".to_owned());
    assert!(Checkpoints::open(home.path(), 10, "toy", same.clone()).is_ok());
    same.0.insert("--no-buckets".to_owned(), "true".to_owned());
    assert!(Checkpoints::open(home.path(), 10, "toy", same).is_err());
}

#[test]
fn other_run_is_refused_and_folder_is_unchanged() {
    let home = saved();
    let refused = |trainer: &str, run: Fingerprint| {
        let error = Checkpoints::open(home.path(), 10, trainer, run)
            .err()
            .unwrap();
        error
            .to_string()
            .replace(&home.path().display().to_string(), "DIR")
    };
    let other = fingerprint(&[("--seed", "1"), ("--device", "cpu")]);
    assert_eq!(
        refused("toy", other),
        "error: the checkpoint `DIR/step-000000000030` belongs to another run: --device is not set in the checkpoint \
         and `cpu` in this run; --epochs is `3` in the checkpoint and not set in this run; --seed is `0` in the \
         checkpoint and `1` in this run\n  help: to resume, use the values of the checkpoint; to start over, choose \
         another --checkpoint-dir (in a job, another S3 folder for checkpoints) or delete the checkpoints"
    );
    assert!(
        refused("other", run())
            .contains("the trainer is `toy` in the checkpoint and `other` in this run")
    );
    let many: Vec<String> = (0..9).map(|number| format!("--x{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    assert!(refused("toy", fingerprint(&many)).contains("; 6 more\n"));
    assert_eq!(
        names(home.path()),
        ["step-000000000020", "step-000000000030"]
    );
}

#[test]
fn partial_folders_of_dead_processes_are_removed() {
    let home = saved();
    // Left by a killed process: without a lock.
    let partial = Staged::inside(home.path()).unwrap().path().to_owned();
    fs::create_dir(&partial).unwrap();
    fs::copy(
        at(&home, 30).join("manifest.json"),
        partial.join("manifest.json"),
    )
    .unwrap();
    for name in ["notes.txt", "step-40", ".partial-mine"] {
        fs::write(home.path().join(name), "the user's").unwrap();
    }
    let (mut checkpoints, found) = open(home.path());
    assert_eq!(found.restored.unwrap().step, 30);
    assert!(!partial.exists());
    save(&mut checkpoints, 40);
    let left = [
        ".partial-mine",
        "notes.txt",
        "step-000000000030",
        "step-000000000040",
        "step-40",
    ];
    assert_eq!(names(home.path()), left);
}

#[test]
fn failed_write_keeps_previous_checkpoints() {
    let home = saved();
    let (mut checkpoints, _) = open(home.path());
    let failed = checkpoints.save(40, &json!({}), &[], |dir| {
        fs::write(dir.join("weights"), "half").unwrap();
        Err(Error::io("write", dir)(io::ErrorKind::StorageFull.into()))
    });
    assert_eq!(failed.unwrap_err().kind(), diagnostics::ErrorKind::Io);
    assert_eq!(
        names(home.path()),
        ["step-000000000020", "step-000000000030"]
    );
    assert!(checkpoints.due(40, false), "the next try");
}

#[test]
fn folder_is_locked_by_one_process() {
    let home = saved();
    let (first, _) = open(home.path());
    let error = Checkpoints::open(home.path(), 0, "toy", run())
        .err()
        .unwrap();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    open(home.path());
}

#[test]
fn due_once_per_interval_and_epoch() {
    let home = tempfile::tempdir().unwrap();
    let (mut checkpoints, _) = open(home.path());
    assert!(checkpoints.due(10, false) && checkpoints.due(7, true) && !checkpoints.due(7, false));
    save(&mut checkpoints, 10);
    assert!(!checkpoints.due(10, true));
    drop(checkpoints);
    let (epochs, _) = Checkpoints::open(home.path(), 0, "toy", run()).unwrap();
    assert!(!epochs.due(20, false) && epochs.due(20, true));
}

#[test]
fn newer_format_is_refused_not_damaged() {
    let home = saved();
    let path = at(&home, 30).join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let sealed: Value = serde_json::from_str(&text).unwrap();
    let old =
        diagnostics::sha256(&text.as_bytes()[text.find("{\"format\"").unwrap()..text.len() - 1]);
    assert_eq!(sealed["sha256"], old, "checksum of the manifest");
    let newer = text[text.find("{\"format\"").unwrap()..text.len() - 1]
        .replace("\"version\":1", "\"version\":2");
    let sum = diagnostics::sha256(newer.as_bytes());
    fs::write(
        &path,
        format!("{{\"sha256\":\"{sum}\",\"manifest\":{newer}}}"),
    )
    .unwrap();
    let error = Checkpoints::open(home.path(), 10, "toy", run())
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("found format `trainyard-checkpoint 2`"),
        "{error}"
    );
}
