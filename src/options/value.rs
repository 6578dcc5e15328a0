//! What an option's value can be, and how one is set from an integer, a float, a flag or text.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::Secret;

/// A value as it comes from a caller: C setters give the first four, the command line gives text.
#[derive(Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the names are the types")]
pub enum Input<'a> {
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(&'a str),
    /// One more element for a list.
    Add(&'a str),
    /// Bytes, such as a key. They are never printed.
    Bytes(&'a [u8]),
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::Int(v) => f.debug_tuple("Int").field(v).finish(),
            Input::Float(v) => f.debug_tuple("Float").field(v).finish(),
            Input::Bool(v) => f.debug_tuple("Bool").field(v).finish(),
            Input::Str(v) => f.debug_tuple("Str").field(v).finish(),
            Input::Add(v) => f.debug_tuple("Add").field(v).finish(),
            Input::Bytes(v) => write!(f, "Bytes({} bytes)", v.len()),
        }
    }
}

/// What an option accepts, for error messages and the printed reference.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// An integer in a range.
    Int(RangeInclusive<i64>),
    /// An integer in a range, or `auto`.
    AutoInt(RangeInclusive<i64>),
    /// A number in a range.
    Float(RangeInclusive<f64>),
    /// A number in a range, or `auto`.
    AutoFloat(RangeInclusive<f64>),
    /// `true` or `false`.
    Bool,
    /// Text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Texts, added one by one.
    List,
    /// Integers, added one by one.
    IntList(RangeInclusive<i64>),
    /// The bytes of a key.
    Key,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Int(r) => write!(f, "an integer from {} to {}", r.start(), r.end()),
            Kind::AutoInt(r) => {
                write!(f, "\"auto\" or an integer from {} to {}", r.start(), r.end())
            }
            Kind::Float(r) => write!(f, "a number from {} to {}", r.start(), r.end()),
            Kind::AutoFloat(r) => {
                write!(f, "\"auto\" or a number from {} to {}", r.start(), r.end())
            }
            Kind::Bool => f.write_str("true or false"),
            Kind::Text => f.write_str("text"),
            Kind::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Kind::List => f.write_str("texts, added one by one"),
            Kind::IntList(r) => {
                write!(f, "integers from {} to {}, added one by one", r.start(), r.end())
            }
            Kind::Key => write!(f, "the {} bytes of a key", Secret::LENGTH),
        }
    }
}

/// A type that an option can have. `Err(())` from `set` means: not what [`Kind`] describes.
#[allow(clippy::result_unit_err, reason = "the caller words the error from the option's Kind")]
pub trait Value: Clone {
    /// What bounds the value.
    type Range;
    /// The description of what is accepted.
    fn kind(range: Self::Range) -> Kind;
    /// Sets the value from a caller's input.
    fn set(&mut self, input: Input<'_>, range: Self::Range) -> Result<(), ()>;
    /// Whether the value, perhaps set by hand, is in the range.
    fn is_valid(&self, range: Self::Range) -> bool;
    /// The value as text, as `set` would read it.
    fn show(&self) -> String;
}

/// A number that the library may choose itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auto<T = i64> {
    /// The library chooses.
    #[default]
    Auto,
    /// The caller chose.
    Value(T),
}

impl<T> Auto<T> {
    /// The caller's choice, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Auto::Auto => None,
            Auto::Value(v) => Some(v),
        }
    }
}

impl<T> From<T> for Auto<T> {
    fn from(value: T) -> Self {
        Auto::Value(value)
    }
}

fn integer(input: Input<'_>) -> Result<i64, ()> {
    match input {
        Input::Int(v) => Ok(v),
        Input::Str(s) | Input::Add(s) => s.trim().parse().map_err(|_| ()),
        Input::Float(_) | Input::Bool(_) | Input::Bytes(_) => Err(()),
    }
}

impl Value for i64 {
    type Range = RangeInclusive<i64>;

    fn kind(range: Self::Range) -> Kind {
        Kind::Int(range)
    }

    fn set(&mut self, input: Input<'_>, range: Self::Range) -> Result<(), ()> {
        let value = integer(input)?;
        range.contains(&value).then(|| *self = value).ok_or(())
    }

