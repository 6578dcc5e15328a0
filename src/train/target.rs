//! Which weights of a layer an adapter changes.

use std::fmt;

use crate::error::{Result, bail};

macro_rules! targets {
    ($($name:ident = $word:literal $doc:literal,)*) => {
        /// A weight of every layer that an adapter can change. The order is that of the parameters.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Target { $(#[doc = $doc] $name,)* }

        impl Target {
            /// Every target, in order.
            pub const ALL: &'static [Target] = &[$(Target::$name,)*];

            /// The name in a model's tensor table: `blk.0.NAME.weight`.
            pub const fn name(self) -> &'static str {
                match self { $(Target::$name => $word,)* }
            }
        }
    };
}

targets! {
    AttnQ = "attn_q" "The attention's query projection.",
    AttnK = "attn_k" "The attention's key projection.",
    AttnV = "attn_v" "The attention's value projection.",
    AttnQkv = "attn_qkv" "Query, key and value projections in one weight (gpt2, phi3).",
    AttnOutput = "attn_output" "The attention's output projection.",
    FfnGate = "ffn_gate" "The feed-forward network's gate.",
    FfnUp = "ffn_up" "The feed-forward network's input; with the gate in it for phi3.",
    FfnDown = "ffn_down" "The feed-forward network's output.",
}

impl Target {
    /// The target with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|t| t.name() == name)
    }

    /// The layer and target that a tensor's name stands for; `None` for other tensors.
    pub fn of_weight(name: &str) -> Option<(u32, Self)> {
        let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
        let target = Self::from_name(rest.strip_suffix(".weight")?)?;
        let layer: u32 = layer.parse().ok()?;
        // "+1" and "01" parse, too, but are no names of layers.
        (target.weight(layer) == name).then_some((layer, target))
    }

    /// The name of a layer's weight.
    pub fn weight(self, layer: u32) -> String {
        format!("blk.{layer}.{}.weight", self.name())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A choice of targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Every projection of attention and feed-forward network that the model has.
    All,
    /// Every projection of the attention that the model has.
    Attention,
    /// Exactly these.
    Only(Vec<Target>),
}

impl Targets {
    /// Reads `all`, `attention`, or names with commas between them.
    ///
    /// # Errors
    /// `LoraTarget`.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim() {
            "all" => return Ok(Self::All),
            "attention" => return Ok(Self::Attention),
            _ => {}
        }
        let mut only = Vec::new();
        for name in text.split(',').map(str::trim) {
            let Some(target) = Target::from_name(name) else {
                bail!(
                    LoraTarget,
                    "lora_targets: {name:?} is no target; give all, attention, or one or more of {}",
                    list(Target::ALL)
                )
            };
            only.push(target);
        }
        only.sort_unstable();
        only.dedup();
        Ok(Self::Only(only))
    }

    /// Whether the choice includes a target.
    pub fn contains(&self, target: Target) -> bool {
        match self {
            Self::All => true,
            Self::Attention => target <= Target::AttnOutput,
            Self::Only(only) => only.contains(&target),
        }
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Attention => f.write_str("attention"),
            Self::Only(only) => f.write_str(&list(only)),
        }
    }
}

/// Names with commas between them.
pub(super) fn list<'a>(targets: impl IntoIterator<Item = &'a Target>) -> String {
    targets.into_iter().map(|t| t.name()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn names_of_weights_are_read_strictly() {
        assert_eq!(Target::of_weight("blk.12.ffn_up.weight"), Some((12, Target::FfnUp)));
        for target in Target::ALL {
            assert_eq!(Target::of_weight(&target.weight(3)), Some((3, *target)));
        }
        for other in [
            "blk.0.attn_q.bias",
            "blk.0.attn_q_norm.weight",
            "blk.0.ffn_up_exps.weight",
            "blk.+1.attn_q.weight",
            "blk.01.attn_q.weight",
            "blk.99999999999.attn_q.weight",
            "output.weight",
            "",
        ] {
            assert_eq!(Target::of_weight(other), None, "{other}");
        }
    }

    #[test]
    fn choices_read_back_as_they_print() {
        for (text, shown) in [
            ("all", "all"),
            (" attention", "attention"),
            ("ffn_down, attn_q,attn_q", "attn_q,ffn_down"),
            ("attn_qkv", "attn_qkv"),
        ] {
            let targets = Targets::parse(text).unwrap();
            assert_eq!(targets.to_string(), shown);
            assert_eq!(Targets::parse(shown).unwrap(), targets);
        }
        for bad in ["", "q_proj", "attn_q,,attn_v", "all,attn_q", "ATTN_Q"] {
            let error = Targets::parse(bad).unwrap_err();
            assert_eq!(error.code(), Code::LoraTarget, "{bad}");
            assert!(
                error.message().contains("attn_q,attn_k,attn_v,attn_qkv,attn_output"),
                "{error}"
            );
        }
    }
}
