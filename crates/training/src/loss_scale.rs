//! Dynamic loss scaling (Micikevicius et al. 2018): gradients of half precision are multiplied so that small ones do
//! not become zero; a step whose gradients overflow is skipped, and the factor halved.

use serde::{Deserialize, Serialize};

/// PyTorch's GradScaler: start, and steps without overflow after which the factor is doubled.
const START: f64 = 65_536.0;
const PATIENCE: u64 = 2000;
/// Gradients that overflow at less than this are no matter of half precision.
const LEAST: f64 = 1.0 / 65_536.0;

/// The factor of the loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// What the loss is multiplied by.
    pub factor: f64,
    /// Steps since the factor was changed.
    steps: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self {
            factor: START,
            steps: 0,
        }
    }
}

impl LossScale {
    /// A step's gradients were finite.
    pub fn fitted(&mut self) {
        self.steps += 1;
        if self.steps == PATIENCE {
            *self = Self {
                factor: self.factor * 2.0,
                steps: 0,
            };
        }
    }

    /// A step's gradients were not. Answers whether a smaller factor may help.
    pub fn overflowed(&mut self) -> bool {
        *self = Self {
            factor: self.factor / 2.0,
            steps: 0,
        };
        self.factor >= LEAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_falls_at_once_and_rises_slowly() {
        let mut scale = LossScale::default();
        assert!(scale.overflowed());
        assert_eq!(scale.factor, START / 2.0);
        (0..PATIENCE - 1).for_each(|_| scale.fitted());
        assert_eq!(scale.factor, START / 2.0);
        scale.fitted();
        assert_eq!(scale.factor, START);
    }

    #[test]
    fn an_overflow_does_not_halve_for_ever() {
        let mut scale = LossScale::default();
        let halvings = (0..100).take_while(|_| scale.overflowed()).count();
        assert_eq!(halvings, 32);
    }
}
