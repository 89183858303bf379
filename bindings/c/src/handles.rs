//! Handles: numbers in the shape of pointers, never dereferenced, and never given twice.
//!
//! Owns the table of what is open. A handle that was closed, is of another kind or was never ours is found out by not
//! being in the table; its high bits lie outside of every address space, so that no real pointer is taken for one,
//! and C code that follows one faults at once.
//!
//! There is no lock: a forked child would inherit it locked, with nobody to unlock it. The table is replaced as a
//! whole at every change, which costs a copy of what is open (a few entries) per open, stream or close.
//! The call path does not even look at it: a thread remembers the loggers it used (`recent` of `bindings/shared`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwapOption;
use logdrive_bindings::client::OpenClient;
use logdrive_bindings::recent;
use logdrive_core::Code;
use logdrive_core::Config;
use logdrive_core::Logger;

/// A configuration being put together. Opaque.
pub struct ConfigHandle {
    _opaque: (),
}

/// A running client. Opaque.
pub struct ClientHandle {
    _opaque: (),
}

/// Logs to one stream of a client. Opaque; belongs to its client and ends with it.
pub struct LoggerHandle {
    _opaque: (),
}

#[derive(Clone)]
enum Entry {
    Config(Arc<Config>),
    Client(OpenClient),
    Logger { client: usize, stream: Arc<str>, logger: Logger },
}

impl Entry {
    /// The stream, if this is a logger of that client.
    fn stream_of(&self, owner: usize) -> Option<&str> {
        match self {
            Entry::Logger { client, stream, .. } if *client == owner => Some(stream),
            Entry::Config(_) | Entry::Client(_) | Entry::Logger { .. } => None,
        }
    }
}

/// What is open, by handle.
#[derive(Clone, Default)]
struct Table(BTreeMap<usize, Entry>);

/// Above every address that a process can have, in the high 16 bits.
const MARK: usize = 0x1d5e << 48;
/// So that handles are aligned as pointers to anything would be.
const STEP: usize = 16;

/// None until the first handle is given.
static TABLE: ArcSwapOption<Table> = ArcSwapOption::const_empty();
/// Handles given so far.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

impl Table {
    /// The table as it is now.
    fn now() -> Arc<Table> {
        TABLE.load_full().unwrap_or_default()
    }

