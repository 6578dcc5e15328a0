//! What was found: vectors, row by row.

use crate::error::{Result, bail};
use crate::options::EmbeddingOptions;

/// The vectors of several texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    width: usize,
    data: Vec<f32>,
    /// For each text, the row behind its last one.
    ends: Vec<usize>,
}

impl Embeddings {
    pub(super) fn new(width: usize, n_texts: usize) -> Self {
        Self { width, data: Vec::new(), ends: Vec::with_capacity(n_texts) }
    }

    pub(super) fn push(&mut self, finish: &Finish, vector: &[f32]) -> Result<()> {
        let text = self.ends.len();
        if vector.iter().any(|x| !x.is_finite()) {
            bail!(
                Engine,
                "text {text}: the model gives numbers that are not finite; the file is damaged or was converted wrongly"
            )
        }
        finish.apply(vector, &mut self.data);
        Ok(())
    }

    pub(super) fn end_text(&mut self) {
        self.ends.push(self.data.len() / self.width.max(1));
    }

    /// How many numbers a vector has.
    pub fn dimensions(&self) -> usize {
        self.width
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there was no text.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many vectors a text has: 1, or with `pooling=none` as many as tokens; 0 for a text that there is not.
    pub fn n_vectors(&self, text: usize) -> usize {
        let (from, to) = self.rows(text);
        to - from
    }

    /// A text's vectors, one after the other; empty for a text that there is not.
    pub fn get(&self, text: usize) -> &[f32] {
        let (from, to) = self.rows(text);
        self.data.get(from * self.width..to * self.width).unwrap_or_default()
    }

    /// Each text's vectors, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The cosine of the angle between two texts' first vectors: 1 in the same direction, 0 without relation.
    pub fn similarity(&self, a: usize, b: usize) -> f32 {
        let first = |text| self.get(text).get(..self.width).unwrap_or_default();
        let (a, b) = (first(a), first(b));
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        if lengths > 0.0 { (dot(a, b) / lengths) as f32 } else { 0.0 }
    }

    fn rows(&self, text: usize) -> (usize, usize) {
        let to = self.ends.get(text).copied().unwrap_or(0);
        let from = text.checked_sub(1).and_then(|before| self.ends.get(before).copied());
        (from.unwrap_or(0).min(to), to)
    }
}

/// What is done with a vector as the model gives it.
pub(super) struct Finish {
    width: usize,
    normalize: bool,
}

impl Finish {
    pub(super) fn new(model_width: usize, options: &EmbeddingOptions) -> Result<Self> {
        let asked = options.dimensions.value().and_then(|n| usize::try_from(n).ok());
        let width = asked.unwrap_or(model_width);
        if width > model_width {
            bail!(
                EmbeddingDimensions,
                "{width} dimensions were asked for, the model's vectors have {model_width}; set dimensions to at most \
                 that"
            )
        }
        Ok(Self { width, normalize: options.normalize })
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    fn apply(&self, vector: &[f32], out: &mut Vec<f32>) {
        let kept = vector.get(..self.width).unwrap_or(vector);
        let length = kept.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        // A vector of zeros has no direction: it stays.
        let scale = if self.normalize && length > 0.0 { 1.0 / length } else { 1.0 };
        out.extend(kept.iter().map(|x| (f64::from(*x) * scale) as f32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Auto;

    fn embeddings(options: &EmbeddingOptions, texts: &[&[[f32; 3]]]) -> Embeddings {
        let finish = Finish::new(3, options).unwrap();
        let mut found = Embeddings::new(finish.width(), texts.len());
        for text in texts {
            for vector in *text {
                found.push(&finish, vector).unwrap();
            }
            found.end_text();
        }
        found
    }

    #[test]
    fn vectors_are_cut_and_then_normalized() {
        let options = EmbeddingOptions { dimensions: Auto::Value(2), ..Default::default() };
        let found = embeddings(&options, &[&[[3.0, 4.0, 100.0]], &[[0.0, 0.0, 1.0]]]);
        assert_eq!((found.get(0), found.get(1)), (&[0.6f32, 0.8][..], &[0.0f32, 0.0][..]));
        assert_eq!((found.similarity(0, 0), found.similarity(0, 1)), (1.0, 0.0));
        let wide = EmbeddingOptions { dimensions: Auto::Value(4), ..Default::default() };
        assert_eq!(Finish::new(3, &wide).err().unwrap().code(), crate::Code::EmbeddingDimensions);
    }

    #[test]
    fn texts_may_have_several_vectors() {
        let options = EmbeddingOptions { normalize: false, ..Default::default() };
        let found = embeddings(&options, &[&[[1.0; 3], [2.0; 3]], &[], &[[3.0; 3]]]);
        assert_eq!((found.len(), found.dimensions()), (3, 3));
        assert_eq!([0, 1, 2, 3].map(|i| found.n_vectors(i)), [2, 0, 1, 0]);
        assert_eq!(found.get(0), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
        assert_eq!((found.get(2), found.get(9)), (&[3.0f32; 3][..], &[][..]));
        let mut found = found;
        let finish = Finish::new(3, &options).unwrap();
        assert_eq!(found.push(&finish, &[f32::NAN; 3]).unwrap_err().code(), crate::Code::Engine);
    }
}
