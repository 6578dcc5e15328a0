//! Keeps special texts that a user wrote apart from those that the template wrote.
//!
//! A template writes its control tokens as text (`<|im_end|>`), so a message that contains that text could end its own
//! turn. Two marked renderings prevent it; both use private-use characters that occur nowhere in the input:
//!
//! 1. Whole special texts in the input are put between two marks, which tell after rendering that they are literal.
//! 2. A template can also complete a part of one (`<|im_` in one message, `end|>` in the next) or cut a mark off. So
//!    in a second rendering each of the characters that such texts are delimited by is replaced by a stand-in. When
//!    it has other special texts of the template's own than the first rendering has, it is the one that is used.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use serde_json::{Map, Value as Json};

/// The special texts of a vocabulary: those of its control tokens.
#[derive(Debug, Clone, Default)]
pub struct SpecialTexts {
    texts: HashSet<String>,
    /// Their distinct lengths in bytes, longest first.
    lengths: Vec<usize>,
    first_bytes: HashSet<u8>,
    /// The first and the last sign of each text.
    delimiters: Vec<char>,
}

impl SpecialTexts {
    /// Collects texts; empty ones are left out.
    pub fn new<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Self {
        let texts: HashSet<String> =
            texts.into_iter().map(Into::into).filter(|text| !text.is_empty()).collect();
        let lengths: BTreeSet<usize> = texts.iter().map(String::len).collect();
        let mut delimiters = BTreeSet::new();
        for text in &texts {
            // Signs that names are made of are left alone: templates look names up.
            let sign = |c: &char| !c.is_alphanumeric() && !c.is_whitespace() && *c != '_';
            delimiters.extend(text.chars().find(sign));
            delimiters.extend(text.chars().rev().find(sign));
        }
        Self {
            first_bytes: texts.iter().filter_map(|text| text.bytes().next()).collect(),
            lengths: lengths.into_iter().rev().collect(),
            delimiters: delimiters.into_iter().collect(),
            texts,
        }
    }

    /// Whether the text could hold a special text, or a part of one that a template can complete.
    pub(super) fn may_touch(&self, text: &str) -> bool {
        text.contains(self.delimiters.as_slice())
    }

    /// Where special texts occur: from the left, the longest first, none overlapping.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.as_bytes().get(at) {
            let length = if self.first_bytes.contains(byte) {
                let matches = |length: &&usize| {
                    text.get(at..at + **length).is_some_and(|piece| self.texts.contains(piece))
                };
                self.lengths.iter().find(matches).copied()
            } else {
                None
            };
            if let Some(length) = length {
                found.push(at..at + length);
            }
            at += length.unwrap_or(1);
        }
        found
    }
}

/// A piece of a rendered conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Text in which special texts are the template's own: encode with special tokens.
    Template(&'a str),
    /// Text of the input that reads like a special text: encode as plain text.
    Literal(&'a str),
}

/// A rendered conversation that knows which special texts are literal, and what the model is to generate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    text: String,
    /// In order, not overlapping. An empty one is a border that no special text may span.
    literal: Vec<Range<usize>>,
    generated: Vec<Range<usize>>,
}

impl Rendered {
    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Byte ranges of [`Rendered::text`] that stand in the template's `{% generation %}` blocks.
    pub fn generated(&self) -> &[Range<usize>] {
        &self.generated
    }

    /// The text in pieces, to be encoded one by one; one single piece when the input holds no special text.
    pub fn segments(&self) -> Vec<Segment<'_>> {
        let mut segments = Vec::new();
        let mut at = 0;
        for literal in &self.literal {
            let template = self.text.get(at..literal.start).unwrap_or_default();
            segments.push(Segment::Template(template));
            segments.push(Segment::Literal(self.text.get(literal.clone()).unwrap_or_default()));
            at = literal.end;
        }
        segments.push(Segment::Template(self.text.get(at..).unwrap_or_default()));
        segments.retain(|segment| match segment {
            Segment::Template(text) | Segment::Literal(text) => !text.is_empty(),
        });
        segments
    }

    /// [`Rendered::segments`] of the first `end` bytes, a border of characters.
    pub(crate) fn segments_until(&self, end: usize) -> Vec<Segment<'_>> {
        let mut left = end;
        let mut segments = self.segments();
        segments.retain_mut(|segment| {
            let (Segment::Template(text) | Segment::Literal(text)) = segment;
            *text = text.get(..left.min(text.len())).unwrap_or_default();
            left -= text.len();
            !text.is_empty()
        });
        segments
    }

    /// The special texts that are the template's own, in order.
    pub(super) fn own_specials(&self, specials: &SpecialTexts) -> Vec<&str> {
        let mut own = Vec::new();
        for segment in self.segments() {
            if let Segment::Template(text) = segment {
                own.extend(specials.find(text).into_iter().filter_map(|range| text.get(range)));
            }
        }
        own
    }
}

