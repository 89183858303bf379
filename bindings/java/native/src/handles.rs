//! Handles: numbers that Java holds, looked up in a table, and never given twice.
//!
//! Owns the table of what is open and each thread's memory of the loggers it used. The call path takes no lock: a
//! thread keeps the loggers it used, and finds them by comparing the handle. A logger of a closed client stays
//! there until the thread's next miss; it refuses by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use logdrive::Client;
use logdrive::Code;
use logdrive::Logger;

/// What stands behind a client's handle.
#[derive(Clone)]
pub(crate) struct OpenClient {
    pub(crate) client: Client,
    /// `close.deadline` of its configuration.
    pub(crate) close_deadline: Duration,
}

enum Entry {
    Client(OpenClient),
    Logger { client: i64, logger: Logger },
}

struct Table {
    /// The last handle that was given.
    given: i64,
    entries: BTreeMap<i64, Entry>,
}

/// Loggers that a thread finds without the table's lock.
const RECENT_MAX: usize = 64;

static TABLE: Mutex<Table> = Mutex::new(Table { given: 0, entries: BTreeMap::new() });

thread_local! {
    static RECENT: RefCell<Vec<(i64, Logger)>> = const { RefCell::new(Vec::new()) };
}

impl Table {
    fn locked() -> MutexGuard<'static, Table> {
        // Poison is tolerated: every change of the table is one insertion or removal.
        TABLE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&mut self, entry: Entry) -> i64 {
        self.given += 1;
        self.entries.insert(self.given, entry);
        self.given
    }

    fn find(&self, handle: i64) -> Result<&Entry, Code> {
        let was_given = (1..=self.given).contains(&handle);
        let absent = if was_given { Code::Closed } else { Code::InvalidArgument };
        self.entries.get(&handle).ok_or(absent)
    }

    fn client(&self, handle: i64) -> Result<OpenClient, Code> {
        match self.find(handle)? {
            Entry::Client(client) => Ok(client.clone()),
            Entry::Logger { .. } => Err(Code::InvalidArgument),
        }
    }
}

/// Gives a client a handle.
pub(crate) fn add_client(client: OpenClient) -> i64 {
    Table::locked().add(Entry::Client(client))
}

/// The client behind a handle.
pub(crate) fn client(handle: i64) -> Result<OpenClient, Code> {
    Table::locked().client(handle)
}

/// Every client that is open.
pub(crate) fn clients() -> Vec<OpenClient> {
    let table = Table::locked();
    let clients = table.entries.values().filter_map(|entry| match entry {
        Entry::Client(client) => Some(client.clone()),
        Entry::Logger { .. } => None,
    });
    clients.collect()
}

/// Takes a client and its loggers out of the table.
pub(crate) fn remove_client(owner: i64) -> Result<OpenClient, Code> {
    let mut table = Table::locked();
    let removed = table.client(owner)?;
    let is_of_owner = |handle: &i64, entry: &mut Entry| match entry {
        Entry::Client(_) => *handle == owner,
        Entry::Logger { client, .. } => *client == owner,
    };
    let gone: Vec<_> = table.entries.extract_if(.., is_of_owner).collect();
    // Outside of the lock: the last of a logger's clones may unmap its arena.
    drop(table);
    drop(gone);
    Ok(removed)
}

/// Gives a client's logger a handle.
pub(crate) fn add_logger(client: i64, logger: Logger) -> Result<i64, Code> {
    let mut table = Table::locked();
    // The client may have been closed since its logger was made.
    table.client(client)?;
    Ok(table.add(Entry::Logger { client, logger }))
}

/// Runs `body` with the logger behind a handle: no lock after a thread's first call with it.
#[inline(always)]
pub(crate) fn with_logger<T>(
    handle: i64,
    body: impl FnOnce(&Logger) -> Result<T, Code>,
) -> Result<T, Code> {
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
fn look_up(handle: i64) -> Result<Logger, Code> {
    let table = Table::locked();
    let logger = match table.find(handle)? {
        Entry::Logger { logger, .. } => logger.clone(),
        Entry::Client(_) => return Err(Code::InvalidArgument),
    };
    let forgotten = RECENT.try_with(|recent| {
        let Ok(mut recent) = recent.try_borrow_mut() else { return Vec::new() };
        let is_closed = |(known, _): &mut (i64, Logger)| !table.entries.contains_key(known);
        let mut forgotten: Vec<_> = recent.extract_if(.., is_closed).collect();
        if recent.len() >= RECENT_MAX {
            forgotten.push(recent.remove(0));
        }
        recent.push((handle, logger.clone()));
        forgotten
    });
    // Outside of the lock and the borrow: the last of a logger's clones may unmap its arena.
    drop(table);
    drop(forgotten);
    Ok(logger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_closed_and_mistaken_handles_are_told_apart() {
        let dir = std::env::temp_dir().join(format!("logdrive-java-{}", std::process::id()));
        let path = dir.display();
        let url = format!(
            "receivers://127.0.0.1:1/t?ring.dir={path}&spool.dir={path}/s&ring.bytes_max=1MiB"
        );
        let opened = Client::open(&url).unwrap();
        let logger = (*opened).clone();
        let close_deadline = Duration::ZERO;
        let owner = add_client(OpenClient { client: opened, close_deadline });
        let of_owner = add_logger(owner, logger.clone()).unwrap();
        assert_eq!(with_logger(of_owner, |_| Ok(1)), Ok(1));
        assert_eq!(with_logger(owner, |_| Ok(1)), Err(Code::InvalidArgument));
        assert_eq!(client(of_owner).err(), Some(Code::InvalidArgument));
        for foreign in [0, -1, i64::MAX, i64::MIN] {
            assert_eq!(with_logger(foreign, |_| Ok(1)), Err(Code::InvalidArgument), "{foreign}");
        }
        let removed = remove_client(owner).unwrap();
        assert_eq!(remove_client(owner).err(), Some(Code::Closed));
        assert_eq!(add_logger(owner, logger).err(), Some(Code::Closed));
        let on_another_thread = std::thread::scope(|scope| {
            scope.spawn(|| with_logger(of_owner, |_| Ok(1))).join().unwrap()
        });
        assert_eq!(on_another_thread, Err(Code::Closed));
        assert!(removed.client.close(Duration::from_secs(60)).is_ok());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
