//! Dynamic loss scaling (Micikevicius et al. 2018): a factor keeps small gradients in half precision
//! from becoming zero. A step whose gradients overflow is skipped, and the factor is halved.

use serde::{Deserialize, Serialize};

/// Initial factor, and number of steps without overflow after which it doubles: those of PyTorch's
/// `GradScaler`.
const INITIAL_SCALE: f64 = 65_536.0;
const GROWTH_INTERVAL: u64 = 2000;
/// Gradients that overflow below this factor would overflow in full precision too.
const MIN_SCALE: f64 = 1.0 / 65_536.0;

/// The factor of the loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// The factor itself.
    pub factor: f64,
    /// Number of steps since the factor changed.
    steps: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self {
            factor: INITIAL_SCALE,
            steps: 0,
        }
    }
}

impl LossScale {
    /// Records a step with finite gradients.
    pub fn record_finite(&mut self) {
        self.steps += 1;
        if self.steps == GROWTH_INTERVAL {
            *self = Self {
                factor: self.factor * 2.0,
                steps: 0,
            };
        }
    }

    /// Records a step whose gradients overflowed. Returns true if a smaller factor may help.
    pub fn record_overflow(&mut self) -> bool {
        *self = Self {
            factor: self.factor / 2.0,
            steps: 0,
        };
        self.factor >= MIN_SCALE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_halves_at_once_and_doubles_slowly() {
        let mut scale = LossScale::default();
        assert!(scale.record_overflow());
        assert_eq!(scale.factor, INITIAL_SCALE / 2.0);
        (0..GROWTH_INTERVAL - 1).for_each(|_| scale.record_finite());
        assert_eq!(scale.factor, INITIAL_SCALE / 2.0);
        scale.record_finite();
        assert_eq!(scale.factor, INITIAL_SCALE);
    }

    #[test]
    fn repeated_overflows_end() {
        let mut scale = LossScale::default();
        let halvings = (0..100).take_while(|_| scale.record_overflow()).count();
        assert_eq!(halvings, 32);
    }
}