/// Private-use characters that mean something to us because they occur nowhere in the input.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    pub(super) generation: (char, char),
    literal: (char, char),
    /// Delimiters of special texts and their stand-ins.
    stand_ins: Vec<(char, char)>,
}

impl Marks {
    /// Chooses characters that are in none of `texts`; `None` if these use up all there are.
    pub(super) fn unused_in<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        specials: &SpecialTexts,
    ) -> Option<Self> {
        let private = |c: &char| ('\u{f0000}'..='\u{ffffd}').contains(c);
        let used: HashSet<char> =
            texts.into_iter().flat_map(|text| text.chars().filter(private)).collect();
        let mut free = ('\u{f0000}'..='\u{ffffd}').filter(|c| !used.contains(c));
        let generation = (free.next()?, free.next()?);
        let literal = (free.next()?, free.next()?);
        let stand_ins = specials.delimiters.iter().map(|&c| Some((c, free.next()?)));
        Some(Self { generation, literal, stand_ins: stand_ins.collect::<Option<_>>()? })
    }

    /// Puts the special texts in `text` between marks.
    pub(super) fn wrap(&self, text: &str, specials: &SpecialTexts) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for range in specials.find(text) {
            out.push_str(text.get(at..range.start).unwrap_or_default());
            out.push(self.literal.0);
            out.push_str(text.get(range.clone()).unwrap_or_default());
            out.push(self.literal.1);
            at = range.end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }

    /// Replaces the delimiters in `text` by their stand-ins.
    pub(super) fn disguise(&self, text: &str) -> String {
        let stand_in =
            |c| self.stand_ins.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to);
        text.chars().map(stand_in).collect()
    }

    /// Takes the marks and stand-ins out of a rendering of wrapped or disguised input.
    pub(super) fn restore(&self, rendered: &str, specials: &SpecialTexts) -> Rendered {
        let mut out = Rendered::default();
        let mut disguised = Vec::new();
        let (mut literal_start, mut generation_starts) = (None, Vec::new());
        for c in rendered.chars() {
            let at = out.text.len();
            if c == self.literal.0 {
                // A start without an end, or the reverse, is a piece that the template cut: keep the border.
                out.literal.extend(literal_start.replace(at).map(|start| start..start));
            } else if c == self.literal.1 {
                out.literal.push(literal_start.take().unwrap_or(at)..at);
            } else if c == self.generation.0 {
                generation_starts.push(at);
            } else if c == self.generation.1 {
                out.generated.extend(generation_starts.pop().map(|start| start..at));
            } else if let Some((from, _)) = self.stand_ins.iter().find(|(_, to)| *to == c) {
                disguised.push(at);
                out.text.push(*from);
            } else {
                out.text.push(c);
            }
        }
        out.literal.extend(literal_start.map(|start| start..start));
        out.generated.sort_by_key(|range| (range.start, range.end));
        if !disguised.is_empty() {
            let theirs = |range: &Range<usize>| disguised.iter().any(|at| range.contains(at));
            out.literal = specials.find(&out.text).into_iter().filter(theirs).collect();
        }
        out
    }
}

/// All strings of a value, keys included.
pub(super) fn strings<'a>(value: &'a Json, visit: &mut impl FnMut(&'a str)) {
    match value {
        Json::String(text) => visit(text),
        Json::Array(list) => list.iter().for_each(|item| strings(item, visit)),
        Json::Object(map) => map.iter().for_each(|(key, item)| {
            visit(key);
            strings(item, visit);
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// The value with every string replaced, keys included.
pub(super) fn replace_strings(value: &Json, replace: &impl Fn(&str) -> String) -> Json {
    match value {
        Json::String(text) => Json::String(replace(text)),
        Json::Array(list) => list.iter().map(|item| replace_strings(item, replace)).collect(),
        Json::Object(map) => {
            let entries = map.iter();
            let entries = entries.map(|(key, item)| (replace(key), replace_strings(item, replace)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    }
}