    /// Replaces the table by a copy that `body` changed; `body` runs again where another thread was faster.
    fn change<T>(mut body: impl FnMut(&mut Table) -> Result<T, Code>) -> Result<T, Code> {
        loop {
            let current = TABLE.load_full();
            let mut changed = current.as_deref().cloned().unwrap_or_default();
            let outcome = body(&mut changed)?;
            let found = TABLE.compare_and_swap(&current, Some(Arc::new(changed)));
            let is_same = match (&*found, &current) {
                (Some(found), Some(current)) => Arc::ptr_eq(found, current),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if is_same {
                return Ok(outcome);
            }
        }
    }

    fn find(&self, handle: usize) -> Result<&Entry, Code> {
        self.0.get(&handle).ok_or_else(|| absent(handle))
    }

    fn logger(&self, handle: usize) -> Result<Logger, Code> {
        match self.find(handle)? {
            Entry::Logger { logger, .. } => Ok(logger.clone()),
            Entry::Config(_) | Entry::Client(_) => Err(Code::InvalidArgument),
        }
    }

    fn config(&self, handle: *const ConfigHandle) -> Result<&Arc<Config>, Code> {
        match self.find(handle.addr())? {
            Entry::Config(config) => Ok(config),
            Entry::Client(_) | Entry::Logger { .. } => Err(Code::InvalidArgument),
        }
    }
}

/// Why a handle is not in the table.
fn absent(handle: usize) -> Code {
    // Relaxed: whoever holds a handle got it from a call that had counted it.
    let given = GIVEN.load(Ordering::Relaxed);
    let number = (handle ^ MARK) / STEP;
    let was_given = handle.is_multiple_of(STEP) && (1..=given).contains(&number);
    if was_given { Code::Closed } else { Code::InvalidArgument }
}

/// A handle that was never given before.
fn next_handle() -> usize {
    // Relaxed: only uniqueness matters.
    MARK | ((GIVEN.fetch_add(1, Ordering::Relaxed) + 1) * STEP)
}

fn add(entry: &Entry) -> Result<usize, Code> {
    let handle = next_handle();
    Table::change(|table| {
        table.0.insert(handle, entry.clone());
        Ok(handle)
    })
}

/// Gives a configuration a handle.
pub(crate) fn add_config(config: Config) -> Result<*mut ConfigHandle, Code> {
    let handle = add(&Entry::Config(Arc::new(config)))?;
    Ok(std::ptr::without_provenance_mut(handle))
}

/// A configuration as it is now.
pub(crate) fn config(handle: *const ConfigHandle) -> Result<Arc<Config>, Code> {
    Table::now().config(handle).cloned()
}

/// Changes a configuration; where `body` fails, or the handle is of no configuration, nothing changes. `body` runs
/// again where another thread changed something meanwhile.
pub(crate) fn change_config<E>(
    handle: *const ConfigHandle,
    mut body: impl FnMut(&mut Config) -> Result<(), E>,
) -> Result<Result<(), E>, Code> {
    Table::change(|table| {
        let mut config = Config::clone(table.config(handle)?);
        let outcome = body(&mut config);
        if outcome.is_ok() {
            table.0.insert(handle.addr(), Entry::Config(Arc::new(config)));
        }
        Ok(outcome)
    })
}

/// Forgets a configuration.
pub(crate) fn remove_config(handle: *const ConfigHandle) -> Result<(), Code> {
    Table::change(|table| {
        table.config(handle)?;
        table.0.remove(&handle.addr());
        Ok(())
    })
}

/// Gives a client a handle.
pub(crate) fn add_client(client: OpenClient) -> Result<*mut ClientHandle, Code> {
    let handle = add(&Entry::Client(client))?;
    Ok(std::ptr::without_provenance_mut(handle))
}

/// The client behind a handle.
pub(crate) fn client(handle: *const ClientHandle) -> Result<OpenClient, Code> {
    match Table::now().find(handle.addr())? {
        Entry::Client(client) => Ok(client.clone()),
        Entry::Config(_) | Entry::Logger { .. } => Err(Code::InvalidArgument),
    }
}

/// Every client that is open.
pub(crate) fn clients() -> Vec<OpenClient> {
    let table = Table::now();
    let clients = table.0.values().filter_map(|entry| match entry {
        Entry::Client(client) => Some(client.clone()),
        Entry::Config(_) | Entry::Logger { .. } => None,
    });
    clients.collect()
}

/// Takes a client and its loggers out of the table.
pub(crate) fn remove_client(handle: *const ClientHandle) -> Result<OpenClient, Code> {
    let owner = handle.addr();
    Table::change(|table| match table.find(owner)? {
        Entry::Client(client) => {
            let client = client.clone();
            table.0.retain(|handle, entry| *handle != owner && entry.stream_of(owner).is_none());
            Ok(client)
        }
        Entry::Config(_) | Entry::Logger { .. } => Err(Code::InvalidArgument),
    })
}

/// The handle of a client's logger; the same stream gives the same handle.
pub(crate) fn add_logger(
    owner: *const ClientHandle,
    stream: &str,
    logger: &Logger,
) -> Result<*mut LoggerHandle, Code> {
    let owner = owner.addr();
    let fresh = next_handle();
    let handle = Table::change(|table| {
        // The client may have been closed since its logger was made.
        table.find(owner)?;
        let is_known = |(_, entry): &(_, &Entry)| entry.stream_of(owner) == Some(stream);
        if let Some((handle, _)) = table.0.iter().find(is_known) {
            return Ok(*handle);
        }
        let entry = Entry::Logger { client: owner, stream: stream.into(), logger: logger.clone() };
        table.0.insert(fresh, entry);
        Ok(fresh)
    })?;
    Ok(std::ptr::without_provenance_mut(handle))
}

/// Runs `body` with the logger behind a handle.
#[inline(always)]
pub(crate) fn with_logger<T>(
    handle: *const LoggerHandle,
    body: impl FnOnce(&Logger) -> Result<T, Code>,
) -> Result<T, Code> {
    let handle = handle.addr();
    recent::with_logger(handle as u64, || look_up(handle), body)
}

/// Finds a logger in the table, and remembers it for the thread's next call.
#[cold]
fn look_up(handle: usize) -> Result<Logger, Code> {
    let table = Table::now();
    let logger = table.logger(handle)?;
    let is_open = |known: u64| table.0.contains_key(&(known as usize));
    drop(recent::remember(handle as u64, &logger, is_open));
    Ok(logger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn foreign_closed_and_mistaken_handles_are_told_apart() {
        let config = add_config(Config::new()).unwrap();
        assert!(super::config(config).is_ok());
        assert_eq!(client(config.cast()).err(), Some(Code::InvalidArgument));
        assert_eq!(remove_config(config), Ok(()));
        assert_eq!(remove_config(config), Err(Code::Closed));
        for foreign in
            [0usize, 1, 4096, MARK, MARK | 1, usize::MAX, config.addr() + 1, config.addr() << 1]
        {
            let foreign: *const ConfigHandle = std::ptr::without_provenance(foreign);
            assert_eq!(super::config(foreign).err(), Some(Code::InvalidArgument), "{foreign:?}");
            let logger = with_logger(foreign.cast(), |_| Ok(()));
            assert_eq!(logger, Err(Code::InvalidArgument), "{foreign:?}");
        }
    }

    #[test]
    fn no_change_is_lost_where_threads_change_the_table_and_one_configuration() {
        let shared = add_config(Config::new()).unwrap().addr();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    let shared: *const ConfigHandle = std::ptr::without_provenance(shared);
                    let own =
                        [("linger", "7ms"), ("codec", "zstd"), ("workers", "3"), ("name", "n")];
                    let (name, value) = own[thread];
                    change_config(shared, |config| config.set(name, value)).unwrap().unwrap();
                    for _ in 0..200 {
                        let handle = add_config(Config::new()).unwrap();
                        assert!(super::config(handle).is_ok());
                        assert_eq!(remove_config(handle), Ok(()));
                        assert_eq!(remove_config(handle), Err(Code::Closed));
                    }
                });
            }
        });
        let shared: *const ConfigHandle = std::ptr::without_provenance(shared);
        change_config(shared, |config| config.set("url", "receivers://h/t")).unwrap().unwrap();
        let settings = super::config(shared).unwrap().settings().unwrap();
        assert_eq!(settings.batch.workers, 3);
        assert_eq!(settings.batch.linger, Duration::from_millis(7));
        assert_eq!(settings.client.name, "n");
    }
}
