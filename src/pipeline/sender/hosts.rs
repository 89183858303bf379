//! The places the URL or a discovery names, and the numbers under which the fleet knows them.
//!
//! Invariant: a host keeps its number for as long as it is listed, so that a changed list moves no lane whose
//! host stays.

use std::io;

use crate::config::Discovery;
use crate::config::Settings;
use crate::pipeline::sender::spaces::host_endpoint;
use crate::pipeline::sender::spaces::is_host;
use crate::proto::fleet;
use crate::transport::Waker;
use crate::transport::discovery;
use crate::transport::discovery::FileSource;
use crate::transport::discovery::Source;
#[cfg(feature = "srv")]
use crate::transport::discovery::SrvSource;
#[cfg(feature = "zookeeper")]
use crate::transport::discovery::ZooKeeperSource;

/// See the module's head.
pub struct Hosts {
    /// Asks anew and again; none where the URL's hosts are all there is, or where it could not start.
    discovery: Option<discovery::Discovery>,
    /// By number; none where the number is free.
    known: Vec<Option<(String, u16)>>,
    starts_failed: u64,
}

impl Hosts {
    /// The hosts of the URL where they are the receivers; otherwise nobody until the discovery has found
    /// somebody. Starts nothing.
    pub fn new(settings: &Settings) -> Self {
        let are_receivers =
            matches!(settings.transport.discovery, Discovery::Hosts | Discovery::File);
        let known = settings.target.hosts.iter().filter(|_| are_receivers);
        let known = known.cloned().map(Some).collect();
        Self { discovery: None, known, starts_failed: 0 }
    }

    /// Starts the discovery, if one is wanted and it does not run; where the system gives no thread that is
    /// counted as a failure, to be tried again. `waker` is woken when a list was found.
    pub fn start(&mut self, settings: &Settings, waker: Waker) {
        if self.discovery.is_some() {
            return;
        }
        let interval = settings.transport.discovery_interval;
        let started = source(settings).and_then(|source| {
            source.map(|source| discovery::Discovery::start(source, interval, waker)).transpose()
        });
        match started {
            Ok(discovery) => self.discovery = discovery,
            Err(_no_thread) => self.starts_failed += 1,
        }
    }

    /// Takes over a list that the discovery found; true if there was a new one.
    pub fn update(&mut self) -> bool {
        let found = self.discovery.as_ref().and_then(discovery::Discovery::take);
        let Some(found) = found else { return false };
        for known in &mut self.known {
            known.take_if(|host| !found.contains(host));
        }
        for host in found {
            if self.known.iter().flatten().any(|known| *known == host) {
                continue;
            }
            match self.known.iter_mut().find(|known| known.is_none()) {
                Some(free) => *free = Some(host),
                None => self.known.push(Some(host)),
            }
        }
        true
    }

    /// All of them, for the fleet.
    pub fn endpoints(&self) -> Vec<fleet::Endpoint> {
        let numbered = self.known.iter().enumerate();
        let hosts = numbered.filter_map(|(index, host)| Some((index, host.as_ref()?)));
        let endpoint = |(index, (host, port)): (usize, &(String, u16))| fleet::Endpoint {
            id: host_endpoint(index),
            host: host.clone(),
            port: *port,
        };
        hosts.map(endpoint).collect()
    }

    /// Puts all of them in the place of the hosts among `endpoints`, whose numbers others may have by now; brokers that
    /// a cluster named stay.
    pub fn replace_in(&self, endpoints: &mut Vec<fleet::Endpoint>) {
        endpoints.retain(|known| !is_host(known.id));
        endpoints.extend(self.endpoints());
    }

    /// How often the discovery gave no list.
    pub fn failures(&self) -> u64 {
        let failures = self.discovery.as_ref().map_or(0, discovery::Discovery::failures);
        self.starts_failed + failures
    }
}

