//! Where `ship` and `drain` deliver to, and with which options.

use std::error::Error;
use std::path::Path;

use logdrive::Config;

/// How long one line may wait for room before the tool looks whether it was told to stop.
const PATIENCE: &str = "1s";

#[derive(clap::Args)]
pub struct Target {
    /// Where to: receivers://HOST:PORT,.../TOPIC or kafka://HOST:PORT,.../TOPIC, with ?option=value.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Set an option, as in the URL; see docs/configuration.md. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
}

impl Target {
    /// As the two arguments say.
    pub fn new(to: String, set: Vec<String>) -> Self {
        Self { to, set }
    }

    /// A configuration that never drops: environment, then the tool's defaults, the URL, `--set`.
    ///
    /// # Errors
    ///
    /// Which option or which part of the URL is wrong, and what is allowed.
    pub fn config(&self, spool: Option<&Path>) -> Result<Config, Box<dyn Error>> {
        let mut config = Config::new();
        config.load_environment(std::env::vars_os())?;
        config.set("name", "ship")?;
        config.set("ring.full", "block")?;
        config.set("ring.full_deadline", PATIENCE)?;
        config.set("spool.full", "block")?;
        if let Some(dir) = spool {
            let absolute = std::path::absolute(dir)?;
            let text = absolute.to_str();
            config.set("spool.dir", text.ok_or("the spool's path must be UTF-8")?)?;
        }
        config.set("url", &self.to)?;
        for pair in &self.set {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("--set {pair}: write it as NAME=VALUE"))?;
            config.set(name, value)?;
        }
        // So that a contradiction between options is told before a file is opened.
        config.settings()?;
        Ok(config)
    }
}
