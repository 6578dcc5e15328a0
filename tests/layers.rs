//! The shape of the code, as ARCHITECTURE.md states it: who may use whom, where the engine is named, where `unsafe`
//! may stand, how long a file and how deep a folder may be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "layers/source.rs"]
mod source;

const ENGINE: &str = "llama_cpp_sys_2";
const UNSAFE_PLACES: &[&str] = &["ggml/", "kernels/", "capi/", "capi.rs", "format/mmap.rs"];

/// The module table: a module's name, and the modules it may use.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under a folder with one of these extensions, sorted.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path.extension().is_some_and(|e| extensions.iter().any(|x| e == *x)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file under src as (path relative to src with `/`, text).
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    files(&src, &["rs"])
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// The module a file belongs to: the first part of its path.
fn module_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Parses the table under `| module |` in ARCHITECTURE.md.
fn parse_arrows(markdown: &str) -> Arrows {
    let rows: Vec<Vec<&str>> = markdown
        .lines()
        .skip_while(|line| !line.starts_with("| module |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let names = |cell: &str| -> Vec<String> {
        cell.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect()
    };
    let first = rows.first().expect("ARCHITECTURE.md has no table that begins with `| module |`");
    let everyone: BTreeSet<String> = names(first[0]).into_iter().collect();
    let mut arrows = Arrows::new();
    for row in &rows {
        assert_eq!(row.len(), 3, "a row of the module table has not three columns: {row:?}");
        let mut allowed = everyone.clone();
        match row[2] {
            "-" | "each other" | "the public Rust API" => {}
            "everything above" => allowed.extend(arrows.keys().cloned()),
            list => {
                for name in names(list) {
                    assert!(
                        arrows.contains_key(&name),
                        "{}: `{name}` is no module of a row above: the table has no cycles",
                        row[0]
                    );
                    allowed.insert(name);
                }
            }
        }
        for name in names(row[0]) {
            let mut own = allowed.clone();
            own.insert(name.clone());
            assert!(arrows.insert(name.clone(), own).is_none(), "`{name}` has two rows");
        }
    }
    arrows
}

fn arrows() -> Arrows {
    parse_arrows(&fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap())
}

/// What lib.rs re-exports: the name at the crate's root, and the module it comes from.
fn re_exports() -> BTreeMap<String, String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    source::re_exports(&source::without_comments_and_text(&lib))
}

/// What a file uses that its row does not allow.
fn forbidden_uses(
    file: &str,
    text: &str,
    arrows: &Arrows,
    re_exports: &BTreeMap<String, String>,
) -> Vec<String> {
    let module = module_of(file);
    let Some(allowed) = arrows.get(module) else {
        return vec![format!(
            "src/{file}: module `{module}` has no row in ARCHITECTURE.md's table"
        )];
    };
    let code = source::without_tests(&source::without_comments_and_text(text));
    source::crate_paths(&code, source::depth(file))
        .into_iter()
        .map(|used| re_exports.get(&used).cloned().unwrap_or(used))
        .filter(|used| !allowed.contains(used))
        .map(|used| {
            if arrows.contains_key(&used) {
                format!("src/{file}: `{module}` may not use `{used}` (ARCHITECTURE.md)")
            } else {
                format!(
                    "src/{file}: `crate::{used}` is no module: name the module it is defined in"
                )
            }
        })
        .collect()
}

