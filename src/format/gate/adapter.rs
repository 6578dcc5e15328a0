//! LoRA adapter files.

use std::collections::BTreeMap;

use super::files::{Part, WithSource};
use super::{arch, layout};
use crate::error::{Result, bail, err};
use crate::format::gguf::{GgmlType, Gguf, Shape, TensorInfo, ValueType};
use crate::format::source::{Access, Source};

/// A LoRA adapter that passed the gate. Whether it fits a model is checked when it is attached.
#[derive(Debug, Clone)]
pub struct AdapterFile {
    part: Part,
    arch: String,
    alpha: f32,
    pairs: BTreeMap<String, (TensorInfo, TensorInfo)>,
}

impl AdapterFile {
    /// Opens an adapter and checks every rule. Errors: the `Gguf...` codes, and `AdapterFormat` for a
    /// GGUF file that is no LoRA adapter.
    pub fn open(source: &Source) -> Result<Self> {
        // Adapters are small: reading them saves every caller the trouble with mapped files.
        let open = || Self::check(Part::new(Gguf::open(source, Access::Read)?));
        open().with_source(source)
    }

    fn check(part: Part) -> Result<Self> {
        let gguf = part.gguf();
        for (key, expected) in [("general.type", "adapter"), ("adapter.type", "lora")] {
            let found = gguf.str(key)?.unwrap_or("");
            if found != expected {
                bail!(
                    AdapterFormat,
                    "{key} is {found:?}, not {expected:?}; give a LoRA adapter in GGUF form"
                );
            }
        }
        let arch = arch::check(gguf)?.name.to_owned();
        let alpha = gguf.f32("adapter.lora.alpha")?.unwrap_or(0.0);
        if !alpha.is_finite() {
            bail!(GgufHyperParameter, "adapter.lora.alpha is {alpha}; the adapter is damaged");
        }
        let key = "adapter.alora.invocation_tokens";
        if let Some(a) = gguf.array(key)?.filter(|a| a.element() != ValueType::U32) {
            bail!(GgufArrayType, "{key} holds elements of type {}, not u32", a.element().name());
        }
        layout::check(&part, Access::Read)?;
        let pairs = pairs(gguf)?;
        Ok(Self { arch, alpha, pairs, part })
    }

    /// The file: what it says, and the descriptor or memory to load from.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// What the file says.
    pub fn gguf(&self) -> &Gguf {
        self.part.gguf()
    }

    /// The architecture of the models that the adapter is for.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// The scale before division by the rank; 0 means "use the rank".
    pub fn alpha(&self) -> f32 {
        self.alpha
    }

    /// The adapted weights by name, each with its A and B.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &TensorInfo, &TensorInfo)> {
        self.pairs.iter().map(|(name, (a, b))| (name.as_str(), a, b))
    }
}

fn pairs(gguf: &Gguf) -> Result<BTreeMap<String, (TensorInfo, TensorInfo)>> {
    let mut halves: BTreeMap<&str, [Option<&TensorInfo>; 2]> = BTreeMap::new();
    for t in gguf.tensors() {
        let half = |suffix| t.name.strip_suffix(suffix).filter(|w| !w.contains(".lora_"));
        if let Some(weight) = half(".lora_a") {
            halves.entry(weight).or_default()[0] = Some(t);
        } else if let Some(weight) = half(".lora_b") {
            halves.entry(weight).or_default()[1] = Some(t);
        } else if !t.name.ends_with("_norm.weight") {
            bail!(
                AdapterTensor,
                "tensor {} is neither a .lora_a nor a .lora_b; convert the adapter again",
                t.name
            );
        }
    }
    let pairs = halves.into_iter().map(|(weight, [a, b])| {
        let missing = |half| {
            err!(AdapterPair, "tensor {weight}.{half} is missing; convert the adapter again")
        };
        let (a, b) = (a.ok_or_else(|| missing("lora_a"))?, b.ok_or_else(|| missing("lora_b"))?);
        check_pair(weight, a, b)?;
        Ok((weight.to_owned(), (a.clone(), b.clone())))
    });
    let pairs = pairs.collect::<Result<BTreeMap<_, _>>>()?;
    if pairs.is_empty() {
        bail!(AdapterTensor, "the adapter adapts nothing; convert it again");
    }
    Ok(pairs)
}

fn check_pair(weight: &str, a: &TensorInfo, b: &TensorInfo) -> Result<()> {
    for t in [a, b] {
        // These enter a multiplication by either operand order.
        if !matches!(t.ggml_type, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16 | GgmlType::Q8_0) {
            bail!(
                GgufTensorRole,
                "tensor {} has type {}; an adapter may hold F32, F16, BF16 and Q8_0",
                t.name,
                t.ggml_type
            );
        }
    }
    let [columns, rank_a] = matrix(a)?;
    let [rank_b, rows] = matrix(b)?;
    // The embedding's pair is stored the other way round: rows are looked up in A.
    let agree =
        if weight.ends_with("token_embd.weight") { columns == rank_b } else { rank_a == rank_b };
    if !agree {
        bail!(
            AdapterRank,
            "the pair of {weight} has the shapes {} and {} with different ranks ({columns}x{rank_a}, \
             {rank_b}x{rows}); convert the adapter again",
            Shape(&a.dims),
            Shape(&b.dims)
        );
    }
    Ok(())
}

fn matrix(t: &TensorInfo) -> Result<[u64; 2]> {
    let ones = t.dims.iter().skip(2).all(|d| *d == 1);
    match t.dims.as_slice() {
        [columns] => Ok([*columns, 1]),
        [columns, rows, ..] if ones => Ok([*columns, *rows]),
        _ => bail!(
            AdapterShape,
            "tensor {} has the shape {}; an adapter holds matrices: convert it again",
            t.name,
            Shape(&t.dims)
        ),
    }
}
