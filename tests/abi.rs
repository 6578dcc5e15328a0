//! The first header of this ABI, its symbols and a program compiled against it keep working.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use support::{Family, Tiny, c};

const FIRST: &str = "tests/abi/0";

fn read(path: &str) -> String {
    fs::read_to_string(c::root().join(path)).unwrap()
}

#[test]
fn a_program_of_the_first_header_runs_with_this_library() {
    let directory = tempfile::tempdir().unwrap();
    let model = Tiny::new(Family::Llama).write(directory.path());
    for include in [FIRST, "include"] {
        let program = c::compile("tests/abi/0/program.c", include, directory.path());
        assert_eq!(c::run(Command::new(program).arg(&model)), "works\n", "{include}");
    }
}

#[test]
fn no_symbol_of_the_first_version_is_gone() {
    let now = Command::new("nm").args(["-D", "--defined-only"]).arg(c::library()).output().unwrap();
    let now = String::from_utf8(now.stdout).unwrap();
    let now: Vec<_> = now.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let symbols = read("tests/abi/0/symbols.txt");
    let gone: Vec<_> = symbols.lines().filter(|symbol| !now.contains(symbol)).collect();
    assert!(symbols.lines().count() > 70);
    assert!(gone.is_empty(), "programs need these: {gone:?}");
}

#[test]
fn declarations_and_numbers_of_the_first_version_stay() {
    // One line for each declaration and constant.
    let flat = |text: &str| -> Vec<String> {
        let text = text.replace("(\n    ", "(").replace(",\n    ", ", ");
        let wanted = |line: &&str| {
            let number = line.starts_with("#define NEST_") && !line.contains("NEST_VERSION");
            line.starts_with("NEST_API") || number
        };
        text.lines().filter(wanted).map(str::to_owned).collect()
    };
    let (first, now) = (flat(&read("tests/abi/0/nestling.h")), flat(&read("include/nestling.h")));
    assert!(first.len() > 150, "{}", first.len());
    let gone: Vec<_> = first.iter().filter(|line| !now.contains(line)).collect();
    assert!(gone.is_empty(), "changed or gone: {gone:#?}");
}

#[test]
fn structs_only_grow() {
    let directory = tempfile::tempdir().unwrap();
    let layout = |include: &str| -> Vec<(String, u64)> {
        // The fields of the first header, wherever they are now.
        let source = directory.path().join("layout.c");
        fs::write(&source, layout_program(&read("tests/abi/0/nestling.h"))).unwrap();
        let program = c::compile(source.to_str().unwrap(), include, directory.path());
        let printed = c::run(&mut Command::new(program));
        let rows = printed.lines().map(|line| line.rsplit_once(' ').unwrap());
        rows.map(|(name, number)| (name.to_owned(), number.parse().unwrap())).collect()
    };
    let (first, now) = (layout(FIRST), layout("include"));
    assert!(first.len() > 60, "{first:?}");
    for ((name, before), (_, after)) in first.iter().zip(&now) {
        let holds = if name.starts_with("sizeof") { after >= before } else { after == before };
        assert!(holds, "{name} was {before} and is {after}");
    }
}

/// A C program that prints the size of each struct, and the offset and size of each field.
fn layout_program(header: &str) -> String {
    let mut body = String::new();
    let mut inside = None;
    for line in header.lines() {
        if let Some(name) = line.strip_prefix("typedef struct ").and_then(|l| l.strip_suffix(" {"))
        {
            writeln!(body, "printf(\"sizeof {name} %zu\\n\", sizeof({name}));").unwrap();
            inside = Some(name);
        } else if line.starts_with('}') {
            inside = None;
        } else if let (Some(name), Some(field)) = (inside, line.strip_suffix(';')) {
            let field = field.rsplit([' ', '*']).next().unwrap();
            let size = format!("sizeof((({name} *)0)->{field})");
            let offset = format!("offsetof({name}, {field})");
            writeln!(body, "printf(\"{name}.{field} %zu\\n\", {offset} * 100 + {size});").unwrap();
        }
    }
    format!(
        "#include <stddef.h>\n#include <stdio.h>\n#include \"nestling.h\"\nint main(void) {{\n{body}\
         return 0;\n}}\n"
    )
}
