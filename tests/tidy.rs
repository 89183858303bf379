//! The rules of the house that no compiler lint holds: directions of dependency, where `unsafe` and
//! atomics may stand, sizes, leftovers. The rules are the data at the top; CONTRIBUTING.md has the
//! reasons.

use std::fs;
use std::path::Path;

/// Which modules of ours each module may name (docs/design.md); a module may always name itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("error", &[]),
    ("checksum", &[]),
    ("event", &["ids"]),
    ("own_thread", &["sys"]),
    ("facade", &["client", "logger", "record", "stats", "own_thread", "error"]),
    ("sync", &[]),
    ("clock", &["ids", "sys", "sync"]),
    ("sys", &["error", "sync"]),
    ("record", &["ids", "error"]),
    ("ring", &["record", "sync", "sys", "ids", "error"]),
    ("batch", &["record", "checksum", "ids", "error"]),
    ("spool", &["sys", "checksum", "ids", "error"]),
    ("proto", &["batch", "checksum", "ids", "error"]),
    ("transport", &["own_thread", "ids", "error"]),
    ("stats", &["sys", "sync", "ids"]),
    ("inspect", &["spool", "batch", "checksum", "ids", "error"]),
    ("config", &["ring", "batch", "spool", "proto", "transport", "event", "error"]),
    (
        "pipeline",
        &[
            "ring",
            "record",
            "batch",
            "spool",
            "proto",
            "transport",
            "sys",
            "sync",
            "checksum",
            "event",
            "own_thread",
            "ids",
            "error",
            "clock",
            "stats",
            "config",
        ],
    ),
    ("client", &["logger", "lineage", "config", "record", "stats", "ids", "error"]),
    ("logger", &["lineage", "config", "ring", "record", "ids", "error"]),
    ("lineage", &["pipeline", "config", "ring", "clock", "sys", "ids"]),
    ("receiver", COMMAND),
    ("shim", COMMAND),
    ("bin", COMMAND),
];

/// What the binary's parts may use: the public API, and the stages they are built on; not `spool`,
/// `ring` or private parts of other stages.
const COMMAND: &[&str] = &[
    "client",
    "config",
    "record",
    "ids",
    "error",
    "stats",
    "proto",
    "batch",
    "transport",
    "inspect",
    "pipeline",
    "receiver",
    "shim",
    "sys",
    "sync",
    "checksum",
    "clock",
];

/// Where `unsafe` may stand, apart from inline test modules (loom's cells need it).
const UNSAFE_IN: &[&str] = &[
    "src/sys/",
    "src/sys.rs",
    "src/ring/raw.rs",
    "bindings/c/",
    "bindings/java/native/",
    "bindings/shared/src/exit.rs",
    "tests/end_to_end/signals.rs",
    "tests/fork.rs",
    "tests/support/witness.rs",
    "tests/faults/exit.rs",
    "tests/faults/fork.rs",
];

/// Where rustls may be told whom to trust, other than by its own verification.
const VERIFIERS_IN: &[&str] = &["src/transport/tls/config.rs", "src/transport/tls/unverified.rs"];
/// Written in two pieces, so that this file passes its own check.
const VERIFIERS: &[&str] = &[concat!("ServerCert", "Verifier"), concat!("danger", "ous()")];

/// Where an atomic ordering may be chosen.
const ORDERINGS_IN: &[&str] = &[
    "src/sys/",
    "src/ring/",
    "src/stats.rs",
    "src/stats/",
    "src/sync.rs",
    "src/spool/",
    "src/clock.rs",
    "src/pipeline/",
    "src/lineage.rs",
    "src/logger.rs",
    "src/receiver/",
    "src/bin/",
    "bindings/c/",
    "bindings/python/",
    "bindings/java/native/",
    "bindings/shared/",
];

const ORDERINGS: &[&str] = &["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];
/// Written in two pieces, so that this file passes its own check.
const LEFTOVERS: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
    concat!("#[", "ignore"),
];

