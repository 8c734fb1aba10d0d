//! The leading right singular vectors of a sparse matrix, by a randomised range finder.
//! Halko, Martinsson and Tropp, SIAM Review 53 (2011), algorithms 4.4 and 5.1.

use harness::{Failure, Run};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2, Axis, s};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::eigen::eigen;
use crate::machines::parallel;
use crate::solver::SparseRows;

/// Directions beside those that are asked for; the paper's section 4.2 takes 5 or 10, scikit-learn's TruncatedSVD 10.
const OVERSAMPLING: usize = 10;
/// Multiplications with A Aᵀ; scikit-learn's TruncatedSVD takes 5.
const POWER_ITERATIONS: usize = 5;
/// Vectors that the sparse products handle at a time: a cache line of them.
const BLOCK: usize = 8;
/// A vector that loses all but this share of its length lay in the span of the others.
const DEPENDENT: f64 = 1e-12;
/// Squared singular values below this share of the largest are rounding errors.
const RANK: f64 = 1e-10;

/// Leading singular vectors.
pub(super) struct Svd {
    /// (columns of the matrix, components), row-major, `f32`: orthonormal columns.
    pub(super) components: Vec<f32>,
    /// (components), falling: at most as many as asked for, fewer if the matrix has a lower rank.
    pub(super) singular_values: Vec<f64>,
}

/// The `wanted` leading right singular vectors of `records`: the same for any number of threads.
pub(super) fn truncated(records: SparseRows<'_>, wanted: usize, seed: u64, run: &Run) -> Result<Svd, Failure> {
    let (rows, columns) = (records.rows.len(), records.pattern.width);
    let directions = (wanted + OVERSAMPLING).min(rows).min(columns);
    // Any independent numbers of mean 0 serve as a start.
    let number = |at: usize| xxh3_64_with_seed(&(at as u64).to_le_bytes(), seed) as i64 as f64;
    // (directions, rows): orthonormal rows, in the end a basis of the range of A
    let mut basis = Array2::from_shape_fn((directions, rows), |(i, j)| number(i * rows + j));
    orthonormalise(&mut basis);
    for _ in 0..POWER_ITERATIONS {
        basis = times_gram(records, &basis, run)?;
        orthonormalise(&mut basis);
    }
    // (directions, directions): A Aᵀ as seen in the basis
    let small = basis.dot(&times_gram(records, &basis, run)?.t());
    let (values, vectors) = eigen(small);
    let largest = values.first().copied().unwrap_or(0.0);
    let kept = values.iter().take(wanted).take_while(|&&value| value > 0.0 && value > RANK * largest).count();
    let singular_values: Vec<f64> = values[..kept].iter().map(|value| value.sqrt()).collect();
    // (kept, rows): left singular vectors
    let mut left = vectors.slice(s![..kept, ..]).dot(&basis);
    for (mut vector, singular) in left.outer_iter_mut().zip(&singular_values) {
        vector.mapv_inplace(|value| value / singular);
    }
    Ok(Svd { components: right(records, &left, run)?, singular_values })
}

/// Vᵀ = Σ⁻¹ Uᵀ A for the rows of `left`, transposed: (columns, components).
fn right(records: SparseRows<'_>, left: &Array2<f64>, run: &Run) -> Result<Vec<f32>, Failure> {
    let kept = left.nrows();
    let blocks = parallel(run.threads(), kept.div_ceil(BLOCK), |block| {
        let columns = times_transposed(records, &read(left, block));
        Ok(columns.into_iter().map(|lanes| lanes.map(|lane| lane as f32)).collect::<Vec<_>>())
    })?;
    let mut components = vec![0.0; records.pattern.width * kept];
    for (block, columns) in blocks.iter().enumerate() {
        let width = BLOCK.min(kept - block * BLOCK);
        for (row, lanes) in components.chunks_exact_mut(kept).zip(columns) {
            row[block * BLOCK..][..width].copy_from_slice(&lanes[..width]);
        }
    }
    Ok(components)
}

