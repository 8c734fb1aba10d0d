//! Codes of findings about data. `docs/reference/errors.md` lists the same; a test compares them.

/// A kind of finding. Codes are stable; the wording of messages may change.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The code, such as `D014`.
    pub id: &'static str,
    /// Short description.
    pub meaning: &'static str,
    /// Unit in which findings are counted: `row`, `file`, ...
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
    NO_FILES = "D002", "folder", "the folder contains no data files";
    NO_ROWS = "D003", "file", "the data has no rows";
    DUPLICATE_COLUMN = "D004", "file", "the header has a column name twice";
    NO_COLUMN = "D005", "file", "the column does not exist";
    DAMAGED = "D006", "file", "the compressed data is damaged or truncated";
    UNSUPPORTED = "D007", "file", "the file type is not supported";
    ENCODING = "D008", "name", "the encoding is unknown";
    PARQUET = "D009", "file", "the parquet or Arrow file cannot be read";
    FIELD_COUNT = "D010", "row", "the row has more or fewer fields than the header";
    OPEN_QUOTE = "D011", "quote", "a quote is never closed";
    NOT_UTF8 = "D012", "row", "the row is not valid in the file's encoding";
    NO_TEXT = "D013", "row", "row has no text";
    NO_LABEL = "D014", "row", "row has no label";
    NOT_JSON = "D015", "row", "the line is not a JSON object";
    WRONG_TYPE = "D016", "row", "the value is of the wrong type";
    TOO_LARGE = "D017", "row", "the record is too large";
    TOO_MANY = "D018", "file", "there are too many rows";
    TEXT_AFTER_QUOTE = "D019", "row", "there is text after a field's closing quote";
    ONE_CLASS = "D020", "data set", "all rows have the same label";
    CONFLICT = "D021", "row", "the same text occurs with another label";
    DUPLICATE = "D022", "row", "the same text occurs with the same label";
    LEAK = "D023", "row", "a validation or test text is also in the training data";
    SIMILAR_LABELS = "D024", "label", "two labels differ only in case, whitespace or number format";
    SAME_COLUMN = "D025", "name", "text and label are the same column";
    DELIMITER = "D030", "file", "the delimiter is not the one of the file name";
    QUOTED_ROWS = "D031", "row", "a quoted field contains lines that look like rows";
    HEADER_ROW = "D032", "row", "the row repeats the header, or separates it from the data";
    BYTE_ORDER_MARK = "D033", "mark", "a byte order mark is inside the file";
    SKIPPED_FILE = "D034", "file", "a file in the folder is not read";
    MISSING_LABEL = "D036", "row", "the label is a word for a missing value";
    OWN_LABELS = "D037", "data set", "most rows have a label of their own";
    NEAR_LEAK = "D038", "row", "a validation or test text is almost equal to a training text";
    BLANK_QUOTE = "D039", "row", "there is a blank before a field's opening quote";
    UNKNOWN_LABEL = "D040", "label", "a validation or test label is not in the training data";
    OTHER_ENCODING = "D041", "row", "the row is UTF-8, but is read in another encoding";
    BLANK_LINE = "D042", "line", "a line of a file with one column is blank";
    CONTENT = "D043", "file", "the format of the file is known by its content only";
    OPEN_ARRAY = "D044", "file", "a JSON array is never closed";
    CLASS_NAMES = "D045", "file", "the labels are the class names of an augmented manifest";
    SINGLE_ROW = "D048", "label", "the label has a single row";
    NEAR_DUPLICATE = "D049", "row", "the text is almost equal to an earlier one";
    WEIGHT = "D050", "row", "the weight of the row is not a number of 0 or more";
    SEVERAL_LABELS = "D051", "label", "the label looks like several labels";
    ESCAPED_END = "D060", "row", "a backslash precedes the end of a field without quotes";
    SEVERAL_OBJECTS = "D061", "line", "the line has several JSON objects";
}

/// Returns the option that makes `train` drop rows with this error; `None` if nothing drops them.
pub fn drop_option(id: &str) -> Option<&'static str> {
    let missing = [NO_TEXT, NO_LABEL];
    let malformed = [
        FIELD_COUNT,
        OPEN_QUOTE,
        NOT_UTF8,
        NOT_JSON,
        WRONG_TYPE,
        WEIGHT,
    ];
    if missing.iter().any(|code| code.id == id) {
        Some("--drop-missing")
    } else if malformed.iter().any(|code| code.id == id) {
        Some("--drop-malformed")
    } else {
        None
    }
}
