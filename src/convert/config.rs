//! A checkpoint's config.json, asked key by key.

use std::path::Path;

use serde_json::{Map, Value};

use super::arch::{Arch, Default};
use crate::error::{Context, Error, Result, bail, err};

/// The name of the file.
const FILE: &str = "config.json";
/// The largest JSON file that is read: the largest tokenizers have some 30 MB.
const MAX_JSON: u64 = 512 << 20;

/// Hyper-parameters. Those of a text part (`text_config`) lie over those outside it.
pub(crate) struct Config {
    /// The class of transformers, `LlamaForCausalLM`.
    pub class: String,
    values: Map<String, Value>,
}

/// A JSON object of a file in the checkpoint.
///
/// # Errors
/// `CheckpointConfig` for one that is malformed or no UTF-8, those of files.
pub(crate) fn object(path: &Path) -> Result<Map<String, Value>> {
    let read = || {
        let metadata = std::fs::metadata(path).map_err(|e| Error::io(&e, "opening the file"))?;
        if !metadata.is_file() || metadata.len() > MAX_JSON {
            bail!(CheckpointConfig, "this is no JSON file; get the checkpoint again")
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io(&e, "reading the file"))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            err!(CheckpointConfig, "this is not UTF-8 from byte {at} on; get the checkpoint again")
        })?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => bail!(CheckpointConfig, "this is no JSON object; get the checkpoint again"),
            Err(e) => bail!(CheckpointConfig, "this is no JSON: {e}; get the checkpoint again"),
        }
    };
    read().with_path(path)
}

impl Config {
    /// Reads the checkpoint's config.json.
    ///
    /// # Errors
    /// As [`object`], and `CheckpointConfig` where it names no architecture.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        Self::of(object(&path)?).with_path(path)
    }

    fn of(mut values: Map<String, Value>) -> Result<Self> {
        let text = match values.get("text_config") {
            Some(Value::Object(text)) => text.clone(),
            _ => Map::new(),
        };
        let named = |map: &Map<String, Value>| {
            Some(map.get("architectures")?.as_array()?.first()?.as_str()?.to_owned())
        };
        let Some(class) = named(&text).or_else(|| named(&values)) else {
            bail!(CheckpointConfig, "the key `architectures` names no class; add it: [\"...\"]")
        };
        values.extend(text);
        Ok(Self { class, values })
    }

    /// Takes the defaults of an architecture where a key is missing.
    ///
    /// # Errors
    /// `CheckpointConfig` for a key that a default is calculated from.
    pub fn complete(&mut self, arch: &Arch) -> Result<()> {
        for (key, default) in arch.defaults {
            if self.get(&[key]).is_some() {
                continue;
            }
            let value = match default {
                Default::Int(v) => (*v).into(),
                Default::Float(v) => (*v).into(),
                Default::Bool(v) => (*v).into(),
                Default::Same(other) => self.need_u64(&[other])?.into(),
                Default::Times(n, other) => n.saturating_mul(self.need_u64(&[other])?).into(),
                Default::Ratio(of, by) => {
                    let (a, b) = (self.need_u64(&[of])?, self.need_u64(&[by])?);
                    let Some(ratio) = a.checked_div(b) else {
                        bail!(CheckpointConfig, "config.json: {by} is 0; correct it")
                    };
                    ratio.into()
                }
            };
            self.values.insert((*key).to_owned(), value);
        }
        Ok(())
    }

    /// All of it, for who needs the whole.
    pub fn json(&self) -> Value {
        Value::Object(self.values.clone())
    }

    /// The first of these keys that has a value other than null.
    pub fn get(&self, keys: &[&str]) -> Option<&Value> {
        keys.iter().find_map(|key| self.values.get(*key).filter(|value| !value.is_null()))
    }

    /// An object.
    pub fn map(&self, keys: &[&str]) -> Result<Option<&Map<String, Value>>> {
        self.typed(keys, "an object", Value::as_object)
    }

    /// An integer that is not negative.
    pub fn u64(&self, keys: &[&str]) -> Result<Option<u64>> {
        self.typed(keys, "an integer that is not negative", Value::as_u64)
    }

    /// A number.
    pub fn f64(&self, keys: &[&str]) -> Result<Option<f64>> {
        self.typed(keys, "a number", Value::as_f64)
    }

    /// A flag.
    pub fn bool(&self, keys: &[&str]) -> Result<Option<bool>> {
        self.typed(keys, "true or false", Value::as_bool)
    }

    /// A text.
    pub fn str(&self, keys: &[&str]) -> Result<Option<&str>> {
        self.typed(keys, "a text", Value::as_str)
    }

    /// An integer that must be there.
    pub fn need_u64(&self, keys: &[&str]) -> Result<u64> {
        self.u64(keys)?.ok_or_else(|| missing(keys))
    }

    /// A number that must be there.
    pub fn need_f64(&self, keys: &[&str]) -> Result<f64> {
        self.f64(keys)?.ok_or_else(|| missing(keys))
    }

    /// An integer of 32 bits that must be there.
    pub fn u32(&self, keys: &[&str]) -> Result<u32> {
        let value = self.need_u64(keys)?;
        value.try_into().map_err(|_| {
            err!(CheckpointConfig, "config.json: {} is {value}; it must be below 2^32", name(keys))
        })
    }

    fn typed<'a, T>(
        &'a self,
        keys: &[&str],
        wanted: &str,
        pick: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(keys) else { return Ok(None) };
        match pick(value) {
            Some(value) => Ok(Some(value)),
            None => {
                let shown: String = value.to_string().chars().take(60).collect();
                bail!(
                    CheckpointConfig,
                    "config.json: {} is {shown}; it must be {wanted}",
                    name(keys)
                )
            }
        }
    }
}

fn name(keys: &[&str]) -> String {
    keys.join(" or ")
}

/// The error for a key that must be there.
pub(crate) fn missing(keys: &[&str]) -> Error {
    err!(CheckpointConfig, "config.json has no {}; get the checkpoint again, or add it", name(keys))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn config(text: &str) -> Result<Config> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), text).unwrap();
        Config::open(directory.path())
    }

    #[test]
    fn keys_are_found_under_any_name_and_in_the_text_part() {
        let config = config(
            r#"{"architectures":["A"],"n_embd":null,"hidden_size":8,"x":1.5,"text_config":{"hidden_size":16,"b":true}}"#,
        )
        .unwrap();
        assert_eq!(config.class, "A");
        assert_eq!(config.need_u64(&["n_embd", "hidden_size"]).unwrap(), 16);
        assert_eq!(config.f64(&["x"]).unwrap(), Some(1.5));
        assert_eq!(config.bool(&["b"]).unwrap(), Some(true));
        for (error, says) in [
            (config.need_u64(&["n_layer", "layers"]).unwrap_err(), "n_layer or layers"),
            (config.need_u64(&["x"]).unwrap_err(), "x is 1.5; it must be an integer"),
        ] {
            assert_eq!(error.code(), Code::CheckpointConfig);
            assert!(error.message().contains(says), "{error}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for text in ["", "[]", "{", "{}", r#"{"architectures":[]}"#, r#"{"architectures":[7]}"#] {
            assert_eq!(config(text).err().unwrap().code(), Code::CheckpointConfig, "{text}");
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), b"{\"a\":\"\xff\"}").unwrap();
        let error = Config::open(directory.path()).err().unwrap();
        assert!(error.message().contains("config.json: this is not UTF-8 from byte 6"), "{error}");
    }
}
