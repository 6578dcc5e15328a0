//! `adapter_config.json`: what scales the pairs, and what a GGUF adapter could not do.

use serde_json::{Map, Value};

use crate::error::{Error, Result, bail, err};

/// Settings of which only the default can be carried, with what the user can do.
const OFF: &[(&str, &str)] = &[
    (
        "use_dora",
        "merge it into its base model with PEFT (merge_and_unload), or train without DoRA",
    ),
    ("lora_bias", "train with lora_bias=False"),
    ("use_qalora", "train without QALoRA"),
    ("use_bdlora", "train without block-diagonal LoRA"),
    ("modules_to_save", "train without modules_to_save"),
    ("trainable_token_indices", "train without new tokens"),
    ("layer_replication", "train on the model as it is"),
    ("target_parameters", "train with target_modules"),
    ("alora_invocation_tokens", "train without aLoRA"),
    ("arrow_config", "convert the routed adapters one by one"),
    ("kasa_config", "train without KaSA"),
    ("monteclora_config", "train without MonteCLoRA"),
    ("ensure_weight_tying", "train without embeddings"),
];
/// Ways to begin that change the base model, too: the adapter fits the changed one alone.
const CHANGED_BASE: &[&str] = &["pissa", "olora", "corda", "loftq", "lora_ga"];

/// What the numbers of the pairs depend on.
#[derive(Debug)]
pub(super) struct Config {
    pub base_model: String,
    pub rs_lora: bool,
    r: f64,
    alpha: f64,
    ranks: Vec<(String, f64)>,
    alphas: Vec<(String, f64)>,
}

impl Config {
    /// # Errors
    /// `PeftFormat` for a missing or malformed key, `PeftUnsupported` for what GGUF cannot carry.
    pub(super) fn read(config: &Value) -> Result<Self> {
        let kind = config.get("peft_type").and_then(Value::as_str).unwrap_or_default();
        if kind != "LORA" {
            bail!(
                PeftUnsupported,
                "peft_type is {kind:?}; only LORA can be carried into a GGUF adapter"
            )
        }
        for (key, remedy) in OFF {
            if config.get(key).is_some_and(|value| !is_off(value)) {
                bail!(PeftUnsupported, "{key} is set, which a GGUF adapter cannot carry; {remedy}")
            }
        }
        let bias = config.get("bias").and_then(Value::as_str).unwrap_or("none");
        if bias != "none" {
            bail!(
                PeftUnsupported,
                "bias is {bias:?}, and a GGUF adapter has no biases; train with bias=\"none\""
            )
        }
        let begun = config.get("init_lora_weights").and_then(Value::as_str).unwrap_or_default();
        if CHANGED_BASE.iter().any(|way| begun.to_lowercase().starts_with(way)) {
            bail!(
                PeftUnsupported,
                "init_lora_weights is {begun:?}, which changes the base model, too; save the adapter with \
                 path_initial_model_for_weight_conversion"
            )
        }
        let r = number(config, "r")?;
        if r < 1.0 || r.fract() != 0.0 {
            bail!(PeftFormat, "r is {r}; it must be a positive integer")
        }
        Ok(Self {
            base_model: text(config, "base_model_name_or_path")?,
            rs_lora: config.get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
            r,
            alpha: number(config, "lora_alpha")?,
            ranks: patterns(config, "rank_pattern")?,
            alphas: patterns(config, "alpha_pattern")?,
        })
    }

    /// What a module's product is multiplied by.
    ///
    /// # Errors
    /// `AdapterRank` where the configuration and the tensors disagree, `PeftUnsupported` for patterns that do.
    pub(super) fn scale(&self, module: &str, rank: usize) -> Result<f64> {
        let r = find(&self.ranks, module, "rank_pattern")?.unwrap_or(self.r);
        if r != rank as f64 {
            bail!(
                AdapterRank,
                "the configuration gives {module} the rank {r}, its tensors have {rank}; take both from one training"
            )
        }
        let alpha = find(&self.alphas, module, "alpha_pattern")?.unwrap_or(self.alpha);
        Ok(if self.rs_lora { alpha / r.sqrt() } else { alpha / r })
    }
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn number(config: &Value, key: &str) -> Result<f64> {
    let value = config.get(key).ok_or_else(|| bad(key, "is missing"))?;
    value.as_f64().filter(|v| v.is_finite()).ok_or_else(|| bad(key, "is not a number"))
}

fn text(config: &Value, key: &str) -> Result<String> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(value) => value.as_str().map(str::to_owned).ok_or_else(|| bad(key, "is not text")),
    }
}

