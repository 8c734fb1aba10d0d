//! Checks of the objects of a channel: a job that cannot read them is not submitted.

use aws_sdk_s3::types::{Object, ObjectStorageClass};
use diagnostics::{Error, Result, eprint_line, sanitize};

use crate::aws::Aws;
use crate::aws::errors::restore_help;
use crate::job::S3Url;
use crate::output::quoted;

/// Channels with rows. Others have files of any kind, such as a pretrained model.
const DATA_CHANNELS: [&str; 3] = ["train", "validation", "test"];

/// Extensions of files in which no trainer finds rows.
const NO_ROWS: [&str; 20] = [
    "text", "md", "log", "html", "xml", "pdf", "doc", "docx", "xls", "xlsx", "ods", "zip", "tar",
    "tgz", "rar", "7z", "pkl", "npy", "npz", "h5",
];

/// Bytes of a file that are searched for a manifest.
const MANIFEST_START: &str = "bytes=0-4095";

/// Refuses objects that a job cannot read; warns of siblings of the folder.
pub(super) async fn check(aws: &Aws, channel: &str, url: &S3Url, all: &[Object]) -> Result<()> {
    archived(channel, url, all)?;
    if DATA_CHANNELS.contains(&channel) {
        if let [one] = all {
            manifest(aws, channel, url, one).await?;
        }
        unreadable(channel, url, all)?;
    }
    warn_of_siblings(channel, url, all.iter().filter_map(Object::key));
    Ok(())
}

/// Warns of objects outside of the folder that the prefix selects, too.
pub(crate) fn warn_of_siblings<'a>(
    channel: &str,
    url: &S3Url,
    mut keys: impl Iterator<Item = &'a str>,
) {
    if let Some(other) = keys.find(|key| url.is_sibling(key)) {
        eprint_line(format!(
            "warning: channel `{channel}`: SageMaker reads every object whose key starts with `{url}`, \
             including `s3://{}/{}`\n  help: pass `{}` for this folder only",
            url.bucket,
            sanitize(other),
            url.join("")
        ));
    }
}

/// Refuses objects that must be restored before they can be read.
fn archived(channel: &str, url: &S3Url, all: &[Object]) -> Result<()> {
    let is_archived = |object: &&Object| {
        let is_cold = matches!(
            object.storage_class(),
            Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive)
        );
        // A restored copy has an expiry date.
        let restore = object.restore_status();
        is_cold && restore.is_none_or(|restore| restore.restore_expiry_date().is_none())
    };
    let found: Vec<_> = all.iter().filter(is_archived).collect();
    let Some(first) = found.first() else {
        return Ok(());
    };
    let key = first.key().unwrap_or_default();
    let class = first.storage_class().map_or("", ObjectStorageClass::as_str);
    Err(Error::new(format!(
        "channel `{channel}`: `s3://{}/{}`{} is archived in the storage class {class}, and a job cannot read it",
        url.bucket,
        sanitize(key),
        more(found.len())
    ))
    .help(restore_help(&url.bucket, key)))
}

/// Refuses data without any file that has rows.
fn unreadable(channel: &str, url: &S3Url, all: &[Object]) -> Result<()> {
    let keys: Vec<&str> = all.iter().filter_map(Object::key).collect();
    if keys.is_empty() || !keys.iter().all(|key| has_no_rows(key)) {
        return Ok(());
    }
    let first = keys.first().copied().unwrap_or_default();
    Err(Error::usage(format!(
        "channel `{channel}`: there are no data files at `{url}`, only files such as `s3://{}/{}`",
        url.bucket,
        sanitize(first)
    ))
    .help(
        "expected .csv, .tsv, .jsonl, .parquet or .arrow files, or .gz and .zst of these; convert \
         the data",
    ))
}

fn has_no_rows(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key).to_lowercase();
    let packed = [".gz", ".zst"]
        .iter()
        .find_map(|end| name.strip_suffix(end));
    let (_, extension) = packed.unwrap_or(&name).rsplit_once('.').unwrap_or_default();
    NO_ROWS.contains(&extension)
}

/// Refuses a manifest: a job with the data type `S3Prefix` would get the list and not its objects.
async fn manifest(aws: &Aws, channel: &str, url: &S3Url, object: &Object) -> Result<()> {
    let key = object.key().unwrap_or_default();
    let name = key.rsplit('/').next().unwrap_or(key);
    if name.contains('.') && !name.ends_with(".json") && !name.ends_with(".manifest") {
        return Ok(());
    }
    let get = aws.s3().get_object().bucket(&url.bucket).key(key);
    // These credentials may not be allowed to read it, then the job tells.
    let Ok(response) = get.range(MANIFEST_START).send().await else {
        return Ok(());
    };
    let Ok(start) = response.body.collect().await else {
        return Ok(());
    };
    let start = String::from_utf8_lossy(&start.into_bytes()).into_owned();
    let Some(prefix) = manifest_prefix(&start) else {
        return Ok(());
    };
    Err(Error::usage(format!(
        "channel `{channel}`: `s3://{}/{}` is a manifest, and the job would read the list itself",
        url.bucket,
        sanitize(key)
    ))
    .help(format!(
        "pass the prefix of its objects: `{}`",
        quoted(prefix)
    )))
}

/// Returns the prefix of a manifest: `[{"prefix": "s3://bucket/"}, "key", ...]`.
fn manifest_prefix(text: &str) -> Option<&str> {
    let object = text.trim_start().strip_prefix('[')?.trim_start();
    let name = object.strip_prefix('{')?.trim_start();
    let value = name.strip_prefix("\"prefix\"")?.trim_start();
    let value = value.strip_prefix(':')?.trim_start().strip_prefix('"')?;
    value.split('"').next()
}

/// Counts the objects besides the first one.
fn more(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        _ => format!(" (and {} more)", count - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_manifests_and_files_without_rows() {
        let manifest = "\n[ {\"prefix\" : \"s3://b/p/\"},\n\"a.csv\"]";
        assert_eq!(manifest_prefix(manifest), Some("s3://b/p/"));
        for other in ["[{\"text\": \"a\"}]", "{\"prefix\": \"s3://b/\"}", ""] {
            assert_eq!(manifest_prefix(other), None, "{other}");
        }
        for (key, expected) in [
            ("d.csv/a.MD", true),
            ("a.md.gz", true),
            ("a.txt", false),
            ("a.csv.gz", false),
            ("part-0000", false),
            ("a.json", false),
            ("a.manifest", false),
        ] {
            assert_eq!(has_no_rows(key), expected, "{key}");
        }
    }
}
