//! The norm of all gradients together, and scaling them down to a limit.

use crate::error::{Result, bail};

/// The L2 norm of all gradients together, summed in 64-bit floats in their order.
pub fn grad_norm<'a>(gradients: impl IntoIterator<Item = &'a [f32]>) -> f64 {
    let squares = |g: &[f32]| g.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
    gradients.into_iter().map(squares).sum::<f64>().sqrt()
}

/// Scales the gradients so that their norm is at most `max_norm`, as `torch.nn.utils.clip_grad_norm_` does;
/// 0 = no limit. Gives the norm before.
///
/// # Errors
/// `TrainingDiverged` when a gradient is not a finite number; nothing is changed then.
pub fn clip_grad_norm(gradients: &mut [&mut [f32]], max_norm: f64) -> Result<f64> {
    let norm = grad_norm(gradients.iter().map(|g| &**g));
    // 64-bit floats hold the square of every 32-bit float: only NaN and infinity give these.
    if !norm.is_finite() {
        let bad = gradients.iter().flat_map(|g| g.iter()).filter(|v| !v.is_finite()).count();
        bail!(
            TrainingDiverged,
            "{bad} elements of the gradient are not finite numbers; lower learning_rate, set max_grad_norm or \
             add warmup_steps"
        )
    }
    // PyTorch's guard against division by zero, kept so that the scaled values agree.
    let factor = max_norm / (norm + 1e-6);
    if max_norm > 0.0 && factor < 1.0 {
        for value in gradients.iter_mut().flat_map(|g| g.iter_mut()) {
            *value *= factor as f32;
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn the_norm_is_that_of_all_tensors_together() {
        let (mut a, mut b) = (vec![3.0f32, 0.0], vec![-4.0f32]);
        let mut both = [&mut a[..], &mut b[..]];
        assert_eq!(clip_grad_norm(&mut both, 0.0).unwrap(), 5.0);
        assert_eq!(clip_grad_norm(&mut both, 10.0).unwrap(), 5.0);
        assert_eq!((both[0][0], both[1][0]), (3.0, -4.0), "below the limit nothing changes");
        assert_eq!(clip_grad_norm(&mut both, 1.0).unwrap(), 5.0);
        let after = grad_norm([&a[..], &b[..]]);
        assert!((after - 1.0).abs() < 1e-6, "{after}");
        assert!((a[0] / -b[0] - 0.75).abs() < 1e-6, "the direction stays");
    }

    #[test]
    fn huge_gradients_have_a_norm_and_broken_ones_are_counted() {
        let mut huge = vec![f32::MAX; 1000];
        let norm = clip_grad_norm(&mut [&mut huge[..]], 1.0).unwrap();
        assert!(norm.is_finite() && grad_norm([&huge[..]]) < 1.01);
        let mut bad = [1.0, f32::NAN, f32::INFINITY];
        let error = clip_grad_norm(&mut [&mut bad[..]], 1.0).unwrap_err();
        assert_eq!(error.code(), Code::TrainingDiverged);
        assert!(error.message().starts_with("2 elements"), "{error}");
        assert_eq!(bad[0], 1.0);
        assert_eq!(clip_grad_norm(&mut [], 1.0).unwrap(), 0.0);
    }
}
