//! Adam (Kingma and Ba 2015) as in PyTorch, in one pass over the parameters on a CPU.

use tch::{Device, Kind, TchError, Tensor, no_grad};
use training::OptimizerStep;

/// Constants of the paper.
const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The moments of each parameter.
pub(crate) struct Adam {
    /// f32, in the shapes of the parameters
    pub(crate) first: Vec<Tensor>,
    pub(crate) second: Vec<Tensor>,
}

impl Adam {
    /// Returns moments of zero.
    pub(crate) fn new(parameters: &[Tensor]) -> Result<Self, TchError> {
        let zeros = || -> Result<Vec<Tensor>, TchError> {
            parameters
                .iter()
                .map(|parameter| no_grad(|| parameter.f_zeros_like()))
                .collect()
        };
        Ok(Self {
            first: zeros()?,
            second: zeros()?,
        })
    }

    /// Updates the parameters.
    pub(crate) fn step(
        &mut self,
        parameters: &mut [Tensor],
        gradients: &[Tensor],
        step: OptimizerStep,
    ) -> Result<(), TchError> {
        let factors = Factors::new(step);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, gradient), (first, second)) in
            parameters.iter_mut().zip(gradients).zip(moments)
        {
            if parameter.device() == Device::Cpu {
                let gradient = gradient.f_contiguous()?;
                #[expect(
                    unsafe_code,
                    reason = "tch has no safe view of a tensor's values, and Adam by tensor operations takes four passes"
                )]
                // SAFETY: four different tensors. Replicas on the CPU share the parameter with
                // other threads, which wait for the next step. The views end with this call.
                unsafe {
                    factors.fused(
                        [slice(parameter)?, slice(first)?, slice(second)?],
                        slice(&gradient)?,
                    );
                }
            } else {
                no_grad(|| factors.by_operation(parameter, gradient, first, second))?;
            }
        }
        Ok(())
    }
}

struct Factors {
    /// Factor of the gradients.
    scale: f64,
    /// Learning rate with the bias correction of the first moment.
    rate: f64,
    /// Square root of the bias correction of the second moment.
    root: f64,
}

impl Factors {
    fn new(step: OptimizerStep) -> Self {
        let updates = i32::try_from(step.update).unwrap_or(i32::MAX);
        Self {
            scale: step.gradient_scale,
            rate: step.rate / (1.0 - BETA_1.powi(updates)),
            root: (1.0 - BETA_2.powi(updates)).sqrt(),
        }
    }

    fn fused(&self, [parameter, first, second]: [&mut [f32]; 3], gradient: &[f32]) {
        let (scale, rate, root) = (self.scale as f32, self.rate as f32, 1.0 / self.root as f32);
        let (one, two, epsilon) = ((1.0 - BETA_1) as f32, BETA_2 as f32, EPSILON as f32);
        let two_rest = (1.0 - BETA_2) as f32;
        let moments = first.iter_mut().zip(second);
        for ((parameter, gradient), (first, second)) in
            parameter.iter_mut().zip(gradient).zip(moments)
        {
            let gradient = gradient * scale;
            *first += one * (gradient - *first);
            *second = two * *second + two_rest * gradient * gradient;
            *parameter -= rate * *first / (second.sqrt() * root + epsilon);
        }
    }

    /// All four tensors are f32 and have the same shape.
    fn by_operation(
        &self,
        parameter: &mut Tensor,
        gradient: &Tensor,
        first: &mut Tensor,
        second: &mut Tensor,
    ) -> Result<(), TchError> {
        let gradient = gradient.f_mul_scalar(self.scale)?;
        let _ = first.f_lerp_(&gradient, 1.0 - BETA_1)?;
        let _ = second
            .f_mul_scalar_(BETA_2)?
            .f_add_(&gradient.f_square()?.f_mul_scalar_(1.0 - BETA_2)?)?;
        let root = second
            .f_sqrt()?
            .f_mul_scalar_(1.0 / self.root)?
            .f_add_scalar_(EPSILON)?;
        let _ = parameter.f_sub_(&first.f_div(&root)?.f_mul_scalar_(self.rate)?)?;
        Ok(())
    }
}

/// Returns the values of a contiguous f32 tensor on the CPU.
///
/// # Safety
///
/// Nothing else reads or writes the tensor, or another one with the same storage, while they are
/// borrowed.
#[expect(unsafe_code, reason = "see `step`")]
unsafe fn slice<'a>(tensor: &Tensor) -> Result<&'a mut [f32], TchError> {
    if tensor.f_kind()? != Kind::Float || tensor.device() != Device::Cpu || !tensor.is_contiguous()
    {
        return Err(TchError::Kind(
            "expected contiguous f32 on the CPU".to_owned(),
        ));
    }
    // SAFETY: a contiguous f32 tensor has `numel` values at `data_ptr`; the caller ensures that
    // they are not shared.
    let values =
        unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) };
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The GPU variant equals the CPU variant.
    #[test]
    fn tensor_operations_equal_the_fused_loop() {
        let values = |count: usize, factor: f32| -> Vec<f32> {
            (0..count)
                .map(|n| factor * (n as f32 * 0.7).sin())
                .collect()
        };
        let tensor = |values: &[f32]| Tensor::from_slice(values);
        let (mut weights, mut first, mut second) = (values(9, 1.0), vec![0.0; 9], vec![0.0; 9]);
        let (mut parameter, mut one, mut two) = (tensor(&weights), tensor(&first), tensor(&second));
        for step in 1..=3_u64 {
            let gradient = values(9, step as f32);
            let factors = Factors::new(OptimizerStep {
                update: step,
                rate: 0.01,
                gradient_scale: 0.5,
            });
            factors.fused([&mut weights, &mut first, &mut second], &gradient);
            factors
                .by_operation(&mut parameter, &tensor(&gradient), &mut one, &mut two)
                .unwrap();
        }
        for (ours, theirs) in [(weights, parameter), (first, one), (second, two)] {
            let theirs = Vec::<f32>::try_from(theirs).unwrap();
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a - b).abs() < 1e-6, "{ours:?} {theirs:?}");
            }
        }
    }
}
