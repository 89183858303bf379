//! Whom we trust and who we are: read when a pipeline starts, and watched from then on.
//!
//! Files are compared by content; what changed is used only if it can be (a certificate and its key
//! belong together), else what was known goes on being used, and that is counted. Looking happens in a
//! short-lived thread of its own: a file server or a command that hangs holds up no lane. Knows nothing of
//! connections. Invariant: secrets are held by [`Secret`] and [`Material`], which print nothing of them.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::SaslMechanism;
use crate::config::SaslSettings;
use crate::config::Settings;
use crate::config::TlsSettings;
use crate::ids::Moment;
use crate::own_thread;
use crate::proto::kafka::sasl::Credentials;
#[cfg(feature = "tls")]
use crate::proto::kafka::sasl::Hash;
#[cfg(not(feature = "tls"))]
use crate::proto::kafka::sasl::SaslError;
use crate::proto::kafka::sasl::Secret;
use crate::transport::Waker;
use crate::transport::command;
use crate::transport::command::CommandError;
use crate::transport::private_file;
use crate::transport::private_file::Unreadable;
use crate::transport::tls::Connector;
use crate::transport::tls::Files;
use crate::transport::tls::Material;
use crate::transport::tls::TlsError;

/// Tokens of identity providers have some kilobytes.
const SECRET_BYTES_MAX: usize = 16 << 10;

/// Why there are no credentials. Holds no byte of any secret.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// Certificates, keys or authorities.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// There is no password where it should be.
    #[error("the environment variable `{0}` of sasl.password_variable is not set, or not UTF-8")]
    NoVariable(String),
    /// A secret is none.
    #[error("{0} gives no secret: the first line must have 1 to 16384 bytes without NUL")]
    NoSecret(&'static str),
    /// The token's command failed.
    #[error("sasl.token_command: {0}")]
    Command(#[from] CommandError),
    /// A defect of ours, or of a library that reads keys and certificates.
    #[error("reading the credentials panicked")]
    Panicked,
    /// The mechanism is not in this build.
    #[cfg(not(feature = "tls"))]
    #[error(transparent)]
    Sasl(#[from] SaslError),
}

/// What connections are made with.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// How connections are encrypted; none where they are not.
    pub connector: Option<Connector>,
    /// Who we are; none where nobody asks.
    pub sasl: Option<Arc<Credentials>>,
}

/// Where the credentials come from, and what was found there last.
struct Source {
    has_tls: bool,
    tls: TlsSettings,
    sasl: SaslSettings,
    seen: Option<(Material, Option<Secret>)>,
}

#[derive(Default)]
struct Shared {
    /// The source, while no thread looks.
    source: Option<Source>,
    found: Option<Keyring>,
    failure: Option<CredentialsError>,
}

/// See the module's head.
pub struct Watch {
    shared: Arc<Mutex<Shared>>,
    waker: Waker,
    interval: Duration,
    /// Whether there is anything to look at.
    is_watched: bool,
    /// When to look; none before the first poll.
    look_at: Option<Moment>,
    /// What to use now; none while the first token is on its way.
    keyring: Option<Keyring>,
    /// Rises whenever that changes.
    pub generation: u32,
    /// How often a look found nothing that can be used.
    pub failures: u64,
    /// Why, the last time.
    pub last_failure: String,
}

impl Watch {
    /// Reads what lies in files and the environment; a command is not run yet.
    ///
    /// # Errors
    /// [`CredentialsError`]: what cannot be used.
    pub fn start(settings: &Settings, waker: Waker) -> Result<Self, CredentialsError> {
        let mut source = Source {
            has_tls: settings.target.tls,
            tls: settings.tls.clone(),
            sasl: settings.sasl.clone(),
            seen: None,
        };
        let keyring = match &settings.sasl.token_command {
            Some(_) => {
                source.connector()?;
                None
            }
            None => source.look()?,
        };
        let is_watched = source.has_tls || source.sasl.mechanism != SaslMechanism::None;
        let shared = Shared { source: Some(source), ..Shared::default() };
        let interval = settings.tls.reload_interval;
        Ok(Self {
            shared: Arc::new(Mutex::new(shared)),
            waker,
            interval,
            is_watched,
            // A token is wanted at once; everything else has just been read.
            look_at: keyring.is_none().then_some(Moment(0)),
            keyring,
            generation: 0,
            failures: 0,
            last_failure: String::new(),
        })
    }

    /// What to connect with now; none while the first token is on its way.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    /// Takes over what a look found, and begins the next one when it is time. True where connections that
    /// stand were made with something else.
    pub fn poll(&mut self, now: Moment) -> bool {
        let (found, failure) = {
            let mut shared = lock(&self.shared);
            (shared.found.take(), shared.failure.take())
        };
        if let Some(failure) = failure {
            self.failures += 1;
            self.last_failure = failure.to_string();
        }
        let is_news = found.is_some();
        if let Some(found) = found {
            self.keyring = Some(found);
            self.generation += 1;
            self.last_failure.clear();
        }
        if self.is_watched && *self.look_at.get_or_insert(now.after(self.interval)) <= now {
            self.look_at = Some(now.after(self.interval));
            self.begin_look();
        }
        is_news
    }

    /// When to call [`Watch::poll`] without a wake-up.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.look_at
    }

    fn begin_look(&mut self) {
        if lock(&self.shared).source.is_none() {
            // An earlier look hangs: then there is nothing to begin.
            return;
        }
        let (shared, waker) = (self.shared.clone(), self.waker.clone());
        let look = move || {
            // Taken here: a thread that was refused has taken nothing along.
            let Some(mut source) = lock(&shared).source.take() else { return };
            // Unwind safety: what was seen changes last.
            let outcome = catch_unwind(AssertUnwindSafe(|| source.look()));
            let mut shared = lock(&shared);
            match outcome.unwrap_or(Err(CredentialsError::Panicked)) {
                Ok(found) => shared.found = found.or(shared.found.take()),
                Err(failure) => shared.failure = Some(failure),
            }
            shared.source = Some(source);
            drop(shared);
            waker.wake();
        };
        if let Err(error) = own_thread::start("logdrive-secrets", look) {
            self.failures += 1;
            self.last_failure = format!("no thread to read credentials: {error}");
        }
    }
}

