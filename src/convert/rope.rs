//! Rotary positions: how config.json says them, old and new, and what a model file says.

use serde_json::{Map, Value};

use super::arch::{Extra, More};
use super::config::{Config, missing};
use crate::error::{Result, bail};

/// What config.json says about one kind of layers.
struct Rope {
    theta: Option<f64>,
    scaling: Map<String, Value>,
}

impl Rope {
    /// The rope of all layers, or of those that see everything. It is in `rope_parameters`, perhaps by kind of layer;
    /// older files have `rope_scaling` beside `rope_theta`.
    fn global(config: &Config) -> Result<Self> {
        let all = config.map(&["rope_parameters", "rope_scaling"])?.cloned().unwrap_or_default();
        let scaling = match all.get("full_attention") {
            Some(Value::Object(part)) => part.clone(),
            _ => all,
        };
        let theta = scaling.get("rope_theta").and_then(Value::as_f64);
        let theta = match theta {
            Some(theta) => Some(theta),
            None => config.f64(&["rope_theta"])?,
        };
        Ok(Self { theta, scaling })
    }

    /// The kind of scaling; `default` is none.
    fn kind(&self) -> &str {
        let named = |key| self.scaling.get(key).and_then(Value::as_str);
        named("rope_type").or_else(|| named("type")).unwrap_or("default")
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.scaling.get(key).and_then(Value::as_f64)
    }

    fn need(&self, key: &'static str) -> Result<f64> {
        self.number(key).ok_or_else(|| missing(&[key]))
    }

    /// The length that the model was trained for, before its context was stretched.
    fn original_length(&self, config: &Config) -> Result<u64> {
        let key = "original_max_position_embeddings";
        match self.scaling.get(key).and_then(Value::as_u64) {
            Some(length) => Ok(length),
            None => config.need_u64(&[key]),
        }
    }
}

/// Base frequency and scaling.
///
/// # Errors
/// `CheckpointConfig` for a key that is missing, `CheckpointArchitecture` for a scaling of an unknown kind.
pub(super) fn scaling(from: &Extra<'_>, more: &mut More) -> Result<()> {
    let rope = Rope::global(from.config)?;
    let mut set = |key: &str, value: f64| more.kv.push((from.key(key), (value as f32).into()));
    if let Some(theta) = rope.theta {
        set("rope.freq_base", theta);
    }
    if let Some(theta) = local_theta(from.config)? {
        set("rope.freq_base_swa", theta);
    }
    match rope.kind() {
        "linear" => {
            set("rope.scaling.factor", rope.need("factor")?);
            more.kv.push((from.key("rope.scaling.type"), "linear".into()));
        }
        "yarn" => {
            set("rope.scaling.factor", rope.need("factor")?);
            let attention = rope.number("attention_factor").or_else(|| rope.number("attn_factor"));
            for (key, value) in [
                ("rope.scaling.yarn_ext_factor", rope.number("extrapolation_factor")),
                ("rope.scaling.yarn_attn_factor", attention),
                ("rope.scaling.yarn_beta_fast", rope.number("beta_fast")),
                ("rope.scaling.yarn_beta_slow", rope.number("beta_slow")),
            ] {
                if let Some(value) = value {
                    set(key, value);
                }
            }
            let length = rope.original_length(from.config)? as u32;
            more.kv.push((from.key("rope.scaling.original_context_length"), length.into()));
            more.kv.push((from.key("rope.scaling.type"), "yarn".into()));
        }
        "default" | "llama3" => {}
        other => bail!(
            CheckpointArchitecture,
            "config.json scales rotary positions by {other:?}, which cannot be converted for this architecture"
        ),
    }
    Ok(())
}

/// The base of layers with a sliding window, where they have their own.
fn local_theta(config: &Config) -> Result<Option<f64>> {
    let all = config.map(&["rope_parameters", "rope_scaling"])?;
    let own = all.and_then(|all| all.get("sliding_attention")?.get("rope_theta")?.as_f64());
    match own {
        Some(theta) => Ok(Some(theta)),
        None => config.f64(&["rope_local_base_freq"]),
    }
}

