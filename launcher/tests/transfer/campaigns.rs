//! Faults at random bytes, and kills; more with `./test --long`.

use std::fs;
use std::time::Duration;

use testkit::campaign::{Campaign, assert_has_help};
use testkit::{Fault, SplitMix64, start};

use crate::{PART, World, noise};

/// Adds a fault of a request that transfers `key`.
fn add_fault(world: &World, random: &mut SplitMix64) {
    let at = random.below(PART) as u64;
    let (method, part) = *random.pick(&[("PUT", "key"), ("POST", "key"), ("GET", "key")]);
    // Flipped bytes of XML are beyond the checksums of the objects.
    let (method, part, fault) = match random.below(7) {
        0 => (method, part, Fault::Answer(503, "SlowDown")),
        1 => (method, part, Fault::Answer(500, "InternalError")),
        2 => (method, part, Fault::Answer(400, "ExpiredToken")),
        3 => (method, part, Fault::CutUpload(at)),
        4 => (method, part, Fault::CutDownload(at)),
        5 => ("PUT", "key", Fault::FlipUpload(at)),
        _ => ("GET", "x-id=GetObject", Fault::FlipDownload(at)),
    };
    let (skip, times) = (random.below(3), 1 + random.below(2));
    world.proxy.fault(method, part, skip, times, fault);
}

#[test]
fn faults_and_kills_change_no_byte() {
    let world = World::new();
    world.proxy.check_digests();
    let name = "launcher: upload and download with faults and SIGKILL";
    let mut campaign = Campaign::new(name, 2, 100);
    while let Some(mut random) = campaign.next_case() {
        let size = PART + random.below(PART);
        let bytes = noise(size, random.bits());
        world.write("file", &bytes);
        for args in [
            ["upload", "file", "s3://bucket/key"],
            ["download", "s3://bucket/key", "back"],
        ] {
            world.proxy.forget();
            for _ in 0..random.below(5) {
                add_fault(&world, &mut random);
            }
            let mut running = start(world.command(&args));
            let time = Duration::from_millis(random.below(2000) as u64);
            if random.below(2) == 0 && !running.ends_within(time) {
                running.sigkill();
            }
            let outcome = running.finish(Duration::from_secs(120));
            match outcome.code() {
                Some(0) => campaign.count("finished"),
                Some(code) => {
                    assert_eq!(code, 1, "{args:?}: {}", outcome.output());
                    assert_has_help(&outcome);
                    campaign.count("ended with an error");
                }
                None => campaign.count("killed"),
            }
            world.proxy.forget();
            if outcome.code() != Some(0) {
                world.ok(&args);
            }
        }
        assert!(fs::read(world.path("back")).expect("there") == bytes);
        let names = world.names("");
        let left = names.iter().find(|name| name.contains("trainyard-"));
        assert_eq!(left, None);
        fs::remove_file(world.path("back")).expect("removed");
    }
}
