//! Matrix products by the `gemm` crate.

use std::ops::Range;

/// `gemm` has other rules for the depth of its blocks if both sides of the result are at most
/// this, so that a row depends on the number of rows.
const MAX_SMALL_SIDE: usize = 64;
/// Depth up to which both rules give one block (`gemm-common`'s `gemm_basic_generic` and
/// `kernel_params`).
const MAX_BLOCK_DEPTH: usize = 512;
/// Number of elements of a result up to which `gemm` may use a kernel with another order of sums.
const MAX_SMALL: usize = 256;

/// A slice as a matrix.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    /// Strides of rows and columns.
    strides: (usize, usize),
}

/// A mutable matrix with adjacent columns.
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a> Mat<'a> {
    /// Returns a matrix of (rows, cols), row-major.
    #[inline]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::part(data, rows, cols, cols)
    }

    /// Returns a matrix of (rows, cols), the rows `stride` apart.
    #[inline]
    pub fn part(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        Self {
            data,
            rows,
            cols,
            strides: (stride, 1),
        }
    }

    /// Returns the transpose, (cols, rows).
    #[inline]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            strides: (self.strides.1, self.strides.0),
            ..self
        }
    }

    fn get(&self, row: usize, col: usize) -> f32 {
        self.data[row * self.strides.0 + col * self.strides.1]
    }

    /// Returns some columns, (rows, range).
    fn columns(self, range: Range<usize>) -> Self {
        let data = self.data.get(range.start * self.strides.1..);
        Self {
            data: data.unwrap_or_default(),
            cols: range.len(),
            ..self
        }
    }
}

