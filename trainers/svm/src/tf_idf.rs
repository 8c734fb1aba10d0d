//! Tf-idf weights with scikit-learn's semantics. Public, so that a test can compare the matrix with
//! the one of `TfidfVectorizer`.

use text::features::CsrPattern;
pub use text::features::TermFrequency;

/// Returns the inverse document frequency, as `text::features::idf`.
pub fn idf(documents: usize, frequency: u32) -> f32 {
    text::features::idf(documents, frequency) as f32
}

#[inline]
fn term_frequency(count: f32, tf: TermFrequency) -> f32 {
    match tf {
        TermFrequency::Raw => count,
        TermFrequency::Sublinear => 1.0 + count.ln(),
        TermFrequency::Binary => 1.0,
    }
}

/// Turns the term counts of a row into features, in place: term frequency times `scale` of the
/// column, normalised to Euclidean length 1.
#[inline]
pub fn weigh(values: &mut [f32], columns: &[u32], scale: &[f32], tf: TermFrequency) {
    let mut square = 0.0;
    for (value, &column) in values.iter_mut().zip(columns) {
        *value = term_frequency(*value, tf) * scale[column as usize];
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
