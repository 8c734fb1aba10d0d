//! Thins curves for the report: a million rows have a million thresholds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::MAX_POINTS;

/// Columns of the first, coarse thinning. A rising curve changes its area by at most half a
/// column's width (5e-4) there.
const COLUMNS: f64 = 1000.0;

type Point = (f64, f64);

/// Collects the points of a curve with ascending x in 0..=1 and keeps the first, lowest, highest
/// and last one of each column.
pub(super) struct Thinner {
    points: Vec<Point>,
    column: Option<Column>,
}

struct Column {
    number: u32,
    seen: u64,
    // Each with its position in the order of arrival.
    first: (u64, Point),
    low: (u64, Point),
    high: (u64, Point),
    last: (u64, Point),
}

impl Thinner {
    pub(super) fn new(start: Point) -> Self {
        Self {
            points: vec![start],
            column: None,
        }
    }

    pub(super) fn push(&mut self, point: Point) {
        let number = (point.0 * COLUMNS) as u32;
        match &mut self.column {
            Some(column) if column.number == number => {
                column.seen += 1;
                let entry = (column.seen, point);
                if point.1 < column.low.1.1 {
                    column.low = entry;
                }
                if point.1 > column.high.1.1 {
                    column.high = entry;
                }
                column.last = entry;
            }
            _ => {
                self.close();
                let entry = (0, point);
                let column = Column {
                    number,
                    seen: 0,
                    first: entry,
                    low: entry,
                    high: entry,
                    last: entry,
                };
                self.column = Some(column);
            }
        }
    }

    fn close(&mut self) {
        if let Some(Column {
            first,
            mut low,
            mut high,
            last,
            ..
        }) = self.column.take()
        {
            if low.0 > high.0 {
                (low, high) = (high, low);
            }
            let mut kept = vec![first, low, high, last];
            kept.dedup_by_key(|entry| entry.0);
            self.points.extend(kept.into_iter().map(|entry| entry.1));
        }
    }

    pub(super) fn finish(mut self) -> Vec<Point> {
        self.close();
        thin(&self.points, MAX_POINTS)
    }
}

/// Drops, one after the other, the point that spans the smallest triangle with its neighbours
/// until `limit` points are left (Visvalingam and Whyatt 1993), and all that lie on a line.
/// The two ends stay.
pub(crate) fn thin(points: &[Point], limit: usize) -> Vec<Point> {
    let n = points.len();
    let mut left: Vec<usize> = (0..n).map(|i| i.saturating_sub(1)).collect();
    let mut right: Vec<usize> = (0..n).map(|i| (i + 1).min(n - 1)).collect();
    let size = |a: usize, b: usize, c: usize| triangle(points[a], points[b], points[c]);
    // A size that is not this one's newest is stale; NaN marks a dropped point.
    let mut sizes: Vec<f64> = (0..n).map(|i| size(left[i], i, right[i])).collect();
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> = (1..n.saturating_sub(1))
        .map(|i| Reverse((sizes[i].to_bits(), i)))
        .collect();

    let mut kept = n;
    while let Some(Reverse((bits, i))) = heap.pop() {
        if bits != sizes[i].to_bits() {
            continue;
        }
        if kept <= limit && sizes[i] > 1e-15 {
            break;
        }
        kept -= 1;
        sizes[i] = f64::NAN;
        let (l, r) = (left[i], right[i]);
        (right[l], left[r]) = (r, l);
        for j in [l, r] {
            if j != 0 && j != n - 1 {
                // At least the size of the point just dropped: otherwise a whole peak could vanish.
                sizes[j] = size(left[j], j, right[j]).max(f64::from_bits(bits));
                heap.push(Reverse((sizes[j].to_bits(), j)));
            }
        }
    }
    (0..n)
        .filter(|&i| !sizes[i].is_nan())
        .map(|i| points[i])
        .collect()
}

/// Area of the triangle; never negative, so its bits order as it does.
fn triangle(a: Point, b: Point, c: Point) -> f64 {
    let double = (b.0 - a.0) * (c.1 - a.1) - (c.0 - a.0) * (b.1 - a.1);
    double.abs() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(points: &[Point]) -> f64 {
        points
            .windows(2)
            .map(|w| (w[1].0 - w[0].0) * (w[1].1 + w[0].1) / 2.0)
            .sum()
    }

    /// A shape of `n` steps, as a threshold sweep of `n` rows makes it.
    fn staircase(n: u32, bend: f64) -> Vec<Point> {
        let at = |i: u32| f64::from(i) / f64::from(n);
        (0..=n)
            .flat_map(|i| {
                [
                    (at(i), at(i.max(1) - 1).powf(bend)),
                    (at(i), at(i).powf(bend)),
                ]
            })
            .collect()
    }

    #[test]
    fn thinned_curve_keeps_area() {
        for n in [1, 2, 50, 199, 500, 5_000, 100_000] {
            for bend in [0.01, 0.1, 0.5, 1.0, 3.0] {
                let full = staircase(n, bend);
                let mut thinner = Thinner::new(full[0]);
                full[1..].iter().for_each(|&point| thinner.push(point));
                let thin = thinner.finish();
                assert!(
                    thin.len() <= MAX_POINTS,
                    "{n} {bend}: {} points",
                    thin.len()
                );
                assert_eq!((thin.first(), thin.last()), (full.first(), full.last()));
                assert!(thin.windows(2).all(|w| w[0].0 <= w[1].0), "{n} {bend}");
                let gap = (area(&thin) - area(&full)).abs();
                assert!(gap < 1e-3, "{n} {bend}: area off by {gap}");
            }
        }
    }

    #[test]
    fn jagged_start_keeps_its_area() {
        // Precision jumps with every row while the recall is small.
        let (mut hits, mut full) = (0u32, vec![(0.0, 1.0)]);
        for row in 1..=20_000u32 {
            hits += u32::from(row.wrapping_mul(2_654_435_761) >> 16 & 3 == 0);
            full.push((f64::from(hits) / 5_200.0, f64::from(hits) / f64::from(row)));
        }
        let mut thinner = Thinner::new(full[0]);
        full[1..].iter().for_each(|&point| thinner.push(point));
        let thin = thinner.finish();
        assert!(thin.len() <= MAX_POINTS);
        assert!((area(&thin) - area(&full)).abs() < 1e-3);
    }

    #[test]
    fn collinear_points_are_dropped_below_the_limit() {
        let line: Vec<Point> = (0..=100)
            .map(|i| (f64::from(i), 2.0 * f64::from(i)))
            .collect();
        assert_eq!(thin(&line, 200), [(0.0, 0.0), (100.0, 200.0)]);
        assert_eq!(thin(&[], 200), []);
        assert_eq!(thin(&[(1.0, 2.0)], 200), [(1.0, 2.0)]);
    }
}
