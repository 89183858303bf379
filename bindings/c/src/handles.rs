//! Handles: numbers in the shape of pointers, never dereferenced, and never given twice.
//!
//! Owns the table of what is open and each thread's memory of the loggers it used. A handle that was closed, is
//! of another kind or was never ours is found out by not being in the table; its high bits lie outside of every
//! address space, so that no real pointer is taken for one, and C code that follows one faults at once.
//!
//! The call path takes no lock: a thread keeps the loggers it used, and finds them by comparing the handle. A
//! logger of a closed client stays there until the thread's next miss; it refuses by itself.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use logdrive_core::Client;
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

/// What stands behind a client's handle.
#[derive(Clone)]
pub(crate) struct OpenClient {
    pub(crate) client: Client,
    /// `close.deadline` of its configuration.
    pub(crate) close_deadline: Duration,
}

enum Entry {
    Config(Box<Config>),
    Client(OpenClient),
    Logger { client: usize, stream: String, logger: Logger },
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

struct Table {
    given: usize,
    entries: BTreeMap<usize, Entry>,
}

/// Above every address that a process can have, in the high 16 bits.
const MARK: usize = 0x1d5e << 48;
/// So that handles are aligned as pointers to anything would be.
const STEP: usize = 16;
/// Loggers that a thread finds without the table's lock.
const RECENT_MAX: usize = 64;

static TABLE: Mutex<Table> = Mutex::new(Table { given: 0, entries: BTreeMap::new() });

thread_local! {
    static RECENT: RefCell<Vec<(usize, Logger)>> = const { RefCell::new(Vec::new()) };
    static HOLDS_TABLE: Cell<bool> = const { Cell::new(false) };
}

impl Table {
    /// Runs `body` on the locked table; refused from a signal handler that interrupted it on this thread.
    fn with<T>(body: impl FnOnce(&mut Table) -> Result<T, Code>) -> Result<T, Code> {
        // While thread-locals are destroyed no signal handler can be told from its thread; it may log elsewhere.
        if HOLDS_TABLE.try_with(|holds| holds.replace(true)).unwrap_or(false) {
            return Err(Code::Reentrant);
        }
        let outcome = {
            // Poison is tolerated: every change of the table is one insertion or removal.
            let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
            body(&mut table)
        };
        // Absent at the thread's end only, where it was not set either.
        let _is_destroyed = HOLDS_TABLE.try_with(|holds| holds.set(false));
        outcome
    }

    fn add(&mut self, entry: Entry) -> usize {
        self.given += 1;
        let handle = MARK | (self.given * STEP);
        self.entries.insert(handle, entry);
        handle
    }

    fn absent(&self, handle: usize) -> Code {
        let number = (handle ^ MARK) / STEP;
        let was_given = handle.is_multiple_of(STEP) && (1..=self.given).contains(&number);
        if was_given { Code::Closed } else { Code::InvalidArgument }
    }

    fn find(&mut self, handle: usize) -> Result<&mut Entry, Code> {
        let absent = self.absent(handle);
        self.entries.get_mut(&handle).ok_or(absent)
    }

