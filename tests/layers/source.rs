//! Just enough reading of Rust to see which paths it names.

use std::collections::{BTreeMap, BTreeSet};

/// How many `super`s lead from a file's module to the crate's root.
pub fn depth(file: &str) -> usize {
    let parts: Vec<&str> = file.split('/').collect();
    if parts.last() == Some(&"mod.rs") { parts.len() - 1 } else { parts.len() }
}

/// A file that holds only tests (`#[cfg(test)] mod tests;` in its parent).
pub fn is_test_file(file: &str) -> bool {
    let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".rs");
    stem == "tests" || stem.ends_with("_tests") || file.contains("/tests/")
}

/// The identifiers and keywords of code without comments and text.
pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Replaces comments by nothing and every string or character literal by an empty one.
pub fn without_comments_and_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            rest = after_block_comment(rest);
        } else if let Some(after) = after_raw_string(rest, &out) {
            out.push_str("\"\"");
            rest = after;
        } else if c == '"' {
            out.push_str("\"\"");
            rest = after_quoted(rest, '"');
        } else if c == '\'' && is_char_literal(rest) {
            out.push_str("' '");
            rest = after_quoted(rest, '\'');
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Block comments nest in Rust.
fn after_block_comment(text: &str) -> &str {
    let (mut level, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            level += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            level -= 1;
            at += 2;
            if level == 0 {
                return &text[at..];
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    ""
}

/// What follows `r"..."` or `r#"..."#`, when the text begins with one and not inside an identifier.
fn after_raw_string<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    if before.ends_with(|c: char| c.is_alphanumeric() && !matches!(c, 'b' | 'c') || c == '_') {
        return None;
    }
    let hashes = text.strip_prefix('r')?;
    let quoted = hashes.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(hashes.len() - quoted.len()));
    let body = quoted.strip_prefix('"')?;
    Some(body.find(&end).map_or("", |at| &body[at + end.len()..]))
}

fn after_quoted(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return &text[at + c.len_utf8()..],
            _ => {}
        }
    }
    ""
}

/// `'x'` or `'\n'`, not the lifetime `'a`.
fn is_char_literal(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

/// Removes every item marked `#[cfg(test)]`.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        rest = after_item(&rest[at + MARK.len()..]);
    }
    out.push_str(rest);
    out
}

/// What follows the item that the text begins with: after its `;`, or after its block.
fn after_item(text: &str) -> &str {
    let mut level = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => level += 1,
            '}' => {
                level -= 1;
                if level == 0 {
                    return &text[at + 1..];
                }
            }
            ';' if level == 0 => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// The top-level names that `crate::` paths, and `super::` paths that climb to the root, begin with.
pub fn crate_paths(code: &str, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let dense: String = densely(code);
    for (at, _) in dense.match_indices("crate::") {
        if !is_inside_word(&dense, at) {
            names_at(&dense[at + "crate::".len()..], &mut found);
        }
    }
    let climb = "super::".repeat(depth);
    for (at, _) in dense.match_indices(&climb) {
        let inside = is_inside_word(&dense, at) || dense[..at].ends_with("super::");
        if !inside {
            names_at(&dense[at + climb.len()..], &mut found);
        }
    }
    found.remove("super");
    found
}

/// The code without white space, except single spaces between words.
fn densely(code: &str) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(code.len());
    for part in code.split_whitespace() {
        if out.ends_with(word) && part.starts_with(word) {
            out.push(' ');
        }
        out.push_str(part);
    }
    out
}

fn is_inside_word(code: &str, at: usize) -> bool {
    code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// One name, or the first names of a group `{a::b, c, d::{e, f}}`.
fn names_at(code: &str, found: &mut BTreeSet<String>) {
    let Some(group) = code.strip_prefix('{') else {
        found.extend(words(code).next().map(str::to_owned));
        return;
    };
    let (mut level, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        if level == 0 && (c == ',' || c == '}') {
            found.extend(words(&group[start..at]).next().map(str::to_owned));
            start = at + 1;
        }
        match c {
            '{' => level += 1,
            '}' if level == 0 => return,
            '}' => level -= 1,
            _ => {}
        }
    }
}

/// The `pub use module::Name` lines of lib.rs as (name at the root, module).
pub fn re_exports(lib: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for statement in densely(lib).split(';') {
        let Some((_, path)) = statement.split_once("pub use ") else { continue };
        let Some(module) = words(path).find(|word| *word != "crate") else { continue };
        let inner = path.split_once('{').map_or(path, |(_, group)| group);
        for item in inner.split(',') {
            // The last word is the name: of `a::B`, of `B as C`, or alone.
            found.extend(words(item).last().map(|name| (name.to_owned(), module.to_owned())));
        }
    }
    found
}
