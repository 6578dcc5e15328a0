//! The best approximation of B A of a lower rank, without making the product.

use super::lora::{Matrix, Pair};

/// Sweeps of the Jacobi method at most: a few are enough for the sizes of adapters.
const SWEEPS: usize = 60;

/// Columns of one length.
type Columns = Vec<Vec<f64>>;

/// The pair of `rank` whose product is nearest: B holds the left singular vectors times the singular values, A the right
/// ones, as in PEFT.
pub(super) fn low_rank(pair: &Pair, rank: usize) -> Pair {
    let (b, a) = (columns(&pair.b), rows(&pair.a));
    // B A = Qb (Rb Ra^T) Qa^T: what is left is a square matrix of the pair's rank.
    let ((qb, rb), (qa, ra)) = (orthogonal(b), orthogonal(a));
    let n = pair.rank();
    let core: Columns = (0..n)
        .map(|j| (0..n).map(|i| (0..n).map(|k| at(&rb, k, i) * at(&ra, k, j)).sum()).collect())
        .collect();
    let (left, right) = singular(core);
    let rank = rank.min(n).min(pair.b.rows).min(pair.a.columns).max(1);
    let lift = |q: &Columns, of: &Columns, width: usize| -> Vec<Vec<f32>> {
        let one = |weights: &Vec<f64>| {
            (0..width).map(|i| dot_at(q, weights, i) as f32).collect::<Vec<f32>>()
        };
        of.iter().take(rank).map(one).collect()
    };
    let b = lift(&qb, &left, pair.b.rows);
    let a: Vec<f32> = lift(&qa, &right, pair.a.columns).concat();
    let b: Vec<f32> = (0..pair.b.rows)
        .flat_map(|row| b.iter().map(move |column| column.get(row).copied().unwrap_or(0.0)))
        .collect();
    Pair {
        scale: pair.scale,
        a: Matrix::from_f32(rank, pair.a.columns, &a),
        b: Matrix::from_f32(pair.b.rows, rank, &b),
    }
}

fn at(columns: &Columns, column: usize, row: usize) -> f64 {
    columns.get(column).and_then(|c| c.get(row)).copied().unwrap_or(0.0)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Element `i` of the columns' weighted sum.
fn dot_at(columns: &Columns, weights: &[f64], i: usize) -> f64 {
    columns.iter().zip(weights).map(|(c, w)| c.get(i).copied().unwrap_or(0.0) * w).sum()
}

fn rows(matrix: &Matrix) -> Columns {
    let values = matrix.to_f32();
    values
        .chunks_exact(matrix.columns.max(1))
        .map(|r| r.iter().map(|v| f64::from(*v)).collect())
        .collect()
}

fn columns(matrix: &Matrix) -> Columns {
    let rows = rows(matrix);
    let column = |j: usize| rows.iter().map(|r| r.get(j).copied().unwrap_or(0.0)).collect();
    (0..matrix.columns).map(column).collect()
}

/// Orthonormal columns Q, and R with M = Q R, by Gram and Schmidt, each column twice for its accuracy. A column that
/// depends on those before it becomes zero. R is given by its columns.
fn orthogonal(mut m: Columns) -> (Columns, Columns) {
    let n = m.len();
    let mut r: Columns = vec![vec![0.0; n]; n];
    for j in 0..n {
        let (done, rest) = m.split_at_mut(j);
        let (Some(column), Some(r)) = (rest.first_mut(), r.get_mut(j)) else { continue };
        let before = dot(column, column).sqrt();
        for _ in 0..2 {
            for (q, r) in done.iter().zip(r.iter_mut()) {
                let along = dot(q, column);
                *r += along;
                column.iter_mut().zip(q).for_each(|(x, q)| *x -= along * q);
            }
        }
        let norm = dot(column, column).sqrt();
        let independent = norm > before * 1e-12;
        if let Some(r) = r.get_mut(j).filter(|_| independent) {
            *r = norm;
        }
        let factor = if independent { 1.0 / norm } else { 0.0 };
        column.iter_mut().for_each(|x| *x *= factor);
    }
    (m, r)
}

/// U S and V of a square matrix by one-sided Jacobi rotations, the largest singular value first.
fn singular(mut m: Columns) -> (Columns, Columns) {
    let n = m.len();
    let mut v: Columns =
        (0..n).map(|j| (0..n).map(|i| if i == j { 1.0 } else { 0.0 }).collect()).collect();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                let Some((cos, sin)) = rotation(&m, p, q) else { continue };
                turned = true;
                rotate(&mut m, p, q, cos, sin);
                rotate(&mut v, p, q, cos, sin);
            }
        }
        if !turned {
            break;
        }
    }
    let mut both: Vec<_> = m.into_iter().zip(v).collect();
    both.sort_by(|(a, _), (b, _)| dot(b, b).total_cmp(&dot(a, a)));
    both.into_iter().unzip()
}