    fn logger(&mut self, handle: usize) -> Result<Logger, Code> {
        match self.find(handle)? {
            Entry::Logger { logger, .. } => Ok(logger.clone()),
            Entry::Config(_) | Entry::Client(_) => Err(Code::InvalidArgument),
        }
    }
}

/// Gives a configuration a handle.
pub(crate) fn add_config(config: Config) -> Result<*mut ConfigHandle, Code> {
    let handle = Table::with(|table| Ok(table.add(Entry::Config(Box::new(config)))))?;
    Ok(std::ptr::without_provenance_mut(handle))
}

/// Runs `body` on a configuration, under the table's lock.
pub(crate) fn with_config<T>(
    handle: *const ConfigHandle,
    body: impl FnOnce(&mut Config) -> T,
) -> Result<T, Code> {
    Table::with(|table| match table.find(handle.addr())? {
        Entry::Config(config) => Ok(body(config)),
        Entry::Client(_) | Entry::Logger { .. } => Err(Code::InvalidArgument),
    })
}

/// Forgets a configuration.
pub(crate) fn remove_config(handle: *const ConfigHandle) -> Result<(), Code> {
    with_config(handle, |_| ())?;
    let _removed = Table::with(|table| Ok(table.entries.remove(&handle.addr())))?;
    Ok(())
}

/// Gives a client a handle.
pub(crate) fn add_client(client: OpenClient) -> Result<*mut ClientHandle, Code> {
    let handle = Table::with(|table| Ok(table.add(Entry::Client(client))))?;
    Ok(std::ptr::without_provenance_mut(handle))
}

/// The client behind a handle.
pub(crate) fn client(handle: *const ClientHandle) -> Result<OpenClient, Code> {
    Table::with(|table| match table.find(handle.addr())? {
        Entry::Client(client) => Ok(client.clone()),
        Entry::Config(_) | Entry::Logger { .. } => Err(Code::InvalidArgument),
    })
}

/// Every client that is open.
pub(crate) fn clients() -> Vec<OpenClient> {
    let all = Table::with(|table| {
        let clients = table.entries.values().filter_map(|entry| match entry {
            Entry::Client(client) => Some(client.clone()),
            Entry::Config(_) | Entry::Logger { .. } => None,
        });
        Ok(clients.collect())
    });
    all.unwrap_or_default()
}

/// Takes a client and its loggers out of the table.
pub(crate) fn remove_client(handle: *const ClientHandle) -> Result<OpenClient, Code> {
    let (removed, _loggers) = Table::with(|table| {
        let owner = handle.addr();
        match table.find(owner)? {
            Entry::Client(client) => {
                let client = client.clone();
                let gone: Vec<Entry> = table
                    .entries
                    .extract_if(.., |handle, entry| {
                        *handle == owner || entry.stream_of(owner).is_some()
                    })
                    .map(|(_, entry)| entry)
                    .collect();
                Ok((client, gone))
            }
            Entry::Config(_) | Entry::Logger { .. } => Err(Code::InvalidArgument),
        }
    })?;
    Ok(removed)
}

/// The handle of a client's logger; the same stream gives the same handle.
pub(crate) fn add_logger(
    owner: *const ClientHandle,
    stream: &str,
    logger: Logger,
) -> Result<*mut LoggerHandle, Code> {
    let owner = owner.addr();
    let handle = Table::with(|table| {
        // The client may have been closed since its logger was made.
        table.find(owner)?;
        let is_known = |(_, entry): &(_, &Entry)| entry.stream_of(owner) == Some(stream);
        let known = table.entries.iter().find(is_known);
        if let Some((handle, _)) = known {
            return Ok(*handle);
        }
        Ok(table.add(Entry::Logger { client: owner, stream: stream.to_owned(), logger }))
    })?;
    Ok(std::ptr::without_provenance_mut(handle))
}

/// Runs `body` with the logger behind a handle: no lock after a thread's first call with it.
#[inline(always)]
pub(crate) fn with_logger<T>(
    handle: *const LoggerHandle,
    body: impl FnOnce(&Logger) -> Result<T, Code>,
) -> Result<T, Code> {
    let handle = handle.addr();
    let mut body = Some(body);
    let tried = RECENT.try_with(|recent| {
        let Ok(recent) = recent.try_borrow() else { return Some(Err(Code::Reentrant)) };
        let (_, logger) = recent.iter().find(|(known, _)| *known == handle)?;
        Some(body.take()?(logger))
    });
    match (tried, body) {
        (Ok(Some(outcome)), _) => outcome,
        (_, Some(body)) => body(&look_up(handle)?),
        (_, None) => Err(Code::Internal),
    }
}

/// Finds a logger in the table, and remembers it for the thread's next call.
#[cold]
fn look_up(handle: usize) -> Result<Logger, Code> {
    let logger = Table::with(|table| table.logger(handle))?;
    let forgotten = RECENT.try_with(|recent| {
        let Ok(mut recent) = recent.try_borrow_mut() else { return Vec::new() };
        let open = Table::with(|table| {
            Ok(recent.iter().map(|(known, _)| table.entries.contains_key(known)).collect())
        });
        let mut open = open.unwrap_or_else(|_| vec![true; recent.len()]).into_iter();
        let is_closed = |_: &mut (usize, Logger)| !open.next().unwrap_or(true);
        let mut forgotten: Vec<_> = recent.extract_if(.., is_closed).collect();
        if recent.len() >= RECENT_MAX {
            forgotten.push(recent.remove(0));
        }
        recent.push((handle, logger.clone()));
        forgotten
    });
    // Outside of the borrow: the last of a logger's clones may unmap its arena.
    drop(forgotten);
    Ok(logger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_closed_and_mistaken_handles_are_told_apart() {
        let config = add_config(Config::new()).unwrap();
        assert_eq!(with_config(config, |_| 1), Ok(1));
        assert_eq!(client(config.cast()).err(), Some(Code::InvalidArgument));
        assert_eq!(remove_config(config), Ok(()));
        assert_eq!(remove_config(config), Err(Code::Closed));
        for foreign in
            [0usize, 1, 4096, MARK, MARK | 1, usize::MAX, config.addr() + 1, config.addr() << 1]
        {
            let foreign: *const ConfigHandle = std::ptr::without_provenance(foreign);
            assert_eq!(with_config(foreign, |_| ()), Err(Code::InvalidArgument), "{foreign:?}");
            let logger = with_logger(foreign.cast(), |_| Ok(()));
            assert_eq!(logger, Err(Code::InvalidArgument), "{foreign:?}");
        }
    }

    #[test]
    fn a_call_that_interrupts_the_table_on_its_own_thread_is_refused() {
        let outcome = Table::with(|_| Ok(add_config(Config::new()).err()));
        assert_eq!(outcome, Ok(Some(Code::Reentrant)));
        assert!(add_config(Config::new()).is_ok());
    }
}
