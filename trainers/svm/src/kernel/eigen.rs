//! Eigendecomposition of a small symmetric matrix.

use ndarray::{Array2, ArrayViewMut2, Axis, Zip, s};

/// Jacobi's method converges quadratically: a matrix of 1,000 rows needs about ten sweeps (Golub
/// and Van Loan, Matrix Computations, 4th edition, section 8.5).
const MAX_SWEEPS: usize = 60;

/// Returns the eigenvalues of a symmetric matrix in descending order, and the eigenvectors as rows.
/// Uses Jacobi rotations.
pub(super) fn eigen(mut matrix: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let size = matrix.nrows();
    // (eigenvector, component)
    let mut vectors = Array2::eye(size);
    let negligible =
        matrix.iter().map(|value| value * value).sum::<f64>() * f64::EPSILON * f64::EPSILON;
    for _ in 0..MAX_SWEEPS {
        let off_diagonal: f64 = (0..size)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|at| matrix[at] * matrix[at])
            .sum();
        if off_diagonal <= negligible {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                if let Some(rotation) = rotation(matrix[(p, p)], matrix[(p, q)], matrix[(q, q)]) {
                    rotate_rows(matrix.view_mut(), (p, q), rotation);
                    rotate_rows(matrix.view_mut().reversed_axes(), (p, q), rotation);
                    rotate_rows(vectors.view_mut(), (p, q), rotation);
                    // Otherwise rounding errors there cause further sweeps.
                    (matrix[(p, q)], matrix[(q, p)]) = (0.0, 0.0);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&i, &j| matrix[(j, j)].total_cmp(&matrix[(i, i)]));
    let values = order.iter().map(|&index| matrix[(index, index)]).collect();
    (values, vectors.select(Axis(0), &order))
}

/// Returns cosine and sine of the rotation that makes [[a, b], [b, d]] diagonal; `None` if it is.
fn rotation(a: f64, b: f64, d: f64) -> Option<(f64, f64)> {
    if b.abs() <= f64::MIN_POSITIVE {
        return None;
    }
    let tau = (d - a) / (2.0 * b);
    let tangent = tau.signum() / (tau.abs() + tau.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    Some((cosine, tangent * cosine))
}

/// Replaces rows p and q by c p - s q and s p + c q.
fn rotate_rows(
    mut matrix: ArrayViewMut2<'_, f64>,
    (p, q): (usize, usize),
    (cosine, sine): (f64, f64),
) {
    let (first, second) = matrix.multi_slice_mut((s![p, ..], s![q, ..]));
    Zip::from(first)
        .and(second)
        .for_each(|x, y| (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_a_path_are_known() {
        // Second difference matrix of a path of n nodes: eigenvalues 2 - 2 cos(k π / (n + 1)).
        let size = 40;
        let matrix = Array2::from_shape_fn((size, size), |(i, j)| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        });
        let (values, vectors) = eigen(matrix.clone());
        for (index, value) in values.iter().enumerate() {
            let angle = (size - index) as f64 * std::f64::consts::PI / (size + 1) as f64;
            assert!(
                (value - (2.0 - 2.0 * angle.cos())).abs() < 1e-12,
                "{index}: {value}"
            );
        }
        let product = vectors.dot(&matrix).dot(&vectors.t());
        let expected = Array2::from_diag(&ndarray::Array1::from(values));
        assert!(
            (product - expected)
                .iter()
                .all(|difference| difference.abs() < 1e-12)
        );
    }

    #[test]
    fn handles_the_smallest_matrices() {
        assert_eq!(eigen(Array2::zeros((0, 0))).0, Vec::<f64>::new());
        assert_eq!(eigen(Array2::from_elem((1, 1), 3.0)).0, [3.0]);
        let (values, _) = eigen(ndarray::array![[1.0, 2.0], [2.0, 1.0]]);
        assert!(
            (values[0] - 3.0).abs() < 1e-15 && (values[1] + 1.0).abs() < 1e-15,
            "{values:?}"
        );
    }
}
