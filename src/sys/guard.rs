//! A fault behind one of our own mappings (a file that somebody truncated, a full copy-on-write disk, a broken
//! disk) is SIGBUS, which would end the host. Here it becomes a page of zeros and a flag.
//!
//! Owns the process's SIGBUS handler and the table of our mappings. The handler uses nothing but atomics, `mmap`,
//! `sigaction` and the host's own handler, all of which may be called from a signal handler. What faulted anywhere
//! else is passed on to whoever handled SIGBUS before us. A host that installs a handler of its own later
//! replaces ours, unless it passes on what it does not know. The technique is systemd-journald's.
//!
//! Invariant: an entry of the table is taken and given up by one [`Guarded`]; its range is mapped meanwhile.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// The most mappings that are guarded at the same time; those beyond are not.
const ENTRIES_MAX: usize = 4096;

/// One mapping; free where `end` is 0.
struct Entry {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    is_dead: AtomicBool,
}

#[allow(clippy::declare_interior_mutable_const, reason = "the initial value of a static table")]
const FREE: Entry = Entry {
    taken: AtomicBool::new(false),
    start: AtomicUsize::new(0),
    end: AtomicUsize::new(0),
    is_dead: AtomicBool::new(false),
};

static TABLE: [Entry; ENTRIES_MAX] = [FREE; ENTRIES_MAX];
/// Entries from here on were never used, so the handler looks no further.
static USED: AtomicUsize = AtomicUsize::new(0);
static INSTALL: Once = Once::new();
/// What handled SIGBUS before us; null until the handler is installed.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(4096);

/// Installs the handler, once per process; without it, mappings are registered but a fault is the host's end.
pub fn install() {
    INSTALL.call_once(|| {
        // Relaxed: the handler that reads it is installed below, by a system call.
        PAGE_BYTES.store(super::mapping::page_bytes(), Ordering::Relaxed);
        let mut previous = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: only asks for the present action; `previous` has room for it.
        if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), previous.as_mut_ptr()) } != 0 {
            return;
        }
        // SAFETY: `sigaction` returned 0, so it filled in the structure. Leaked: the handler may need it
        // as long as the process lives.
        let previous = Box::leak(Box::new(unsafe { previous.assume_init() }));
        // Release: partner is the load in `pass_on`; stored before the handler can run.
        PREVIOUS.store(previous, Ordering::Release);
        // SAFETY: all-zero is a valid `sigaction`: no flags, an empty mask, the default handler.
        let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = handle;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        // SAFETY: `action` is complete and its handler keeps to what a handler may call. A failure leaves
        // the host as it was.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
    });
}

/// A mapping's place in the table; given up when dropped, before the mapping itself is.
#[derive(Debug, Default)]
pub struct Guarded(Option<usize>);

impl Guarded {
    /// Registers `bytes` bytes from `start`; unguarded where the table is full.
    pub fn new(start: *const u8, bytes: usize) -> Guarded {
        for (index, entry) in TABLE.iter().enumerate() {
            // Acquire: partner is the store in `drop`; the entry's last owner is done with it.
            if entry.taken.swap(true, Ordering::Acquire) {
                continue;
            }
            // Relaxed, both: `end` publishes them.
            entry.is_dead.store(false, Ordering::Relaxed);
            entry.start.store(start as usize, Ordering::Relaxed);
            // Release: partner is the load in `entry_of`; shows `start` with it.
            entry.end.store(start as usize + bytes, Ordering::Release);
            // Release: as above, for the bound of the search.
            USED.fetch_max(index + 1, Ordering::Release);
            return Guarded(Some(index));
        }
        Guarded(None)
    }

