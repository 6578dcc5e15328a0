//! A checkpoint's model card: the YAML at the head of README.md.

use std::path::Path;

/// What a card says about a key: a text, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Text(String),
    List(Vec<String>),
}

impl Entry {
    /// All of its texts.
    pub fn texts(&self) -> &[String] {
        match self {
            Entry::Text(text) => std::slice::from_ref(text),
            Entry::List(texts) => texts,
        }
    }
}

/// The keys of a card that hold texts, or lists of texts; deeper ones are of no use here.
#[derive(Debug, Default)]
pub(super) struct Card(Vec<(String, Entry)>);

impl Card {
    /// Reads a directory's card; without one, or with one that cannot be read, there are no keys: it is only said what
    /// the model is called.
    pub fn open(dir: &Path) -> Self {
        match std::fs::read(dir.join("README.md")) {
            Ok(bytes) => Self::parse(&String::from_utf8_lossy(&bytes)),
            Err(_) => Self::default(),
        }
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let mut card = Self::default();
        if lines.next() != Some("---") {
            return card;
        }
        let mut list = false;
        for line in lines.take_while(|line| *line != "---") {
            let bare = line.trim_start();
            if bare.is_empty() || bare.starts_with('#') {
                continue;
            }
            if let Some(item) = bare.strip_prefix("- ") {
                if list
                    && let (Some((_, Entry::List(items))), Some(item)) =
                        (card.0.last_mut(), scalar(item))
                {
                    items.push(item);
                }
                continue;
            }
            if bare.len() < line.len() {
                // Something inside an object.
                continue;
            }
            list = false;
            let Some((key, value)) = line.split_once(':') else { continue };
            let (key, value) = (key.trim().to_owned(), value.trim());
            if value.is_empty() {
                list = true;
                card.0.push((key, Entry::List(Vec::new())));
            } else if let Some(inner) = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) {
                let items = inner.split(',').filter_map(|item| scalar(item.trim()));
                card.0.push((key, Entry::List(items.collect())));
            } else if let Some(value) = scalar(value) {
                card.0.push((key, Entry::Text(value)));
            }
        }
        card
    }

    /// What the card says about a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        let found = self.0.iter().find(|(k, _)| k == key).map(|(_, entry)| entry);
        found.filter(|entry| !entry.texts().is_empty())
    }

    /// The first of these keys that holds a text.
    pub fn text(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| match self.get(key) {
            Some(Entry::Text(text)) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The texts of all these keys; `None` where the card has none of them.
    pub fn list(&self, keys: &[&str]) -> Option<Vec<String>> {
        let all: Vec<_> = keys.iter().filter_map(|key| self.get(key)).collect();
        let texts = all.iter().flat_map(|entry| entry.texts()).cloned().collect();
        (!all.is_empty()).then_some(texts)
    }
}

/// A text, with or without quotes; `None` for what is none.
fn scalar(value: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.split_once(quote).map(|(inner, _)| inner.to_owned());
        }
    }
    let value = value.split(" #").next().unwrap_or(value).trim();
    // Blocks of lines, objects, references and nothing.
    let is_text = !value.is_empty()
        && !value.starts_with(['|', '>', '{', '[', '&', '*', '!'])
        && !value.contains(": ")
        && !value.ends_with(':')
        && !matches!(value, "null" | "~");
    is_text.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_lists_are_read_and_the_rest_is_skipped() {
        let card = Card::parse(
            "---\nlicense: apache-2.0\nlanguage:\n- en\n- no\n  # a comment\ntags: [a, \"b c\"]\nbase_model: 'x/y' # z\n\
             model-index:\n- name: q\n  results:\n    - task: t\nempty:\nfold: >\n  text\n---\nlicense: mit\n",
        );
        assert_eq!(card.text(&["license"]), Some("apache-2.0"));
        assert_eq!(card.list(&["languages", "language"]).unwrap(), ["en", "no"]);
        assert_eq!(card.list(&["tags"]).unwrap(), ["a", "b c"]);
        assert_eq!(card.text(&["base_model"]), Some("x/y"));
        for none in ["model-index", "empty", "fold", "results"] {
            assert_eq!(card.get(none), None, "{none}");
        }
        assert_eq!(Card::parse("# Title\nlicense: mit\n").get("license"), None);
    }
}
