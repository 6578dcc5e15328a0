//! What a model's name says: the rules with which llama.cpp's converter splits `Qwen2.5-0.5B-Instruct`.

use regex_lite::Regex;

use crate::error::{Result, err};

/// The parts of a name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ModelId {
    pub name: Option<String>,
    pub organization: Option<String>,
    pub basename: Option<String>,
    pub finetune: Option<String>,
    pub version: Option<String>,
    pub size_label: Option<String>,
}

#[derive(Default)]
struct Part {
    text: String,
    basename: bool,
    size: bool,
    finetune: bool,
    version: bool,
    kind: bool,
}

impl Part {
    fn is_bare(&self) -> bool {
        self.n() == 0
    }

    fn n(&self) -> usize {
        [self.basename, self.size, self.finetune, self.version, self.kind]
            .iter()
            .filter(|b| **b)
            .count()
    }
}

/// Splits a name, or `organization/name`. `n_parameters` tells a size from a context length.
///
/// # Errors
/// None that a caller can cause.
pub(super) fn parse(id: &str, n_parameters: u64) -> Result<ModelId> {
    if id.contains(' ') {
        return Ok(ModelId { name: Some(id.to_owned()), ..ModelId::default() });
    }
    let (organization, name) = match id.split_once('/') {
        Some((organization, name)) => (Some(organization), name),
        None => (None, id),
    };
    let organization = organization.filter(|o| !o.starts_with('.'));
    let mut parts = annotate(name, n_parameters)?;
    drop_words_of_size(&mut parts);
    find_basename(&mut parts);
    let join = |pick: fn(&Part) -> bool| {
        let texts: Vec<_> = parts.iter().filter(|p| pick(p)).map(|p| p.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("-"))
    };
    let mut sizes: Vec<&str> = Vec::new();
    for part in parts.iter().filter(|p| p.size) {
        if !sizes.contains(&part.text.as_str()) {
            sizes.push(&part.text);
        }
    }
    let size_label = (!sizes.is_empty()).then(|| sizes.join("-"));
    let (finetune, version) = (join(|p| p.finetune), join(|p| p.version && !p.basename));
    let told = size_label.is_some() || finetune.is_some() || version.is_some();
    Ok(ModelId {
        name: Some(name.to_owned()),
        organization: organization.map(str::to_owned),
        basename: join(|p| p.basename).filter(|_| told),
        finetune,
        version,
        size_label,
    })
}

