//! A network namespace: a loopback interface of one's own, with all of 127.0.0.0/8, a packet filter and name servers.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::ReceiverProcess;
use crate::support::wait;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Deleted when dropped; the processes in it must have ended by then.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A fresh one. Names are resolved by whoever listens on 127.0.0.1:53 in it.
    pub fn new() -> Self {
        // Relaxed: a number, nothing is published by it.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        peer_dir("network");
        let name = format!("logdrive-{}-{number}", std::process::id());
        let folder = PathBuf::from("/etc/netns").join(&name);
        fs::create_dir_all(&folder).unwrap();
        let resolv_conf = "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n";
        fs::write(folder.join("resolv.conf"), resolv_conf).unwrap();
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.run(&["ip", "link", "set", "lo", "mtu", "1500", "up"]);
        // A frozen peer has room for so little that its window is soon closed.
        namespace.run(&["sysctl", "-qw", "net.ipv4.tcp_rmem=4096 65536 262144"]);
        namespace.run(&["nft", "add table inet test"]);
        namespace.run(&["nft", "add chain inet test in { type filter hook input priority 0; }"]);
        namespace
    }

    /// A command that runs in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a command in it to its end, which must be good.
    pub fn run(&self, words: &[&str]) {
        let output = self.command(words[0]).args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }

    /// Nothing arrives at the address or leaves it any more.
    pub fn black_hole(&self, address: Ipv4Addr) {
        for side in ["daddr", "saddr"] {
            self.filter(&format!("ip {side} {address} drop"));
        }
    }

    /// Questions to name servers get lost.
    pub fn silence_name_servers(&self) {
        self.filter("udp dport 53 drop");
    }

    /// The address is reached at so many kilobytes per second at most.
    pub fn slow_down(&self, address: Ipv4Addr, kilobytes: u32) {
        self.filter(&format!(
            "ip daddr {address} limit rate over {kilobytes} kbytes/second burst 64 kbytes drop"
        ));
    }

    /// Counts attempts to connect to the address from now on.
    pub fn count_connects(&self, address: Ipv4Addr) {
        self.run(&["nft", &format!("add counter inet test connects-{}", address.octets()[3])]);
        self.filter(&format!(
            "ip daddr {address} tcp flags & (syn | ack) == syn counter name connects-{}",
            address.octets()[3]
        ));
    }

    /// Attempts to connect to the address so far.
    pub fn connects(&self, address: Ipv4Addr) -> u64 {
        let name = format!("connects-{}", address.octets()[3]);
        let mut command = self.command("nft");
        let output = command.args(["list", "counter", "inet", "test", &name]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).unwrap().parse().unwrap()
    }

    fn filter(&self, rule: &str) {
        self.run(&["nft", &format!("add rule inet test in {rule}")]);
    }

    /// Takes all rules back.
    pub fn heal(&self) {
        self.run(&["nft", "flush chain inet test in"]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What a failed test left running would keep the namespace alive for ever.
        let pids = Command::new("ip").args(["netns", "pids", &self.name]).output();
        for pid in String::from_utf8_lossy(&pids.unwrap().stdout).split_whitespace() {
            let _ended_meanwhile = Command::new("kill").args(["-KILL", pid]).status();
        }
        let _gone = Command::new("ip").args(["netns", "del", &self.name]).status();
        let _none = fs::remove_dir_all(PathBuf::from("/etc/netns").join(&self.name));
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().unwrap();
    assert!(output.status.success(), "ip {words:?}: {output:?}; the test needs root");
}

/// A process that is killed when dropped.
pub struct Peer(Child);

impl Peer {
    /// Starts it and waits until something listens at `port` (TCP) of the namespace.
    pub fn start(namespace: &Namespace, command: &mut Command, port: u16) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let peer = Self(child);
        let listens = format!(":{port} ");
        wait::until(&format!("something listens at {port}"), || {
            let listening = namespace.command("ss").args(["-Hltn"]).output().unwrap();
            String::from_utf8_lossy(&listening.stdout).contains(&listens)
        });
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The address of receiver `number` in a namespace.
pub fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).unwrap())
}

/// `host:port` of receiver `number`.
pub fn place(number: usize) -> String {
    format!("{}:9092", address(number))
}

/// Starts receiver `number` in the namespace.
pub fn receiver(namespace: &Namespace, number: usize, dir: &std::path::Path) -> ReceiverProcess {
    let command = namespace.command(env!("CARGO_BIN_EXE_logdrive"));
    ReceiverProcess::start_as(command, place(number).parse().unwrap(), dir, &[])
}

/// How many times longer than on a quiet machine things may take here.
pub fn slack() -> u32 {
    std::env::var("NETWORK_SLACK").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// What a time limit is worth on this machine.
pub fn limit(limit: Duration) -> Duration {
    limit * slack()
}

/// Installs a peer of tests/peers/setup.sh; its directory.
pub fn peer_dir(name: &str) -> PathBuf {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/setup.sh");
    assert!(Command::new(script).arg(name).status().unwrap().success(), "setup.sh {name}");
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    std::env::var_os("PEERS_DIR").map_or(default, PathBuf::from)
}
