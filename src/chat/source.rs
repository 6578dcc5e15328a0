//! A template's source made ready for the engine. Three kinds of tag are rewritten, on their line and with their
//! white-space signs, so that trimming and line numbers stay exact:
//!
//! - `{% generation %}` ... `{% endgeneration %}` becomes a filter block, whose filter can mark the text.
//! - `{% set x = value %}` passes the value through a filter that makes lazy sequences lists and bounds growth.
//! - `{% set ns.x = value %}` passes through one that also refuses cycles and unbounded nesting.

pub(super) const GENERATION: &str = "__generation";
pub(super) const ASSIGNED: &str = "__assigned";
pub(super) const STORED: &str = "__stored";

/// The rewritten source, with `\n` line ends.
pub(super) fn prepare(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len() + 256);
    let mut rest = source.as_str();
    while let Some((text, tag)) = next_tag(rest) {
        out.push_str(text);
        let (before, after) = tag.split_at(tag_length(tag));
        match before.strip_prefix("{%").and_then(|inner| inner.strip_suffix("%}")) {
            Some(inner) if word(inner).1 == "raw" => {
                let (raw, tail) = after.split_at(raw_length(after));
                out.push_str(before);
                out.push_str(raw);
                rest = tail;
                continue;
            }
            Some(inner) => {
                out.push_str("{%");
                rewrite(&mut out, inner);
                out.push_str("%}");
            }
            None => out.push_str(before),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The text before the next `{{`, `{%` or `{#`, and what begins there.
fn next_tag(source: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    while let Some(at) = source.get(from..)?.find('{') {
        let (text, tag) = source.split_at(from + at);
        if tag.starts_with("{{") || tag.starts_with("{%") || tag.starts_with("{#") {
            return Some((text, tag));
        }
        from += at + 1;
    }
    None
}

/// The length of the tag that `tag` begins with; all of it when it does not end.
fn tag_length(tag: &str) -> usize {
    let close = match tag.as_bytes().get(1) {
        Some(b'#') => return tag.find("#}").map_or(tag.len(), |at| at + 2),
        Some(b'%') => "%}",
        _ => "}}",
    };
    code(tag, 2)
        .find(|&(at, depth)| depth <= 0 && starts(tag, at, close))
        .map_or(tag.len(), |(at, _)| at + 2)
}

/// The length of the text up to `{% endraw %}`.
fn raw_length(source: &str) -> usize {
    let mut from = 0;
    while let Some(at) = source.get(from..).and_then(|rest| rest.find("{%")) {
        let tag = source.split_at(from + at + 2).1;
        if word(tag).1 == "endraw" {
            return from + at;
        }
        from += at + 2;
    }
    source.len()
}

/// The bytes of an expression that are not in a string literal, from `start`, with the depth of brackets before each.
fn code(text: &str, start: usize) -> impl Iterator<Item = (usize, i32)> + '_ {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    text.bytes().enumerate().skip(start).filter_map(move |(at, byte)| {
        if let Some(end) = quote {
            match (escaped, byte) {
                (true, _) => escaped = false,
                (false, b'\\') => escaped = true,
                (false, byte) if byte == end => quote = None,
                _ => {}
            }
            return None;
        }
        let before = depth;
        match byte {
            b'\'' | b'"' => quote = Some(byte),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        Some((at, before))
    })
}

fn starts(text: &str, at: usize, what: &str) -> bool {
    text.as_bytes().get(at..).is_some_and(|rest| rest.starts_with(what.as_bytes()))
}

/// White space and sign, the first word, and the rest of what a tag holds.
fn word(inner: &str) -> (&str, &str, &str) {
    let sign = inner.len() - inner.trim_start_matches(['-', '+']).trim_start().len();
    let (lead, rest) = inner.split_at(sign);
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (word, rest) = rest.split_at(end);
    (lead, word, rest)
}

fn rewrite(out: &mut String, inner: &str) {
    let (lead, word, rest) = word(inner);
    let (body, sign) = rest.split_at(rest.trim_end_matches(['-', '+']).len());
    match word {
        "generation" if body.trim().is_empty() => out.extend([lead, "filter ", GENERATION, rest]),
        "endgeneration" if body.trim().is_empty() => out.extend([lead, "endfilter", rest]),
        "set" => {
            out.extend([lead, word]);
            rewrite_set(out, body);
            out.push_str(sign);
        }
        _ => out.push_str(inner),
    }
}

/// What follows `set`: `target = value`, or the head of a block (`target`, `target | filter`).
fn rewrite_set(out: &mut String, body: &str) {
    let assign = code(body, 0).find(|&(at, depth)| {
        let comparison = starts(body, at, "==") || (at > 0 && starts(body, at - 1, "=="));
        depth == 0 && starts(body, at, "=") && !comparison
    });
    let Some((at, _)) = assign else {
        out.extend([body, " | ", ASSIGNED, " "]);
        return;
    };
    let (target, value) = body.split_at(at);
    let value = value.strip_prefix('=').unwrap_or(value);
    let filter = if target.contains('.') { STORED } else { ASSIGNED };
    // An unfinished or unbalanced value is left as it is, so that the engine reports it as written.
    let balanced = code(value, 0).fold(true, |ok, (_, depth)| ok && depth >= 0);
    if value.trim().is_empty() || !balanced {
        out.push_str(body);
    } else {
        out.extend([target, "= (", value, ") | ", filter, " "]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_rewritten_with_their_signs() {
        for (source, expected) in [
            (
                "a {%- generation -%} b {%+endgeneration%}",
                "a {%- filter __generation -%} b {%+endfilter%}",
            ),
            ("{% set x = 1 -%}", "{% set x = ( 1 ) | __assigned -%}"),
            (
                "{%- set x = '%}=' == \"a\\\"%}\" %}",
                "{%- set x = ( '%}=' == \"a\\\"%}\" ) | __assigned %}",
            ),
            ("{% set ns.a = [1,{'b':2}] %}", "{% set ns.a = ( [1,{'b':2}] ) | __stored %}"),
            ("{% set a, b = 1, 2 %}", "{% set a, b = ( 1, 2 ) | __assigned %}"),
            ("{% set x | upper %}{% endset %}", "{% set x | upper  | __assigned %}{% endset %}"),
            ("{% set x %}{% endset %}", "{% set x  | __assigned %}{% endset %}"),
            ("{% set x = ) %}", "{% set x = ) %}"),
            ("{% raw %}{% set x = 1 %}{%- endraw %}", "{% raw %}{% set x = 1 %}{%- endraw %}"),
            (
                "{# {% set x = 1 %} #}{{ '{% generation %}' }}",
                "{# {% set x = 1 %} #}{{ '{% generation %}' }}",
            ),
            ("{{ {'a': {}} }}{%set x=1%}", "{{ {'a': {}} }}{%set x= (1) | __assigned %}"),
            ("a\r\nb{ {", "a\nb{ {"),
            ("{% set x", "{% set x"),
        ] {
            assert_eq!(prepare(source), expected, "{source}");
        }
    }
}
