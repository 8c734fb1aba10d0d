//! Single-threaded matrix products by the `gemm` crate.

/// A slice as a matrix.
#[derive(Clone, Copy)]
pub(super) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    /// Strides of rows and columns.
    strides: (usize, usize),
}

/// A mutable matrix with adjacent columns.
pub(super) struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a> Mat<'a> {
    /// (rows, cols), row-major
    pub(super) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::part(data, rows, cols, cols)
    }

    /// (rows, cols), the rows `stride` apart
    pub(super) fn part(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        Self {
            data,
            rows,
            cols,
            strides: (stride, 1),
        }
    }

    /// (cols, rows)
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            strides: (self.strides.1, self.strides.0),
            ..self
        }
    }
}

impl<'a> MatMut<'a> {
    /// (rows, cols), row-major
    pub(super) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::part(data, rows, cols, cols)
    }

    /// (rows, cols), the rows `stride` apart
    pub(super) fn part(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        Self {
            data,
            rows,
            cols,
            stride,
        }
    }
}

/// True if all elements of a matrix are within a slice of this length.
fn fits(length: usize, (rows, cols): (usize, usize), strides: (usize, usize)) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * strides.0 + (cols - 1) * strides.1 < length
}

/// Treatment of the result's previous content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Accumulate {
    Replace,
    Add,
}

/// `to` = or += `factor` x `left` (m, k) x `right` (k, n)
pub(super) fn matmul(
    to: MatMut<'_>,
    accumulate: Accumulate,
    factor: f32,
    left: Mat<'_>,
    right: Mat<'_>,
) {
    let (m, n, k) = (left.rows, right.cols, left.cols);
    assert!(
        right.rows == k && to.rows == m && to.cols == n,
        "shapes of a product"
    );
    assert!(
        fits(left.data.len(), (m, k), left.strides)
            && fits(right.data.len(), (k, n), right.strides)
            && fits(to.data.len(), (m, n), (to.stride, 1))
            && (to.stride >= n || m <= 1),
        "matrix out of bounds of its slice"
    );
    let stride = |stride: usize| stride as isize;
    #[expect(unsafe_code, reason = "gemm takes pointers")]
    // SAFETY: by the assertions above every element of the three matrices is within its slice, and
    // no two elements of `to` are the same; `to` is borrowed exclusively, so it overlaps neither
    // `left` nor `right`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to.data.as_mut_ptr(),
            1,
            stride(to.stride),
            accumulate == Accumulate::Add,
            left.data.as_ptr(),
            stride(left.strides.1),
            stride(left.strides.0),
            right.data.as_ptr(),
            stride(right.strides.1),
            stride(right.strides.0),
            1.0,
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// out (tokens, outputs) = inputs (tokens, inputs) x weightᵀ (inputs, outputs)
pub(super) fn linear(
    out: &mut [f32],
    accumulate: Accumulate,
    inputs: &[f32],
    weight: &[f32],
    tokens: usize,
) {
    if tokens == 0 {
        return;
    }
    let (width, height) = (inputs.len() / tokens, out.len() / tokens);
    let weight = Mat::new(weight, height, width).transposed();
    let rows = rows_of_product(tokens, height);
    if rows > tokens {
        return padded_linear(out, accumulate, inputs, weight, rows);
    }
    matmul(
        MatMut::new(out, tokens, height),
        accumulate,
        1.0,
        Mat::new(inputs, tokens, width),
        weight,
    );
}

/// Products of at most so many elements are sums in another order in `gemm`.
const SMALL: usize = 256;

/// Returns the number of rows that a product needs, at least `tokens`, so that `gemm` computes each
/// row as in larger products: the result for a text must not depend on the others of its batch.
fn rows_of_product(tokens: usize, outputs: usize) -> usize {
    tokens.max(SMALL / outputs + 1).max(2)
}

/// [`linear`] with rows of zeros after the tokens, `rows` in all.
fn padded_linear(
    out: &mut [f32],
    accumulate: Accumulate,
    inputs: &[f32],
    weight: Mat<'_>,
    rows: usize,
) {
    let (width, height) = (weight.rows, weight.cols);
    let mut padded = vec![0.0; rows * width];
    padded[..inputs.len()].copy_from_slice(inputs);
    let mut product = vec![0.0; rows * height];
    product[..out.len()].copy_from_slice(out);
    let to = MatMut::new(&mut product, rows, height);
    matmul(to, accumulate, 1.0, Mat::new(&padded, rows, width), weight);
    out.copy_from_slice(&product[..out.len()]);
}

/// inputs (tokens, inputs) = or += outputs (tokens, outputs) x weight (outputs, inputs)
pub(super) fn linear_backward(
    inputs: &mut [f32],
    accumulate: Accumulate,
    outputs: &[f32],
    weight: &[f32],
    tokens: usize,
) {
    if tokens == 0 {
        return;
    }
    let (width, height) = (inputs.len() / tokens, outputs.len() / tokens);
    let weight = Mat::new(weight, height, width);
    matmul(
        MatMut::new(inputs, tokens, width),
        accumulate,
        1.0,
        Mat::new(outputs, tokens, height),
        weight,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matmul_of_parts() {
        // (2, 3), its rows 4 apart; (3, 2)
        let left = [1.0, 2.0, 3.0, 9.0, 4.0, 5.0, 6.0];
        let right = [1.0, 0.0, 0.0, 1.0, 2.0, 3.0];
        let mut to = [1.0; 5];
        let a = Mat::part(&left, 2, 3, 4);
        let b = Mat::new(&right, 3, 2);
        matmul(
            MatMut::part(&mut to, 2, 2, 3),
            Accumulate::Replace,
            2.0,
            a,
            b,
        );
        assert_eq!(to, [14.0, 22.0, 1.0, 32.0, 46.0]);
        matmul(MatMut::part(&mut to, 2, 2, 3), Accumulate::Add, 1.0, a, b);
        assert_eq!(to, [21.0, 33.0, 1.0, 48.0, 69.0]);
        let mut square = [0.0; 4];
        let c = Mat::new(&right, 3, 2);
        matmul(
            MatMut::new(&mut square, 2, 2),
            Accumulate::Replace,
            1.0,
            c.transposed(),
            c,
        );
        assert_eq!(square, [5.0, 6.0, 6.0, 10.0]);
    }

    #[test]
    fn rows_of_linear_do_not_depend_on_others() {
        let mut state = 1u32;
        let mut random = |count: usize| -> Vec<f32> {
            let next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            std::iter::repeat_with(next).take(count).collect()
        };
        for (width, height) in [(16, 2), (100, 3), (384, 2), (384, 1536), (1536, 384)] {
            let (all, weight) = (random(300 * width), random(height * width));
            let product = |first: usize, tokens: usize| {
                let mut out = vec![0.5; tokens * height];
                let inputs = &all[first * width..][..tokens * width];
                linear(&mut out, Accumulate::Add, inputs, &weight, tokens);
                out
            };
            let expected = product(0, 300);
            for tokens in [1, 2, 3, 17, 65, 130] {
                for first in [0, 7, 100] {
                    let expected = &expected[first * height..][..tokens * height];
                    assert_eq!(
                        product(first, tokens),
                        expected,
                        "{width} {height} {tokens}"
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "matrix out of bounds of its slice")]
    fn matrix_out_of_bounds_panics() {
        let mut to = [0.0; 3];
        let one = [1.0; 4];
        let a = Mat::new(&one, 2, 2);
        matmul(MatMut::new(&mut to, 2, 2), Accumulate::Replace, 1.0, a, a);
    }
}
