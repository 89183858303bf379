//! For tests of the command and of the whole path: its processes, a client that sends what it is told to,
//! a receiver that answers what it is told to, and a hostile network between them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::batch;
use logdrive::batch::Builder;
use logdrive::batch::Codec;
use logdrive::batch::Compressor;
use logdrive::batch::Record;
use logdrive::ids::BatchIdentity;
use logdrive::ids::InstanceId;
use logdrive::proto::kafka::wire::Reader;
use logdrive::proto::kafka::wire::header;
use logdrive::proto::kafka::wire::produce;

pub mod application;
pub mod certificates;
pub mod oracle;
pub mod payload;
pub mod proxy;
pub mod random;
pub mod scale;
pub mod scripted;
pub mod site;
pub mod wait;
pub mod witness;

/// The longest that anything here waits.
pub const DEADLINE: Duration = Duration::from_secs(10);

const PRODUCE_VERSION: i16 = 8;

/// A `logdrive receive` process; killed when dropped.
pub struct ReceiverProcess {
    child: Child,
    pub address: SocketAddr,
}

impl ReceiverProcess {
    /// Starts one and waits until it listens.
    pub fn start(dir: &Path, arguments: &[&str]) -> Self {
        Self::start_at(any_port(), dir, arguments)
    }

    /// Starts one at an address, as after a crash.
    pub fn start_at(address: SocketAddr, dir: &Path, arguments: &[&str]) -> Self {
        Self::start_as(Command::new(env!("CARGO_BIN_EXE_logdrive")), address, dir, arguments)
    }

    /// Starts one whose files cannot grow beyond 100 blocks, of 512 or 1024 bytes as the shell has
    /// it.
    pub fn start_with_file_limit(dir: &Path, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        // With SIGXFSZ ignored, a write beyond the limit is an error, as on a full disk.
        let script = "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\"";
        shell.args(["-c", script, env!("CARGO_BIN_EXE_logdrive")]);
        Self::start_as(shell, any_port(), dir, arguments)
    }

    /// Starts `logdrive receive` by this command, which may put it into surroundings of its own.
    pub fn start_as(
        mut command: Command,
        listen: SocketAddr,
        dir: &Path,
        arguments: &[&str],
    ) -> Self {
        let mut child = command
            .args(["receive", "--listen", &listen.to_string(), "--dir"])
            .arg(dir)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").map(str::parse);
        let Some(Ok(address)) = address else { panic!("unexpected first line {line:?}") };
        Self { child, address }
    }

    /// The process's number, for signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code and the summary.
    pub fn terminate(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut summary = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut summary).unwrap();
        (status.code(), summary)
    }
}

impl Drop for ReceiverProcess {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The loopback address of this process: what its tests send never comes to the receivers of another process's tests.
pub fn own_host() -> IpAddr {
    // A process number has 22 bits at most (proc(5), pid_max): each process has its own in 127.64.0.0/10.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 | high, middle, low))
}

/// Whatever port is free.
fn any_port() -> SocketAddr {
    SocketAddr::new(own_host(), 0)
}

/// An address that no outgoing connection and no other test takes, also while nobody listens there.
pub fn lasting_address() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    // Below the range of ports that Linux gives to outgoing connections: 32768 to 60999.
    let port = 20_000 + COUNT.fetch_add(1, Ordering::Relaxed) % 12_000;
    SocketAddr::new(own_host(), port)
}

/// Runs the command to its end.
pub fn logdrive(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_logdrive")).args(arguments).output().unwrap()
}

