//! Numbers that are typed, in their ranges: what several trainers ask alike.

use crate::Failure;

/// A share that a step of training leaves out.
///
/// # Errors
///
/// It is not from 0 to below 1.
pub fn dropout(share: f64) -> Result<f64, Failure> {
    let good = (0.0..1.0).contains(&share);
    within("dropout", share, good, "from 0 to below 1", "0.3")?;
    Ok(share)
}

/// A rate by which something can be learnt.
///
/// # Errors
///
/// It is not a number above 0; the message names the `default`.
pub fn learning_rate(rate: f64, default: f64) -> Result<f64, Failure> {
    let good = rate > 0.0 && rate.is_finite();
    within("learning-rate", rate, good, "above 0", &default.to_string())?;
    Ok(rate)
}

/// Refuses a value of the flag `name` that is not `good`.
///
/// # Errors
///
/// The value is not good; the message has the range, and an example of a value that is.
pub fn within(
    name: &str,
    value: f64,
    good: bool,
    range: &str,
    example: &str,
) -> Result<(), Failure> {
    if good {
        return Ok(());
    }
    Err(Failure::usage(
        format!("expected --{name} {range}, found `{value}`"),
        format!("use --{name} {example}, or leave it out"),
    ))
}
