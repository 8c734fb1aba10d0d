use super::*;

fn layer(what: &str, tree: &Tree<'_>) -> Layer {
    let file = tempfile::tempfile().expect("a temporary file");
    Layer::compress(what, tree, file).expect("a disk with room")
}

fn image() -> Image {
    let mut tree = Tree::default();
    tree.file("usr/local/bin/svm", 0o755, b"binary");
    let layers = vec![layer("binary", &tree)];
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let config = Config::new(
        "/usr/local/bin/svm",
        &layers,
        Vec::new(),
        labels,
        "1970-01-01T00:00:00Z",
    );
    let config = serde_json::to_vec(&config).expect("JSON");
    Image::new("svm", "1.0.0-0123456789ab", config.into(), layers).expect("JSON")
}

#[test]
fn documents_follow_docker_schema() {
    let image = image();
    let config = String::from_utf8_lossy(&image.config).into_owned();
    let diff_id = &image.layers[0].diff_id;
    insta::assert_snapshot!(config.replace(diff_id, "DIFF_ID"));
    let manifest = String::from_utf8_lossy(&image.manifest).into_owned();
    let manifest = manifest
        .replace(&image.layers[0].digest, "LAYER")
        .replace(&image.id(), "CONFIG");
    insta::assert_snapshot!(manifest);
}

#[test]
fn archive_round_trip() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("image.tar");
    let image = image();
    image.write(&path).expect("it can be written");
    let again = Image::read(&path, "svm").expect("just written");
    assert_eq!(again.digest(), image.digest());
    assert_eq!(again.names(), image.names());
    assert_eq!(again.layers[0].what, "binary");
    let longest = "x".repeat(128);
    for tag in ["_", "1.0.0-a_B", &longest] {
        let known = Image {
            tag: tag.to_owned(),
            ..image.clone()
        };
        known.write(&path).expect("it can be written");
        assert_eq!(Image::read(&path, "svm").expect("valid").tag(), tag);
    }
    for tag in [
        "",
        ".a",
        "-a",
        "a b",
        "a/b",
        "a:b",
        "../x",
        "ä",
        &format!("{longest}x"),
    ] {
        let odd = Image {
            tag: tag.to_owned(),
            ..image.clone()
        };
        odd.write(&path).expect("it can be written");
        let error = Image::read(&path, "svm").expect_err("no tag");
        assert!(error.to_string().contains("its tag `"), "{error}");
    }
    image.write(&path).expect("it can be written");
    let other = Image::read(&path, "bilstm").expect_err("another trainer's");
    assert!(other.to_string().contains("trainyard/bilstm:"), "{other}");
}

#[test]
fn damaged_archive_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("image.tar");
    let mut image = image();
    // Valid gzip of files that differ from the configuration.
    let mut other = Tree::default();
    other.file("other", 0o644, b"other");
    image.layers[0].data = layer("x", &other).data;
    image.write(&path).expect("it can be written");
    let error = Image::read(&path, "svm").expect_err("damaged");
    assert!(error.to_string().contains("damaged"), "{error}");
    std::fs::write(&path, b"no tar").expect("it can be written");
    assert!(Image::read(&path, "svm").is_err());
}

#[test]
fn creation_time_follows_source_date_epoch() {
    assert_eq!(created(None).expect("valid"), "1970-01-01T00:00:00Z");
    assert_eq!(
        created(Some("1767225600")).expect("valid"),
        "2026-01-01T00:00:00Z"
    );
    for bad in ["soon", "1.5", "99999999999999999999"] {
        assert!(created(Some(bad)).is_err(), "{bad}");
    }
}

#[test]
fn tag_has_no_plus() {
    assert_eq!(tag("1.0.0+cuda", None), "1.0.0-cuda");
}