/// Of code; the contents of strings, which cannot be broken, do not count.
const LINE_CHARS_MAX: usize = 100;
/// Of a line with its comment, which may hold a table or a drawing.
const COMMENT_CHARS_MAX: usize = 120;
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that were longer than allowed when the rule came: (path, lines). They may only shrink.
const LONG_FILES: &[(&str, usize)] = &[];
/// Functions that were longer than allowed when the rule came: (path, name, lines).
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// What a host calls: (folder, how its entries begin, how many there are at least).
const ENTRIES: &[(&str, &str, usize)] = &[
    ("bindings/c/src", concat!("extern \"C\"", " fn "), 20),
    ("bindings/java/native/src", concat!("extern \"system\"", " fn "), 7),
];
/// What an entry's body begins with: nothing of it is outside of the wall that no panic passes.
const GUARDS: &[&str] = &["guard::code(", "guard::handle(", "guard::value("];

/// Folders with Rust of ours.
const ROOTS: &[&str] = &["src", "tests", "benches", "examples", "fuzz", "bindings"];

#[test]
fn the_sources_are_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ROOTS {
        collect(root, &root.join(folder), &mut sources);
    }
    assert!(sources.len() > 5, "the sources were not found");
    let mut problems: Vec<String> =
        sources.iter().flat_map(|(path, text)| Source::new(path, text).problems()).collect();
    let read = |name| fs::read_to_string(root.join(name)).unwrap();
    problems.extend(version_problem(&read("Cargo.toml"), &read("CHANGELOG.md")));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// T1 of docs/bindings.md.
#[test]
fn every_exported_function_is_guarded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, beginning, entries_min) in ENTRIES {
        let mut sources = Vec::new();
        collect(root, &root.join(folder), &mut sources);
        let mut entries = 0;
        for (path, text) in &sources {
            for entry in text.split(beginning).skip(1) {
                let name = entry.split('(').next().unwrap_or_default();
                let body = entry.split_once("{\n").map_or("", |(_, body)| body.trim_start());
                let is_guarded = GUARDS.iter().any(|guard| body.starts_with(guard));
                assert!(is_guarded, "{path}: {name} begins with {:?}", body.lines().next());
                entries += 1;
            }
        }
        assert!(entries >= *entries_min, "only {entries} entries were found in {folder}");
    }
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let skipped = ["target", "corpus", "artifacts", "node_modules", ".venv"];
        if path.is_dir() && !skipped.iter().any(|name| path.ends_with(name)) {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("walked from the root");
            let text = fs::read_to_string(&path).expect("a source is readable UTF-8");
            sources.push((name.to_string_lossy().into_owned(), text));
        }
    }
}

