//! Learning rate schedules.

use clap::ValueEnum;

/// The decay of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Schedule {
    /// No decay
    Constant,
    /// Linear decay to 0
    Linear,
    /// Cosine decay to 0 (Loshchilov and Hutter 2017)
    Cosine,
}

impl Schedule {
    /// Returns the factor of the learning rate at step `step` (from 0) of `steps`. It rises linearly
    /// over the first `warm_up` steps.
    pub fn factor(self, step: u64, steps: u64, warm_up: u64) -> f64 {
        if step < warm_up {
            return (step + 1) as f64 / (warm_up + 1) as f64;
        }
        let done = (step - warm_up) as f64 / steps.saturating_sub(warm_up).max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - done.min(1.0),
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_at_start_warm_up_and_end() {
        for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine] {
            assert_eq!(schedule.factor(0, 100, 9), 0.1);
            assert_eq!(schedule.factor(9, 100, 9), 1.0);
            assert_eq!(schedule.factor(0, 100, 0), 1.0);
            let last = schedule.factor(99, 100, 0);
            let expected = match schedule {
                Schedule::Constant => 1.0..=1.0,
                Schedule::Linear => 0.0099..=0.0101,
                Schedule::Cosine => 0.0002..=0.0003,
            };
            assert!(expected.contains(&last), "{schedule:?} {last}");
        }
        assert_eq!(Schedule::Linear.factor(50, 100, 0), 0.5);
        assert!((Schedule::Cosine.factor(50, 100, 0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn runs_shorter_than_the_warm_up_have_finite_factors() {
        assert_eq!(Schedule::Linear.factor(5, 5, 5), 1.0);
        assert_eq!(Schedule::Cosine.factor(9, 5, 5), 0.0);
    }
}
