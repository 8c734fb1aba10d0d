//! Every code of a finding about data, with what it means.

/// A kind of finding. Codes are stable: a message may be reworded, its code stays.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Such as `D014`.
    pub id: &'static str,
    /// What it means, in a few words.
    pub meaning: &'static str,
    /// What is counted: `row`, `file`, ...
    pub unit: &'static str,
}

macro_rules! codes {
    ($($name:ident = $id:literal, $unit:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: Code = Code { id: $id, meaning: $meaning, unit: $unit };)*
        /// All codes, in order.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    UNREADABLE = "D001", "file", "the file or folder cannot be read";
    NO_FILES = "D002", "folder", "the folder holds no data files";
    NO_ROWS = "D003", "file", "there are no rows";
    COLUMN_TWICE = "D004", "file", "the header names a column twice";
    NO_COLUMN = "D005", "file", "there is no such column";
    DAMAGED = "D006", "file", "the compressed data is damaged or cut off";
    FOREIGN = "D007", "file", "the file is of a kind that is not read";
    ENCODING = "D008", "name", "the encoding is not known";
    PARQUET = "D009", "file", "the parquet file cannot be read";
    FIELD_COUNT = "D010", "row", "the row has more or fewer fields than the header";
    OPEN_QUOTE = "D011", "quote", "a quote is never closed";
    NOT_UTF8 = "D012", "row", "the row is not valid in the file's encoding";
    NO_TEXT = "D013", "row", "row has no text";
    NO_LABEL = "D014", "row", "row has no label";
    NOT_JSON = "D015", "row", "the line is not a JSON object";
    WRONG_TYPE = "D016", "row", "the value is of the wrong type";
    TOO_LARGE = "D017", "row", "the record is too large";
    TOO_MANY = "D018", "file", "there are too many rows";
    STRAY_QUOTE = "D019", "row", "a field goes on after its closing quote";
    ONE_CLASS = "D020", "data set", "all rows have the same label";
    CONFLICT = "D021", "row", "the same text stands elsewhere with another label";
    DUPLICATE = "D022", "row", "the same text stands elsewhere with the same label";
    LEAK = "D023", "row", "text of the test data stands in the training data";
    LIKE_LABELS = "D024", "label", "two labels differ only in case or blanks";
    SAME_COLUMN = "D025", "name", "text and label are the same column";
}
