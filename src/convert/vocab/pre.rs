//! The name by which the engine knows how a byte-level tokenizer cuts text into words before its merges.
//!
//! tokenizer.json says it in a list of steps. The engine computes such a list for each name it knows, so the
//! list is looked up. A list that is not here is an error: a guess would give other tokens.

use serde_json::Value as Json;

use super::lookup::{flag, list, text};
use crate::error::{Result, err};

macro_rules! words {
    ($digits:literal) => {
        concat!(
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|",
            $digits,
            "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
        )
    };
}
macro_rules! cased {
    ($ending:literal, $digits:literal) => {
        concat!(
            "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+",
            $ending,
            "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*",
            $ending,
            "|",
            $digits,
            "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
        )
    };
}

const GPT2: &str =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const QWEN35: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const GPT4O: &str = cased!("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "\\p{N}{1,3}");
const TEKKEN: &str = cased!("", "\\p{N}");
const DEEPSEEK_LETTERS: &str = "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const DEEPSEEK_MARKS: &str = "\\s?[!-/:-~！-／：-～‘-‟　-。]+";
const DEEPSEEK_CJK: &str = "[一-龥ࠀ-一가-퟿]+";
const DEEPSEEK3: &str = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const BLOOM: &str = " ?[^(\\s|.,!?…。，、।۔،)]+";
const SEED_CODER: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const UFAKZEKA: &str = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const BAILING: &str = "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";
/// Each digit alone.
const DIGIT: &str = "\\p{N}";
const DIGITS: &str = "\\p{N}+";
const PUNCTUATION: &str = "a run of punctuation";

/// Names that cut words in the same way, and differ in something else.
enum Names {
    One(&'static str),
    /// They differ in the normalizer.
    Gpt2,
    /// They differ in whether a space before a mark is kept when tokens become text.
    Digits,
    /// They differ in whether a word that is a token needs no merges.
    Triples,
    /// They differ in the family that uses them.
    Cased,
}

/// The steps of known tokenizers, and the names that compute them.
const KNOWN: &[(&[&str], Names)] = &[
    (&[GPT2], Names::Gpt2),
    (&[DIGIT, GPT2], Names::Digits),
    (&[words!("\\p{N}{1,3}")], Names::Triples),
    (&[words!("\\p{N}")], Names::One("qwen2")),
    (&[QWEN35], Names::One("qwen35")),
    (&[GPT4O], Names::Cased),
    (&[TEKKEN], Names::One("tekken")),
    (
        &["[\\r\\n]", DEEPSEEK_LETTERS, DEEPSEEK_MARKS, "\\s+$", DEEPSEEK_CJK, DIGIT],
        Names::One("deepseek-llm"),
    ),
    (
        &["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, DIGIT],
        Names::One("deepseek-coder"),
    ),
    (&["\\p{N}{1,3}", "[一-龥\u{3040}-ゟ゠-ヿ]+", DEEPSEEK3], Names::One("deepseek-v3")),
    (&[PUNCTUATION, GPT2, DIGITS, "[0-9][0-9][0-9]"], Names::One("falcon")),
    (&[BLOOM], Names::One("bloom")),
    (&[BLOOM, DIGIT], Names::One("viking")),
    (&["\\d{1,3}(?=(?:\\d{3})*\\b)", GPT4O], Names::One("tiny_aya")),
    (&[SEED_CODER], Names::One("seed-coder")),
    (&[BAILING], Names::One("bailingmoe")),
    (&[UFAKZEKA], Names::One("ufakzeka")),
];

/// Every name that the engine knows.
const NAMES: &[&str] = &[
    "default",
    "minicpm5",
    "llama3",
    "llama-v3",
    "llama-bpe",
    "falcon3",
    "falcon-h1",
    "pixtral",
    "midm-2.0",
    "lfm2",
    "jina-v5-nano",
    "deepseek-llm",
    "deepseek-coder",
    "deepseek-v3",
    "spark2_5",
    "youtu",
    "falcon",
    "mpt",
    "starcoder",
    "gpt-2",
    "phi-2",
    "jina-es",
    "jina-de",
    "gigachat",
    "jina-v2-es",
    "jina-v2-de",
    "a.x-4.0",
    "mellum",
    "modern-bert",
    "jais-2",
    "gemma4",
    "granite-embed-multi-311m",
    "mmbert",
    "sarvam-moe",
    "jina-v1-en",
    "jina-v2-code",
    "roberta-bpe",
    "whitespace",
    "refact",
    "command-r",
    "qwen2",
    "deepseek-r1-qwen",
    "kormo",
    "f2llmv2",
    "qwen35",
    "stablelm2",
    "olmo",
    "dbrx",
    "smaug-bpe",
    "poro-chat",
    "chatglm-bpe",
    "glm4",
    "glm5",
    "viking",
    "jais",
    "tekken",
    "smollm",
    "codeshell",
    "bloom",
    "gpt3-finnish",
    "exaone",
    "exaone4",
    "exaone-moe",
    "chameleon",
    "minerva-7b",
    "megrez",
    "gpt-4o",
    "llama4",
    "kanana2",
    "talkie",
    "granite-embed-multi-97m",
    "tiny_aya",
    "cohere2moe",
    "superbpe",
    "trillion",
    "granite-docling",
    "bailingmoe",
    "bailingmoe2",
    "llada-moe",
    "seed-coder",
    "hunyuan",
    "hunyuan-dense",
    "hy_v4",
    "joyai-llm",
    "kimi-k2",
    "ufakzeka",
    "grok-2",
    "afmoe",
    "laguna",
    "minimax-m2",
    "solar-open",
    "mellum2",
];

/// The name for a tokenizer's steps, or the one that the caller forces.
///
/// # Errors
/// `PreTokenizer` for steps that no name is known to compute, and for a forced name that the engine does not know.
pub(super) fn name(
    tokenizer: &Json,
    settings: &Json,
    family: &str,
    forced: Option<&str>,
) -> Result<&'static str> {
    if let Some(forced) = forced {
        return NAMES.iter().find(|name| **name == forced).copied().ok_or_else(|| {
            err!(
                PreTokenizer,
                "the engine knows no pre-tokenizer `{forced}`; it knows {}",
                NAMES.join(", ")
            )
        });
    }
    let steps = steps(tokenizer).map_err(|what| unknown(&what, tokenizer))?;
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let Some((_, names)) = KNOWN.iter().find(|(known, _)| **known == steps[..]) else {
        return Err(unknown("no name computes these steps", tokenizer));
    };
    let composed = normalized(tokenizer).map_err(|what| unknown(&what, tokenizer))?;
    let whole_words = flag(tokenizer.pointer("/model/ignore_merges")).unwrap_or(false);
    let glm = family.contains("glm");
    let name = match names {
        Names::One(name) => name,
        Names::Gpt2 => {
            if composed {
                "olmo"
            } else {
                "gpt-2"
            }
        }
        Names::Digits if composed => "command-r",
        Names::Digits if flag(settings.get("clean_up_tokenization_spaces")) == Some(true) => {
            "starcoder"
        }
        Names::Digits => "smollm",
        Names::Triples => match (glm, whole_words) {
            (true, true) => "glm4",
            (true, false) => "chatglm-bpe",
            (false, true) => "llama-bpe",
            (false, false) => "dbrx",
        },
        Names::Cased => {
            if family.starts_with("llama4") {
                "llama4"
            } else {
                "gpt-4o"
            }
        }
    };
    if whole_words && !matches!(name, "llama-bpe" | "glm4" | "tekken") {
        return Err(unknown(
            &format!("`{name}` computes these steps, but not ignore_merges"),
            tokenizer,
        ));
    }
    Ok(name)
}

fn unknown(what: &str, tokenizer: &Json) -> crate::error::Error {
    let part = |name: &str| tokenizer.get(name).unwrap_or(&Json::Null).to_string();
    err!(
        PreTokenizer,
        "tokenizer.json: how this tokenizer cuts text into words is not known ({what}): its pre_tokenizer is \
         {}, its normalizer {}; where a name is known to mean the same, give it with --pre-tokenizer NAME (option `pre_tokenizer`): {}",
        part("pre_tokenizer"),
        part("normalizer"),
        NAMES.join(", ")
    )
}

/// Whether text is composed (NFC) first. The engine does not do that, and published tokenizers ask for it
/// all the same; anything else changes tokens of plain text.
fn normalized(tokenizer: &Json) -> Result<bool, String> {
    let normalizer = tokenizer.get("normalizer").unwrap_or(&Json::Null);
    let each = match text(normalizer.get("type")) {
        Some("Sequence") => list(normalizer.get("normalizers")),
        Some(_) => std::slice::from_ref(normalizer),
        None => &[],
    };
    for normalizer in each {
        match text(normalizer.get("type")) {
            Some("NFC") => {}
            other => {
                return Err(format!(
                    "the engine has no normalizer {}",
                    other.unwrap_or("of no type")
                ));
            }
        }
    }
    Ok(!each.is_empty())
}

/// The expressions by which text is cut, one after the other.
fn steps(tokenizer: &Json) -> Result<Vec<String>, String> {
    let first = tokenizer.get("pre_tokenizer").unwrap_or(&Json::Null);
    let each = match text(first.get("type")) {
        Some("Sequence") => list(first.get("pretokenizers")),
        _ => std::slice::from_ref(first),
    };
    let mut steps = Vec::new();
    for step in each {
        match text(step.get("type")) {
            Some("ByteLevel") => {
                if flag(step.get("add_prefix_space")) == Some(true) {
                    return Err(
                        "the engine puts no space before the text of such a tokenizer".into()
                    );
                }
                if flag(step.get("use_regex")).unwrap_or(true) {
                    steps.push(GPT2.to_owned());
                }
            }
            Some("Digits") => {
                let alone = flag(step.get("individual_digits")).unwrap_or(false);
                steps.push(if alone { DIGIT } else { DIGITS }.to_owned());
            }
            Some("Punctuation") if text(step.get("behavior")) == Some("Contiguous") => {
                steps.push(PUNCTUATION.to_owned());
            }
            Some("Split") => steps.push(split(step)?),
            other => return Err(format!("a step is {}", other.unwrap_or("of no type"))),
        }
    }
    Ok(steps)
}

/// The expression of a step that splits, in one spelling.
fn split(step: &Json) -> Result<String, String> {
    let Some(regex) = text(step.pointer("/pattern/Regex")) else {
        return Err("a step splits at a text".into());
    };
    let regex = regex
        .replace('\r', "\\r")
        .replace('\n', "\\n")
        .replace(
            "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])",
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        )
        .replace("?+", "?")
        .replace("++", "+");
    let inverted = flag(step.get("invert")).unwrap_or(false);
    match (text(step.get("behavior")), inverted) {
        (Some("Isolated"), false) => Ok(regex),
        // What lies between the matches is dropped, and these expressions match everything.
        (Some("Removed"), true) if regex.ends_with("|\\s+(?!\\S)|\\s+") => Ok(regex),
        (behavior, _) => {
            Err(format!("a step splits with the behaviour {}", behavior.unwrap_or("null")))
        }
    }
}
