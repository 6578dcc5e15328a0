//! Templates by name, for models whose file has none.

use super::template::Template;
use crate::error::{Result, err};

/// A named template: the format that a family of models was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    name: &'static str,
    source: &'static str,
}

macro_rules! builtins {
    ($($name:literal)*) => {
        const ALL: &[Builtin] = &[$(Builtin {
            name: $name,
            source: include_str!(concat!("builtin/", $name, ".jinja")),
        },)*];
    };
}

builtins! {
    "alpaca" "chatml" "command-r" "deepseek" "falcon" "gemma" "granite" "llama2" "llama3" "mistral" "phi3" "phi4"
    "vicuna" "zephyr"
}

impl Builtin {
    /// Every built-in template, by name.
    pub const fn all() -> &'static [Self] {
        ALL
    }

    /// The names, in alphabetic order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|builtin| builtin.name)
    }

    /// The template with this name.
    ///
    /// # Errors
    /// `UnknownTemplate` lists the names there are.
    pub fn by_name(name: &str) -> Result<Self> {
        ALL.iter().find(|builtin| builtin.name == name).copied().ok_or_else(|| {
            let names = Self::names().collect::<Vec<_>>().join(", ");
            err!(
                UnknownTemplate,
                "there is no built-in chat template \"{name}\"; there are: {names}"
            )
        })
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The source.
    pub const fn source(self) -> &'static str {
        self.source
    }

    /// The parsed template.
    ///
    /// # Errors
    /// As [`Template::new`]; the built-in sources parse.
    pub fn template(self) -> Result<Template> {
        Template::new(self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn names_are_sorted_and_all_parse() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
        for builtin in ALL {
            assert_eq!(Builtin::by_name(builtin.name).unwrap(), *builtin);
            builtin.template().unwrap();
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let error = Builtin::by_name("chatlm").unwrap_err();
        assert_eq!(error.code(), Code::UnknownTemplate);
        assert!(Builtin::names().all(|name| error.message().contains(name)));
    }
}
