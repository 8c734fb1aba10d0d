//! Checksums of objects, and comparing them with files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use aws_sdk_s3::types::ChecksumType;
use aws_smithy_checksums::ChecksumAlgorithm;
use aws_smithy_checksums::http::HttpChecksum;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};

use crate::parts::Part;

/// Bytes per read.
const CHUNK: u64 = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Aws(ChecksumAlgorithm),
    /// The ETag of an object that is stored unencrypted.
    Md5,
}

/// Input of the stored checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChecksumScope {
    Whole,
    /// The checksum of the parts' checksums.
    Parts,
    /// Unknown: some servers that imitate S3 do not tell.
    Either,
}

/// An object's checksum, as S3 stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredChecksum {
    pub(crate) algorithm: Algorithm,
    digest: Vec<u8>,
    of: ChecksumScope,
    /// Number of parts, where S3 tells: `VALUE-COUNT`.
    pub(crate) parts: Option<usize>,
}

/// Headers of HeadObject and GetObject, which are two types with the same fields.
#[derive(Debug, Default)]
pub(crate) struct Headers<'a> {
    pub(crate) crc64nvme: Option<&'a str>,
    pub(crate) crc32c: Option<&'a str>,
    pub(crate) crc32: Option<&'a str>,
    pub(crate) sha256: Option<&'a str>,
    pub(crate) sha1: Option<&'a str>,
    pub(crate) kind: Option<&'a ChecksumType>,
    pub(crate) etag: Option<&'a str>,
    /// True if encrypted with a key of KMS or the customer: then the ETag is not an MD5.
    pub(crate) etag_is_opaque: bool,
}

/// Builds [`Headers`] from an SDK response.
macro_rules! headers {
    ($response:expr) => {
        $crate::checksum::Headers {
            crc64nvme: $response.checksum_crc64_nvme(),
            crc32c: $response.checksum_crc32_c(),
            crc32: $response.checksum_crc32(),
            sha256: $response.checksum_sha256(),
            sha1: $response.checksum_sha1(),
            kind: $response.checksum_type(),
            etag: $response.e_tag(),
            etag_is_opaque: $response.sse_customer_algorithm().is_some()
                || $response
                    .server_side_encryption()
                    .is_some_and(|kind| *kind != aws_sdk_s3::types::ServerSideEncryption::Aes256),
        }
    };
}
pub(crate) use headers;

impl StoredChecksum {
    /// Returns the best checksum; none if S3 has none that can be computed here.
    pub(crate) fn of(headers: &Headers<'_>) -> Option<Self> {
        use ChecksumAlgorithm as A;
        let known = [
            (A::Crc64Nvme, headers.crc64nvme),
            (A::Crc32, headers.crc32),
            (A::Crc32c, headers.crc32c),
            (A::Sha256, headers.sha256),
            (A::Sha1, headers.sha1),
        ];
        let etag = headers.etag.map(|etag| etag.trim_matches('"'));
        let counted = |value: &str| value.split_once('-').and_then(|(_, n)| n.parse().ok());
        let parted = etag.is_some_and(|etag| etag.contains('-'));
        for (algorithm, value) in known {
            let Some(value) = value else { continue };
            let parts = counted(value).or_else(|| counted(etag?));
            let (text, of_parts) = match value.split_once('-') {
                Some((text, _)) => (text, true),
                None => (value, false),
            };
            let Ok(digest) = BASE64_STANDARD.decode(text) else {
                continue;
            };
            let of = match headers.kind {
                _ if of_parts => ChecksumScope::Parts,
                Some(ChecksumType::Composite) => ChecksumScope::Parts,
                None if parted => ChecksumScope::Either,
                _ => ChecksumScope::Whole,
            };
            return Some(Self {
                algorithm: Algorithm::Aws(algorithm),
                digest,
                of,
                parts,
            });
        }
        if headers.etag_is_opaque {
            return None;
        }
        let (hex, of) = match etag?.split_once('-') {
            Some((hex, _)) => (hex, ChecksumScope::Parts),
            None => (etag?, ChecksumScope::Whole),
        };
        Some(Self {
            algorithm: Algorithm::Md5,
            digest: from_hex(hex)?,
            of,
            parts: counted(etag?),
        })
    }

    /// True if the sizes of the object's parts are needed to check it.
    pub(crate) fn needs_parts(&self) -> bool {
        self.of != ChecksumScope::Whole
    }

    /// Returns true if the file has this checksum, and none if `parts` are not the object's parts.
    pub(crate) fn matches(
        &self,
        file: &File,
        size: u64,
        parts: &[u64],
    ) -> io::Result<Option<bool>> {
        if self.of != ChecksumScope::Parts
            && self.matches_whole(&digest(self.algorithm, file, 0, size)?)
        {
            return Ok(Some(true));
        }
        if self.of == ChecksumScope::Whole {
            return Ok(Some(false));
        }
        let sum = parts
            .iter()
            .try_fold(0_u64, |sum, part| sum.checked_add(*part));
        let counted = self.parts.is_none_or(|count| count == parts.len());
        if parts.is_empty() || sum != Some(size) || !counted {
            return Ok(None);
        }
        let mut whole = Hasher::new(self.algorithm);
        let mut at = 0;
        for part in parts {
            whole.update(&digest(self.algorithm, file, at, *part)?);
            at += part;
        }
        Ok(Some(whole.finish() == self.digest))
    }

    /// Compares with a digest of the whole object.
    pub(crate) fn matches_whole(&self, digest: &[u8]) -> bool {
        self.of != ChecksumScope::Parts && digest == self.digest
    }

