//! Configuration: string names and values from a URL, a file, the environment and setters, checked
//! into typed settings.
//!
//! ```
//! use logdrive::config::Config;
//!
//! let mut config = Config::from_url("receivers://h1:9092,h2:9092/app-logs?linger=5ms")?;
//! config.set("ring.bytes_max", "16MiB")?;
//! let settings = config.settings()?;
//! assert_eq!(settings.topic, "app-logs");
//! # Ok::<(), logdrive::config::ConfigError>(())
//! ```
//!
//! `table` is the single source: a new option is one entry there (and a rule in `check`, if it can
//! contradict another). This module owns precedence; it must not know how a stage uses a setting.
//!
//! Invariants: a refused value changes nothing; [`Settings`] exist only checked; what is set does
//! not depend on the order of calls between sources, only within one.

mod accepted;
mod check;
mod choices;
mod error;
mod file;
mod option;
mod settings;
mod table;
mod url;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

pub use crate::config::choices::Acks;
pub use crate::config::choices::Codec;
pub use crate::config::choices::Discovery;
pub use crate::config::choices::Format;
pub use crate::config::choices::RingFull;
pub use crate::config::choices::SaslMechanism;
pub use crate::config::choices::SpoolFull;
pub use crate::config::choices::SpoolOrder;
pub use crate::config::choices::SpoolStore;
pub use crate::config::choices::SpoolSync;
pub use crate::config::choices::Timestamps;
pub use crate::config::error::ConfigError;
pub use crate::config::option::OptionSpec;
pub use crate::config::settings::Settings;
pub use crate::config::settings::Target;
pub use crate::config::settings::TargetMode;
pub use crate::config::table::BatchSettings;
pub use crate::config::table::ClientSettings;
pub use crate::config::table::FleetSettings;
pub use crate::config::table::OPTIONS;
pub use crate::config::table::RingSettings;
pub use crate::config::table::SaslSettings;
pub use crate::config::table::SessionSettings;
pub use crate::config::table::SpoolSettings;
pub use crate::config::table::TlsSettings;
pub use crate::config::table::TransportSettings;
pub use crate::config::value::Accepts;
pub use crate::config::value::Kind;

use crate::config::settings::Groups;
use crate::event::Event;
use crate::event::EventCallback;

/// The name that takes a whole URL, in [`Config::set`], in a file and as `LOGDRIVE_URL`.
pub const URL: &str = "url";

/// A configuration being put together.
///
/// Sources, each overriding the ones before it, in whatever order they are called: defaults, file,
/// environment, URL, setter. Within one source the later value holds. Every name and value is
/// checked when it is given, contradictions between options by [`Config::check`].
#[derive(Clone, Debug, Default)]
pub struct Config {
    groups: Groups,
    target: Option<Target>,
    /// Who set an option (or [`URL`], for the target); absent for a default.
    sources: BTreeMap<&'static str, Source>,
}

/// In rising precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    File,
    Environment,
    Url,
    Setter,
}

impl Config {
    /// The defaults. They lack a URL, so at least that has to be added.
    pub fn new() -> Self {
        Self::default()
    }

    /// The defaults and a URL: `scheme://host:port,host:port/topic?name=value&name=value`.
    ///
    /// Schemes are `kafka` and `receivers`, and the same with `+tls`. A host without a port has 9092;
    /// IPv6 addresses stand in brackets; `%XX` escapes are decoded in the topic and in the parameters, `+` is a plus.
    /// At most 64 KiB and 256 hosts.
    ///
    /// # Errors
    /// [`ConfigError`] names the malformed part, or the option, its value and what is allowed. A
    /// user or password in the URL is refused, and not repeated in the message.
    pub fn from_url(url: &str) -> Result<Self, ConfigError> {
        let mut config = Self::new();
        config.set(URL, url)?;
        Ok(config)
    }

