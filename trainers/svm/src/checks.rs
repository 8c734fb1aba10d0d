//! What training refuses once it has a machine.

use diagnostics::Error;

use crate::machines::positive_class;
use crate::model::TrainedMachine;

/// Refuses a machine that would answer every text with NaN.
pub(crate) fn check_finite(machine: &TrainedMachine, classes: &[String]) -> Result<(), Error> {
    // linfa's answers are looked at where they come from.
    let TrainedMachine::Linear {
        coefficients,
        intercepts,
    } = machine
    else {
        return Ok(());
    };
    let odd = |(coefficients, intercept): (&Vec<f32>, &f32)| {
        !intercept.is_finite() || coefficients.iter().any(|weight| !weight.is_finite())
    };
    let Some(output) = coefficients.iter().zip(intercepts).position(odd) else {
        return Ok(());
    };
    let class = &classes[positive_class(classes.len(), output)];
    Err(Error::new(format!(
        "expected finite weights for the class `{class}`, found some that are not"
    ))
    .help("lower --c (or raise --alpha), or choose another --loss"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_are_not_finite_are_refused() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let machine = |weight: f32, intercept: f32| TrainedMachine::Linear {
            coefficients: vec![vec![0.0, 1.0], vec![1.0, weight], vec![1.0, 2.0]],
            intercepts: vec![0.0, 0.0, intercept],
        };
        assert!(check_finite(&machine(1.0, 1.0), &classes).is_ok());
        for (weight, intercept, class) in [(f32::NAN, 0.0, "`b`"), (0.0, f32::INFINITY, "`c`")] {
            let refused = check_finite(&machine(weight, intercept), &classes).unwrap_err();
            let message = refused.to_string();
            assert!(
                message.contains(class) && message.contains("help: lower --c"),
                "{message}"
            );
        }
    }
}
