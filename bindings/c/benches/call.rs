//! One call of `logdrive_log` through the shared library against the Rust call, in turns in one process.
//!
//! The limit is 1.3 times the Rust call. Bursts are shorter than a ring, and each waits until the one before was
//! drained, so that the call is measured and not what follows it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench may fail and measures time"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_void;
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::Duration;
use std::time::Instant;

use logdrive_core::Client;
use logdrive_core::Severity;

const BURST: u64 = 10_000;
const ROUNDS: usize = 101;
const TEXT: &[u8] = &[b'x'; 200];
const RATIO_MAX: f64 = 1.3;
const INFO: i32 = Severity::Info as i32;

type Log = extern "C" fn(*mut c_void, i32, *const c_char, usize) -> i32;
type Open = extern "C" fn(*const c_char, *mut *mut c_void, *mut c_char, usize) -> i32;
type Stats = extern "C" fn(*mut c_void, *mut u64) -> i32;
type Stream = extern "C" fn(*mut c_void, *const c_char, *mut *mut c_void) -> i32;

/// What a C program has after `dlopen`: the same indirect call as through its procedure linkage table.
struct Library(*mut c_void);

impl Library {
    fn open() -> Self {
        let path = std::env::var_os("BENCH_LIBRARY").map_or_else(support::library, Into::into);
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a library of ours, whose initialisers do nothing.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "cannot load {path:?}");
        Self(handle)
    }

    /// # Safety
    /// `T` is the type of the function `name`.
    unsafe fn function<T: Copy>(&self, name: &std::ffi::CStr) -> T {
        // SAFETY: the handle is open.
        let found = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!found.is_null(), "no {name:?}");
        // SAFETY: promised by the caller.
        unsafe { std::mem::transmute_copy(&found) }
    }
}

/// Nanoseconds per call of one burst.
fn burst(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..BURST {
        call();
    }
    start.elapsed().as_nanos() as f64 / BURST as f64
}

/// Polls until both batchers have drained the rings.
fn wait_until(is_drained: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_drained() {
        assert!(start.elapsed() < Duration::from_secs(10), "the rings are not drained");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().display();
    // Nobody listens there: records go as far as the spool.
    let url = format!(
        "receivers://127.0.0.1:1/bench?ring.dir={path}&spool.dir={path}/s&ring.bytes_max=64MiB&close.deadline=0"
    );
    let library = Library::open();
    // SAFETY: the types are those of logdrive.h, with its opaque pointers as `c_void`.
    let (open, stream, log, stats): (Open, Stream, Log, Stats) = unsafe {
        (
            library.function(c"logdrive_open_url"),
            library.function(c"logdrive_stream"),
            library.function(c"logdrive_log"),
            library.function(c"logdrive_get_stats"),
        )
    };
    let (mut client, mut logger) = (ptr::null_mut(), ptr::null_mut());
    // Names of their own: two copies of the library in one process must not adopt each other's slots.
    let c_url = CString::new(format!("{url}&name=c")).unwrap();
    let mut error = [0u8; 256];
    let opened = open(c_url.as_ptr(), &mut client, error.as_mut_ptr().cast(), error.len());
    assert_eq!(opened, 0, "{}", String::from_utf8_lossy(&error));
    assert_eq!(stream(client, ptr::null(), &mut logger), 0);
    let rust = Client::open(&format!("{url}&name=rust")).unwrap();
    let (mut rust_ns, mut c_ns) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        rust_ns.push(burst(|| black_box(rust.log(Severity::Info, black_box(TEXT))).unwrap()));
        c_ns.push(burst(|| {
            assert_eq!(
                log(black_box(logger), INFO, black_box(TEXT).as_ptr().cast(), TEXT.len()),
                0
            );
        }));
        let sent = BURST * rust_ns.len() as u64;
        wait_until(|| rust.stats().accepted == sent);
        wait_until(|| {
            // logdrive_stats: its size first, `accepted` as the third of its 64-bit words.
            let mut words = [0u64; 15];
            words[0] = size_of_val(&words) as u64;
            assert_eq!(stats(client, words.as_mut_ptr()), 0);
            words[2] == sent
        });
    }
    let (rust_ns, c_ns) = (median(rust_ns), median(c_ns));
    let ratio = c_ns / rust_ns;
    println!("call of 200 B, median of {ROUNDS} bursts of {BURST}:");
    println!("rust {rust_ns:.1} ns, C {c_ns:.1} ns, ratio {ratio:.2} (limit {RATIO_MAX})");
}
