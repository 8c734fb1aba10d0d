//! Reads tar archives from untrusted sources as a stream of entries.
//!
//! The tar crate reads names of any length into memory and accepts an archive that ends between two
//! entries. This reader limits names and requires the end marker; it uses the crate for single
//! headers only.

use std::io::{self, Read};

use tar::{EntryType, Header};

const BLOCK: usize = 512;
/// Linux limits paths to 4,096 bytes; extended headers have a few other fields too.
const MAX_NAME_BYTES: u64 = 64 << 10;

/// Reads entries in sequence.
pub struct TarReader<R> {
    source: R,
    /// Unread bytes of the current entry.
    left: u64,
    padding: u64,
    /// Bytes read from the source.
    position: u64,
}

/// Header of an entry; nothing is validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path, as in the archive.
    pub path: Vec<u8>,
    /// Target of a link, as in the archive.
    pub link: Option<Vec<u8>>,
    /// Kind of the entry.
    pub kind: Kind,
    /// Size of the data in bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
}

/// Kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    File,
    /// Directory.
    Folder,
    /// Hard or symbolic link; with a description.
    Link(&'static str),
    /// Anything else, with a description such as `a device`.
    Other(&'static str),
}

/// Fields of extended headers, which override those of the header.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> TarReader<R> {
    /// Creates a reader at the start of an archive.
    pub fn new(source: R) -> Self {
        Self {
            source,
            left: 0,
            padding: 0,
            position: 0,
        }
    }

    /// Returns the offset of the next byte; right after [`Self::next_entry`], that of the entry's
    /// data.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Skips the rest of the current entry and returns the next one; none at the end of the
    /// archive.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut extended = Extended::default();
        loop {
            self.skip()?;
            let mut block = [0; BLOCK];
            self.source.read_exact(&mut block).map_err(cut_off)?;
            self.position += BLOCK as u64;
            if block == [0; BLOCK] {
                self.drain()?;
                return Ok(None);
            }
            let header = Header::from_byte_slice(&block);
            check_sum(header, &block)?;
            let kind = header.entry_type();
            let size = header.entry_size()?;
            match kind {
                EntryType::GNULongName => extended.path = Some(self.long_name(size, "name")?),
                EntryType::GNULongLink => extended.link = Some(self.long_name(size, "link")?),
                EntryType::XHeader => extended.read(&self.short(size, "extended header")?)?,
                EntryType::XGlobalHeader => drop(self.short(size, "extended header")?),
                _ => return self.entry(header, kind, extended, size).map(Some),
            }
        }
    }

    /// Reads the data of an entry with a long name.
    fn long_name(&mut self, size: u64, what: &str) -> io::Result<Vec<u8>> {
        let mut name = self.short(size, what)?;
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        extended: Extended,
        size: u64,
    ) -> io::Result<Entry> {
        let size = extended.size.unwrap_or(size);
        let kind = match kind {
            EntryType::Regular => Kind::File,
            EntryType::Directory => Kind::Folder,
            EntryType::Link => Kind::Link("a hard link"),
            EntryType::Symlink => Kind::Link("a symbolic link"),
            EntryType::Char | EntryType::Block => Kind::Other("a device"),
            EntryType::Fifo => Kind::Other("a named pipe"),
            EntryType::GNUSparse => Kind::Other("a sparse file"),
            _ => Kind::Other("of an unknown kind"),
        };
        self.data(if kind == Kind::File { size } else { 0 })?;
        Ok(Entry {
            path: extended
                .path
                .unwrap_or_else(|| header.path_bytes().into_owned()),
            link: extended
                .link
                .or_else(|| header.link_name_bytes().map(|name| name.into_owned())),
            kind,
            size,
            mode: header.mode().unwrap_or(0),
        })
    }

    fn data(&mut self, size: u64) -> io::Result<()> {
        let padded = size
            .checked_next_multiple_of(BLOCK as u64)
            .ok_or_else(|| invalid(format!("an entry of {size} bytes")))?;
        self.left = size;
        self.padding = padded - size;
        Ok(())
    }

    /// Skips data and padding of the current entry.
    fn skip(&mut self) -> io::Result<()> {
        let all = self.left.saturating_add(self.padding);
        let passed = io::copy(&mut (&mut self.source).take(all), &mut io::sink())?;
        self.position += passed;
        (self.left, self.padding) = (0, 0);
        if passed < all {
            return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    /// Reads the data of an extension entry.
    fn short(&mut self, size: u64, what: &str) -> io::Result<Vec<u8>> {
        if size > MAX_NAME_BYTES {
            return Err(invalid(format!(
                "a {what} of {size} bytes, expected at most {MAX_NAME_BYTES}"
            )));
        }
        self.data(size)?;
        let mut data = Vec::new();
        self.take(size).read_to_end(&mut data)?;
        Ok(data)
    }

    /// Reads to the end of the source: gzip's checksum is behind the last block.
    fn drain(&mut self) -> io::Result<()> {
        let mut block = [0; 4096];
        loop {
            let read = self.source.read(&mut block)?;
            if read == 0 {
                return Ok(());
            }
            if block[..read].iter().any(|byte| *byte != 0) {
                return Err(invalid("bytes after the end of the archive".to_owned()));
            }
        }
    }
}

/// Reads the data of the current entry.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let max = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if max == 0 {
            return Ok(0);
        }
        let read = self.source.read(&mut buffer[..max])?;
        if read == 0 {
            return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
        }
        self.left -= read as u64;
        self.position += read as u64;
        Ok(read)
    }
}

impl Extended {
    /// Parses records `LENGTH KEY=VALUE\n`; the length includes the whole record.
    fn read(&mut self, mut records: &[u8]) -> io::Result<()> {
        let broken = || invalid("an extended header that cannot be read".to_owned());
        while !records.is_empty() {
            let space = records
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(broken)?;
            let length: usize = std::str::from_utf8(&records[..space])
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(broken)?;
            if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
                return Err(broken());
            }
            let record = &records[space + 1..length - 1];
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(broken)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if key == b"path" {
                self.path = Some(value.to_vec());
            } else if key == b"linkpath" {
                self.link = Some(value.to_vec());
            } else if key == b"size" {
                let size = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
                self.size = Some(size.ok_or_else(broken)?);
            } else if key.starts_with(b"GNU.sparse.") {
                return Err(invalid("a sparse file".to_owned()));
            }
            records = &records[length..];
        }
        Ok(())
    }
}

/// Verifies the checksum: the sum of all bytes, with its own field as spaces.
fn check_sum(header: &Header, block: &[u8; BLOCK]) -> io::Result<()> {
    let sum = |range: &[u8]| range.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let found = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
    match header.cksum() {
        Ok(expected) if expected == found => Ok(()),
        _ => Err(invalid("a header with a wrong checksum".to_owned())),
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn cut_off(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "it ends too early"),
        _ => error,
    }
}
