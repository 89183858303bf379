//! C programs as hosts, linked to the C library as it is built for development.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `liblogdrive.so`, built where it is missing or old.
pub fn library() -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).args(["build", "-p", "logdrive-c", "--lib"]);
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // <target>/<profile>/deps/<this test>
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(3).unwrap().join("debug")
    });
    dir.join("liblogdrive.so")
}

/// Compiles `source`, a path in the repository, and links it to [`library`].
pub fn compile(source: &str, dir: &Path) -> PathBuf {
    let (library, program) = (library(), dir.join(source.replace(['/', '.'], "-")));
    let soname = soname(&library);
    // Programs find the library by its soname; another test may have been faster.
    let _exists = std::os::unix::fs::symlink(&library, dir.join(soname));
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-D_GNU_SOURCE=1", "-O1", "-I"]).arg(root().join("include"));
    gcc.arg("-I").arg(root().join("bindings/c/tests/c"));
    gcc.arg(root().join(source)).arg("-o").arg(&program);
    gcc.arg(&library).arg(format!("-Wl,-rpath,{}", dir.display())).args(["-pthread", "-ldl"]);
    let output = gcc.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn soname(library: &Path) -> String {
    let output = Command::new("readelf").arg("-d").arg(library).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("SONAME")).unwrap();
    line.split(['[', ']']).nth(1).unwrap().to_owned()
}
