//! The headers and the library's face: every standard, every compiler at hand, every exported symbol.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::fs;
use std::process::Command;

const C: &[&str] = &["c99", "c11", "c17", "c2x"];
const CPP: &[&str] = &["c++11", "c++14", "c++17", "c++20"];
const MODERN_CPP: &[&str] = &["c++17", "c++20", "c++2b"];

/// Compiles a source of `tests/` without linking; what the compiler wrote, if it refused.
fn check(compiler: &str, standard: &str, source: &str, options: &[&str]) -> Result<(), String> {
    let mut command = support::compiler(compiler);
    command.arg(format!("-std={standard}")).args(options).args([
        "-Wformat=2",
        "-c",
        "-o",
        "/dev/null",
    ]);
    let output = command.arg(support::package().join("tests").join(source)).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {text}")) }
}

/// The compilers at hand, as (C, C++); one that is missing is printed as skipped.
fn compilers() -> Vec<(&'static str, &'static str)> {
    let known = [("gcc", "g++"), ("clang", "clang++"), ("clang-19", "clang++-19")];
    known.into_iter().filter(|(c, cpp)| support::has(c) && support::has(cpp)).collect()
}

#[test]
fn headers_compile_cleanly_as_every_standard() {
    let mut compiled = 0;
    for (c, cpp) in compilers() {
        for cut_off in ["-DLOGDRIVE_LEVEL_MIN=0", "-DLOGDRIVE_LEVEL_MIN=6", "-DLOGDRIVE_LOCATION=0"]
        {
            for standard in C {
                check(c, standard, "c/header.c", &[cut_off]).unwrap();
            }
            for standard in CPP {
                check(cpp, standard, "c/header.c", &["-xc++", "-Wold-style-cast", cut_off])
                    .unwrap();
            }
            compiled += C.len() + CPP.len();
        }
        check(c, "c11", "c/layout.c", &[]).unwrap();
        for standard in MODERN_CPP {
            check(cpp, standard, "cpp/everything.cpp", &[]).unwrap();
            compiled += 1;
        }
    }
    println!("{compiled} compilations");
    assert!(compiled > 20, "no compiler was found");
}

#[test]
fn a_wrong_format_does_not_compile_even_where_the_level_is_cut_off() {
    for cut_off in ["-DLOGDRIVE_LEVEL_MIN=0", "-DLOGDRIVE_LEVEL_MIN=6"] {
        let refused = check("gcc", "c11", "c/header.c", &["-DWRONG_FORMAT", cut_off]).unwrap_err();
        assert!(refused.contains("-Werror=format"), "{refused}");
    }
}

#[test]
fn a_level_that_is_cut_off_leaves_no_text_in_the_program() {
    let dir = tempfile::tempdir().unwrap();
    for (level, is_there) in [("-DLOGDRIVE_LEVEL_MIN=5", true), ("-DLOGDRIVE_LEVEL_MIN=6", false)] {
        let object = dir.path().join("header.o");
        let mut gcc = support::compiler("gcc");
        gcc.args(["-std=c11", "-O0", level, "-c", "-o"]).arg(&object);
        support::succeed(gcc.arg(support::package().join("tests/c/header.c")));
        let bytes = fs::read(object).unwrap();
        let marker = b"cut-off-marker";
        assert_eq!(bytes.windows(marker.len()).any(|window| window == marker), is_there, "{level}");
    }
}

#[test]
fn exactly_the_documented_symbols_are_exported() {
    let text =
        support::succeed(Command::new("nm").args(["-D", "--defined-only"]).arg(support::library()));
    let mut exported: Vec<_> = text.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    exported.sort_unstable();
    let golden = fs::read_to_string(support::package().join("tests/symbols.txt")).unwrap();
    assert_eq!(exported, golden.lines().collect::<Vec<_>>());
    let header = fs::read_to_string(support::root().join("include/logdrive.h")).unwrap();
    for symbol in exported {
        assert!(header.contains(&format!("{symbol}(")), "{symbol} is not in logdrive.h");
    }
}

#[test]
fn the_library_has_a_soname_and_is_never_unloaded() {
    assert!(support::soname().starts_with("liblogdrive.so.0."), "{}", support::soname());
    let text = support::succeed(Command::new("readelf").arg("-d").arg(support::library()));
    assert!(text.contains("NODELETE"), "{text}");
}
