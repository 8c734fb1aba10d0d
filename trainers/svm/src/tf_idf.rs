//! Tf-idf weights with scikit-learn's semantics. Public, so that a test can compare the matrix with
//! the one of `TfidfVectorizer`.

use text::features::CsrPattern;

/// Returns the inverse document frequency, smoothed as in scikit-learn: ln((1 + n) / (1 + df)) + 1.
pub fn idf(documents: usize, frequency: u32) -> f32 {
    (((1 + documents) as f64 / (1 + u64::from(frequency)) as f64).ln() + 1.0) as f32
}

/// Function of a term count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TermFrequency {
    /// The count.
    Raw,
    /// 1 + ln(count)
    Sublinear,
    /// 1
    Binary,
}

impl TermFrequency {
    #[inline]
    fn of(self, count: f32) -> f32 {
        match self {
            Self::Raw => count,
            Self::Sublinear => 1.0 + count.ln(),
            Self::Binary => 1.0,
        }
    }
}

/// Turns the term counts of a row into features, in place: term frequency times `scale` of the
/// column, normalised to Euclidean length 1.
#[inline]
pub fn weigh(values: &mut [f32], columns: &[u32], scale: &[f32], tf: TermFrequency) {
    let mut square = 0.0;
    for (value, &column) in values.iter_mut().zip(columns) {
        *value = tf.of(*value) * scale[column as usize];
        square += f64::from(*value) * f64::from(*value);
    }
    if square > 0.0 {
        let factor = (1.0 / square.sqrt()) as f32;
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

/// Applies [`weigh`] to every row of a matrix of counts.
pub fn weigh_all(values: &mut [f32], pattern: &CsrPattern, scale: &[f32], tf: TermFrequency) {
    for row in 0..pattern.rows() {
        weigh(&mut values[pattern.range(row)], pattern.row(row), scale, tf);
    }
}
