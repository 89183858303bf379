//! Lines to ship: the real ones of loghub where they are, and odd ones of our own.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Every byte that a line may hold, and the ways in which a file may end.
pub const ODD: &[u8] = b"plain\n\nwith CR\r\n\rleading\nNUL \0 inside\n\xff\xfe\x80 no UTF-8\n\n\n\
    tab\tand \x1b[31mescape\x1b[0m\n\xe2\x82\xac euro\n \nlast line without a newline";

/// Files to ship: those of loghub, and one with odd lines in `dir`.
///
/// loghub is looked for in `LOGHUB`, else as `shared/data/loghub` beside the project or
/// above. Without it, its place is taken by generated lines, and a line says that this was skipped.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let odd = dir.join("odd.log");
    fs::write(&odd, ODD).unwrap();
    let mut files = loghub().unwrap_or_else(|| {
        println!("skipped 1: loghub is not there, set LOGHUB; generated lines instead");
        let generated = dir.join("generated.log");
        let lines = (0..40_000).map(|number| format!("{number} {}\r\n", "x".repeat(number % 300)));
        fs::write(&generated, lines.collect::<String>()).unwrap();
        vec![generated]
    });
    files.push(odd);
    files
}

fn loghub() -> Option<Vec<PathBuf>> {
    let named = std::env::var_os("LOGHUB").map(PathBuf::from);
    let dir = named.or_else(|| {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let beside = project.ancestors().map(|dir| dir.join("shared/data/loghub"));
        beside.into_iter().find(|dir| dir.is_dir())
    })?;
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    (!files.is_empty()).then_some(files)
}

/// The lines of a file's bytes: what stands between newlines, and what follows the last one.
pub fn lines_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}
