//! Truncated SVD of a sparse matrix: leading right singular vectors by a randomised range finder.
//! Halko, Martinsson and Tropp, SIAM Review 53 (2011), algorithms 4.4 and 5.1.

use diagnostics::Error;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2, Axis, s};
use training::Run;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::eigen::eigen;
use crate::one_vs_rest::parallel;
use crate::solver::SparseRows;

/// Additional directions; the paper uses 5 or 10 (section 4.2), scikit-learn's TruncatedSVD 10.
const OVERSAMPLING: usize = 10;
/// Multiplications with A Aᵀ; scikit-learn's TruncatedSVD uses 5.
const POWER_ITERATIONS: usize = 5;
/// Vectors per block of a sparse product: one cache line.
const BLOCK: usize = 8;
/// A vector that keeps less than this share of its length is in the span of the others.
const DEPENDENCE_THRESHOLD: f64 = 1e-12;
/// Squared singular values below this share of the largest one are rounding errors.
const RANK_THRESHOLD: f64 = 1e-10;

/// Leading singular values and right singular vectors.
pub(super) struct Svd {
    /// Orthonormal columns, row-major. Shape: (columns of the matrix, components).
    pub(super) components: Vec<f32>,
    /// In descending order; fewer than requested if the rank of the matrix is lower. Shape:
    /// (components).
    pub(super) singular_values: Vec<f64>,
}

/// Computes the `components` leading right singular vectors of `records`. The result is the same
/// for any number of threads.
pub(super) fn truncated(
    records: SparseRows<'_>,
    components: usize,
    seed: u64,
    run: &Run,
) -> Result<Svd, Error> {
    let (rows, columns) = (records.rows.len(), records.pattern.width);
    let directions = (components + OVERSAMPLING).min(rows).min(columns);
    // Any independent numbers of mean 0 are a valid start.
    let number = |at: usize| xxh3_64_with_seed(&(at as u64).to_le_bytes(), seed) as i64 as f64;
    // (directions, rows): orthonormal rows, which converge to a basis of the range of A
    let mut basis = Array2::from_shape_fn((directions, rows), |(i, j)| number(i * rows + j));
    orthonormalise(&mut basis);
    for _ in 0..POWER_ITERATIONS {
        basis = matmul_gram(records, &basis, run)?;
        orthonormalise(&mut basis);
    }
    // (directions, directions): A Aᵀ in the basis
    let small = basis.dot(&matmul_gram(records, &basis, run)?.t());
    let (values, vectors) = eigen(small);
    let largest = values.first().copied().unwrap_or(0.0);
    let kept = values
        .iter()
        .take(components)
        .take_while(|&&value| value > 0.0 && value > RANK_THRESHOLD * largest)
        .count();
    let singular_values: Vec<f64> = values[..kept].iter().map(|value| value.sqrt()).collect();
    // (kept, rows): left singular vectors
    let mut left = vectors.slice(s![..kept, ..]).dot(&basis);
    for (mut vector, singular) in left.outer_iter_mut().zip(&singular_values) {
        vector.mapv_inplace(|value| value / singular);
    }
    Ok(Svd {
        components: right_singular_vectors(records, &left, run)?,
        singular_values,
    })
}