/// One file, line by line.
struct Source<'a> {
    path: &'a str,
    lines: Vec<&'a str>,
    /// Without the contents of strings.
    breakable: Vec<String>,
    /// Without comments and the contents of strings.
    code: Vec<String>,
    /// Lines before the inline test module.
    code_lines: usize,
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let stripped = |comments| {
            let mut code: Vec<_> = strip(text, comments).lines().map(str::to_owned).collect();
            code.resize(lines.len(), String::new());
            code
        };
        let (breakable, code) = (stripped(Comments::Keep), stripped(Comments::Drop));
        let module = (1..code.len())
            .find(|at| code[at - 1].starts_with("#[cfg(") && is_test_module(&code[*at]))
            .map_or(lines.len(), |at| at - 1);
        Self { path, lines, breakable, code, code_lines: module }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.head());
        problems.extend(self.length());
        self.functions(&mut problems);
        self.dependencies(&mut problems);
        for at in 0..self.lines.len() {
            let found = [
                self.line_length(at),
                self.leftover(at),
                self.imports(at),
                self.unsafe_code(at),
                self.ordering(at),
                self.verifier(at),
            ];
            let place = format!("{}:{}", self.path, at + 1);
            problems.extend(found.into_iter().flatten().map(|text| format!("{place}: {text}")));
        }
        problems
    }

    fn verifier(&self, at: usize) -> Option<String> {
        let is_allowed = VERIFIERS_IN.contains(&self.path);
        let found = VERIFIERS.iter().find(|word| self.code[at].contains(**word));
        let found = found.filter(|_| !is_allowed)?;
        Some(format!("{found} only in {VERIFIERS_IN:?} (docs/security.md)"))
    }

    fn head(&self) -> Option<String> {
        let documented = self.lines.first().is_some_and(|line| line.starts_with("//!"));
        (self.path.starts_with("src/") && !documented)
            .then(|| format!("{}: does not start with //! (what it owns)", self.path))
    }

    /// Whether the file is part of what users get, and not a test.
    fn ships(&self) -> bool {
        let test = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        (self.path.starts_with("src/") || self.path.contains("/src/")) && !test
    }

    fn length(&self) -> Option<String> {
        let tolerated = LONG_FILES.iter().find(|(path, _)| *path == self.path);
        let limit = tolerated.map_or(FILE_LINES_MAX, |(_, lines)| *lines);
        (self.ships() && self.code_lines > limit)
            .then(|| format!("{}: {} lines, {limit} allowed", self.path, self.code_lines))
    }

    /// Relies on rustfmt: a function ends at the next `}` with the indentation of its `fn`.
    fn functions(&self, problems: &mut Vec<String>) {
        for (start, line) in self.code.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            let indentation = line.len() - line.trim_start().len();
            let closing = format!("{}}}", " ".repeat(indentation));
            let opens = self.code[start..].iter().position(|l| l.contains('{') || l.ends_with(';'));
            let Some(opens) = opens.filter(|n| self.code[start + n].ends_with('{')) else {
                continue;
            };
            let body = &self.code[start + opens + 1..];
            let Some(ends) = body.iter().position(|line| line.trim_end() == closing) else {
                continue;
            };
            let length = opens + ends + 2;
            let known = LONG_FUNCTIONS.iter().find(|f| (f.0, f.1) == (self.path, name));
            let limit = known.map_or(FUNCTION_LINES_MAX, |f| f.2);
            if length > limit {
                let place = format!("{}:{}", self.path, start + 1);
                problems.push(format!("{place}: fn {name} has {length} lines, {limit} allowed"));
            }
        }
    }

    fn dependencies(&self, problems: &mut Vec<String>) {
        let Some(rest) = self.path.strip_prefix("src/") else { return };
        let module = rest.split(['/', '.']).next().unwrap_or_default();
        if module == "lib" {
            return;
        }
        let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            problems.push(format!("{}: module {module} is not in MAY_USE", self.path));
            return;
        };
        let top = [format!("{module}.rs"), format!("{module}/mod.rs")].iter().any(|f| f == rest);
        let prefixes = match (module, top) {
            ("bin", _) => vec!["logdrive::"],
            (_, true) => vec!["crate::", "super::"],
            (_, false) => vec!["crate::"],
        };
        for (at, line) in self.code.iter().enumerate() {
            for name in prefixes.iter().flat_map(|prefix| names_after(line, prefix)) {
                let ours = MAY_USE.iter().any(|(module, _)| *module == name);
                if ours && name != module && !may_use.contains(&name) {
                    let place = format!("{}:{}", self.path, at + 1);
                    problems.push(format!("{place}: {module} may not use {name}"));
                }
            }
        }
    }

    fn line_length(&self, at: usize) -> Option<String> {
        let excess = |line: &str, limit: usize| {
            let chars = line.trim_end().chars().count();
            (chars > limit).then(|| format!("{chars} characters, {limit} allowed"))
        };
        excess(&self.code[at], LINE_CHARS_MAX)
            .or_else(|| excess(&self.breakable[at], COMMENT_CHARS_MAX))
    }

    fn leftover(&self, at: usize) -> Option<String> {
        let word = LEFTOVERS.iter().find(|word| self.lines[at].contains(**word))?;
        Some(format!("`{word}` is left over: do it, or write down why not"))
    }

    fn imports(&self, at: usize) -> Option<String> {
        let line = &self.code[at];
        let grouped = line.contains("use crate::{") || line.contains("use super::{");
        let climbing = line.contains("super::super");
        (grouped || climbing).then(|| "import one `use crate::...;` per line".to_owned())
    }

    fn unsafe_code(&self, at: usize) -> Option<String> {
        let allowed = UNSAFE_IN.iter().any(|place| self.path.starts_with(place));
        (!allowed && at < self.code_lines && has_word(&self.code[at], "unsafe"))
            .then(|| format!("unsafe is only allowed in {}", UNSAFE_IN.join(", ")))
    }

    fn ordering(&self, at: usize) -> Option<String> {
        let chosen = names_after(&self.code[at], "Ordering::");
        if at >= self.code_lines
            || !self.ships()
            || !chosen.iter().any(|name| ORDERINGS.contains(name))
        {
            return None;
        }
        if !ORDERINGS_IN.iter().any(|place| self.path.starts_with(place)) {
            return Some("an atomic ordering outside of ORDERINGS_IN".to_owned());
        }
        let explained = (at.saturating_sub(3)..=at).any(|line| self.lines[line].contains("//"));
        (!explained).then(|| "an ordering without its reason in the three lines above".to_owned())
    }
}