fn patterns(config: &Value, key: &str) -> Result<Vec<(String, f64)>> {
    let none = Map::new();
    let map = match config.get(key) {
        None | Some(Value::Null) => &none,
        Some(value) => value.as_object().ok_or_else(|| bad(key, "is not an object"))?,
    };
    let one = |(pattern, value): (&String, &Value)| {
        let value = value.as_f64().filter(|v| v.is_finite());
        Ok((pattern.clone(), value.ok_or_else(|| bad(key, "holds what is not a number"))?))
    };
    map.iter().map(one).collect()
}

/// The first pattern that PEFT would find for a module: the whole of its path, or the end of it.
fn find(patterns: &[(String, f64)], module: &str, key: &str) -> Result<Option<f64>> {
    for (pattern, value) in patterns {
        let (whole, name) = match pattern.strip_prefix('^') {
            Some(name) => (true, name),
            None => (false, pattern.as_str()),
        };
        let name = name.strip_suffix('$').unwrap_or(name).replace("\\.", ".");
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c)) {
            bail!(
                PeftUnsupported,
                "{key} has the regular expression {pattern:?}; name the modules one by one instead"
            )
        }
        let rest = module.strip_suffix(name.as_str());
        if rest.is_some_and(|rest| rest.is_empty() || (!whole && rest.ends_with('.'))) {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

fn bad(key: &str, what: &str) -> Error {
    err!(PeftFormat, "{key} {what}; save the adapter again with PEFT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use serde_json::json;

    fn config(more: &Value) -> Value {
        let mut config = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none"});
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    #[test]
    fn scales_follow_the_patterns_as_in_peft() {
        let with = json!({
            "alpha_pattern": {"layers.1.self_attn.q_proj": 2, "v_proj": 4, "^model.layers.0.mlp.up_proj": 16},
            "rank_pattern": {"v_proj": 16},
        });
        let plain = Config::read(&config(&with)).unwrap();
        let scale = |module: &str, rank| plain.scale(module, rank).unwrap();
        assert_eq!(scale("model.layers.0.self_attn.q_proj", 4), 2.0);
        assert_eq!(scale("model.layers.1.self_attn.q_proj", 4), 0.5);
        assert_eq!(scale("model.layers.11.self_attn.q_proj", 4), 2.0);
        assert_eq!(scale("model.layers.11.self_attn.v_proj", 16), 0.25);
        assert_eq!(scale("model.layers.0.mlp.up_proj", 4), 4.0);
        assert_eq!(scale("x.model.layers.0.mlp.up_proj", 4), 2.0);
        let rank = plain.scale("model.layers.0.self_attn.v_proj", 4).unwrap_err();
        assert_eq!(rank.code(), Code::AdapterRank);
        let rs = Config::read(&config(&json!({"use_rslora": true}))).unwrap();
        assert_eq!(rs.scale("model.layers.0.mlp.up_proj", 4).unwrap(), 4.0);
        let regex = Config::read(&config(&json!({"alpha_pattern": {".*_proj": 2}}))).unwrap();
        assert_eq!(regex.scale("a.q_proj", 4).unwrap_err().code(), Code::PeftUnsupported);
    }

    #[test]
    fn what_cannot_be_carried_is_named() {
        for more in [
            json!({"peft_type": "LOHA"}),
            json!({"peft_type": null}),
            json!({"use_dora": true}),
            json!({"bias": "lora_only"}),
            json!({"lora_bias": true}),
            json!({"modules_to_save": ["lm_head"]}),
            json!({"trainable_token_indices": [1]}),
            json!({"layer_replication": [[0, 1]]}),
            json!({"init_lora_weights": "pissa_niter_4"}),
        ] {
            let error = Config::read(&config(&more)).unwrap_err();
            assert_eq!(error.code(), Code::PeftUnsupported, "{more}");
            let key = more.as_object().unwrap().keys().next().unwrap();
            assert!(error.message().contains(key), "{error}");
        }
        for more in [
            json!({"r": null}),
            json!({"r": 0}),
            json!({"r": 1.5}),
            json!({"lora_alpha": "x"}),
            json!({"rank_pattern": []}),
            json!({"alpha_pattern": {"q_proj": "2"}}),
            json!({"base_model_name_or_path": 1}),
        ] {
            assert_eq!(
                Config::read(&config(&more)).unwrap_err().code(),
                Code::PeftFormat,
                "{more}"
            );
        }
        let harmless =
            json!({"modules_to_save": null, "loftq_config": {}, "init_lora_weights": true});
        assert!(Config::read(&config(&harmless)).is_ok());
    }
}
