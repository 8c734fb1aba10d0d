//! Loops for the available vector instructions, and functions that LLVM can vectorize.

/// Partial sums of a loop: two AVX-512 registers, so that additions are independent.
const LANES: usize = 32;

/// Runs a loop compiled for the widest vectors of this processor. Functions called in it must be
/// inlined.
#[inline(always)]
pub fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

#[inline(always)]
fn reduce_lanes(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = join(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Returns the sum of `of` over pairs, in an order that depends only on the length.
#[inline(always)]
pub fn sum2(a: &[f32], b: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a, rest_a) = a.as_chunks::<LANES>();
    let (b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += of(a[lane], b[lane]);
        }
    }
    let mut sum = reduce_lanes(lanes, |a, b| a + b);
    for (&a, &b) in rest_a.iter().zip(rest_b) {
        sum += of(a, b);
    }
    sum
}

/// Returns the sum of `of`, in an order that depends only on the length.
#[inline(always)]
pub fn sum(a: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    sum2(a, a, |a, _| of(a))
}

/// Returns the maximum, ignoring NaN.
#[inline(always)]
pub fn max(a: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = a.as_chunks::<LANES>();
    for a in whole {
        for lane in 0..LANES {
            lanes[lane] = larger(a[lane], lanes[lane]);
        }
    }
    rest.iter()
        .fold(reduce_lanes(lanes, larger), |found, &a| larger(a, found))
}

/// Returns e^x, to 2 units in the last place; 0 below -87, NaN for NaN.
///
/// Cody and Waite 1980: x = n ln 2 + r; n by adding a large number, e^r by its Taylor series, which
/// for |r| <= ln 2 / 2 has a relative error of 7e-9 after the seventh power.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5 x 2^23: adding it moves a number's integer part to the low bits.
    const SHIFT: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with few enough digits for an exact product.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let below = x < -87.0;
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if below { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = (x - n * LN_2.0) - n * LN_2.1;
    let mut series = 1.0 / 5040.0;
    for factor in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        series = series * r + factor;
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if below { 0.0 } else { series * power }
}

/// Returns 1 / (1 + e^-x), to 2e-7.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Returns the hyperbolic tangent, to 2e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// Returns Phi(x), the normal distribution's CDF, to 3e-7, and e^(-x² / 2).
///
/// Abramowitz and Stegun 1964, 7.1.26, which has an error of 1.5e-7 for erf; the rest is rounding.
#[inline(always)]
pub fn normal_cdf(x: f32) -> (f32, f32) {
    let density = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let mut series = 1.061_405_4;
    for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        series = series * t + factor;
    }
    let outside = 0.5 * series * t * density;
    (if x < 0.0 { outside } else { 1.0 - outside }, density)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_matches_std() {
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let (ours, theirs) = (exp(x), x.exp());
            assert!(
                (ours - theirs).abs() <= 3e-7 * theirs,
                "{x}: {ours} {theirs}"
            );
        }
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn sigmoid_and_tanh_equal_f64() {
        for step in -2000..2000 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x);
            let exact = [1.0 / (1.0 + (-exact).exp()), exact.tanh()];
            for (ours, exact) in [sigmoid(x), tanh(x)].into_iter().zip(exact) {
                assert!(
                    (f64::from(ours) - exact).abs() < 2e-7,
                    "{x}: {ours} {exact}"
                );
            }
        }
        assert_eq!((sigmoid(1e30), tanh(1e30), tanh(-1e30)), (1.0, 1.0, -1.0));
        assert!(sigmoid(-1e30) < 1e-37);
        assert!(sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
    }

    /// Phi by Simpson's rule on the density.
    #[test]
    fn normal_cdf_is_integral_of_density() {
        let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let (mut integral, width) = (0.0, 1e-3);
        for step in -9000..9000 {
            let x = f64::from(step) * width;
            integral +=
                width / 6.0 * (density(x) + 4.0 * density(x + width / 2.0) + density(x + width));
            let (ours, _) = normal_cdf((x + width) as f32);
            assert!((f64::from(ours) - integral).abs() < 3e-7, "{x}");
        }
        assert!(normal_cdf(f32::NAN).0.is_nan());
    }

    #[test]
    fn sum_and_max_use_all_numbers() {
        for length in [0, 1, 31, 32, 33, 100] {
            let numbers: Vec<f32> = (0..length).map(|n| n as f32 - 40.0).collect();
            let (mut found, mut all) = (f32::NEG_INFINITY, 0.0);
            for &number in &numbers {
                found = f32::max(found, number);
                all += number;
            }
            assert_eq!(sum(&numbers, |x| x), all);
            assert_eq!(max(&numbers), found);
        }
    }
}