/// Llama 3's scaling: slow rotations are slowed further, fast ones stay, as a tensor of factors.
///
/// # Errors
/// `CheckpointConfig` for a malformed value.
pub(super) fn llama3(from: &Extra<'_>, more: &mut More) -> Result<()> {
    let rope = Rope::global(from.config)?;
    if rope.kind() != "llama3" {
        return Ok(());
    }
    let base = rope.theta.unwrap_or(10_000.0) as f32;
    let n_rot = from.config.need_u64(&["head_dim"])?;
    let number = |key, default| rope.number(key).unwrap_or(default) as f32;
    let factor = number("factor", 8.0);
    let (low, high) = (number("low_freq_factor", 1.0), number("high_freq_factor", 4.0));
    let length = number("original_max_position_embeddings", 8192.0);
    let factors = (0..n_rot).step_by(2).map(|i| {
        let wave = 2.0 * std::f32::consts::PI * base.powf(i as f32 / n_rot as f32);
        if wave < length / high {
            1.0
        } else if wave > length / low {
            factor
        } else {
            let smooth = (length / wave - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    });
    more.tensors.push(("rope_freqs.weight".into(), factors.collect()));
    Ok(())
}

/// Phi 3's: factors for short and for long contexts, as two tensors.
///
/// # Errors
/// `CheckpointConfig` for a key that is missing, or factors of the wrong number.
pub(super) fn long(from: &Extra<'_>, more: &mut More) -> Result<()> {
    let config = from.config;
    let rope = Rope::global(config)?;
    let length = config.need_u64(&["max_position_embeddings"])?;
    let original = rope.original_length(config)?;
    let (n_embd, n_head) =
        (config.need_u64(&["hidden_size"])?, config.need_u64(&["num_attention_heads"])?);
    let partial = match rope.number("partial_rotary_factor") {
        Some(part) => part,
        None => config.f64(&["partial_rotary_factor"])?.unwrap_or(1.0),
    };
    let n_rot = ((partial * n_embd as f64) as u64).checked_div(n_head).unwrap_or(0);
    more.kv.push((from.key("rope.dimension_count"), (n_rot as u32).into()));
    more.kv.push((from.key("rope.scaling.original_context_length"), (original as u32).into()));
    if let Some(theta) = rope.theta {
        more.kv.push((from.key("rope.freq_base"), (theta as f32).into()));
    }
    let kind = rope.kind();
    if kind == "default" {
        return Ok(());
    }
    let scale = length as f64 / original.max(1) as f64;
    let attention = match kind {
        _ if scale <= 1.0 && matches!(kind, "su" | "longrope" | "yarn") => 1.0,
        "su" | "longrope" => (1.0 + scale.ln() / (original as f64).ln()).sqrt(),
        "yarn" => 0.1 * scale.ln() + 1.0,
        other => bail!(
            CheckpointArchitecture,
            "config.json scales rotary positions by {other:?}, which cannot be converted for this architecture"
        ),
    };
    more.kv.push((from.key("rope.scaling.attn_factor"), (attention as f32).into()));
    for (key, name) in
        [("long_factor", "rope_factors_long"), ("short_factor", "rope_factors_short")]
    {
        let listed = rope.scaling.get(key).and_then(Value::as_array);
        let listed = listed.ok_or_else(|| missing(&[key]))?;
        let factors: Vec<_> = listed.iter().filter_map(|v| Some(v.as_f64()? as f32)).collect();
        if factors.len() as u64 != n_rot / 2 || factors.len() != listed.len() {
            bail!(
                CheckpointConfig,
                "config.json: {key} must be {} numbers, half of a head's rotated width; it has {}",
                n_rot / 2,
                listed.len()
            )
        }
        more.tensors.push((format!("{name}.weight"), factors));
    }
    Ok(())
}
