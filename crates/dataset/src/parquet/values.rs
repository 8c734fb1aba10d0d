//! Values of columns as text, by their type: the logical one of a parquet column.

use std::io::Write as _;

use chrono::{DateTime, NaiveTime};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::data_type::Int96;
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::ColumnDescriptor;

use super::file_error;
use crate::block::KeptField;
use crate::delimited::Field;
use crate::input::FileError;

/// Type of the values of a column.
pub(super) enum Kind {
    /// Bytes that must be UTF-8.
    Text,
    Boolean,
    Signed,
    /// The integer's bits are those of an unsigned one of the same size.
    Unsigned,
    Float,
    /// A number of two bytes.
    Half,
    /// Number of digits after the point.
    Decimal(usize),
    /// Days since 1970.
    Date,
    /// Units of a second since midnight.
    Time(i64),
    /// Units of a second since 1970; true if in UTC.
    Timestamp(i64, bool),
    Uuid,
    /// Names of the integers from 0; -1 is a missing label. `ClassLabel` of Hugging Face.
    Names(Vec<String>),
}

fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::MILLIS => 1_000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    }
}

impl Kind {
    /// Returns values of a kept column, which are in `bytes`.
    pub(super) fn kept(&self, values: Vec<Option<Field>>, bytes: &[u8]) -> Vec<Option<KeptField>> {
        let kept = |field: Field| {
            // JSON has no infinity.
            let is_finite = !bytes[field.start as usize..field.end as usize].ends_with(b"inf");
            let json = self.is_json() && is_finite;
            KeptField { field, json }
        };
        values.into_iter().map(|value| value.map(&kept)).collect()
    }

    /// True for numbers and booleans, which JSON has.
    fn is_json(&self) -> bool {
        let number = matches!(
            self,
            Self::Signed | Self::Unsigned | Self::Float | Self::Half
        );
        number || matches!(self, Self::Boolean)
    }

    /// Returns the type of a column, `None` if it is not supported.
    pub(super) fn of(column: &ColumnDescriptor, metadata: &FileMetaData) -> Option<Self> {
        let annotated = Self::of_logical(column);
        match (column.physical_type(), annotated) {
            (Type::BYTE_ARRAY, None) => Some(Self::Text),
            (Type::BYTE_ARRAY, Some(kind @ Self::Decimal(_))) => Some(kind),
            (
                Type::FIXED_LEN_BYTE_ARRAY,
                Some(kind @ (Self::Decimal(_) | Self::Uuid | Self::Half)),
            ) => Some(kind),
            (Type::BOOLEAN, _) => Some(Self::Boolean),
            (Type::FLOAT | Type::DOUBLE, _) => Some(Self::Float),
            (Type::INT96, _) => Some(Self::Timestamp(1_000_000_000, false)),
            (Type::INT32 | Type::INT64, Some(Self::Uuid | Self::Half)) => None,
            (Type::INT32 | Type::INT64, Some(kind)) => Some(kind),
            (Type::INT32 | Type::INT64, None) => {
                Some(names_in_file(column, metadata).map_or(Self::Signed, Self::Names))
            }
            _ => None,
        }
    }

    /// Returns the type by annotation; `None` for strings and signed integers.
    fn of_logical(column: &ColumnDescriptor) -> Option<Self> {
        let scale = |scale: i32| Self::Decimal(usize::try_from(scale).unwrap_or_default());
        match column.logical_type_ref() {
            Some(LogicalType::Decimal(decimal)) => return Some(scale(decimal.scale)),
            Some(LogicalType::Date) => return Some(Self::Date),
            Some(LogicalType::Time(time)) => return Some(Self::Time(per_second(&time.unit))),
            Some(LogicalType::Timestamp(time)) => {
                let utc = time.is_adjusted_to_u_t_c;
                return Some(Self::Timestamp(per_second(&time.unit), utc));
            }
            Some(LogicalType::Integer(integer)) if !integer.is_signed => {
                return Some(Self::Unsigned);
            }
            Some(LogicalType::Uuid) => return Some(Self::Uuid),
            Some(LogicalType::Float16) => return Some(Self::Half),
            _ => {}
        }
        match column.converted_type() {
            ConvertedType::DECIMAL => Some(scale(column.type_scale())),
            ConvertedType::DATE => Some(Self::Date),
            ConvertedType::TIME_MILLIS => Some(Self::Time(1_000)),
            ConvertedType::TIME_MICROS => Some(Self::Time(1_000_000)),
            ConvertedType::TIMESTAMP_MILLIS => Some(Self::Timestamp(1_000, false)),
            ConvertedType::TIMESTAMP_MICROS => Some(Self::Timestamp(1_000_000, false)),
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Some(Self::Unsigned),
            _ => None,
        }
    }

