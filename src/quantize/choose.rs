//! Which type each tensor gets: a mix's rules. They are llama.cpp's own (`llama-quant.cpp`), so that a file of ours has the
//! types that everybody expects of the name; a test compares them for every mix.

use GgmlType as T;

use super::facts::Facts;
use super::mix::Mix;
use super::role::Role;
use crate::error::{Result, err};
use crate::format::gguf::GgmlType;

/// A mix for one model, asked for one tensor after the other: the rules count them.
pub(super) struct Chooser<'a> {
    mix: Mix,
    facts: &'a Facts,
    has_matrix: bool,
    /// The token embedding is the output matrix, too.
    tied: bool,
    /// The type that the user wants for the output matrix.
    output: Option<GgmlType>,
    n_values: u64,
    i_values: u64,
    i_down: u64,
    i_gate: u64,
    i_up: u64,
}

impl<'a> Chooser<'a> {
    /// `names` has every tensor of the model.
    pub fn new<'n>(
        mix: Mix,
        facts: &'a Facts,
        has_matrix: bool,
        output: Option<GgmlType>,
        names: impl Iterator<Item = &'n str>,
    ) -> Self {
        let (mut n_values, mut tied) = (0, true);
        for role in names.map(Role::of) {
            n_values += u64::from(role.makes_values());
            tied &= role != Role::Output;
        }
        let (i_values, i_down, i_gate, i_up) = (0, 0, 0, 0);
        Self { mix, facts, has_matrix, tied, output, n_values, i_values, i_down, i_gate, i_up }
    }

    /// The type of most tensors.
    pub fn default_type(&self) -> GgmlType {
        self.mix.default_type()
    }

    /// Whether the mix rounds to blocks.
    pub fn is_quantized(&self) -> bool {
        self.default_type().block_size() > 1
    }

    /// The type of the next tensor, whose rows need not fit it.
    pub fn choose(&mut self, name: &str, dims: &[u64]) -> Result<GgmlType> {
        let role = Role::of(name);
        let default = self.mix.default_type();
        if role == Role::Output || (self.tied && role == Role::TokenEmbedding) {
            let width = dims.first().copied().unwrap_or(0);
            return Ok(self.output.unwrap_or_else(|| self.head(width)));
        }
        if self.mix == Mix::MXFP4_MOE {
            let experts = dims.get(2).is_some_and(|n| *n > 1);
            let feed_forward = matches!(role, Role::Up | Role::Gate | Role::Down);
            let is_expert = experts && (self.facts.architecture != "bailingmoe3" || feed_forward);
            return Ok(if is_expert { T::MXFP4 } else { T::Q8_0 });
        }
        if role == Role::TokenEmbedding {
            return Ok(self.embedding());
        }
        if self.is_tiny() {
            return Ok(self.tiny(role).unwrap_or(default));
        }
        let chosen = match role {
            Role::Value | Role::Qkv | Role::KvB => Some(self.values()),
            Role::Key | Role::Query => self.key_or_query(role),
            Role::Down => self.down(name)?,
            Role::AttentionOutput => self.attention_output(),
            Role::Gate => {
                self.i_gate += 1;
                self.gate_or_up(self.i_gate - 1, name)?
            }
            Role::Up => {
                self.i_up += 1;
                self.gate_or_up(self.i_up - 1, name)?
            }
            Role::TokenEmbedding | Role::Output | Role::Other => None,
        };
        let chosen = chosen.unwrap_or(default);
        // This architecture's low-rank queries suffer from anything less.
        let fragile = ["attn_q_a", "attn_q_b", "nextn.eh_proj"].iter().any(|p| name.contains(p));
        Ok(if self.facts.architecture == "glm5-next" && fragile { T::Q8_0 } else { chosen })
    }

    fn is_falcon(&self) -> bool {
        self.facts.architecture == "falcon"
    }

    /// The mixes of about two bits and less.
    fn is_tiny(&self) -> bool {
        use Mix::*;
        matches!(self.mix, IQ2_XXS | IQ2_XS | IQ2_S | IQ2_M | IQ1_S | IQ1_M)
    }

    fn head(&self, width: u64) -> GgmlType {
        let default = self.mix.default_type();
        let fits = width.is_multiple_of(default.block_size());
        if self.mix == Mix::MXFP4_MOE || self.is_falcon() || !fits {
            T::Q8_0
        } else if self.is_tiny() || self.mix == Mix::IQ3_XXS {
            T::Q5_K
        } else if default == T::Q8_0 {
            T::Q8_0
        } else {
            T::Q6_K
        }
    }

    fn embedding(&self) -> GgmlType {
        use Mix::*;
        match self.mix {
            IQ2_XXS | IQ2_XS | IQ1_S | IQ1_M => T::Q2_K,
            IQ2_S | IQ2_M | IQ3_XXS => T::IQ3_S,
            TQ1_0 | TQ2_0 | Q2_0 => T::Q4_K,
            other => other.default_type(),
        }
    }

    fn tiny(&mut self, role: Role) -> Option<GgmlType> {
        use Mix::*;
        let larger = matches!(self.mix, IQ2_S | IQ2_M);
        match role {
            role if role.makes_values() => {
                self.i_values += 1;
                let shared = self.facts.n_gqa >= 4 || self.facts.n_expert >= 4;
                Some(if shared {
                    T::Q4_K
                } else if larger {
                    T::IQ3_S
                } else {
                    T::Q2_K
                })
            }
            Role::Key if self.facts.n_expert == 8 => Some(T::Q4_K),
            Role::Down => {
                let first = self.i_down < self.facts.n_layer / 8;
                self.i_down += 1;
                first.then_some(if larger { T::IQ3_S } else { T::Q2_K })
            }
            Role::AttentionOutput if self.facts.n_expert == 8 => Some(T::Q5_K),
            Role::AttentionOutput => match self.mix {
                IQ1_S | IQ1_M => Some(T::IQ2_XXS),
                IQ2_S | IQ2_M => Some(T::IQ3_S),
                _ => None,
            },
            _ => None,
        }
    }

    fn values(&mut self) -> GgmlType {
        use Mix::*;
        let many = self.facts.n_gqa >= 4;
        let i = self.i_values;
        self.i_values += 1;
        let mut chosen = match self.mix {
            Q2_K if many => T::Q4_K,
            Q2_K => T::Q3_K,
            Q2_K_S if many => T::Q4_K,
            IQ3_XXS if many => T::Q4_K,
            IQ3_XXS if !self.has_matrix => T::IQ3_S,
            IQ3_XXS => T::IQ3_XXS,
            IQ3_XS | IQ3_S if many => T::Q4_K,
            IQ3_M => T::Q4_K,
            Q3_K_M if i < 2 => T::Q5_K,
            Q3_K_M => T::Q4_K,
            Q3_K_L => T::Q5_K,
            IQ4_NL | IQ4_XS if many => T::Q5_K,
            Q4_K_M | Q5_K_M if more_bits(i, self.n_values) => T::Q6_K,
            Q4_K_S if i < 4 => T::Q5_K,
            other => other.default_type(),
        };
        // Shared by eight heads, they are small beside the rest.
        if self.facts.is_70b && matches!(chosen, T::Q3_K | T::Q4_K) {
            chosen = T::Q5_K;
        }
        if self.facts.n_expert == 8 { T::Q8_0 } else { chosen }
    }

    fn key_or_query(&self, role: Role) -> Option<GgmlType> {
        match self.mix {
            _ if role == Role::Key && self.facts.n_expert == 8 => Some(T::Q8_0),
            Mix::IQ3_XS => Some(T::IQ3_XXS),
            Mix::IQ3_XXS => Some(T::IQ2_S),
            _ => None,
        }
    }

    fn down(&mut self, name: &str) -> Result<Option<GgmlType>> {
        use Mix::*;
        let n = self.facts.n_layer;
        let i = self.layer(self.i_down, name)?;
        self.i_down += 1;
        let (first, falcon) = (i < n / 8, self.is_falcon());
        Ok(match self.mix {
            Q2_K => Some(T::Q3_K),
            Q2_K_S if first => Some(T::Q4_K),
            IQ3_XXS if !self.has_matrix => Some(if first { T::Q4_K } else { T::Q3_K }),
            Q3_K_M if i < n / 16 => Some(T::Q5_K),
            Q3_K_M if falcon && !more_bits(i, n) => Some(T::Q3_K),
            Q3_K_M => Some(T::Q4_K),
            IQ3_M if first || (self.facts.n_expert == 8 && more_bits(i, n)) => Some(T::Q4_K),
            Q3_K_L => Some(if falcon { T::Q4_K } else { T::Q5_K }),
            Q4_K_M if falcon && i < n / 16 => Some(T::Q6_K),
            Q4_K_M if more_bits(i, n) => Some(if falcon { T::Q5_K } else { T::Q6_K }),
            IQ4_NL | IQ4_XS if first && !self.has_matrix => Some(T::Q5_K),
            Q5_K_M if more_bits(i, n) => Some(T::Q6_K),
            Q4_K_S if first && !falcon => Some(T::Q5_K),
            // With an importance matrix, these types can go wrong in the first layers.
            Q4_0 if first && self.has_matrix => Some(T::Q4_1),
            Q5_0 if first && self.has_matrix => Some(T::Q5_1),
            _ => None,
        })
    }

    fn attention_output(&self) -> Option<GgmlType> {
        use Mix::*;
        if self.is_falcon() {
            return (self.mix == Q3_K_L).then_some(T::Q4_K);
        }
        match self.mix {
            Q2_K | IQ3_XS | IQ3_XXS | Q3_K_S | Q3_K_M | IQ4_NL | Q4_K_S | Q4_K_M | IQ3_S
            | IQ3_M | IQ4_XS
                if self.facts.n_expert == 8 =>
            {
                Some(T::Q5_K)
            }
            _ if self.facts.n_expert == 8 => None,
            Q2_K => Some(T::Q3_K),
            IQ3_XXS => Some(T::IQ3_S),
            Q3_K_M | IQ3_M => Some(T::Q4_K),
            Q3_K_L => Some(T::Q5_K),
            _ => None,
        }
    }

    fn gate_or_up(&self, counted: u64, name: &str) -> Result<Option<GgmlType>> {
        let n = self.facts.n_layer;
        let i = self.layer(counted, name)?;
        let middle = i >= n / 8 && i < 7 * n / 8;
        Ok((self.mix == Mix::IQ3_XS && middle).then_some(T::IQ3_XXS))
    }

    /// The tensor's layer: counted, but for experts, whose order in old files is none.
    fn layer(&self, counted: u64, name: &str) -> Result<u64> {
        if self.facts.n_expert <= 1 {
            return Ok(counted);
        }
        let layer = layer_of(name).filter(|layer| *layer < self.facts.n_layer);
        layer.ok_or_else(|| {
            err!(
                QuantizeType,
                "tensor {name} is in none of the model's {} layers; check the file with `nestling inspect`",
                self.facts.n_layer
            )
        })
    }
}

/// The first and the last eighth of the layers, and every third between them.
fn more_bits(i: u64, n: u64) -> bool {
    i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2
}

/// The layer in a name `blk.3. ...`.
pub(super) fn layer_of(name: &str) -> Option<u64> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

/// The type for rows that are not whole blocks of the chosen one.
pub(super) fn fallback(chosen: GgmlType, width: u64) -> GgmlType {
    if width.is_multiple_of(chosen.block_size()) {
        return chosen;
    }
    let smaller = match chosen {
        T::IQ1_S
        | T::IQ1_M
        | T::IQ2_XXS
        | T::IQ2_XS
        | T::IQ2_S
        | T::IQ3_XXS
        | T::IQ3_S
        | T::IQ4_XS => T::IQ4_NL,
        T::Q2_0 | T::Q2_K | T::Q3_K | T::TQ1_0 | T::TQ2_0 | T::Q1_0 => T::Q4_0,
        T::Q4_K => T::Q5_0,
        T::Q5_K => T::Q5_1,
        T::Q6_K => T::Q8_0,
        other => other,
    };
    if width.is_multiple_of(smaller.block_size()) { smaller } else { T::F16 }
}