#[test]
fn arrows_are_those_of_the_architecture() {
    let (arrows, re_exports) = (arrows(), re_exports());
    let wrong: Vec<String> = sources()
        .iter()
        // lib.rs joins everything; the program has a crate of its own, so that the compiler checks it.
        .filter(|(file, _)| {
            file != "lib.rs" && !file.starts_with("bin/") && !source::is_test_file(file)
        })
        .flat_map(|(file, text)| forbidden_uses(file, text, &arrows, &re_exports))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_program_uses_the_rust_api_only() {
    for (file, text) in sources().iter().filter(|(file, _)| file.starts_with("bin/")) {
        let code = source::without_comments_and_text(text);
        assert!(!code.contains("nestling::capi"), "src/{file} reaches into the C ABI");
    }
}

#[test]
fn only_ggml_names_the_engine() {
    for (file, text) in sources() {
        let code = source::without_comments_and_text(&text);
        assert!(
            file.starts_with("ggml/") || !code.contains(ENGINE),
            "src/{file} names {ENGINE}: add what it needs to src/ggml"
        );
    }
}

#[test]
fn unsafe_stands_in_its_places_only() {
    for (file, text) in sources() {
        let code = source::without_comments_and_text(&text);
        let uses = source::words(&code).any(|word| word == "unsafe");
        assert!(
            !uses || UNSAFE_PLACES.iter().any(|place| file.starts_with(place)),
            "src/{file} has `unsafe`: it belongs to {UNSAFE_PLACES:?}"
        );
    }
}

#[test]
fn files_are_short_and_folders_flat() {
    let long: Vec<String> = ["src", "tests", "examples", "benches", "fuzz/fuzz_targets"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), &["rs", "c", "cpp", "h"]))
        // The frozen headers are generated.
        .filter(|path| !path.ends_with("nestling.h"))
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > 400)
        .map(|(lines, path)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "split these (400 lines at most):\n{}", long.join("\n"));
    for (file, _) in sources() {
        assert!(file.matches('/').count() <= 2, "src/{file} is deeper than two folders");
    }
}

mod the_check_itself {
    use super::*;

    const TABLE: &str = "| module | holds | depends on |\n|---|---|---|\n| error, log | x | each other |\n\
                         | ggml | x | - |\n| model | x | ggml |\n| capi | x | everything above |\n";

    fn uses(file: &str, text: &str) -> Vec<String> {
        let re_exports =
            source::re_exports("pub use error::{Code, Error as E}; pub use model::Model;");
        forbidden_uses(file, text, &parse_arrows(TABLE), &re_exports)
    }

    #[test]
    fn allows_the_arrows_of_the_table() {
        assert!(
            uses("model/mod.rs", "use crate::{error::Error, ggml}; use crate::log;").is_empty()
        );
        assert!(uses("capi.rs", "fn f() { crate::model::open() }").is_empty());
    }

    #[test]
    fn finds_an_arrow_against_the_flow() {
        assert_eq!(uses("ggml/context.rs", "use crate::model::Model;").len(), 1);
        assert_eq!(
            uses("ggml/context.rs", "use crate::{\n    error::{Code, Error},\n    model,\n};")
                .len(),
            1
        );
        assert_eq!(uses("ggml/context.rs", "fn f() { super::super::model::open() }").len(), 1);
        assert_eq!(uses("ggml.rs", "use super::model;").len(), 1);
        assert!(
            uses("ggml/context.rs", "use super::model;").is_empty(),
            "a sibling of its own folder"
        );
    }

    #[test]
    fn finds_modules_without_a_row_and_unknown_names() {
        assert!(uses("other.rs", "")[0].contains("no row"));
        assert!(uses("model.rs", "use crate::Nothing;")[0].contains("name the module"));
    }

    #[test]
    fn follows_re_exports_to_their_modules() {
        assert!(uses("ggml.rs", "use crate::{Code, E};").is_empty());
        assert_eq!(uses("ggml.rs", "use crate::Model;").len(), 1);
    }

    #[test]
    fn ignores_comments_text_and_tests() {
        let text = "//! use crate::model;\n/* crate::model /* crate::model */ */\n\
                    const A: &str = \"crate::model \\\" crate::model\"; const B: &str = r#\"crate::model\"#;\n\
                    fn f<'a>(x: &'a str) -> char { '\"' }\n\
                    #[cfg(test)]\nmod tests { use crate::model; fn g() {} }\n";
        assert!(uses("ggml/mod.rs", text).is_empty());
        assert_eq!(uses("ggml/mod.rs", &format!("{text} use crate::model;")).len(), 1);
    }
}