    pub(super) fn int32(&self, value: i32, to: &mut Vec<u8>) -> Result<bool, FileError> {
        match self {
            Self::Unsigned => Ok(write!(to, "{}", value as u32).is_ok()),
            _ => self.int64(i64::from(value), to),
        }
    }

    /// Appends a value. Returns false if it is missing.
    pub(super) fn int64(&self, value: i64, to: &mut Vec<u8>) -> Result<bool, FileError> {
        let day = || DateTime::from_timestamp(value.checked_mul(24 * 60 * 60)?, 0);
        let text = match self {
            Self::Unsigned => Some((value as u64).to_string()),
            Self::Decimal(scale) => Some(decimal(i128::from(value), *scale)),
            Self::Date => day().map(|day| format!("{:?}", day.date_naive())),
            Self::Time(units) => {
                let (seconds, nanos) = parts(value, *units);
                let seconds = u32::try_from(seconds).ok();
                let time = |seconds| NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0);
                let time = seconds.and_then(time);
                time.map(|time| format!("{time:?}{}", fraction(nanos)))
            }
            Self::Timestamp(units, utc) => {
                let (seconds, nanos) = parts(value, *units);
                timestamp(seconds, nanos, *utc)
            }
            Self::Names(_) if value == -1 => return Ok(false),
            Self::Names(names) => usize::try_from(value)
                .ok()
                .and_then(|at| names.get(at))
                .cloned(),
            _ => Some(value.to_string()),
        };
        let text = text.ok_or_else(|| {
            let what = match self {
                Self::Names(names) => format!("one of the `{}` class names", names.len()),
                _ => "a date or time".to_owned(),
            };
            let message = format!("expected the number of {what}, found `{value}`");
            file_error(message, "correct the column, and write the file again")
        })?;
        to.extend_from_slice(text.as_bytes());
        Ok(true)
    }

    /// Appends a timestamp of Impala and older Spark.
    pub(super) fn int96(&self, value: &Int96, to: &mut Vec<u8>) -> Result<bool, FileError> {
        /// The Julian day of 1970-01-01.
        const EPOCH: i64 = 2_440_588;
        let [low, high, day] = [0, 1, 2].map(|at| value.data().get(at).copied().unwrap_or(0));
        let nanos = (u64::from(high) << 32) | u64::from(low);
        let seconds = (i64::from(day) - EPOCH) * 86_400 + (nanos / 1_000_000_000) as i64;
        let text = timestamp(seconds, (nanos % 1_000_000_000) as u32, false);
        to.extend_from_slice(text.unwrap_or_default().as_bytes());
        Ok(true)
    }

    pub(super) fn bytes(&self, value: &[u8], to: &mut Vec<u8>) -> Result<bool, FileError> {
        match self {
            Self::Decimal(scale) => {
                let negative = value.first().is_some_and(|byte| byte & 0x80 != 0);
                let fill = if negative { 0xff } else { 0 };
                let mut wide = [fill; 16];
                let zeros = value.len().saturating_sub(wide.len());
                let (zeros, digits) = value.split_at(zeros);
                wide[16 - digits.len()..].copy_from_slice(digits);
                let number = i128::from_be_bytes(wide);
                if zeros.iter().any(|byte| *byte != fill) || (number < 0) != negative {
                    let message = "a decimal has more than 38 digits".to_owned();
                    return Err(file_error(message, "write the column as a string"));
                }
                to.extend_from_slice(decimal(number, *scale).as_bytes());
            }
            Self::Uuid => {
                let digits = diagnostics::hex(value);
                for (at, digit) in digits.bytes().enumerate() {
                    to.extend(matches!(at, 8 | 12 | 16 | 20).then_some(b'-'));
                    to.push(digit);
                }
            }
            Self::Half => {
                let number = match value {
                    [low, high] => shortest(u16::from_le_bytes([*low, *high])),
                    _ => f64::NAN,
                };
                return Self::float(&format!("{number:?}"), &format!("{number:e}"), to);
            }
            _ => to.extend_from_slice(value),
        }
        Ok(true)
    }

    /// Appends a number as Python prints it; `digits` is its shortest scientific notation. A NaN is
    /// a missing value, as in pandas.
    pub(super) fn float(plain: &str, digits: &str, to: &mut Vec<u8>) -> Result<bool, FileError> {
        let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let text = match exponent {
            -4..16 => plain.to_owned(),
            _ => format!("{mantissa}e{exponent:+03}"),
        };
        to.extend_from_slice(text.as_bytes());
        Ok(plain != "NaN")
    }
}