/// What is to be asked; nothing where the URL lists the receivers itself.
fn source(settings: &Settings) -> io::Result<Option<Box<dyn Source>>> {
    let transport = &settings.transport;
    Ok(match (transport.discovery, &transport.discovery_file) {
        (Discovery::File, Some(path)) => Some(Box::new(FileSource::new(path.clone()))),
        #[cfg(feature = "srv")]
        (Discovery::Srv, _) => {
            let names = settings.target.hosts.iter().map(|(name, _port)| name.clone());
            Some(Box::new(SrvSource::new(names.collect())))
        }
        #[cfg(feature = "zookeeper")]
        (Discovery::ZooKeeper, _) => {
            let path = transport.discovery_path.clone();
            Some(Box::new(ZooKeeperSource::new(&settings.target.hosts, path)?))
        }
        // The URL's hosts; what is not built or lacks its file was refused by the configuration's check.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::ids::EndpointId;
    use crate::ids::Moment;
    use crate::proto::fleet::Fleet;
    use crate::transport::Poller;
    use std::time::Duration;

    /// The cluster has named a broker, nobody was reachable, the former hosts were tried: then the list changes.
    #[test]
    fn hosts_that_got_the_numbers_of_former_ones_take_their_place_beside_the_brokers() {
        let listing = |names: &[&str]| {
            let known = names.iter().map(|name| Some(((*name).to_owned(), 9092)));
            Hosts { discovery: None, known: known.collect(), starts_failed: 0 }
        };
        let broker = fleet::Endpoint { id: EndpointId(7), host: "broker".to_owned(), port: 9092 };
        let mut endpoints = vec![broker];
        let mut fleet = Fleet::new(Moment(0), fleet::Options::default(), 1);
        for names in [["a", "b", "c"].as_slice(), &["d", "e", "f"], &["g"]] {
            listing(names).replace_in(&mut endpoints);
            fleet.set_endpoints(Moment(0), &endpoints).unwrap();
            assert_eq!(endpoints.len(), 1 + names.len());
            assert_eq!(fleet.endpoint(EndpointId(7)).unwrap().host, "broker");
            for (index, name) in names.iter().enumerate() {
                assert_eq!(fleet.endpoint(host_endpoint(index)).unwrap().host, *name);
            }
        }
    }

    #[test]
    fn a_host_keeps_its_number_while_others_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receivers");
        let mut config = Config::from_url("receivers://a:1/t?discovery=file").unwrap();
        config.set("discovery.file", path.to_str().unwrap()).unwrap();
        config.set("discovery.interval", "100ms").unwrap();
        let settings = config.settings().unwrap();
        let mut poller = Poller::new().unwrap();
        let mut hosts = Hosts::new(&settings);
        let listed = |hosts: &Hosts| {
            let endpoints = hosts.endpoints();
            let shown = |e: &fleet::Endpoint| (e.host.clone(), e.id);
            endpoints.iter().map(shown).collect::<Vec<_>>()
        };
        let id = |index| host_endpoint(index);
        assert_eq!(listed(&hosts), [("a".to_owned(), id(0))], "the URL's, until the file is there");
        hosts.start(&settings, poller.waker());
        let lists = [
            ("c\nb\na:1\n", vec![("a", 0), ("b", 1), ("c", 2)]),
            ("b\nc\n", vec![("b", 1), ("c", 2)]),
            ("c\nd\n", vec![("d", 0), ("c", 2)]),
        ];
        for (text, expected) in lists {
            std::fs::write(&path, text).unwrap();
            while !hosts.update() {
                poller.wait(Some(Duration::from_secs(30)), |_| {}).unwrap();
            }
            let expected: Vec<_> =
                expected.into_iter().map(|(name, index)| (name.to_owned(), id(index))).collect();
            assert_eq!(listed(&hosts), expected, "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        let before = hosts.failures();
        while hosts.failures() == before {
            std::thread::yield_now();
        }
        assert!(!hosts.update());
        assert_eq!(listed(&hosts).len(), 2, "a file that is gone takes nobody away");
    }
}