/// A name as a title: words in lower case get a capital, versions do not.
pub(super) fn title(id: &str) -> String {
    let spaced = id.trim().replace('-', " ");
    let words = spaced.split_whitespace().map(|word| {
        let is_lower =
            word.chars().any(char::is_lowercase) && !word.chars().any(char::is_uppercase);
        let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let is_version = word.strip_prefix('v').is_some_and(|rest| {
            rest.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        if is_lower && !digits(word) && !is_version { capitals(word) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A capital after everything that is no letter.
fn capitals(word: &str) -> String {
    let mut start = true;
    let mut out = String::new();
    for c in word.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = !c.is_alphabetic();
    }
    out
}

fn annotate(name: &str, n_parameters: u64) -> Result<Vec<Part>> {
    let regex = |text| Regex::new(text).map_err(|e| err!(Internal, "{e}"));
    let version = regex(r"(?i)^(v|iter)?\d+([.]\d+)*$")?;
    let kind = regex(r"(?i)^(i?q\d(_\w)*|b?fp?(16|32))$")?;
    let size = regex(r"(?i)^((A|\d+x)?\d+([._]\d+)?[KMBT]\d?|small|mini|medium|large|x?xl)$")?;
    let tuned = regex(r"(?i)^(chat|instruct|vision|lora)$")?;
    let mut parts = Vec::new();
    for (i, text) in name.split('-').filter(|text| !text.is_empty()).enumerate() {
        let mut part = Part { text: text.to_owned(), ..Part::default() };
        if version.is_match(text) {
            part.version = true;
        } else if kind.is_match(text) {
            part.kind = true;
            part.text = text.to_uppercase();
        } else if i > 0 && size.is_match(text) {
            set_size(&mut part, n_parameters);
        } else if i > 0 && tuned.is_match(text) {
            part.finetune = true;
        }
        parts.push(part);
    }
    Ok(parts)
}

/// A size in the usual writing, unless it is far from the model's own: then it is probably a context length.
fn set_size(part: &mut Part, n_parameters: u64) {
    let mut text: Vec<char> = part.text.replace('_', ".").chars().collect();
    // `7b1` is 7.1b.
    if let [head @ .., unit, digit] = text.as_slice()
        && digit.is_ascii_digit()
    {
        let mut swapped = head.to_vec();
        swapped.extend(['.', *digit, *unit]);
        text = swapped;
    }
    let after_digit = matches!(text.as_slice(), [.., before, _] if before.is_ascii_digit());
    if let Some(last) = text.last_mut()
        && after_digit
        && "kmbt".contains(*last)
    {
        *last = last.to_ascii_uppercase();
    }
    let label: String = text.iter().take(text.len().saturating_sub(1)).collect();
    let unit = text.last().and_then(|unit| "KMBT".find(*unit));
    if let (Ok(number), Some(power), true) = (label.parse::<f64>(), unit, n_parameters != 0) {
        let claimed = number * 1000f64.powi(power as i32 + 1);
        if (claimed - n_parameters as f64).abs() > (7 * n_parameters / 8) as f64 {
            part.finetune = true;
            if let Some(last) = text.last_mut() {
                *last = last.to_ascii_lowercase();
            }
        }
    }
    part.size = !part.finetune;
    part.text = text.into_iter().collect();
}

/// `small` is no size where a number is one.
fn drop_words_of_size(parts: &mut [Part]) {
    let has_digit = |p: &Part| p.text.chars().any(|c| c.is_ascii_digit());
    if parts.iter().any(|p| p.size && has_digit(p)) {
        for part in parts.iter_mut().filter(|p| p.size) {
            part.size = !part.text.chars().all(char::is_alphabetic);
        }
    }
}

fn find_basename(parts: &mut [Part]) {
    let mut at_start = true;
    for part in parts.iter_mut() {
        let word = part.is_bare() && part.text.starts_with(char::is_alphabetic);
        if at_start && (word || part.version) {
            part.basename = true;
        } else {
            at_start = false;
            part.finetune |= part.is_bare();
        }
    }
    for part in parts.iter_mut().rev() {
        if !(part.basename && part.n() > 1) {
            break;
        }
        part.basename = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_the_reference_splits_them() {
        // From `Metadata.get_model_id_components` of gguf-py.
        for (id, n, expected) in [
            ("Mistral", 0, ["Mistral", "", "", "", "", ""]),
            (
                "mistralai/Mistral-7B-Instruct-v0.2",
                0,
                ["Mistral-7B-Instruct-v0.2", "mistralai", "Mistral", "Instruct", "v0.2", "7B"],
            ),
            (
                "SmolLM2-135M-Instruct",
                134_515_008,
                ["SmolLM2-135M-Instruct", "", "SmolLM2", "Instruct", "", "135M"],
            ),
            (
                "bigscience/bloom-7b1-petals",
                0,
                ["bloom-7b1-petals", "bigscience", "bloom", "petals", "", "7.1B"],
            ),
            ("all-minilm-l6-v2", 0, ["all-minilm-l6-v2", "", "all-minilm-l6", "", "v2", ""]),
            (
                "Phi-3-mini-128k-instruct",
                3_800_000_000,
                ["Phi-3-mini-128k-instruct", "", "Phi-3", "128k-instruct", "", "mini"],
            ),
            (
                "Qwen1.5-MoE-A2.7B-Chat",
                0,
                ["Qwen1.5-MoE-A2.7B-Chat", "", "Qwen1.5-MoE", "Chat", "", "A2.7B"],
            ),
            ("./model", 0, ["model", "", "", "", "", ""]),
            ("a b", 0, ["a b", "", "", "", "", ""]),
        ] {
            let found = parse(id, n).unwrap();
            let found = [
                found.name,
                found.organization,
                found.basename,
                found.finetune,
                found.version,
                found.size_label,
            ]
            .map(Option::unwrap_or_default);
            assert_eq!(found, expected, "{id}");
        }
    }

    #[test]
    fn titles_have_capitals() {
        assert_eq!(title("all-minilm-l6-v2"), "All Minilm L6 v2");
        assert_eq!(title("SmolLM2-135M-Instruct"), "SmolLM2 135M Instruct");
        assert_eq!(title("qwen2.5-7b-it"), "Qwen2.5 7b It");
    }
}
