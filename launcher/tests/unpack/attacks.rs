//! Models of jobs: other users of the machine.

use super::*;

/// ATTACK F5: the folder of an unfinished download is private, for any umask.
#[test]
fn work_folder_is_private() {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    tar.append_data(&mut header, "config.json", &b"1234"[..])
        .expect("in memory");
    let archive = tar
        .into_inner()
        .and_then(|gz| gz.finish())
        .expect("in memory");
    let world = World::new(&archive);
    let mut command = world.moto.command("sh");
    let line = format!(
        "umask 0; exec '{}' download s3://bucket/out model --job-name job-1 --max-unpacked 1",
        env!("CARGO_BIN_EXE_trainyard")
    );
    command.args(["-c", &line]);
    run(command).expect_code(1);
    // The archive is kept for the next run.
    let work = fs::metadata(world.path(".model.trainyard-model")).expect("kept");
    assert_eq!(work.permissions().mode() & 0o777, 0o700);
}
