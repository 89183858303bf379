//! DNS SRV records (RFC 2782): the system's name servers are asked for each name.
//!
//! Of the records of a name those with the lowest priority number count; the weights do not, since the fleet
//! measures what each receiver can take. The targets are resolved like any other host.
//!
//! The resolver of the C library knows no SRV records behind a safe interface, so the name servers of
//! `/etc/resolv.conf` are asked by `rsdns`; the file is read anew each time.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rsdns::clients::ClientConfig;
use rsdns::clients::std::Client;
use rsdns::records::Class;
use rsdns::records::data::Srv;

use crate::transport::discovery::DiscoveryError;
use crate::transport::discovery::Hosts;
use crate::transport::discovery::Source;
use crate::transport::discovery::checked;

/// How long one name server may take, over all its retries.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const DNS_PORT: u16 = 53;
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// See the module's head.
pub struct SrvSource {
    names: Vec<String>,
    resolv_conf: PathBuf,
    port: u16,
}

impl SrvSource {
    /// Asks the system's name servers for `names`, such as `_logdrive._tcp.example.com`.
    pub fn new(names: Vec<String>) -> Self {
        Self { names, resolv_conf: PathBuf::from(RESOLV_CONF), port: DNS_PORT }
    }

    fn servers(&self) -> Result<Vec<SocketAddr>, DiscoveryError> {
        let place = self.resolv_conf.display().to_string();
        let refused = |reason| DiscoveryError::Refused { place: place.clone(), reason };
        let text = std::fs::read(&self.resolv_conf).map_err(|error| refused(error.to_string()))?;
        let parsed =
            resolv_conf::Config::parse(&text).map_err(|error| refused(error.to_string()))?;
        let addresses = parsed.nameservers.iter().map(IpAddr::from);
        let servers: Vec<_> = addresses.map(|address| (address, self.port).into()).collect();
        if servers.is_empty() {
            return Err(refused("it names no name server".to_owned()));
        }
        Ok(servers)
    }
}

impl Source for SrvSource {
    fn hosts(&mut self) -> Result<Hosts, DiscoveryError> {
        let servers = self.servers()?;
        let mut hosts = Hosts::new();
        for name in &self.names {
            hosts.extend(ask(&servers, name)?);
        }
        checked(&self.names.join(","), hosts)
    }
}

/// Asks one name server after the other until one answers.
fn ask(servers: &[SocketAddr], name: &str) -> Result<Hosts, DiscoveryError> {
    let mut reason = String::new();
    for server in servers {
        let config = ClientConfig::with_nameserver(*server).set_query_lifetime(ANSWER_TIMEOUT);
        let answer =
            Client::new(config).and_then(|mut client| client.query_rrset::<Srv>(name, Class::IN));
        match answer {
            Ok(records) => return Ok(nearest(&records.rdata)),
            Err(error) => reason = format!("{server}: {error}"),
        }
    }
    Err(DiscoveryError::Refused { place: name.to_owned(), reason })
}

/// The targets of the lowest priority number. A target of `.` says that there is no such service.
fn nearest(records: &[Srv]) -> Hosts {
    let Some(priority) = records.iter().map(|record| record.priority).min() else {
        return Hosts::new();
    };
    let is_offered = |record: &&Srv| record.priority == priority && record.port != 0;
    let host = |record: &Srv| {
        let name = record.target.as_str().trim_end_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some((name, record.port))
    };
    records.iter().filter(is_offered).filter_map(host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsdns::names::Name;
    use std::net::UdpSocket;

    fn record(priority: u16, port: u16, target: &str) -> Srv {
        Srv { priority, weight: 1, port, target: target.parse::<Name>().unwrap() }
    }

    #[test]
    fn the_lowest_priority_number_counts_and_a_dot_is_nobody() {
        let host = |name: &str, port| (name.to_owned(), port);
        let records = [record(20, 1, "spare."), record(10, 2, "B.x."), record(10, 3, "a.x.")];
        assert_eq!(nearest(&records), [host("b.x", 2), host("a.x", 3)]);
        assert_eq!(nearest(&[record(0, 0, "a.")]), []);
        assert_eq!(nearest(&[]), []);
    }

    /// A name server that refuses everything (RCODE 5), for one question.
    fn refusing_server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let refuse = move || {
            let mut question = [0; 512];
            let (length, from) = socket.recv_from(&mut question).unwrap();
            question[2] |= 0x80;
            question[3] = 5;
            socket.send_to(&question[..length], from).unwrap();
        };
        std::thread::Builder::new().spawn(refuse).unwrap();
        address
    }

    #[test]
    fn a_refusal_names_server_and_name() {
        let server = refusing_server();
        let folder = tempfile::tempdir().unwrap();
        let resolv_conf = folder.path().join("resolv.conf");
        std::fs::write(&resolv_conf, "search example\nnameserver 127.0.0.1\n").unwrap();
        let names = vec!["_logdrive._tcp.example".to_owned()];
        let mut source = SrvSource { names, resolv_conf, port: server.port() };
        let message = source.hosts().unwrap_err().to_string();
        assert!(message.starts_with(&format!("_logdrive._tcp.example: {server}: ")), "{message}");
        std::fs::write(&source.resolv_conf, "search example\n").unwrap();
        assert!(source.hosts().unwrap_err().to_string().contains("names no name server"));
    }
}
