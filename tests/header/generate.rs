//! Makes include/nestling.h: a prologue, then one section for each object, in the order of [`SECTIONS`].

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use nestling::Code;

/// The files of src/capi that declare something, in an order in which each uses only those before it.
const SECTIONS: &[&str] = &[
    "error",
    "string",
    "tokens",
    "version",
    "log",
    "source",
    "cancel",
    "adapter+model+options+job",
    "seal",
    "tokenizer",
    "decoder",
    "messages",
    "session",
    "generation",
    "examples",
    "dataset",
    "dataset_parts",
    "trainer",
    "trainer_plan",
    "trainer_step",
    "trainer_report",
    "evaluation",
    "embedding",
    "convert",
    "quantize",
    "imatrix",
    "compare",
    "prune",
    "adapter_files",
    "device",
];

/// The parameters that may be NULL, by their names.
const NULLABLE: [&str; 3] = ["cancel", "options", "validation"];

/// The whole header.
pub fn header() -> String {
    let conventions = module_comment("mod");
    let mut out = comment(&conventions);
    out += &prologue();
    for section in SECTIONS {
        let files: Vec<_> = section.split('+').collect();
        let mut bodies: Vec<_> = files.iter().map(|file| declarations(file)).collect();
        if files.len() > 1 {
            // Objects that name each other: their types first, then their functions.
            out.push('\n');
            for (file, body) in files.iter().zip(&mut bodies) {
                out += &take_type(body, file);
            }
        }
        for (file, body) in files.iter().zip(bodies) {
            let codes = if *file == "error" { codes() } else { String::new() };
            write!(out, "\n{}{codes}{body}", rule(&module_comment(file))).unwrap();
        }
    }
    out + EPILOGUE
}

/// Takes the handle's type, with its comment, out of what a file declares.
fn take_type(body: &mut String, file: &str) -> String {
    let line = format!("typedef struct nest_{file} nest_{file};\n");
    let end = body.find(&line).unwrap() + line.len();
    let start = body[..end].rfind("/**").unwrap();
    let taken = body[start..end].to_owned();
    body.replace_range(start..(end + 1).min(body.len()), "");
    taken
}

/// The names of all functions that the header declares, sorted.
pub fn functions(header: &str) -> Vec<String> {
    let mut names: Vec<_> = header
        .lines()
        .filter(|line| line.starts_with("NEST_API"))
        .filter_map(|line| {
            let front = line.split_once('(')?.0;
            Some(front.rsplit([' ', '*']).next()?.to_owned())
        })
        .collect();
    names.sort_unstable();
    names
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str) -> PathBuf {
    root().join(format!("src/capi/{name}.rs"))
}

/// The lines of a file's `//!` comment.
fn module_comment(name: &str) -> Vec<String> {
    let text = fs::read_to_string(file(name)).unwrap();
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()).collect()
}

fn comment(lines: &[String]) -> String {
    let body: String = lines.iter().map(|l| format!(" * {l}\n").replace(" * \n", " *\n")).collect();
    format!("/*\n{body} */\n")
}

fn rule(lines: &[String]) -> String {
    format!("/* ---- {} ---- */\n\n", lines.join(" "))
}

fn codes() -> String {
    let mut out = String::new();
    for code in Code::ALL {
        let mut name = String::new();
        for letter in code.name().chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        writeln!(out, "/** {} */\n#define NEST_ERROR_{name} {}", code.meaning(), code.number())
            .unwrap();
    }
    out + "\n"
}

/// What one file declares, as cbindgen writes it, with the annotations that it cannot write.
fn declarations(name: &str) -> String {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        style: cbindgen::Style::Both,
        sort_by: cbindgen::SortKey::None,
        no_includes: true,
        usize_is_size_t: false,
        line_length: 10_000,
        ..Default::default()
    };
    config.function.sort_by = Some(cbindgen::SortKey::None);
    config.constant.sort_by = Some(cbindgen::SortKey::None);
    let bindings = cbindgen::Builder::new().with_config(config).with_src(file(name)).generate();
    let mut bytes = Vec::new();
    bindings.unwrap().write(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let mut out = String::new();
    let mut hidden = false;
    for line in text.lines() {
        // The section for Rust callers ends every comment that has one.
        hidden = (hidden || line.trim() == "* # Safety") && line.trim() != "*/";
        if !hidden {
            out += &annotated(line);
            out.push('\n');
        }
    }
    while out.contains(" *\n */") {
        out = out.replace(" *\n */", " */");
    }
    one_line_comments(out.trim()) + "\n"
}

/// Comments of one line take one line.
fn one_line_comments(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let n = lines.len();
        if line.trim() == "*/" && n > 1 && lines[n - 2].trim() == "/**" {
            let said = lines.pop().unwrap();
            let said = said.trim().trim_start_matches("* ");
            let open = lines.pop().unwrap();
            lines.push(format!("{open} {said} */"));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}

/// Adds NEST_API, NEST_NODISCARD and the nullability of each pointer to a line of C.
fn annotated(line: &str) -> String {
    let code = !line.trim_start().starts_with(['*', '/', '#']) && !line.starts_with("typedef");
    if !code {
        return line.to_owned();
    }
    // A type is named by its typedef, in C as in C++.
    let line = line.replace("struct nest_", "nest_");
    let line = line.as_str();
    let declares = line.ends_with(");");
    let frees = line.contains("_free(");
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('*') {
        let (before, from) = rest.split_at(at);
        let stars = from.chars().take_while(|&c| c == '*').count();
        let after = &from[stars..];
        let name: String =
            after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let returned = after[name.len()..].starts_with('(');
        let lent = before.trim_end().ends_with("char");
        let nullable = match () {
            () if returned => !lent,
            () if stars > 1 => false,
            () if declares => frees || NULLABLE.contains(&name.as_str()),
            () => name.starts_with("top_"),
        };
        let outer = if nullable { "NEST_NULLABLE" } else { "NEST_NONNULL" };
        let inner = "*NEST_NULLABLE ".repeat(stars - 1);
        write!(out, "{before}{inner}*{outer} {name}").unwrap();
        rest = &after[name.len()..];
    }
    out += rest;
    if !declares {
        return out;
    }
    let nodiscard = if line.starts_with("nest_error *") { "NEST_NODISCARD " } else { "" };
    wrapped(&format!("NEST_API {nodiscard}{out}"))
}

/// One parameter a line where a declaration is long.
fn wrapped(line: &str) -> String {
    if line.len() <= 100 {
        return line.to_owned();
    }
    let (front, parameters) = line.split_once('(').unwrap();
    format!("{front}(\n    {}", parameters.replace(", ", ",\n    "))
}

fn prologue() -> String {
    let mut parts = env!("CARGO_PKG_VERSION").split('.');
    let mut next = || parts.next().unwrap().to_owned();
    let (major, minor, patch) = (next(), next(), next());
    PROLOGUE
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@MAJOR@", &major)
        .replace("@MINOR@", &minor)
        .replace("@PATCH@", &patch)
}

const PROLOGUE: &str = include_str!("prologue.h");
const EPILOGUE: &str = include_str!("epilogue.h");