fn is_test_module(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("mod ") && line.contains("tests") && line.ends_with('{')
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let modifiers = ["pub", "const", "unsafe", "async", "extern", "\"\"", "default"];
    let declares = before
        .split_whitespace()
        .all(|word| modifiers.contains(&word) || word.starts_with("pub(") || word.ends_with(')'));
    declares.then(|| after.split(['(', '<']).next().unwrap_or_default())
}

/// The identifiers that follow `prefix`, where `prefix` is whole segments of a path.
fn names_after<'l>(line: &'l str, prefix: &str) -> Vec<&'l str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(prefix)
        .filter(|(at, _)| !line[..*at].ends_with(is_name))
        .map(|(at, _)| &line[at + prefix.len()..])
        .map(|rest| &rest[..rest.find(|c: char| !is_name(c)).unwrap_or(rest.len())])
        .collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

#[derive(Clone, Copy, PartialEq)]
enum Comments {
    Keep,
    Drop,
}

/// The text with strings emptied, and comments removed if so asked; the lines stay where they are.
fn strip(text: &str, comments: Comments) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let previous_is_name = output.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let raw = if previous_is_name { None } else { raw_string_end(rest) };
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw {
            output.push_str("\"\"");
            length
        } else if next == '"' {
            output.push_str("\"\"");
            quoted_end(rest, '"')
        } else if let Some(length) = character_end(rest) {
            output.push_str("' '");
            length
        } else {
            output.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        if rest.starts_with('/') && comments == Comments::Keep {
            output.push_str(&rest[..length]);
        } else {
            output.extend(rest[..length].chars().filter(|c| *c == '\n'));
        }
        rest = &rest[length..];
    }
    output
}

fn quoted_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string_end(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let body = text.len() - after.len() + hashes + 1;
    Some(text[body..].find(&closing).map_or(text.len(), |end| body + end + closing.len()))
}

/// A character literal, as opposed to a lifetime.
fn character_end(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let mut chars = inner.chars();
    let first = chars.next()?;
    if first == '\\' {
        return Some(quoted_end(text, '\''));
    }
    (chars.next() == Some('\'')).then(|| first.len_utf8() + 2)
}

fn version_problem(manifest: &str, changelog: &str) -> Option<String> {
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = "))?;
    let version = version.trim_matches('"');
    let newest = changelog.lines().find_map(|line| line.strip_prefix("## "))?;
    let logged = newest.split_whitespace().next().unwrap_or_default();
    (version != logged)
        .then(|| format!("Cargo.toml has version {version}, CHANGELOG.md begins with {logged}"))
}

mod self_test {
    //! Each check finds what it is for, in a small bad piece of text, and lets the good one pass.

    use super::*;

    fn found(path: &str, text: &str, expected: &str) {
        let problems = Source::new(path, text).problems();
        assert!(problems.iter().any(|p| p.contains(expected)), "{expected:?} in {problems:?}");
    }

    fn clean(path: &str, text: &str) {
        assert_eq!(Source::new(path, text).problems(), Vec::<String>::new());
    }

    #[test]
    fn dependencies() {
        found("src/proto/a.rs", "//! a\nuse crate::ring::Ring;", "proto may not use ring");
        found("src/spool/mod.rs", "//! a\nuse super::record::Record;", "spool may not use record");
        found("src/ring/a.rs", "//! a\nlet b = crate::clock::now();", "ring may not use clock");
        found("src/bin/a.rs", "//! a\nuse logdrive::spool::Spool;", "bin may not use spool");
        found("src/ring/a.rs", "//! a\n($crate::stats::add)", "ring may not use stats");
        found("src/novel/a.rs", "//! a", "not in MAY_USE");
        clean("src/spool/a.rs", "//! crate::ring\nuse crate::sys::Map;\nuse super::frame::F;");
        clean("src/spool/a.rs", "//! a\nlet a = \"crate::ring\"; // crate::ring");
    }

