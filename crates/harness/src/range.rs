//! Numbers that are typed, in their ranges. Each check answers with its value, or with a [`Error`] that has the flag's name, the
//! range and an example of a value in it.

use diagnostics::Error;

/// From 0 to below 1: a share that may be none but not all.
///
/// # Errors
///
/// It is outside, or no number.
pub fn below_one(name: &str, value: f64, example: &str) -> Result<f64, Error> {
    let good = (0.0..1.0).contains(&value);
    within(name, value, good, "from 0 to below 1", example)
}

/// From 0 to 1.
///
/// # Errors
///
/// It is outside, or no number.
pub fn up_to_one(name: &str, value: f64, example: &str) -> Result<f64, Error> {
    let good = (0.0..=1.0).contains(&value);
    within(name, value, good, "from 0 to 1", example)
}

/// Above 0, and finite.
///
/// # Errors
///
/// It is outside, or no number.
pub fn above_zero(name: &str, value: f64, example: &str) -> Result<f64, Error> {
    let good = value > 0.0 && value.is_finite();
    within(name, value, good, "above 0", example)
}

/// 0 or more, and finite.
///
/// # Errors
///
/// It is outside, or no number.
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
    fn ranges_have_their_ends() {
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
                let failure = check("x", value, "1").unwrap_err().to_string();
                let (found, help) = (format!("found `{value}`"), "help: use --x 1,");
                assert!(
                    failure.contains(&found) && failure.contains(help),
                    "{number}: {failure}"
                );
            }
        }
    }
}
