//! Texts in batches: as many as fit, in their order.

/// Runs of texts, each of at most `n_texts` texts and `n_tokens` tokens; a text alone may be longer.
pub(super) fn of(
    texts: &[Vec<i32>],
    n_texts: usize,
    n_tokens: usize,
) -> impl Iterator<Item = &[Vec<i32>]> {
    let mut rest = texts;
    std::iter::from_fn(move || {
        let mut tokens = 0usize;
        let fits = rest.iter().take(n_texts.max(1)).take_while(|text| {
            tokens = tokens.saturating_add(text.len());
            tokens <= n_tokens
        });
        let n = fits.count().max(1).min(rest.len());
        let (now, later) = rest.split_at(n);
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lengths: &[usize], n_texts: usize, n_tokens: usize) -> Vec<Vec<usize>> {
        let texts: Vec<_> = lengths.iter().map(|&n| vec![0; n]).collect();
        of(&texts, n_texts, n_tokens).map(|b| b.iter().map(Vec::len).collect()).collect()
    }

    #[test]
    fn batches_are_full_and_in_order() {
        assert_eq!(sizes(&[3, 4, 2, 9, 1], 8, 8), [vec![3, 4], vec![2], vec![9], vec![1]]);
        assert_eq!(sizes(&[1, 1, 1], 2, 100), [vec![1, 1], vec![1]]);
        assert_eq!(sizes(&[], 2, 100), Vec::<Vec<usize>>::new());
    }
}