    #[test]
    fn unsafe_code() {
        found("src/ring/producer.rs", "//! a\nunsafe { b() }", "unsafe is only allowed");
        found("tests/a.rs", "unsafe fn b() {}", "unsafe is only allowed");
        clean("src/ring/raw.rs", "//! a\nunsafe { b() }");
        clean("src/ring/a.rs", "//! a\n#[cfg(loom)]\nmod loom_tests {\n    unsafe { b() }\n}");
        clean("src/ring/mod.rs", "//! unsafe\n#![deny(unsafe_code)]\nlet a = \"unsafe\";");
    }

    #[test]
    fn orderings() {
        let bare = "//! a\n\n\n\n\nx.load(Ordering::Acquire);";
        found("src/ring/raw.rs", bare, "without its reason");
        let path = "//! a\nx.load(std::sync::atomic::Ordering::Acquire);";
        found("src/batch/a.rs", path, "outside of ORDERINGS_IN");
        clean("src/ring/raw.rs", "//! a\n\n\n\n\n// Pairs.\nx.load(Ordering::Acquire);");
        clean("src/batch/a.rs", "//! a\nOrdering::Less");
        let test = "//! a\n#[cfg(test)]\nmod tests {\n    x.load(Ordering::SeqCst);\n}";
        clean("src/batch/a.rs", test);
        clean("src/batch/tests.rs", bare);
    }

    #[test]
    fn leftovers_and_imports() {
        for word in LEFTOVERS {
            found("src/ring/a.rs", &format!("//! a\n// {word}"), "is left over");
        }
        found("src/ring/a.rs", "//! a\nuse crate::{a, b};", "import one");
        found("src/ring/a.rs", "//! a\nuse super::super::a;", "import one");
    }

    #[test]
    fn lengths() {
        found("src/ring/a.rs", &format!("//! a\n{}", "x".repeat(101)), "101 characters");
        clean("src/ring/a.rs", &format!("//! a\nlet a = \"{}\";", "x".repeat(101)));
        found("src/ring/a.rs", &format!("//! a\n// \"{}\"", "x".repeat(117)), "122 characters");
        clean("src/ring/a.rs", &format!("//! a\n\"\n{}\"", "x".repeat(101)));
        let lines = |count| format!("//! a{}", "\nx;".repeat(count));
        found("src/ring/a.rs", &lines(400), "401 lines, 400 allowed");
        clean("src/ring/a.rs", &lines(399));
        clean("src/ring/a.rs", &format!("{}\n#[cfg(test)]\nmod tests {{\n}}", lines(399)));
        clean("src/ring/tests.rs", &lines(500));
        clean("src/ring/tests/a.rs", &lines(500));
    }

    #[test]
    fn functions() {
        let function = |lines: usize| {
            format!("//! a\n    pub(crate) const fn b<T>(\n    ) {{\n{}    }}", "\n".repeat(lines))
        };
        found("src/ring/a.rs", &function(68), "fn b has 71 lines, 70 allowed");
        clean("src/ring/a.rs", &function(67));
        clean("src/ring/a.rs", "//! a\ntrait A {\n    fn b();\n}\nfn c() {}");
    }

    #[test]
    fn heads_and_versions() {
        found("src/ring/a.rs", "use std::fs;", "does not start with //!");
        let problem = version_problem("version = \"0.2.0\"", "# Changes\n\n## 0.1.0 (x)\n");
        assert!(problem.is_some_and(|text| text.contains("0.2.0")));
        assert_eq!(version_problem("version = \"0.1.0\"", "## 0.1.0 (unreleased)"), None);
    }

    #[test]
    fn stripping_keeps_lines_and_removes_text() {
        let text = "a // b\n/* c\nd */ e(\"f // \\\" g\", 'h', '\\'', r#\"i\"j\"#) & 'k";
        assert_eq!(strip(text, Comments::Drop), "a \n\n e(\"\", ' ', ' ', \"\") & 'k");
    }
}
