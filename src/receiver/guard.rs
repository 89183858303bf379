//! Who may connect: encryption and users of a receiver, read at its start and again when they change.
//!
//! Looks at its files at most every [`LOOK_AGAIN`], when somebody connects. What cannot be used is counted, and what
//! was known goes on being used; connections that stand are left as they are.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::ids::Moment;
use crate::proto::kafka::broker::Broker;
use crate::proto::kafka::sasl::Users;
use crate::proto::kafka::sasl::UsersError;
use crate::receiver::options::Options;
use crate::transport::Socket;
use crate::transport::private_file;
use crate::transport::private_file::Unreadable;
use crate::transport::tls::Acceptor;
use crate::transport::tls::Files;
use crate::transport::tls::Material;
use crate::transport::tls::TlsError;

const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why the files cannot be used. Holds no byte of any secret.
#[derive(Debug, Error)]
pub enum GuardError {
    /// Certificate, key or authorities.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The users cannot be understood.
    #[error("{path}: {error}")]
    Users {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: UsersError,
    },
    /// Others than its owner may read or change the file with the passwords.
    #[error("{0} holds passwords and is open to others: chmod 600 it")]
    OpenToOthers(PathBuf),
}

type Seen = (Material, Option<Zeroizing<Vec<u8>>>);

/// See the module's head.
pub(crate) struct Guard {
    tls: Option<Files>,
    users_file: Option<PathBuf>,
    acceptor: Option<Acceptor>,
    users: Option<Arc<Users>>,
    seen: Seen,
    look_at: Moment,
}

impl Guard {
    pub fn new(options: &Options, now: Moment) -> Result<Self, GuardError> {
        let mut guard = Self {
            tls: options.tls.clone(),
            users_file: options.sasl_users.clone(),
            acceptor: None,
            users: None,
            seen: Seen::default(),
            look_at: now.after(LOOK_AGAIN),
        };
        guard.look()?;
        Ok(guard)
    }

    /// Looks at the files again if it is time; an error where they changed and cannot be used.
    pub fn look_again(&mut self, now: Moment) -> Result<(), GuardError> {
        if now < self.look_at || (self.tls.is_none() && self.users_file.is_none()) {
            return Ok(());
        }
        self.look_at = now.after(LOOK_AGAIN);
        self.look()
    }

    /// Encrypts a connection that was just accepted, if connections are to be.
    pub fn encrypt(&self, socket: &mut Socket) -> io::Result<()> {
        if let Some(acceptor) = &self.acceptor {
            socket.encrypt(acceptor.start().map_err(io::Error::other)?);
        }
        Ok(())
    }

    /// Has a client say who it is, if clients have to.
    pub fn admit(&self, broker: Broker) -> Broker {
        match &self.users {
            Some(users) => broker.guarded(users.clone()),
            None => broker,
        }
    }

    fn look(&mut self) -> Result<(), GuardError> {
        let material = self.tls.as_ref().map(Files::read).transpose()?.unwrap_or_default();
        let users = self.users_file.as_deref().map(read_users).transpose()?;
        let now = (material, users);
        if now == self.seen {
            return Ok(());
        }
        let acceptor = self.tls.as_ref().map(|_| Acceptor::new(&now.0)).transpose()?;
        let users = match (&now.1, &self.users_file) {
            (Some(text), Some(path)) => {
                let users = Users::parse(text);
                let named = |error| GuardError::Users { path: path.clone(), error };
                Some(Arc::new(users.map_err(named)?))
            }
            (Some(_), None) | (None, _) => None,
        };
        (self.acceptor, self.users, self.seen) = (acceptor, users, now);
        Ok(())
    }
}

fn read_users(path: &Path) -> Result<Zeroizing<Vec<u8>>, GuardError> {
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        return Err(GuardError::OpenToOthers(path.to_owned()));
    }
    Ok(private_file::read(path)?)
}
