//! The committed header is what src/capi says, compiles everywhere, and the library exports just its functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::process::Command;
use std::{fs, io::Write as _};

#[path = "header/generate.rs"]
mod generate;

use generate::{functions, header, root};

const HEADER: &str = "include/nestling.h";

fn committed() -> String {
    fs::read_to_string(root().join(HEADER)).unwrap()
}

#[test]
fn the_committed_header_is_up_to_date() {
    let (ours, committed) = (header(), committed());
    let differs = ours.lines().zip(committed.lines()).position(|(a, b)| a != b);
    assert!(
        ours == committed,
        "{HEADER} is not what src/capi declares, first at line {}; rewrite it with\n    \
         cargo test --test header -- --ignored",
        differs.map_or(ours.lines().count().min(committed.lines().count()), |at| at) + 1
    );
}

#[test]
#[ignore = "rewrites include/nestling.h"]
fn rewrite() {
    let path = root().join(HEADER);
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(header().as_bytes()).unwrap();
    file.persist(path).unwrap();
}

#[test]
fn the_header_compiles_as_every_c_and_cpp() {
    let standards = [("cc", "c", &["c99", "c11", "c17"][..]), ("c++", "c++", &["c++17"])];
    let directory = tempfile::tempdir().unwrap();
    for (compiler, language, standards) in standards {
        for standard in standards {
            let source = directory.path().join("header.txt");
            // A use of each macro and struct, as a program would.
            fs::write(
                &source,
                "#include \"nestling.h\"\nint f(void);\nint f(void) {\n    nest_piece piece;\n    \
                 piece.struct_size = (uint32_t)sizeof piece;\n    return (int)piece.struct_size + \
                 NEST_ERROR_BUSY + NEST_VERSION_MAJOR;\n}\n",
            )
            .unwrap();
            let output = Command::new(compiler)
                .args(["-x", language, &format!("-std={standard}"), "-fsyntax-only"])
                .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Iinclude"])
                .arg(&source)
                .current_dir(root())
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{compiler} -std={standard}:\n{errors}");
        }
    }
}

#[test]
fn every_function_has_a_comment_and_the_prefix() {
    let header = committed();
    let lines: Vec<_> = header.lines().collect();
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("NEST_API")) {
        assert!(lines[i - 1].trim().ends_with("*/"), "no comment before: {line}");
    }
    let names = functions(&header);
    assert!(names.len() > 70, "{} functions", names.len());
    assert!(names.iter().all(|name| name.starts_with("nest_")), "{names:?}");
    assert!(!header.contains("Safety") && !header.contains("bool "), "what C does not know");
}

#[test]
fn no_profile_aborts_on_panic() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut profile = false;
    for line in manifest.lines().map(str::trim) {
        profile = if line.starts_with('[') { line.starts_with("[profile") } else { profile };
        let set = line.strip_prefix("panic").map(str::trim_start).and_then(|l| l.strip_prefix('='));
        let fine = set.is_none_or(|value| value.trim() == "\"unwind\"");
        assert!(fine || !profile, "Cargo.toml: {line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_library_exports_the_headers_functions_and_nothing_else() {
    // Cargo builds it beside the tests.
    let library = std::env::current_exe().unwrap().with_file_name("libnestling.so");
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(&library).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut exported: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(|name| name.split('@').next().unwrap().to_owned())
        .collect();
    exported.sort_unstable();
    assert_eq!(exported, functions(&committed()));
}