    /// Sets one option, or with the name `url` everything that the URL says.
    ///
    /// # Errors
    /// [`ConfigError`] names the option, the value and what is allowed; for an unknown name the
    /// nearest known one. Nothing is changed then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let mut changed = self.clone();
        match name {
            URL => changed.assign_url(Source::Url, value).map_err(|error| error.at("URL"))?,
            _ => changed.assign(Source::Setter, name, value)?,
        }
        *self = changed;
        Ok(())
    }

    /// Reads a TOML file of at most 1 MiB; blocks as reading a file does.
    ///
    /// Names may be nested (`[ring]` and `bytes_max = "16MiB"`) or dotted (`ring.bytes_max`).
    /// An entry `url` takes a whole URL, over which the file's other entries have precedence.
    ///
    /// # Errors
    /// [`ConfigError::At`] with the path. Nothing is changed then.
    pub fn load_file(&mut self, path: impl AsRef<Path>) -> Result<(), ConfigError> {
        let place = path.as_ref().display().to_string();
        let mut changed = self.clone();
        file::read(path.as_ref())
            .and_then(|entries| changed.assign_all(Source::File, &entries))
            .map_err(|error| error.at(place))?;
        *self = changed;
        Ok(())
    }

    /// Takes the options from environment variables, normally [`std::env::vars_os`].
    ///
    /// `LOGDRIVE_RING_BYTES_MAX=16MiB` sets `ring.bytes_max`, `LOGDRIVE_URL` takes a whole URL,
    /// over which the other variables have precedence. Variables without the prefix are ignored.
    ///
    /// # Errors
    /// [`ConfigError::At`] with the variable: one with the prefix whose name or value is not
    /// known. Nothing is changed then.
    pub fn load_environment<K, V>(
        &mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), ConfigError>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let names: BTreeMap<String, &str> =
            OPTIONS.iter().map(|spec| (spec.environment_variable(), spec.name)).collect();
        let url_variable = format!("{ENVIRONMENT_PREFIX}{}", URL.to_ascii_uppercase());
        let mut changed = self.clone();
        let (mut url, mut entries) = (None, Vec::new());
        for (variable, value) in variables {
            let variable = variable.as_ref().to_string_lossy();
            if !variable.starts_with(ENVIRONMENT_PREFIX) {
                continue;
            }
            let value = value.as_ref().to_string_lossy().into_owned();
            if variable == url_variable {
                url = Some(value);
            } else if let Some(name) = names.get(variable.as_ref()) {
                entries.push((*name, variable.into_owned(), value));
            } else {
                let known = names.keys().map(String::as_str).chain([url_variable.as_str()]);
                return Err(ConfigError::unknown(&variable, known).at("environment"));
            }
        }
        if let Some(url) = url {
            changed
                .assign_url(Source::Environment, &url)
                .map_err(|error| error.at(url_variable.as_str()))?;
        }
        for (name, variable, value) in entries {
            changed
                .assign(Source::Environment, name, &value)
                .map_err(|error| error.at(variable))?;
        }
        *self = changed;
        Ok(())
    }

    /// Has `callback` told of [`Event`]s, on a thread of its own (`logdrive-event`) that exists only for this.
    ///
    /// It may block, log to the client, ask for figures and close the client. While it runs, up to 1,024 events wait,
    /// further ones are counted in [`Snapshot::events_lost`](crate::Snapshot::events_lost); its panics are
    /// caught and counted. It is called in bursts, at most ten in a second. Closing the client waits for it
    /// until its deadline, at least a second for a call that is under way, and no call begins after that.
    /// A clone of the client that the callback owns keeps the client open until it is closed by hand. A
    /// forked child calls it only for a pipeline of its own. Nothing is told before the first record, which starts the
    /// threads (or before slots of dead processes are found).
    ///
    /// The last callback given holds.
    pub fn on_event(&mut self, callback: impl Fn(&Event) + Send + Sync + 'static) {
        self.groups.on_event = Some(EventCallback::new(callback));
    }

    /// Takes back what [`Config::on_event`] registered.
    pub fn on_no_event(&mut self) {
        self.groups.on_event = None;
    }

    /// Finds what is missing or contradictory, before anything is started.
    ///
    /// # Errors
    /// [`ConfigError::NoUrl`], [`ConfigError::NoTopic`], or the first
    /// [`ConfigError::Contradiction`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.settings().map(drop)
    }

    /// The checked settings.
    ///
    /// # Errors
    /// As [`Config::check`].
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let target = self.target.clone().ok_or(ConfigError::NoUrl)?;
        let settings = self.groups.clone().with_target(target).ok_or(ConfigError::NoTopic)?;
        check::check(&settings)?;
        Ok(settings)
    }

    /// The URL first, so that the other entries of the same source override it.
    fn assign_all(
        &mut self,
        source: Source,
        entries: &[(String, String)],
    ) -> Result<(), ConfigError> {
        if let Some((_, url)) = entries.iter().find(|(name, _)| name == URL) {
            self.assign_url(source, url)?;
        }
        entries
            .iter()
            .filter(|(name, _)| name != URL)
            .try_for_each(|(name, value)| self.assign(source, name, value))
    }

    fn assign_url(&mut self, source: Source, text: &str) -> Result<(), ConfigError> {
        let url = url::parse(text)?;
        if self.gives_way(URL, source) {
            self.target = Some(url.target);
        }
        self.assign(source, "topic", &url.topic)?;
        url.parameters.iter().try_for_each(|(name, value)| self.assign(source, name, value))
    }

    /// Checks the value in any case, and stores it unless a stronger source has spoken.
    fn assign(&mut self, source: Source, name: &str, value: &str) -> Result<(), ConfigError> {
        let Some(spec) = OPTIONS.iter().find(|spec| spec.name == name) else {
            let known = OPTIONS.iter().map(|spec| spec.name).chain([URL]);
            return Err(ConfigError::unknown(name, known));
        };
        if self.gives_way(spec.name, source) {
            spec.apply(&mut self.groups, value)
        } else {
            spec.apply(&mut Groups::default(), value)
        }
    }

    /// Whether `source` may set the option; notes it as the setter if so.
    fn gives_way(&mut self, name: &'static str, source: Source) -> bool {
        let holder = self.sources.entry(name).or_insert(source);
        let gives_way = *holder <= source;
        if gives_way {
            *holder = source;
        }
        gives_way
    }
}

const ENVIRONMENT_PREFIX: &str = "LOGDRIVE_";

#[cfg(test)]
mod tests;
