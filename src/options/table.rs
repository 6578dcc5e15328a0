//! The macros that make, from one table, a typed struct, setters by key, and a printed reference.

use super::value::{Input, Kind};
use crate::error::{Result, bail};

/// One option, described.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The name, as in every binding; the command line writes it with dashes.
    pub key: &'static str,
    /// What is accepted.
    pub kind: Kind,
    /// The default, as text.
    pub default: String,
    /// What it does, in one line.
    pub doc: &'static str,
}

/// A set of options that can be set by key.
pub trait Options: Default + Clone {
    /// The name of the kind: `model`, `session`, ...
    const NAME: &'static str;
    /// Every option, in the order of the reference.
    fn specs() -> Vec<Spec>;
    /// Sets one option; an unknown key or a bad value is an error that says what is valid.
    fn set(&mut self, key: &str, input: Input<'_>) -> Result<()>;
    /// One option's value as text; `None` for an unknown key.
    fn get(&self, key: &str) -> Option<String>;
    /// Checks every value against its range: fields may have been written directly.
    fn validate(&self) -> Result<()>;
}

/// Words the error for a key that no option has.
pub(super) fn unknown(kind: &str, key: &str, specs: &[Spec]) -> Result<()> {
    let mut keys: Vec<_> = specs.iter().map(|s| s.key).collect();
    keys.sort_unstable();
    bail!(UnknownOption, "no {kind} option is named {key:?}; valid options: {}", keys.join(", "))
}

/// Words the error for a value that an option does not take.
pub(super) fn invalid(kind: &str, key: &str, got: &str, accepts: &Kind) -> Result<()> {
    bail!(InvalidOption, "{kind} option {key}: {got} is not accepted; give {accepts}")
}

/// The caller's value, for an error message; of what was given for a key, only the length.
pub(super) fn describe(input: Input<'_>, accepts: &Kind) -> String {
    match input {
        Input::Bytes(v) => format!("a value of {} bytes", v.len()),
        Input::Str(v) | Input::Add(v) if *accepts == Kind::Key => {
            format!("text of {} bytes", v.len())
        }
        _ if *accepts == Kind::Key => "a number or flag".to_owned(),
        Input::Int(v) => v.to_string(),
        Input::Float(v) => v.to_string(),
        Input::Bool(v) => v.to_string(),
        Input::Str(v) | Input::Add(v) => {
            let short: String = v.chars().take(60).collect();
            format!("{short:?}")
        }
    }
}

/// `options! { Struct = "kind" (+ field: Inner)? { key: Type = default, range, "doc"; ... } }`
macro_rules! options {
    ($(#[$meta:meta])* $name:ident = $kind:literal $(+ $inner:ident : $Inner:ty)? {
        $($key:ident : $ty:ty = $default:expr, $range:expr, $doc:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(#[doc = $doc] pub $key: $ty,)*
            $(#[doc = "The options of that kind, settable here too."] pub $inner: $Inner,)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* $($inner: <$Inner>::default(),)? }
            }
        }

        impl $crate::options::Options for $name {
            const NAME: &'static str = $kind;

            fn specs() -> Vec<$crate::options::Spec> {
                let mut specs = vec![$($crate::options::Spec {
                    key: stringify!($key),
                    kind: <$ty as $crate::options::Value>::kind($range),
                    default: $crate::options::Value::show(&{ let v: $ty = $default; v }),
                    doc: $doc,
                },)*];
                $(specs.extend(<$Inner as $crate::options::Options>::specs());)?
                specs.shrink_to_fit();
                specs
            }

            fn set(&mut self, key: &str, input: $crate::options::Input<'_>) -> $crate::Result<()> {
                match key {
                    $(stringify!($key) => $crate::options::Value::set(&mut self.$key, input, $range)
                        .or_else(|()| {
                            let accepts = <$ty as $crate::options::Value>::kind($range);
                            let got = $crate::options::table::describe(input, &accepts);
                            $crate::options::table::invalid($kind, key, &got, &accepts)
                        }),)*
                    _ => {
                        $(if <$Inner as $crate::options::Options>::specs().iter().any(|s| s.key == key) {
                            return $crate::options::Options::set(&mut self.$inner, key, input);
                        })?
                        $crate::options::table::unknown(
                            $kind, key, &<Self as $crate::options::Options>::specs())
                    }
                }
            }

            fn get(&self, key: &str) -> Option<String> {
                match key {
                    $(stringify!($key) => Some($crate::options::Value::show(&self.$key)),)*
                    _ => {
                        $(if true { return $crate::options::Options::get(&self.$inner, key); })?
                        None
                    }
                }
            }

            fn validate(&self) -> $crate::Result<()> {
                $(if !$crate::options::Value::is_valid(&self.$key, $range) {
                    $crate::options::table::invalid(
                        $kind, stringify!($key), &$crate::options::Value::show(&self.$key),
                        &<$ty as $crate::options::Value>::kind($range),
                    )?;
                })*
                $($crate::options::Options::validate(&self.$inner)?;)?
                Ok(())
            }
        }
    };
}

/// `choice! { Name { Variant = "word" "doc", ... } }`: an enum option; the first variant is the default.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal $doc:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $(#[doc = $doc] $variant,)* }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word,)*];

            /// The option's word for this choice.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl $crate::options::Value for $name {
            type Range = ();

            fn kind((): ()) -> $crate::options::Kind {
                $crate::options::Kind::Choice(Self::WORDS)
            }

            fn set(&mut self, input: $crate::options::Input<'_>, (): ()) -> Result<(), ()> {
                *self = match input {
                    $($crate::options::Input::Str($word) => $name::$variant,)*
                    _ => return Err(()),
                };
                Ok(())
            }

            fn is_valid(&self, (): ()) -> bool {
                true
            }

            fn show(&self) -> String {
                self.word().to_owned()
            }
        }
    };
}

pub(super) use {choice, options};