/// The lines that `logdrive cat` prints.
pub fn cat(arguments: &[&str]) -> Vec<String> {
    let output = logdrive(&[&["cat"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Which records of which instance a batch holds, and under which producer id it is sent.
#[derive(Clone, Copy)]
pub struct Spec {
    pub instance: u8,
    pub first_record: u64,
    pub record_count: u32,
    pub producer_id: i64,
    pub codec: Codec,
}

impl Spec {
    /// Records of instance 1 without compression, under producer id 1.
    pub fn of(first_record: u64, record_count: u32) -> Self {
        Self { instance: 1, first_record, record_count, producer_id: 1, codec: Codec::None }
    }

    /// The value of record `number`.
    pub fn value(&self, number: u64) -> String {
        format!("record {number} of instance {}", self.instance)
    }

    /// The batch as it is sent.
    pub fn batch(&self) -> Vec<u8> {
        let mut builder = Builder::with_capacity(0);
        for number in self.first_record..self.first_record + u64::from(self.record_count) {
            builder.push(&Record {
                timestamp_ms: 1_700_000_000_000 + i64::from(self.instance),
                key: None,
                value: Some(self.value(number).as_bytes()),
                headers: [(&b"severity"[..], Some(&b"INFO"[..]))].into_iter(),
            });
        }
        self.seal(builder)
    }

    /// A batch of one record that reports a loss.
    pub fn loss_report(&self, first_record: u64, count: u64) -> Vec<u8> {
        let value =
            [&first_record.to_be_bytes()[..], &count.to_be_bytes(), &3u32.to_be_bytes(), &[0; 4]];
        let value = value.concat();
        let mut builder = Builder::with_capacity(0);
        builder.push(&Record {
            timestamp_ms: 1_700_000_000_000,
            key: None,
            value: Some(b"records were lost"),
            headers: [(&b"logdrive.loss"[..], Some(&value[..]))].into_iter(),
        });
        self.seal(builder)
    }

    fn seal(&self, mut builder: Builder) -> Vec<u8> {
        let identity = BatchIdentity {
            instance: InstanceId([self.instance; 16]),
            batch: self.first_record,
            first_record: self.first_record,
            record_count: self.record_count,
        };
        let mut body = Vec::new();
        let mut compressor = Compressor::new(self.codec, None).unwrap();
        let mut sealed = builder.seal(&identity, &mut compressor, &mut body).unwrap();
        let (crc, bytes) = (sealed.body_crc, sealed.body_bytes);
        let sequence = i32::try_from(self.first_record).unwrap();
        batch::bind(&mut sealed.header, crc, bytes, self.producer_id, 0, sequence);
        [&sealed.header[..], &body].concat()
    }
}

/// A client that sends what it is told to, right or wrong.
pub struct Client {
    pub stream: TcpStream,
    next_correlation_id: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream, next_correlation_id: 0 }
    }

    /// Sends a batch and waits for its error code and offset.
    pub fn produce(&mut self, topic: &str, batch: &[u8]) -> std::io::Result<(i16, i64)> {
        self.send(topic, batch, 1)?;
        let (_, error, offset) = self.receive()?;
        Ok((error, offset))
    }

    /// Sends a batch and returns its correlation id.
    pub fn send(&mut self, topic: &str, batch: &[u8], acks: i16) -> std::io::Result<i32> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let head = produce::RequestHead {
            correlation_id,
            client_id: "test",
            acks,
            timeout_ms: 1000,
            topic,
            partition: 0,
            batch_bytes: u32::try_from(batch.len()).unwrap(),
        };
        let mut frame = Vec::new();
        head.encode(PRODUCE_VERSION, &mut frame).unwrap();
        frame.extend_from_slice(batch);
        self.stream.write_all(&frame)?;
        Ok(correlation_id)
    }

    /// The next answer: correlation id, error code, offset.
    pub fn receive(&mut self) -> std::io::Result<(i32, i16, i64)> {
        let frame = self.receive_frame()?;
        let mut reader = Reader::new(&frame);
        let correlation_id = header::decode_correlation_id(&mut reader).unwrap();
        let response = produce::Response::decode(PRODUCE_VERSION, &mut reader).unwrap();
        let outcome = &response.topics[0].partitions[0];
        Ok((correlation_id, outcome.error.number(), outcome.base_offset))
    }

    /// The next frame, without its size.
    pub fn receive_frame(&mut self) -> std::io::Result<Vec<u8>> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Waits until the receiver closes the connection.
    pub fn wait_for_close(&mut self) {
        let mut rest = [0; 1024];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("not closed within {DEADLINE:?}: {error}"),
            }
        }
    }
}
