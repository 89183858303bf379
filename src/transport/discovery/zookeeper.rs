//! The children of a ZooKeeper node: each one is a receiver.
//!
//! A child's data is its place, `host:port`; where it has none, its name is. That fits what a receiver registers
//! for itself as an ephemeral node. The session is kept between the questions, on one thread of its own, and
//! made anew when it was lost. Not after a fork: the client's reactor stays behind in the parent.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use zookeeper_client::Client;
use zookeeper_client::Error;

use crate::own_thread;
use crate::transport::discovery::DiscoveryError;
use crate::transport::discovery::HOSTS_MAX;
use crate::transport::discovery::Hosts;
use crate::transport::discovery::Source;
use crate::transport::discovery::checked;
use crate::transport::host::parse_host;

/// How long one question may take, connecting included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// After so long without a sign of life the servers forget us.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// See the module's head.
pub struct ZooKeeperSource {
    cluster: String,
    path: String,
    runtime: Runtime,
    client: Option<Client>,
}

impl ZooKeeperSource {
    /// Will ask `servers`, a list of `host:port` with commas, for the children of `path`.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn new(servers: &[(String, u16)], path: String) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("logdrive-zk")
            // The client library says what it does by `tracing`.
            .on_thread_start(|| own_thread::mark(true))
            .enable_time()
            .build()?;
        let place = |(host, port): &(String, u16)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let cluster = servers.iter().map(place).collect::<Vec<_>>().join(",");
        Ok(Self { cluster, path, runtime, client: None })
    }

    fn refused(&self, reason: impl ToString) -> DiscoveryError {
        let place = format!("ZooKeeper {}, {}", self.cluster, self.path);
        DiscoveryError::Refused { place, reason: reason.to_string() }
    }

    fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, DiscoveryError> {
        let answer =
            self.runtime.block_on(async { tokio::time::timeout(ANSWER_TIMEOUT, question).await });
        match answer {
            Ok(answer) => answer.map_err(|error| self.refused(error)),
            Err(_elapsed) => Err(self.refused(format!("no answer in {ANSWER_TIMEOUT:?}"))),
        }
    }

    fn children(&self, client: &Client) -> Result<Hosts, DiscoveryError> {
        let names = self.ask(client.list_children(&self.path))?;
        if names.len() > HOSTS_MAX {
            let place = self.path.clone();
            return Err(DiscoveryError::TooMany { place, given: names.len() });
        }
        let mut hosts = Hosts::new();
        for name in names {
            let path = format!("{}/{name}", self.path);
            let data = match self.ask(async { Ok(client.get_data(&path).await) })? {
                Ok((data, _status)) => data,
                // It left while we asked.
                Err(Error::NoNode) => continue,
                Err(error) => return Err(self.refused(error)),
            };
            let data = String::from_utf8_lossy(&data);
            let place = if data.trim().is_empty() { name.as_str() } else { data.trim() };
            let host = parse_host(place)
                .map_err(|error| DiscoveryError::Malformed { place: path, error })?;
            hosts.push(host);
        }
        Ok(hosts)
    }
}

impl Source for ZooKeeperSource {
    fn hosts(&mut self) -> Result<Hosts, DiscoveryError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.ask(async {
                Client::connector()
                    .with_session_timeout(SESSION_TIMEOUT)
                    .connect(&self.cluster)
                    .await
            })?,
        };
        // A client whose question failed is let go: its session may be gone.
        let hosts = self.children(&client)?;
        self.client = Some(client);
        checked(&self.path, hosts)
    }
}
