//! For tests that compile C and C++: the library, compilers, programs, a receiver.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::OnceLock;

/// `bindings/c`.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The repository.
pub fn root() -> &'static Path {
    package().ancestors().nth(2).unwrap()
}

/// Where cargo put what it built for these tests.
fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_owned()
}

fn is_release() -> bool {
    profile_dir().ends_with("release")
}

/// Builds what is no dependency of a test in cargo's eyes: a cdylib, and another package's binary.
fn build(arguments: &[&str]) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).arg("build").args(arguments);
    if is_release() {
        cargo.arg("--release");
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{cargo:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `liblogdrive.so`.
pub fn library() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build(&["-p", "logdrive-c", "--lib"]));
    profile_dir().join("liblogdrive.so")
}

/// The `logdrive` binary.
pub fn tool() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build(&["-p", "logdrive", "--features", "cli", "--bin", "logdrive"]));
    profile_dir().join("logdrive")
}

/// Whether `program` can be run; prints a line that says what is skipped where it cannot.
pub fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// Warnings that are errors, in every program of ours.
const STRICT: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"];

/// A compiler's command with our warnings and headers; the caller adds the rest.
pub fn compiler(name: &str) -> Command {
    let mut compiler = Command::new(name);
    compiler.args(STRICT).arg("-I").arg(root().join("include"));
    compiler
}

/// Compiles a program of `tests/`, or one of `examples/`, and links it to the library; `options` are the compiler's.
pub fn compile(source: &str, options: &[&str], dir: &Path) -> PathBuf {
    let name = if source.ends_with(".c") { "gcc" } else { "g++" };
    compile_with(name, source, options, dir)
}

/// As [`compile`] with a compiler of choice.
pub fn compile_with(name: &str, source: &str, options: &[&str], dir: &Path) -> PathBuf {
    let standard = if source.ends_with(".c") { "-std=c11" } else { "-std=c++17" };
    let program = dir.join(source.replace(['/', '.'], "-"));
    let library = library();
    let mut compiler = compiler(name);
    let (libraries, options): (Vec<&str>, Vec<&str>) =
        options.iter().copied().partition(|option| option.starts_with("-l"));
    compiler.args([standard, "-D_GNU_SOURCE=1", "-g", "-O1"]).args(options);
    let folder =
        if source.starts_with("examples/") { root().into() } else { package().join("tests") };
    compiler.arg(folder.join(source)).arg("-o").arg(&program);
    compiler.arg(&library).arg(format!("-Wl,-rpath,{}", profile_dir().display()));
    // Behind the source, which needs them.
    compiler.args(libraries).args(["-pthread", "-ldl"]);
    let output = compiler.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler:?}: {text}");
    // The soname is what a program looks for.
    let versioned = profile_dir().join(soname());
    if !versioned.exists() {
        // Another test may have been faster.
        let _exists = std::os::unix::fs::symlink(&library, &versioned);
    }
    program
}

/// The name that programs find the library by.
pub fn soname() -> String {
    let output = Command::new("readelf").arg("-d").arg(library()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("SONAME")).unwrap();
    line.split(['[', ']']).nth(1).unwrap().to_owned()
}

/// Waits until `is_met`; fails after a minute, naming what was waited for.
pub fn wait_until(what: &str, mut is_met: impl FnMut() -> bool) {
    // Not by a clock: those are `logdrive::clock`'s alone.
    for _ in 0..12_000 {
        if is_met() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("not within a minute: {what}");
}

/// What pkg-config says of a package, as words for a compiler; fails where it is not installed.
pub fn package_flags(package: &str) -> Vec<String> {
    let text = succeed(Command::new("pkg-config").args(["--cflags", "--libs", package]));
    text.split_whitespace().map(str::to_owned).collect()
}

/// Runs a command to its end; fails with what it wrote where its status is not 0.
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command to its end, or kills it after a minute: a program that hangs is a failure.
pub fn run(command: &mut Command) -> Output {
    let mut limited = Command::new("timeout");
    limited.args(["--signal=ABRT", "60"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.output().unwrap()
}

/// A `logdrive receive` process with a directory; killed when dropped.
pub struct Receiver {
    child: Child,
    address: String,
    dir: tempfile::TempDir,
}

impl Receiver {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (child, address) = Self::spawn("127.0.0.1:0", dir.path());
        Self { child, address, dir }
    }

    /// Starts it again at its old address, as after a crash.
    pub fn start_again(&mut self) {
        (self.child, _) = Self::spawn(&self.address, self.dir.path());
    }

    fn spawn(listen: &str, dir: &Path) -> (Child, String) {
        let mut command = Command::new(tool());
        command.args(["receive", "--listen", listen, "--dir"]).arg(dir.join("in"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        (child, address)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A URL for a program whose files lie in the receiver's directory, apart from other tests.
    pub fn url(&self) -> String {
        let dir = self.dir.path().display();
        format!("receivers://{}/c-tests?ring.dir={dir}/ring&spool.dir={dir}/spool", self.address)
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What `logdrive verify` found: nothing damaged or missing (or it fails), and so many records.
    pub fn verified(&self) -> u64 {
        let text = succeed(
            Command::new(tool()).args(["verify", "--json"]).arg(self.dir.path().join("in")),
        );
        let (_, count) = text.split_once("\"records\":").unwrap();
        let digits: String = count.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    /// Everything that arrived, as `logdrive cat` prints it.
    pub fn lines(&self, arguments: &[&str]) -> String {
        succeed(Command::new(tool()).arg("cat").args(arguments).arg(self.dir.path().join("in")))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // A process of ours that is gone already is as good as killed.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