impl Source {
    /// Reads everything; none where it is what it was.
    fn look(&mut self) -> Result<Option<Keyring>, CredentialsError> {
        let material = self.files().read()?;
        let secret = self.secret()?;
        let now = (material, secret);
        if self.seen.as_ref() == Some(&now) {
            return Ok(None);
        }
        let connector = match self.has_tls {
            true => Some(Connector::new(&now.0, self.tls.insecure_skip_verification)?),
            false => None,
        };
        let sasl = now.1.clone().map(|secret| self.credentials(secret)).transpose()?;
        self.seen = Some(now);
        Ok(Some(Keyring { connector, sasl: sasl.flatten().map(Arc::new) }))
    }

    /// Whether the files alone can be used.
    fn connector(&self) -> Result<(), CredentialsError> {
        if self.has_tls {
            Connector::new(&self.files().read()?, self.tls.insecure_skip_verification)?;
        }
        Ok(())
    }

    fn files(&self) -> Files {
        let TlsSettings { ca_file, certificate_file, key_file, .. } = &self.tls;
        let identity = certificate_file.clone().zip(key_file.clone());
        Files { authorities: ca_file.clone(), identity }
    }

    fn secret(&self) -> Result<Option<Secret>, CredentialsError> {
        let sasl = &self.sasl;
        if let Some(path) = &sasl.password_file {
            return first_line(private_file::read(path)?, "sasl.password_file");
        }
        if let Some(path) = &sasl.token_file {
            return first_line(private_file::read(path)?, "sasl.token_file");
        }
        if let Some(name) = &sasl.password_variable {
            let value = std::env::var(name);
            let value = value.map_err(|_| CredentialsError::NoVariable(name.clone()))?;
            return first_line(Zeroizing::new(value.into_bytes()), "sasl.password_variable");
        }
        match &sasl.token_command {
            Some(text) => first_line(command::output(text)?, "sasl.token_command"),
            None => Ok(None),
        }
    }

    fn credentials(&self, secret: Secret) -> Result<Option<Credentials>, CredentialsError> {
        let username = self.sasl.username.clone().unwrap_or_default();
        #[cfg(feature = "tls")]
        let scram = |hash, username, password| Credentials::Scram { hash, username, password };
        Ok(match self.sasl.mechanism {
            SaslMechanism::None => None,
            SaslMechanism::Plain => Some(Credentials::Plain { username, password: secret }),
            SaslMechanism::OauthBearer => Some(Credentials::OauthBearer { token: secret }),
            #[cfg(feature = "tls")]
            SaslMechanism::ScramSha256 => Some(scram(Hash::Sha256, username, secret)),
            #[cfg(feature = "tls")]
            SaslMechanism::ScramSha512 => Some(scram(Hash::Sha512, username, secret)),
            #[cfg(not(feature = "tls"))]
            SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512 => {
                return Err(SaslError::NotBuilt.into());
            }
        })
    }
}

fn first_line(
    text: Zeroizing<Vec<u8>>,
    what: &'static str,
) -> Result<Option<Secret>, CredentialsError> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !(1..=SECRET_BYTES_MAX).contains(&line.len()) || line.contains(&0) {
        return Err(CredentialsError::NoSecret(what));
    }
    Ok(Some(Secret::new(Zeroizing::new(line.to_vec()))))
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // A poisoned lock still guards plain values that are valid at every step.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
