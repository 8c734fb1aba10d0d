//! Range checks for numeric arguments. Each returns the value, or an [`Error`] with the flag, the
//! range and an example.

use diagnostics::Error;

/// Checks that a value is at least 0 and below 1.
///
/// # Errors
/// The value is outside or NaN.
pub fn below_one(name: &str, value: f64, example: &str) -> Result<f64, Error> {
    let good = (0.0..1.0).contains(&value);
    within(name, value, good, "from 0 to below 1", example)
}

/// Checks that a value is from 0 to 1.
///
/// # Errors
/// The value is outside or NaN.
pub fn up_to_one(name: &str, value: f64, example: &str) -> Result<f64, Error> {
    let good = (0.0..=1.0).contains(&value);
    within(name, value, good, "from 0 to 1", example)
}

/// Checks that a value is above 0 and finite.
///
/// # Errors
/// The value is outside or NaN.
pub fn above_zero(name: &str, value: f64, example: &str) -> Result<f64, Error> {
    let good = value > 0.0 && value.is_finite();
    within(name, value, good, "above 0", example)
}

/// Checks that a value is at least 0 and finite.
///
/// # Errors
/// The value is outside or NaN.
pub fn not_negative(name: &str, value: f64, example: &str) -> Result<f64, Error> {
    let good = value >= 0.0 && value.is_finite();
    within(name, value, good, "of 0 or more", example)
}

fn within(name: &str, value: f64, good: bool, range: &str, example: &str) -> Result<f64, Error> {
    if good {
        return Ok(value);
    }
    Err(
        Error::usage(format!("expected --{name} {range}, found `{value}`"))
            .help(format!("use --{name} {example}, or leave it out")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&str, f64, &str) -> Result<f64, Error>;

    #[test]
    fn range_ends_are_included_or_excluded() {
        let cases: [(Check, &[f64], &[f64]); 4] = [
            (below_one, &[0.0, 0.5], &[1.0, -0.1]),
            (up_to_one, &[0.0, 1.0], &[1.1, -0.1]),
            (above_zero, &[f64::MIN_POSITIVE, 7.0], &[0.0, -1.0]),
            (not_negative, &[0.0, 7.0], &[-f64::MIN_POSITIVE]),
        ];
        for (number, (check, inside, outside)) in cases.into_iter().enumerate() {
            for &value in inside {
                assert_eq!(check("x", value, "1").unwrap(), value, "{number}");
            }
            for &value in outside.iter().chain(&[f64::NAN, f64::INFINITY]) {
                let message = check("x", value, "1").unwrap_err().to_string();
                let (found, help) = (format!("found `{value}`"), "help: use --x 1,");
                assert!(
                    message.contains(&found) && message.contains(help),
                    "{number}: {message}"
                );
            }
        }
    }
}
