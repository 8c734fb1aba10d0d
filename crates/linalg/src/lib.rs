//! Matrix products and vectorized loops on one thread, for networks on the CPU.

mod matmul;
pub mod simd;

pub use matmul::{Accumulate, Mat, MatMut, linear, linear_backward, matmul, matmul_by_row};
