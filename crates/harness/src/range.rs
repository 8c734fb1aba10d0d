//! Parsers of numeric options, for clap's `value_parser`. Their error is the accepted range, so
//! that messages and `describe` have it.

use std::fmt::{self, Debug, Display};
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::str::FromStr;

use sagemaker::trainer_description::ParameterRange;

/// Largest whole number of SageMaker and of JSON readers.
pub const MAX_INTEGER: u64 = u64::MAX / 2;

/// The accepted range of an option, as the error of all other values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeError {
    is_integer: bool,
    min: Bound<String>,
    max: Bound<String>,
}

/// Returns a parser of whole numbers in this range.
pub fn integer<T: FromStr + 'static>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, RangeError> + Clone + Send + Sync + 'static {
    move |text: &str| {
        let is_inside = text
            .parse::<u64>()
            .is_ok_and(|value| range.contains(&value));
        let value = text.parse::<T>().ok().filter(|_| is_inside);
        value.ok_or_else(|| RangeError::new(true, &range))
    }
}

/// Returns a parser of finite decimal numbers in this range.
pub fn number(
    range: impl RangeBounds<f64> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<f64, RangeError> + Clone + Send + Sync + 'static {
    move |text: &str| {
        let is_inside = |value: &f64| value.is_finite() && range.contains(value);
        let value = text.parse::<f64>().ok().filter(is_inside);
        value.ok_or_else(|| RangeError::new(false, &range))
    }
}

/// Returns the range of numbers above `min`.
pub fn above(min: f64) -> (Bound<f64>, Bound<f64>) {
    (Bound::Excluded(min), Bound::Unbounded)
}

impl RangeError {
    fn new<T: Debug>(is_integer: bool, range: &impl RangeBounds<T>) -> Self {
        // Debug writes 1e30 instead of thirty zeros, but 1.0 instead of 1.
        let text = |value: &T| {
            let text = format!("{value:?}");
            text.strip_suffix(".0").unwrap_or(&text).to_owned()
        };
        Self {
            is_integer,
            min: range.start_bound().map(text),
            max: range.end_bound().map(text),
        }
    }

    /// Returns the range for `describe`, which does not distinguish included and excluded bounds.
    pub(crate) fn to_parameter_range(&self) -> ParameterRange {
        let text = |bound: &Bound<String>| match bound {
            Bound::Included(text) | Bound::Excluded(text) => Some(text.clone()),
            Bound::Unbounded => None,
        };
        ParameterRange {
            min: text(&self.min),
            max: text(&self.max),
            ..ParameterRange::default()
        }
    }
}

impl Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_integer {
            true => "expected a whole number",
            false => "expected a number",
        })?;
        match (&self.min, &self.max) {
            (Bound::Included(min), Bound::Unbounded) => write!(f, " of {min} or more")?,
            (Bound::Included(min), _) => write!(f, " from {min}")?,
            (Bound::Excluded(min), _) => write!(f, " above {min}")?,
            (Bound::Unbounded, _) => {}
        }
        match (&self.min, &self.max) {
            (_, Bound::Included(max)) => write!(f, " to {max}"),
            (Bound::Excluded(_), Bound::Excluded(max)) => write!(f, " and below {max}"),
            (_, Bound::Excluded(max)) => write!(f, " to below {max}"),
            (_, Bound::Unbounded) => Ok(()),
        }
    }
}

impl std::error::Error for RangeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_outside_of_the_range_are_refused() {
        let parse = integer::<u8>(1..=8);
        assert_eq!((parse("1"), parse("8")), (Ok(1), Ok(8)));
        for text in ["0", "9", "-1", "0.5", "five", "", "99999999999999999999"] {
            let message = parse(text).unwrap_err().to_string();
            assert_eq!(message, "expected a whole number from 1 to 8", "{text}");
        }
    }

    #[test]
    fn range_ends_are_included_or_excluded() {
        fn check(
            parse: impl Fn(&str) -> Result<f64, RangeError>,
            inside: &[&str],
            outside: &[&str],
            expected: &str,
        ) {
            for text in inside {
                assert_eq!(parse(text).unwrap(), text.parse::<f64>().unwrap());
            }
            for text in outside.iter().chain(&["NaN", "inf", "-inf", "many", ""]) {
                let message = parse(text).unwrap_err().to_string();
                assert_eq!(message, expected, "{text}");
            }
        }
        check(
            number(0.0..1.0),
            &["0", "0.5"],
            &["1", "-0.1"],
            "expected a number from 0 to below 1",
        );
        check(
            number(1e-30..=1e30),
            &["1e-30", "1e30"],
            &["0", "1e31"],
            "expected a number from 1e-30 to 1e30",
        );
        check(
            number(above(0.0)),
            &["5e-324", "7"],
            &["0", "-1"],
            "expected a number above 0",
        );
        check(
            number(0.0..),
            &["0", "7"],
            &["-1"],
            "expected a number of 0 or more",
        );
        check(number(..), &["-7"], &[], "expected a number");
    }

    #[test]
    fn described_range_has_both_bounds() {
        let range = |min: Option<&str>, max: Option<&str>| ParameterRange {
            min: min.map(str::to_owned),
            max: max.map(str::to_owned),
            ..ParameterRange::default()
        };
        let error = integer::<u8>(1..=8)("?").unwrap_err();
        assert_eq!(error.to_parameter_range(), range(Some("1"), Some("8")));
        let error = number(above(0.0))("?").unwrap_err();
        assert_eq!(error.to_parameter_range(), range(Some("0"), None));
    }
}
