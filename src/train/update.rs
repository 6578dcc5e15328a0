//! The update rules, one tensor at a time, in 32-bit floats and in the order of PyTorch's single-tensor
//! implementations, so that both stay together step after step. `p` is the parameter, `g` its gradient.

/// What one step of Adam or AdamW has in common for all tensors.
///
/// Kingma and Ba, "Adam: a method for stochastic optimization" (2015); Loshchilov and Hutter, "Decoupled weight
/// decay regularization" (2019); `torch.optim.Adam`, `torch.optim.AdamW`.
pub(super) struct Adam {
    /// 1 - beta1 and 1 - beta2, subtracted in 64 bits: 1 - 0.999 in 32 bits is wrong in the fifth digit.
    new1: f32,
    beta2: f32,
    new2: f32,
    /// lr / (1 - beta1^t).
    step_size: f32,
    /// sqrt(1 - beta2^t).
    correction: f32,
    epsilon: f32,
    /// 1 - lr * weight_decay for AdamW, else 1.
    keep: f32,
    /// weight_decay for Adam, else 0.
    l2: f32,
}

impl Adam {
    /// `t` counts from 1.
    pub(super) fn new(options: &super::OptimizerOptions, lr: f64, t: u64, decoupled: bool) -> Self {
        let (o, t) = (options, t as f64);
        let (decay, l2) = if decoupled { (o.weight_decay, 0.0) } else { (0.0, o.weight_decay) };
        Self {
            new1: (1.0 - o.beta1) as f32,
            beta2: o.beta2 as f32,
            new2: (1.0 - o.beta2) as f32,
            step_size: (lr / (1.0 - o.beta1.powf(t))) as f32,
            correction: (1.0 - o.beta2.powf(t)).sqrt() as f32,
            epsilon: o.epsilon as f32,
            keep: (1.0 - lr * decay) as f32,
            l2: l2 as f32,
        }
    }

    /// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g²;
    /// p = p - step_size m / (sqrt(v) / correction + epsilon).
    pub(super) fn update(&self, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            *p *= self.keep;
            let g = g + self.l2 * *p;
            *m += self.new1 * (g - *m);
            *v = *v * self.beta2 + self.new2 * g * g;
            *p -= self.step_size * *m / (v.sqrt() / self.correction + self.epsilon);
        }
    }
}

/// sum = sum + g²; p = p - lr g / (sqrt(sum) + epsilon).
///
/// Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization" (2011);
/// `torch.optim.Adagrad`.
pub(super) fn adagrad(p: &mut [f32], g: &[f32], sum: &mut [f32], lr: f32, l2: f32, epsilon: f32) {
    for ((p, g), sum) in p.iter_mut().zip(g).zip(sum) {
        let g = g + l2 * *p;
        *sum += g * g;
        *p -= lr * g / (sum.sqrt() + epsilon);
    }
}

/// buffer = momentum buffer + g; p = p - lr buffer. The first buffer is g itself: it starts from zero.
///
/// Sutskever and others, "On the importance of initialization and momentum in deep learning" (2013), as
/// `torch.optim.SGD` does it.
pub(super) fn momentum(p: &mut [f32], g: &[f32], buffer: &mut [f32], lr: f32, l2: f32, keep: f32) {
    for ((p, g), buffer) in p.iter_mut().zip(g).zip(buffer) {
        *buffer = *buffer * keep + (g + l2 * *p);
        *p -= lr * *buffer;
    }
}

/// p = p - lr g.
pub(super) fn sgd(p: &mut [f32], g: &[f32], lr: f32, l2: f32) {
    for (p, g) in p.iter_mut().zip(g) {
        *p -= lr * (g + l2 * *p);
    }
}