/// Returns the value of the bits of a half-precision number (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let mantissa = f64::from(bits & 0x03ff);
    match i32::from((bits >> 10) & 0x1f) {
        0 => sign * mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        exponent => sign * (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    }
}

/// Returns the decimal number with the fewest digits that is nearest to this half-precision number.
fn shortest(bits: u16) -> f64 {
    const MAX_DIGITS: usize = 5;
    const MAX: u16 = 0x7bff;
    let (value, magnitude) = (half(bits), bits & 0x7fff);
    if magnitude == 0 || magnitude > MAX {
        return value;
    }
    let half_step = match magnitude {
        MAX => (half(MAX) - half(MAX - 1)) / 2.0,
        _ => (half(magnitude + 1) - half(magnitude)) / 2.0,
    };
    // Below a power of two the numbers are twice as dense.
    let half_step_below = (half(magnitude) - half(magnitude - 1)) / 2.0;
    let is_nearest = |number: &f64| {
        let above = number.abs() - value.abs();
        -half_step_below < above && above < half_step
    };
    (0..MAX_DIGITS)
        .filter_map(|digits| format!("{value:.digits$e}").parse().ok())
        .find(is_nearest)
        .unwrap_or(value)
}

/// Splits a number of units into whole seconds and nanoseconds.
fn parts(value: i64, per_second: i64) -> (i64, u32) {
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    (value.div_euclid(per_second), nanos as u32)
}

/// Formats a time since 1970 as Python's `isoformat` does.
fn timestamp(seconds: i64, nanos: u32, utc: bool) -> Option<String> {
    let time = DateTime::from_timestamp(seconds, 0)?.naive_utc();
    let zone = if utc { "+00:00" } else { "" };
    Some(format!("{time:?}{}{zone}", fraction(nanos)))
}

fn fraction(nanos: u32) -> String {
    match nanos {
        0 => String::new(),
        _ if nanos.is_multiple_of(1_000) => format!(".{:06}", nanos / 1_000),
        _ => format!(".{nanos:09}"),
    }
}

fn decimal(number: i128, scale: usize) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0>1$}", number.unsigned_abs(), scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

/// Returns the class names of an integer column in a parquet file.
fn names_in_file(column: &ColumnDescriptor, metadata: &FileMetaData) -> Option<Vec<String>> {
    let pairs = metadata.key_value_metadata()?;
    let pair = pairs.iter().find(|pair| pair.key == HUGGING_FACE)?;
    class_names(pair.value.as_ref()?, column.path().parts().first()?)
}

/// Key of the metadata that Hugging Face's datasets writes into a schema.
pub(super) const HUGGING_FACE: &str = "huggingface";

/// Returns the names that Hugging Face's datasets stores, in this metadata, for an integer column.
pub(super) fn class_names(metadata: &str, column: &str) -> Option<Vec<String>> {
    let info: serde_json::Value = serde_json::from_str(metadata).ok()?;
    let feature = &info["info"]["features"][column];
    // The items of a list.
    let feature = match &feature["feature"] {
        serde_json::Value::Object(_) => &feature["feature"],
        _ => feature,
    };
    if feature["_type"] != "ClassLabel" {
        return None;
    }
    serde_json::from_value(feature["names"].clone()).ok()
}