/// A Aᵀ times each row of `vectors`. Shape: (directions, rows), `f64`.
fn times_gram(records: SparseRows<'_>, vectors: &Array2<f64>, run: &Run) -> Result<Array2<f64>, Failure> {
    let directions = vectors.nrows();
    let blocks = parallel(run.threads(), directions.div_ceil(BLOCK), |block| {
        if run.stopped() {
            return Err(Failure::Stopped);
        }
        Ok(times(records, &times_transposed(records, &read(vectors, block))))
    })?;
    Ok(Array2::from_shape_fn(vectors.dim(), |(i, row)| blocks[i / BLOCK][row][i % BLOCK]))
}

/// Up to `BLOCK` rows of `vectors`, side by side; zeros where there are no more.
fn read(vectors: &Array2<f64>, block: usize) -> Vec<[f64; BLOCK]> {
    let mut lanes = vec![[0.0; BLOCK]; vectors.ncols()];
    for (lane, vector) in vectors.outer_iter().skip(block * BLOCK).take(BLOCK).enumerate() {
        for (lanes, &value) in lanes.iter_mut().zip(vector) {
            lanes[lane] = value;
        }
    }
    lanes
}

/// (rows, `BLOCK`) to (columns, `BLOCK`).
fn times_transposed(records: SparseRows<'_>, vectors: &[[f64; BLOCK]]) -> Vec<[f64; BLOCK]> {
    let mut product = vec![[0.0; BLOCK]; records.pattern.width];
    for (row, lanes) in vectors.iter().enumerate() {
        let (columns, values) = records.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            add(&mut product[column as usize], f64::from(value), lanes);
        }
    }
    product
}

/// (columns, `BLOCK`) to (rows, `BLOCK`).
fn times(records: SparseRows<'_>, vectors: &[[f64; BLOCK]]) -> Vec<[f64; BLOCK]> {
    let product = (0..records.rows.len()).map(|row| {
        let (columns, values) = records.row(row);
        let mut sum = [0.0; BLOCK];
        for (&column, &value) in columns.iter().zip(values) {
            add(&mut sum, f64::from(value), &vectors[column as usize]);
        }
        sum
    });
    product.collect()
}

#[inline]
fn add(sum: &mut [f64; BLOCK], factor: f64, lanes: &[f64; BLOCK]) {
    for (sum, lane) in sum.iter_mut().zip(lanes) {
        *sum += factor * lane;
    }
}

/// Makes the rows orthonormal, block by block (Gram and Schmidt, each twice, against cancellation). A row that
/// depends on those before it becomes 0.
fn orthonormalise(vectors: &mut Array2<f64>) {
    vectors.outer_iter_mut().for_each(|mut row| {
        let length = row.dot(&row).sqrt();
        if length > 0.0 {
            row.mapv_inplace(|value| value / length);
        }
    });
    for start in (0..vectors.nrows()).step_by(BLOCK) {
        let (done, rest) = vectors.view_mut().split_at(Axis(0), start);
        let height = BLOCK.min(rest.nrows());
        let (mut block, _) = rest.split_at(Axis(0), height);
        for _ in 0..2 {
            // (height, start)
            let along = block.dot(&done.t());
            general_mat_mul(-1.0, &along, &done, 1.0, &mut block);
            orthonormalise_block(&mut block);
        }
    }
}

fn orthonormalise_block(block: &mut ArrayViewMut2<'_, f64>) {
    for index in 0..block.nrows() {
        let (done, mut rest) = block.view_mut().split_at(Axis(0), index);
        let mut row = rest.row_mut(0);
        for other in done.outer_iter() {
            let along = row.dot(&other);
            row.scaled_add(-along, &other);
        }
        let length = row.dot(&row).sqrt();
        row.mapv_inplace(|value| if length > DEPENDENT { value / length } else { 0.0 });
    }
}