    fn is_valid(&self, range: Self::Range) -> bool {
        range.contains(self)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Auto<i64> {
    type Range = RangeInclusive<i64>;

    fn kind(range: Self::Range) -> Kind {
        Kind::AutoInt(range)
    }

    fn set(&mut self, input: Input<'_>, range: Self::Range) -> Result<(), ()> {
        set_auto(self, input, range)
    }

    fn is_valid(&self, range: Self::Range) -> bool {
        self.value().is_none_or(|v| range.contains(&v))
    }

    fn show(&self) -> String {
        self.value().map_or_else(|| "auto".into(), |v| v.show())
    }
}

impl Value for Auto<f64> {
    type Range = RangeInclusive<f64>;

    fn kind(range: Self::Range) -> Kind {
        Kind::AutoFloat(range)
    }

    fn set(&mut self, input: Input<'_>, range: Self::Range) -> Result<(), ()> {
        set_auto(self, input, range)
    }

    fn is_valid(&self, range: Self::Range) -> bool {
        self.value().is_none_or(|v| range.contains(&v))
    }

    fn show(&self) -> String {
        self.value().map_or_else(|| "auto".into(), |v| v.show())
    }
}

/// "auto", or what its number takes.
fn set_auto<T: Value + Default>(
    to: &mut Auto<T>,
    input: Input<'_>,
    range: T::Range,
) -> Result<(), ()> {
    if matches!(input, Input::Str("auto")) {
        *to = Auto::Auto;
        return Ok(());
    }
    let mut value = T::default();
    value.set(input, range)?;
    *to = Auto::Value(value);
    Ok(())
}

impl Value for f64 {
    type Range = RangeInclusive<f64>;

    fn kind(range: Self::Range) -> Kind {
        Kind::Float(range)
    }

    fn set(&mut self, input: Input<'_>, range: Self::Range) -> Result<(), ()> {
        let value = match input {
            Input::Float(v) => v,
            Input::Int(v) => v as f64,
            Input::Str(s) => s.trim().parse().map_err(|_| ())?,
            Input::Bool(_) | Input::Add(_) | Input::Bytes(_) => return Err(()),
        };
        range.contains(&value).then(|| *self = value).ok_or(())
    }

    fn is_valid(&self, range: Self::Range) -> bool {
        range.contains(self)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    type Range = ();

    fn kind((): ()) -> Kind {
        Kind::Bool
    }

    fn set(&mut self, input: Input<'_>, (): ()) -> Result<(), ()> {
        *self = match input {
            Input::Bool(v) => v,
            Input::Int(v @ (0 | 1)) => v == 1,
            Input::Str("true" | "on" | "1") => true,
            Input::Str("false" | "off" | "0") => false,
            _ => return Err(()),
        };
        Ok(())
    }

    fn is_valid(&self, (): ()) -> bool {
        true
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    type Range = ();

    fn kind((): ()) -> Kind {
        Kind::Text
    }

    fn set(&mut self, input: Input<'_>, (): ()) -> Result<(), ()> {
        let Input::Str(text) = input else { return Err(()) };
        text.clone_into(self);
        Ok(())
    }

    fn is_valid(&self, (): ()) -> bool {
        true
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for Vec<String> {
    type Range = ();

    fn kind((): ()) -> Kind {
        Kind::List
    }

    fn set(&mut self, input: Input<'_>, (): ()) -> Result<(), ()> {
        match input {
            Input::Add(text) => self.push(text.to_owned()),
            // Setting a list replaces it by one element; the empty text empties it.
            Input::Str(text) => {
                self.clear();
                if !text.is_empty() {
                    self.push(text.to_owned());
                }
            }
            _ => return Err(()),
        }
        Ok(())
    }

    fn is_valid(&self, (): ()) -> bool {
        true
    }

    fn show(&self) -> String {
        self.iter().fold(String::new(), |mut out, item| {
            let sep = if out.is_empty() { "" } else { " " };
            write!(out, "{sep}{item:?}").ok();
            out
        })
    }
}

impl Value for Vec<i64> {
    type Range = RangeInclusive<i64>;

    fn kind(range: Self::Range) -> Kind {
        Kind::IntList(range)
    }

    fn set(&mut self, input: Input<'_>, range: Self::Range) -> Result<(), ()> {
        if matches!(input, Input::Str("")) {
            self.clear();
            return Ok(());
        }
        let value = integer(input)?;
        if !range.contains(&value) {
            return Err(());
        }
        if matches!(input, Input::Str(_) | Input::Int(_)) {
            self.clear();
        }
        self.push(value);
        Ok(())
    }

    fn is_valid(&self, range: Self::Range) -> bool {
        self.iter().all(|v| range.contains(v))
    }

    fn show(&self) -> String {
        self.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}