/// What makes two columns orthogonal; `None` where they are.
fn rotation(m: &Columns, p: usize, q: usize) -> Option<(f64, f64)> {
    let (a, b) = (m.get(p)?, m.get(q)?);
    let (aa, bb, ab) = (dot(a, a), dot(b, b), dot(a, b));
    if ab == 0.0 || ab.abs() <= 1e-15 * (aa * bb).sqrt() {
        return None;
    }
    let zeta = (bb - aa) / (2.0 * ab);
    let tan = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
    let cos = 1.0 / tan.hypot(1.0);
    Some((cos, cos * tan))
}

fn rotate(m: &mut Columns, p: usize, q: usize, cos: f64, sin: f64) {
    let (head, tail) = m.split_at_mut(q);
    if let (Some(a), Some(b)) = (head.get_mut(p), tail.first_mut()) {
        for (x, y) in a.iter_mut().zip(b) {
            (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(pair: &Pair) -> Vec<f64> {
        let (a, b) = (rows(&pair.a), rows(&pair.b));
        b.iter()
            .flat_map(|w| (0..pair.a.columns).map(|j| dot_at(&a, w, j)).collect::<Vec<_>>())
            .collect()
    }

    fn random(rows: usize, columns: usize, seed: u64) -> Matrix {
        let mut state = seed;
        let values: Vec<f32> = (0..rows * columns)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 40) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        Matrix::from_f32(rows, columns, &values)
    }

    fn apart(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn the_full_rank_is_the_product_itself_and_less_loses_the_smallest_values() {
        let pair = Pair { scale: 1.0, a: random(4, 9, 1), b: random(7, 4, 2) };
        let whole = product(&pair);
        assert!(apart(&product(&low_rank(&pair, 4)), &whole) < 1e-5);
        assert!(apart(&product(&low_rank(&pair, 99)), &whole) < 1e-5);
        // The columns of B are as long as the singular values are large: what is lost is the length of the others.
        let lengths: Vec<f64> =
            columns(&low_rank(&pair, 4).b).iter().map(|c| dot(c, c).sqrt()).collect();
        assert!(lengths.windows(2).all(|w| w[0] >= w[1]), "{lengths:?}");
        for rank in 1..4 {
            let low = low_rank(&pair, rank);
            assert_eq!(low.rank(), rank);
            let lost = lengths[rank..].iter().map(|l| l * l).sum::<f64>().sqrt();
            assert!((apart(&product(&low), &whole) - lost).abs() < 1e-5, "{rank}");
        }
    }

    #[test]
    fn pairs_that_hold_the_same_twice_or_nothing_are_fine() {
        let one = random(2, 6, 3);
        let twice = [one.to_f32(), one.to_f32()].concat();
        let pair = Pair { scale: 1.0, a: Matrix::from_f32(4, 6, &twice), b: random(5, 4, 4) };
        assert!(apart(&product(&low_rank(&pair, 2)), &product(&pair)) < 1e-5);
        let zero = Pair { scale: 1.0, a: one, b: Matrix::from_f32(5, 2, &[0.0; 10]) };
        assert_eq!(product(&low_rank(&zero, 1)), [0.0; 30]);
    }
}