impl<'a> MatMut<'a> {
    /// Returns a matrix of (rows, cols), row-major.
    #[inline]
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::part(data, rows, cols, cols)
    }

    /// Returns a matrix of (rows, cols), the rows `stride` apart.
    #[inline]
    pub fn part(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
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
pub enum Accumulate {
    /// It is overwritten.
    Replace,
    /// The product is added to it.
    Add,
}

/// `to` (m, n) = or += `factor` x `left` (m, k) x `right` (k, n)
///
/// # Panics
///
/// If the shapes do not match, or a matrix is larger than its slice.
pub fn matmul(to: MatMut<'_>, accumulate: Accumulate, factor: f32, left: Mat<'_>, right: Mat<'_>) {
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

/// [`matmul`] without a factor, such that a row of `to` has the same bits whatever other rows
/// there are: each element is summed in order of k, in blocks that depend on k and n only.
///
/// # Panics
///
/// If the shapes do not match, or a matrix is larger than its slice.
pub fn matmul_by_row(to: MatMut<'_>, mut accumulate: Accumulate, left: Mat<'_>, right: Mat<'_>) {
    let depth = left.cols;
    assert!(
        right.rows == depth && to.rows == left.rows && to.cols == right.cols,
        "shapes of a product"
    );
    let block = if to.cols <= MAX_SMALL_SIDE {
        MAX_BLOCK_DEPTH
    } else {
        depth
    };
    let mut start = 0;
    loop {
        let range = start..depth.min(start + block);
        start = range.end;
        let to = MatMut::part(&mut *to.data, to.rows, to.cols, to.stride);
        let right = right.transposed().columns(range.clone()).transposed();
        block_by_row(to, accumulate, left.columns(range), right);
        if start == depth {
            return;
        }
        accumulate = Accumulate::Add;
    }
}

/// [`matmul_by_row`] of a block of k. `gemm` has other kernels, with another order of sums, for
/// single rows and columns, for k <= 2, and for results of at most [`MAX_SMALL`] elements.
fn block_by_row(to: MatMut<'_>, accumulate: Accumulate, left: Mat<'_>, right: Mat<'_>) {
    if to.cols == 1 || left.cols <= 2 {
        return sums(to, accumulate, left, right);
    }
    let rows = to.rows.max(MAX_SMALL / to.cols.max(1) + 1).max(2);
    if to.rows == 0 || rows == to.rows {
        return matmul(to, accumulate, 1.0, left, right);
    }
    // With rows of zeros below.
    let (used, cols, depth) = (to.rows, to.cols, left.cols);
    let mut padded = vec![0.0; rows * depth];
    for (row, padded) in padded.chunks_exact_mut(depth).take(used).enumerate() {
        for (k, value) in padded.iter_mut().enumerate() {
            *value = left.get(row, k);
        }
    }
    let mut product = vec![0.0; rows * cols];
    let lines = to.data.chunks_mut(to.stride.max(1)).take(used);
    for (product, line) in product.chunks_exact_mut(cols).zip(lines) {
        product.copy_from_slice(&line[..cols]);
    }
    let left = Mat::new(&padded, rows, depth);
    let all = MatMut::new(&mut product, rows, cols);
    matmul(all, accumulate, 1.0, left, right);
    let lines = to.data.chunks_mut(to.stride.max(1)).take(used);
    for (product, line) in product.chunks_exact(cols).zip(lines) {
        line[..cols].copy_from_slice(product);
    }
}

/// Sums one element after the other.
fn sums(to: MatMut<'_>, accumulate: Accumulate, left: Mat<'_>, right: Mat<'_>) {
    let lines = to.data.chunks_mut(to.stride.max(1)).take(to.rows);
    for (row, line) in lines.enumerate() {
        for (col, element) in line.iter_mut().take(to.cols).enumerate() {
            let products = (0..left.cols).map(|k| left.get(row, k) * right.get(k, col));
            let sum: f32 = products.sum();
            *element = match accumulate {
                Accumulate::Replace => sum,
                Accumulate::Add => *element + sum,
            };
        }
    }
}

/// out (tokens, outputs) = or += inputs (tokens, inputs) x weightᵀ (inputs, outputs), by
/// [`matmul_by_row`]
///
/// # Panics
///
/// If `weight` is too short.
pub fn linear(
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
    matmul_by_row(
        MatMut::new(out, tokens, height),
        accumulate,
        Mat::new(inputs, tokens, width),
        Mat::new(weight, height, width).transposed(),
    );
}

/// inputs (tokens, inputs) = or += outputs (tokens, outputs) x weight (outputs, inputs)
///
/// # Panics
///
/// If `weight` is too short.
pub fn linear_backward(
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

    /// Numbers from -0.5 to 0.5.
    fn random(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 16_777_216.0 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    fn bits(numbers: &[f32]) -> Vec<u32> {
        numbers.iter().map(|number| number.to_bits()).collect()
    }

    /// Issue 18: the counts are on both sides of all limits of `gemm`'s kernels.
    #[test]
    fn rows_do_not_depend_on_other_rows() {
        const ROWS: usize = 90;
        for width in [1, 2, 16, 100, 384, 1536] {
            for height in [1, 3, 64, 400] {
                let inputs = random(ROWS * width, 1);
                let weight = random(height * width, 2);
                let transposed: Vec<f32> = (0..width * height)
                    .map(|place| weight[place % height * width + place / height])
                    .collect();
                let start = random(ROWS * height, 3);
                let product = |rows: Range<usize>, is_transposed: bool| {
                    let count = rows.len();
                    let mut out = start[rows.start * height..rows.end * height].to_vec();
                    let inputs = &inputs[rows.start * width..rows.end * width];
                    if is_transposed {
                        matmul_by_row(
                            MatMut::new(&mut out, count, height),
                            Accumulate::Add,
                            Mat::new(inputs, count, width),
                            Mat::new(&transposed, width, height),
                        );
                    } else {
                        linear(&mut out, Accumulate::Add, inputs, &weight, count);
                    }
                    bits(&out)
                };
                let all = product(0..ROWS, false);
                for is_transposed in [false, true] {
                    for rows in [0..1, 0..2, 1..6, 7..40, 0..66, ROWS - 1..ROWS] {
                        let expected = &all[rows.start * height..rows.end * height];
                        let found = product(rows.clone(), is_transposed);
                        assert_eq!(found, expected, "{width} x {height}, {rows:?}");
                    }
                }
                let exact = (0..width).map(|k| f64::from(inputs[k]) * f64::from(weight[k]));
                let exact = f64::from(start[0]) + exact.sum::<f64>();
                assert!((f64::from(f32::from_bits(all[0])) - exact).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_product_of_no_columns_is_zero() {
        let mut out = [1.0; 2];
        linear(&mut out, Accumulate::Replace, &[], &[], 2);
        assert_eq!(out, [0.0; 2]);
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