    /// `crc32:AAAAAA==`
    pub(crate) fn text(&self) -> String {
        match self.algorithm {
            Algorithm::Aws(algorithm) => {
                let digest = BASE64_STANDARD.encode(&self.digest);
                format!("{}:{digest}", algorithm.as_str())
            }
            Algorithm::Md5 => format!("md5:{}", diagnostics::hex(&self.digest)),
        }
    }
}

/// Hasher for any of the algorithms.
pub(crate) enum Hasher {
    Aws(Box<dyn HttpChecksum>),
    /// The algorithm of uploads; this implementation can combine the checksums of parts.
    Crc32(crc32fast::Hasher),
    Md5(Md5),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Aws(ChecksumAlgorithm::Crc32) => Self::Crc32(crc32fast::Hasher::new()),
            Algorithm::Aws(algorithm) => Self::Aws(algorithm.into_impl()),
            Algorithm::Md5 => Self::Md5(Md5::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Aws(hasher) => hasher.update(bytes),
            Self::Crc32(hasher) => hasher.update(bytes),
            Self::Md5(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Aws(hasher) => hasher.finalize().to_vec(),
            Self::Crc32(hasher) => hasher.finalize().to_be_bytes().to_vec(),
            Self::Md5(hasher) => hasher.finalize().to_vec(),
        }
    }
}

fn digest(algorithm: Algorithm, file: &File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    let mut hasher = Hasher::new(algorithm);
    each_chunk(file, offset, size, |chunk| hasher.update(chunk))?;
    Ok(hasher.finish())
}

/// Checksums of a part of a local file.
#[derive(Debug, Clone)]
pub(crate) struct PartChecksums {
    pub(crate) crc: crc32fast::Hasher,
    /// Computed on request, because it is slow.
    pub(crate) md5: Option<Vec<u8>>,
}

impl PartChecksums {
    pub(crate) fn of(file: &File, part: Part, with_md5: bool) -> io::Result<Self> {
        let mut crc = crc32fast::Hasher::new();
        let mut md5 = with_md5.then(Md5::new);
        each_chunk(file, part.offset, part.size, |chunk| {
            crc.update(chunk);
            if let Some(md5) = &mut md5 {
                md5.update(chunk);
            }
        })?;
        Ok(Self {
            crc,
            md5: md5.map(|md5| md5.finalize().to_vec()),
        })
    }

    /// Returns the CRC32 in base64.
    pub(crate) fn crc32(&self) -> String {
        crc32_text(&self.crc)
    }
}

/// Returns base64 of the big-endian bytes, as S3 does.
pub(crate) fn crc32_text(crc: &crc32fast::Hasher) -> String {
    BASE64_STANDARD.encode(crc.clone().finalize().to_be_bytes())
}

/// Calls `with` for each chunk of a range; a file that ends early is an error.
fn each_chunk(file: &File, offset: u64, size: u64, mut with: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(size.min(CHUNK)).unwrap_or(0)];
    let mut at = offset;
    let end = offset + size;
    while at < end {
        let want = usize::try_from((end - at).min(CHUNK)).unwrap_or(0);
        let chunk = &mut buffer[..want];
        file.read_exact_at(chunk, at)?;
        with(chunk);
        at += want as u64;
    }
    Ok(())
}

/// Parses 32 hexadecimal digits.
pub(crate) fn from_hex(hex: &str) -> Option<Vec<u8>> {
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(text: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text).expect("written");
        file
    }

    /// The check values of the standards.
    #[test]
    fn standard_check_values() {
        let check = file(b"123456789");
        let cases = [
            Headers {
                crc32: Some("y/Q5Jg=="),
                ..Headers::default()
            },
            Headers {
                crc32c: Some("4waSgw=="),
                ..Headers::default()
            },
            Headers {
                crc64nvme: Some("rosUhgp5mIg="),
                ..Headers::default()
            },
            Headers {
                etag: Some("\"25f9e794323b453885f5181f1b624d0b\""),
                ..Headers::default()
            },
        ];
        for headers in cases {
            let stored = StoredChecksum::of(&headers).expect("a checksum");
            assert_eq!(
                stored.matches(&check, 9, &[]).expect("read"),
                Some(true),
                "{headers:?}"
            );
            let other = file(b"123456788");
            assert_eq!(
                stored.matches(&other, 9, &[]).expect("read"),
                Some(false),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn composite_checksum_needs_part_sizes() {
        let body = file(b"abcdefghij");
        let mut outer = Md5::new();
        for part in [b"abcd".as_slice(), b"efgh", b"ij"] {
            outer.update(Md5::digest(part));
        }
        let hex: String = outer
            .finalize()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let etag = format!("\"{hex}-3\"");
        let headers = Headers {
            etag: Some(&etag),
            ..Headers::default()
        };
        let stored = StoredChecksum::of(&headers).expect("a checksum");
        assert!(stored.needs_parts());
        for (parts, same) in [
            (&[4, 4, 2][..], Some(true)),
            (&[4, 5, 1], Some(false)),
            // Wrong number of parts, or a wrong total.
            (&[], None),
            (&[5, 5], None),
            (&[4, 4, 3], None),
            (&[u64::MAX, 4, 7], None),
        ] {
            let found = stored.matches(&body, 10, parts).expect("read");
            assert_eq!(found, same, "{parts:?}");
        }
    }

    #[test]
    fn etag_of_encrypted_object_is_ignored() {
        let headers = Headers {
            etag: Some("\"25f9e794323b453885f5181f1b624d0b\""),
            etag_is_opaque: true,
            ..Headers::default()
        };
        assert_eq!(StoredChecksum::of(&headers), None);
    }
}
