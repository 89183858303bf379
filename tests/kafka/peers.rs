//! The peers as processes: installed by their script, told what to do over their standard input, ended by its end.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;

const EX_TEMPFAIL: i32 = 75;

/// A peer that serves until it is dropped, or this process ends.
pub struct Peer {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Where it listens, `HOST:PORT,...`.
    pub bootstrap: String,
}

impl Peer {
    /// Brokers of Apache Kafka (`kafka-3.9` or `kafka-4`); `None` where it cannot be installed.
    pub fn kafka(release: &str, brokers: u32, settings: &[&str]) -> Option<Self> {
        if !(install("python") && install(release)) {
            return None;
        }
        let mut command = Command::new(python());
        let libs = peers_dir().join(release).join("libs");
        command.arg(scripts_dir().join("kafka_cluster.py")).arg(libs).arg(brokers.to_string());
        Some(Self::start(command.args(settings)))
    }

    /// Brokers of kfake; `None` where it cannot be built.
    pub fn kfake(brokers: u32, settings: &[&str]) -> Option<Self> {
        if !(install("python") && install("kfake")) {
            return None;
        }
        let mut command = Command::new(peers_dir().join("kfake/kfake"));
        Some(Self::start(command.arg(brokers.to_string()).args(settings)))
    }

    /// librdkafka's mock cluster; `None` where it cannot be installed.
    pub fn mock(brokers: u32) -> Option<Self> {
        if !install("python") {
            return None;
        }
        let mut command = Command::new(python());
        let script = scripts_dir().join("mock_cluster.py");
        Some(Self::start(command.arg(script).arg(brokers.to_string())))
    }

    fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
        let commands = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let Some(bootstrap) = line.trim().strip_prefix("ready ").map(str::to_owned) else {
            panic!("the peer said {line:?}")
        };
        Self { child, commands, answers, bootstrap }
    }

    /// Has the peer do something and waits until it is done.
    pub fn tell(&mut self, command: &str) -> String {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        match line.trim().strip_prefix("ok") {
            Some(answer) => answer.trim().to_owned(),
            None => panic!("{command}: {line}"),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends it, and what it started.
        drop(self.commands.take());
        let _ended = self.child.wait();
    }
}

/// One record as a consumer got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    pub partition: u32,
    pub offset: u64,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

/// All records of a topic, partition by partition in the order of their offsets.
pub fn consume(bootstrap: &str, topic: &str) -> Vec<Consumed> {
    let output = Command::new(python())
        .arg(scripts_dir().join("consume.py"))
        .args([bootstrap, topic])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Consumed {
    let [partition, offset, key, value] = line.split('\t').collect::<Vec<_>>()[..] else {
        panic!("{line:?}")
    };
    Consumed {
        partition: partition.parse().unwrap(),
        offset: offset.parse().unwrap(),
        key: (key != "-").then(|| unhex(key)),
        value: unhex(value),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Whether a peer is there, or can be installed; if not, says why.
pub fn install(name: &str) -> bool {
    let setup = Command::new(scripts_dir().join("setup.sh")).arg(name).output().unwrap();
    match setup.status.code() {
        Some(0) => true,
        Some(EX_TEMPFAIL) => {
            let reason = String::from_utf8_lossy(&setup.stderr).into_owned();
            eprintln!("SKIPPED 1 peer, {name}: {}", reason.trim());
            false
        }
        _ => panic!("{setup:?}"),
    }
}

/// The interpreter that has the Kafka clients.
pub fn python() -> PathBuf {
    peers_dir().join("python/bin/python")
}

pub fn scripts_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

pub fn peers_dir() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    std::env::var_os("PEERS_DIR").map_or_else(default, PathBuf::from)
}