    /// Whether it has a place: private memory has none.
    pub fn is_registered(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a fault was met: from then on some pages are zeros, and nothing reaches the file any more.
    pub fn is_dead(&self) -> bool {
        // Acquire: partner is the store in `handle`.
        self.0.is_some_and(|index| TABLE[index].is_dead.load(Ordering::Acquire))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let Some(index) = self.0 else { return };
        // Relaxed: no thread uses the mapping any more, so none can fault in it.
        TABLE[index].end.store(0, Ordering::Relaxed);
        // Release: partner is the swap in `new`.
        TABLE[index].taken.store(false, Ordering::Release);
    }
}

fn entry_of(address: usize) -> Option<&'static Entry> {
    // Acquire: partners are the stores in `Guarded::new`.
    let used = USED.load(Ordering::Acquire);
    TABLE[..used].iter().find(|entry| {
        // Acquire: partner is the store of `end`; `start` belongs to it.
        let end = entry.end.load(Ordering::Acquire);
        // Relaxed: see `end`.
        entry.start.load(Ordering::Relaxed) <= address && address < end
    })
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO a valid structure; a fault's has an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // Codes above 0 are the kernel's own; others were sent by somebody and have no address.
    if code > 0
        && let Some(entry) = entry_of(address)
    {
        // First: whoever sees zeros from now on is to know why. Release: partner is the load in `Guarded::is_dead`.
        entry.is_dead.store(true, Ordering::Release);
        if replace_page(address) {
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Puts a page of zeros where `address` faulted.
fn replace_page(address: usize) -> bool {
    // Relaxed: set before the handler was installed.
    let page_bytes = PAGE_BYTES.load(Ordering::Relaxed);
    let page = address - address % page_bytes;
    // SAFETY: errno is this thread's own.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the page lies in a mapping of ours (the table says so), whose start is page-aligned; what it
    // showed cannot be read any more. Its owner unmaps the whole range in the end.
    let mapped = unsafe {
        libc::mmap(
            page as *mut libc::c_void,
            page_bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    mapped != libc::MAP_FAILED
}

/// Does what would have been done without us.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // Acquire: partner is the store in `install`.
    let previous = PREVIOUS.load(Ordering::Acquire);
    // SAFETY: null, or leaked by `install` and never changed.
    let Some(previous) = (unsafe { previous.as_ref() }) else { return };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // The kernel ends a process that ignores its own fault, too. Returning faults again; a signal that
            // was sent must be sent again.
            // SAFETY: restores what was there; SIG_DFL needs no handler.
            unsafe { libc::sigaction(signal, previous, ptr::null_mut()) };
            // SAFETY: `info` is valid, as in `handle`.
            if unsafe { (*info).si_code } <= 0 {
                // SAFETY: sends a signal to this thread.
                unsafe { libc::raise(signal) };
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: the host installed it as a handler of this kind.
            unsafe { std::mem::transmute::<usize, Handler>(handler)(signal, info, context) };
        }
        handler => {
            // SAFETY: the host installed it as a handler of this kind.
            unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::process::Command;

    use crate::sys::mapping::Mapping;

    #[test]
    fn a_truncated_file_behind_a_mapping_is_zeros_and_a_flag() {
        install();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut mapping = Mapping::create(&path, 64 << 10).unwrap();
        let other = Mapping::create(&dir.path().join("other"), 4096).unwrap();
        mapping.write(40_000, b"lost");
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(!mapping.is_dead(), "nobody has looked");
        let mut read = [1; 4];
        mapping.read_into(40_000, &mut read);
        assert_eq!(read, [0; 4]);
        mapping.write(0, b"goes nowhere");
        assert!(mapping.is_dead() && !other.is_dead());
        drop(mapping);
        let place_of_a_dead_one = Mapping::anonymous(4096).unwrap();
        assert!(!place_of_a_dead_one.is_dead());
    }

    const CHILD: &str = "LOGDRIVE_TEST_GUARD_CHILD";

    /// Only as the child of the next test: faults where nothing of ours is mapped.
    #[test]
    fn child_process() {
        let Ok(kind) = std::env::var(CHILD) else { return };
        extern "C" fn host(_signal: libc::c_int) {
            // SAFETY: ends the process without any clean-up, as a handler may.
            unsafe { libc::_exit(77) };
        }
        if kind == "handler" {
            // SAFETY: the handler calls only what a handler may.
            unsafe { libc::signal(libc::SIGBUS, host as *const () as usize) };
        }
        install();
        let path = std::env::temp_dir().join(format!("logdrive-guard-{}", std::process::id()));
        std::fs::write(&path, [1; 4096]).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let foreign = memmap2::MmapRaw::map_raw(&file).unwrap();
        file.set_len(0).unwrap();
        std::fs::remove_file(&path).unwrap();
        // SAFETY: the page is mapped; that reading it raises SIGBUS is what is tested.
        let byte = unsafe { foreign.as_ptr().read_volatile() };
        panic!("read {byte} without a signal");
    }

    #[test]
    fn faults_of_the_host_go_to_the_host() {
        use std::os::unix::process::ExitStatusExt;
        let run = |kind: &str| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "sys::guard::tests::child_process"]).env(CHILD, kind);
            command.output().unwrap().status
        };
        assert_eq!(run("handler").code(), Some(77));
        assert_eq!(run("default").signal(), Some(libc::SIGBUS));
    }
}
