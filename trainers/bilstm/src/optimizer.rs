//! Adam (Kingma and Ba 2015) as PyTorch has it, one pass over the parameters on a CPU.

use tch::{Device, Kind, TchError, Tensor, no_grad};

/// The paper's.
const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The moments of each parameter, and how many steps were taken.
pub(crate) struct Adam {
    pub(crate) steps: u64,
    /// f32, in the shapes of the parameters
    pub(crate) first: Vec<Tensor>,
    pub(crate) second: Vec<Tensor>,
}

impl Adam {
    /// All moments zero.
    pub(crate) fn new(parameters: &[Tensor]) -> Result<Self, TchError> {
        let zeros = || -> Result<Vec<Tensor>, TchError> {
            parameters
                .iter()
                .map(|parameter| no_grad(|| parameter.f_zeros_like()))
                .collect()
        };
        Ok(Self {
            steps: 0,
            first: zeros()?,
            second: zeros()?,
        })
    }

    /// One step with gradients that are first multiplied by `scale`.
    pub(crate) fn step(
        &mut self,
        parameters: &mut [Tensor],
        gradients: &[Tensor],
        scale: f64,
        rate: f64,
    ) -> Result<(), TchError> {
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let factors = Factors {
            scale,
            rate: rate / (1.0 - BETA_1.powi(steps)),
            root: (1.0 - BETA_2.powi(steps)).sqrt(),
        };
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, gradient), (first, second)) in
            parameters.iter_mut().zip(gradients).zip(moments)
        {
            if parameter.device() == Device::Cpu {
                let gradient = gradient.f_contiguous()?;
                #[expect(
                    unsafe_code,
                    reason = "tch gives no safe view of a tensor's numbers, and tensor by tensor Adam takes four passes"
                )]
                // SAFETY: four different tensors. Replicas on the CPU share the parameter with other threads, which wait for
                // the next step: all their gradients have been collected. The views end with this call.
                unsafe {
                    factors.in_one_pass(
                        [slice(parameter)?, slice(first)?, slice(second)?],
                        slice(&gradient)?,
                    );
                }
            } else {
                no_grad(|| factors.by_tensors(parameter, gradient, first, second))?;
            }
        }
        Ok(())
    }
}

struct Factors {
    scale: f64,
    /// The learning rate over the first moment's bias.
    rate: f64,
    /// The root of the second moment's bias.
    root: f64,
}

impl Factors {
    fn in_one_pass(&self, [parameter, first, second]: [&mut [f32]; 3], gradient: &[f32]) {
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

    /// All four of the same shape, f32.
    fn by_tensors(
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

/// The numbers of a contiguous f32 tensor on the CPU.
///
/// # Safety
///
/// Nothing else reads or writes the tensor, or another one of the same numbers, while they are borrowed.
#[expect(unsafe_code, reason = "see `step`")]
unsafe fn slice<'a>(tensor: &Tensor) -> Result<&'a mut [f32], TchError> {
    if tensor.f_kind()? != Kind::Float || tensor.device() != Device::Cpu || !tensor.is_contiguous()
    {
        return Err(TchError::Kind(
            "expected contiguous f32 on the CPU".to_owned(),
        ));
    }
    // SAFETY: a contiguous f32 tensor has `numel` numbers from `data_ptr` on; the caller promises that they are not shared.
    let numbers =
        unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) };
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a GPU takes is what a CPU takes.
    #[test]
    fn tensor_by_tensor_is_the_same_as_in_one_pass() {
        let numbers = |count: usize, factor: f32| -> Vec<f32> {
            (0..count)
                .map(|n| factor * (n as f32 * 0.7).sin())
                .collect()
        };
        let tensor = |numbers: &[f32]| Tensor::from_slice(numbers);
        let (mut weights, mut first, mut second) = (numbers(9, 1.0), vec![0.0; 9], vec![0.0; 9]);
        let (mut parameter, mut one, mut two) = (tensor(&weights), tensor(&first), tensor(&second));
        for step in 1..=3 {
            let gradient = numbers(9, step as f32);
            let factors = Factors {
                scale: 0.5,
                rate: 0.01 / (1.0 - BETA_1.powi(step)),
                root: (1.0 - BETA_2.powi(step)).sqrt(),
            };
            factors.in_one_pass([&mut weights, &mut first, &mut second], &gradient);
            factors
                .by_tensors(&mut parameter, &tensor(&gradient), &mut one, &mut two)
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