/// Computes Vᵀ = Σ⁻¹ Uᵀ A for the rows of `left`, transposed. Shape: (columns, components).
fn right_singular_vectors(
    records: SparseRows<'_>,
    left: &Array2<f64>,
    run: &Run,
) -> Result<Vec<f32>, Error> {
    let kept = left.nrows();
    let blocks = parallel(run.threads(), kept.div_ceil(BLOCK), |block| {
        let columns = matmul_transposed(records, &block_of(left, block));
        Ok(columns
            .into_iter()
            .map(|lanes| lanes.map(|lane| lane as f32))
            .collect::<Vec<_>>())
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

/// Multiplies A Aᵀ with each row of `vectors`. Shape: (directions, rows).
fn matmul_gram(
    records: SparseRows<'_>,
    vectors: &Array2<f64>,
    run: &Run,
) -> Result<Array2<f64>, Error> {
    let directions = vectors.nrows();
    let blocks = parallel(run.threads(), directions.div_ceil(BLOCK), |block| {
        if run.stopped() {
            return Err(Error::stopped());
        }
        Ok(matmul(
            records,
            &matmul_transposed(records, &block_of(vectors, block)),
        ))
    })?;
    Ok(Array2::from_shape_fn(vectors.dim(), |(i, row)| {
        blocks[i / BLOCK][row][i % BLOCK]
    }))
}

/// Returns up to `BLOCK` rows of `vectors`, interleaved and padded with zeros.
fn block_of(vectors: &Array2<f64>, block: usize) -> Vec<[f64; BLOCK]> {
    let mut lanes = vec![[0.0; BLOCK]; vectors.ncols()];
    for (lane, vector) in vectors
        .outer_iter()
        .skip(block * BLOCK)
        .take(BLOCK)
        .enumerate()
    {
        for (lanes, &value) in lanes.iter_mut().zip(vector) {
            lanes[lane] = value;
        }
    }
    lanes
}

/// Multiplies Aᵀ with (rows, `BLOCK`). Shape: (columns, `BLOCK`).
fn matmul_transposed(records: SparseRows<'_>, vectors: &[[f64; BLOCK]]) -> Vec<[f64; BLOCK]> {
    let mut product = vec![[0.0; BLOCK]; records.pattern.width];
    for (row, lanes) in vectors.iter().enumerate() {
        let (columns, values) = records.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            add(&mut product[column as usize], f64::from(value), lanes);
        }
    }
    product
}

/// Multiplies A with (columns, `BLOCK`). Shape: (rows, `BLOCK`).
fn matmul(records: SparseRows<'_>, vectors: &[[f64; BLOCK]]) -> Vec<[f64; BLOCK]> {
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

/// Makes the rows orthonormal by block Gram-Schmidt, twice per block against cancellation. A row
/// that depends on earlier rows becomes 0.
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
        row.mapv_inplace(|value| {
            if length > DEPENDENCE_THRESHOLD {
                value / length
            } else {
                0.0
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use training::stop::Stop;

    use super::*;
    use text::features::CsrPattern;

    /// Element `at` of vector `k` of an orthonormal cosine basis.
    fn wave(k: usize, at: usize, size: usize) -> f64 {
        (2.0 / size as f64).sqrt() * (PI * (at as f64 + 0.5) * (k + 1) as f64 / size as f64).cos()
    }

    fn run(threads: usize) -> Run {
        Run::new(threads, 7, Stop::default(), Default::default())
    }

    /// Dense (rows, columns) matrix of `value`, after one row that is not selected.
    fn dense(
        rows: usize,
        columns: usize,
        value: impl Fn(usize, usize) -> f64,
    ) -> (CsrPattern, Vec<f32>, Vec<u32>) {
        let mut pattern = CsrPattern {
            starts: vec![0, columns],
            width: columns,
            ..CsrPattern::default()
        };
        pattern.columns.extend(0..columns as u32);
        let mut values = vec![1e3; columns];
        for row in 0..rows {
            pattern.columns.extend(0..columns as u32);
            pattern.starts.push(pattern.columns.len());
            values.extend((0..columns).map(|column| value(row, column) as f32));
        }
        (pattern, values, (1..=rows as u32).collect())
    }

    fn assert_orthonormal(svd: &Svd) {
        let width = svd.singular_values.len();
        for i in 0..width {
            for j in 0..width {
                let product = svd
                    .components
                    .chunks_exact(width)
                    .map(|row| f64::from(row[i]) * f64::from(row[j]));
                let expected = f64::from(u8::from(i == j));
                assert!(
                    (product.sum::<f64>() - expected).abs() < 1e-5,
                    "components {i} and {j}"
                );
            }
        }
    }

    #[test]
    fn singular_values_and_vectors_match_known_ones() {
        let (rows, columns, rank) = (60, 40, 30);
        let singular = |k: usize| 10.0 * 0.8f64.powi(k as i32);
        let entry = |i, j| {
            (0..rank)
                .map(|k| singular(k) * wave(k, i, rows) * wave(k, j, columns))
                .sum()
        };
        let (pattern, values, chosen) = dense(rows, columns, entry);
        let records = SparseRows {
            pattern: &pattern,
            values: &values,
            rows: &chosen,
        };
        let svd = truncated(records, 12, 1, &run(1)).unwrap();
        assert_eq!(svd.singular_values.len(), 12);
        assert_orthonormal(&svd);
        for (k, &value) in svd.singular_values.iter().enumerate() {
            assert!((value / singular(k) - 1.0).abs() < 1e-3, "{k}: {value}");
            let along: f64 = (0..columns)
                .map(|j| f64::from(svd.components[j * 12 + k]) * wave(k, j, columns))
                .sum();
            assert!(along.abs() > 0.999, "{k}: {along}");
        }
    }

    #[test]
    fn components_do_not_exceed_the_rank() {
        // Rank 2: each row is a multiple of one of two patterns.
        let (pattern, values, chosen) = dense(30, 20, |i, j| {
            (i + 1) as f64 * f64::from(u8::from(i % 2 == j % 2))
        });
        let records = SparseRows {
            pattern: &pattern,
            values: &values,
            rows: &chosen,
        };
        let svd = truncated(records, 10, 1, &run(1)).unwrap();
        assert_eq!(svd.singular_values.len(), 2);
        assert_orthonormal(&svd);
        // Σ (2i+1)² over 15 odd numbers, in 10 columns each.
        let squares: f64 = (0..15).map(|i| f64::from(2 * i + 2).powi(2)).sum();
        assert!((svd.singular_values[0] - (10.0 * squares).sqrt()).abs() < 1e-3);
        let (pattern, values, chosen) = dense(3, 4, |_, _| 0.0);
        let records = SparseRows {
            pattern: &pattern,
            values: &values,
            rows: &chosen,
        };
        assert!(
            truncated(records, 2, 1, &run(1))
                .unwrap()
                .singular_values
                .is_empty()
        );
    }

    #[test]
    fn result_is_independent_of_threads_and_stop_ends_it() {
        let (pattern, values, chosen) = dense(50, 70, |i, j| ((i * 31 + j * 17) % 23) as f64);
        let records = SparseRows {
            pattern: &pattern,
            values: &values,
            rows: &chosen,
        };
        let one = truncated(records, 9, 5, &run(1)).unwrap();
        let three = truncated(records, 9, 5, &run(3)).unwrap();
        assert_eq!(one.components, three.components);
        assert_eq!(one.singular_values, three.singular_values);
        let stop = Stop::default();
        stop.flag()
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let stopped = Run::new(1, 7, stop, Default::default());
        let stopped = truncated(records, 9, 5, &stopped);
        assert!(stopped.is_err_and(|error| error.kind() == diagnostics::ErrorKind::Stopped));
    }
}
