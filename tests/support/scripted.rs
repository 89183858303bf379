//! A receiver that answers each batch with the error code it is told to, and remembers what it saw.

use std::collections::VecDeque;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::batch;
use logdrive::batch::HEADER_BYTES;
use logdrive::batch::Header;
use logdrive::batch::RecordIter;
use logdrive::proto::kafka::broker;
use logdrive::proto::kafka::broker::Broker;
use logdrive::proto::kafka::broker::Handled;
use logdrive::proto::kafka::broker::PartitionReply;
use logdrive::proto::kafka::errors::ErrorCode;

/// The topic that it does not have, where it is asked as a cluster.
#[allow(dead_code, reason = "each test binary uses its part")]
pub const MISSING_TOPIC: &str = "missing";

/// REQUEST_TIMED_OUT: the batch is sent again, for as long as this is its answer.
pub const LATER: i16 = 7;

/// INVALID_RECORD: the batch is never taken as it is.
pub const INVALID_RECORD: i16 = 87;

/// How late an answer is that is [`Lie::Slow`].
const SLOW: Duration = Duration::from_millis(300);

/// A batch that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The answer that it got.
    pub code: i16,
    /// Its header.
    pub header: Header,
    /// All of its bytes, as sent.
    pub bytes: Vec<u8>,
    /// The values of its records.
    pub values: Vec<Vec<u8>>,
}

/// How an answer is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each test binary uses its part")]
pub enum Lie {
    /// It answers a request that was not sent yet.
    Future,
    /// It comes twice.
    Twice,
    /// It comes behind the next one.
    Late,
    /// Its length is right, and nothing else.
    Garbage,
    /// It is cut off, and the connection with it.
    Torn,
    /// None: the answer is true, and only comes so late that what the client sends behind the batch has been sent.
    Slow,
}

/// See the module's head.
pub struct ScriptedReceiver {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<i16>>,
    lies: Mutex<VecDeque<Lie>>,
    afterwards: Mutex<i16>,
    waiting_room: Mutex<Option<Vec<u8>>>,
    guilty: Mutex<Option<Vec<u8>>>,
    hides_producer_ids: AtomicBool,
    seen: Mutex<Vec<Seen>>,
    is_over: AtomicBool,
}

impl ScriptedReceiver {
    /// The next answers to batches are spoiled, one each.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub fn lie(&self, lies: &[Lie]) {
        self.shared.lies.lock().unwrap().extend(lies);
    }

    /// Offers no producer ids from now on, as what only looks like Kafka.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub fn hide_producer_ids(&self) {
        self.shared.hides_producer_ids.store(true, Ordering::Release);
    }

    /// Batches whose first record begins with this are put off, whatever the script says; none with None.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub fn put_off(&self, beginning: Option<&[u8]>) {
        *self.shared.waiting_room.lock().unwrap() = beginning.map(<[u8]>::to_vec);
    }

    /// Batches with this value in them are never taken, whatever the script says.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub fn refuse(&self, value: &[u8]) {
        *self.shared.guilty.lock().unwrap() = Some(value.to_vec());
    }

    /// Answers the first batches with `script`, one code each, all others with `afterwards`.
    pub fn start(script: &[i16], afterwards: i16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.script.lock().unwrap().extend(script);
        *shared.afterwards.lock().unwrap() = afterwards;
        let receiver = Self { address, shared: shared.clone() };
        start_thread(move || {
            for stream in listener.incoming() {
                if shared.is_over.load(Ordering::Acquire) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), shared.clone());
                // A connection that the client ends is no failure of the test.
                start_thread(move || drop(shared.serve(stream, address)));
            }
        });
        receiver
    }

    /// Answers everything with success from now on.
    pub fn relent(&self) {
        self.answer(0);
    }

    /// Answers everything with `code` from now on.
    pub fn answer(&self, code: i16) {
        self.shared.script.lock().unwrap().clear();
        *self.shared.afterwards.lock().unwrap() = code;
    }

    /// What arrived, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The values of records that were answered with success, in order.
    pub fn stored(&self) -> Vec<Vec<u8>> {
        let seen = self.seen().into_iter().filter(|seen| seen.code == 0);
        seen.flat_map(|seen| seen.values).collect()
    }
}

impl Drop for ScriptedReceiver {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // Wakes the thread that accepts; if it has ended, there is nothing to wake.
        let _woken = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream, address: SocketAddr) -> std::io::Result<()> {
        let is_there = |topic: &str| topic != MISSING_TOPIC;
        let mut broker = Broker::new(address.ip().to_string(), address.port(), is_there);
        stream.set_nodelay(true)?;
        let mut late = Vec::new();
        loop {
            let mut size = [0; 4];
            stream.read_exact(&mut size)?;
            let mut frame = vec![0; u32::from_be_bytes(size) as usize];
            stream.read_exact(&mut frame)?;
            let mut out = Vec::new();
            if let Handled::Append(append) = broker.handle(&frame, || 4711, &mut out).unwrap() {
                let topic = &append.topics[0];
                let partition = topic.partitions[0];
                let code = self.take(partition.records.unwrap());
                let outcome = if code == 0 { Ok(0) } else { Err(ErrorCode::from(code)) };
                let replies = [PartitionReply { index: partition.index, outcome }];
                let topics = [(topic.name, &replies[..])];
                broker::encode_produce_response(append.reply_to, topics.into_iter(), &mut out)
                    .unwrap();
                let lie = self.lies.lock().unwrap().pop_front();
                match lie {
                    None => out.append(&mut late),
                    Some(Lie::Future) => out[4..8].copy_from_slice(&1_000_000i32.to_be_bytes()),
                    Some(Lie::Twice) => out.extend_from_within(..),
                    Some(Lie::Late) => late.append(&mut out),
                    Some(Lie::Slow) => std::thread::sleep(SLOW),
                    Some(Lie::Garbage) => out[8..].fill(0xa5),
                    Some(Lie::Torn) => return stream.write_all(&out[..out.len() / 2]),
                }
            }
            if self.hides_producer_ids.load(Ordering::Acquire) {
                hide_producer_ids(&mut out);
            }
            stream.write_all(&out)?;
        }
    }

    fn take(&self, bytes: &[u8]) -> i16 {
        let header = Header::decode(bytes).unwrap();
        let mut records = Vec::new();
        batch::decompress(header.codec, &bytes[HEADER_BYTES..], 16 << 20, &mut records).unwrap();
        let values: Vec<_> = RecordIter::new(&header, &records)
            .map(|record| record.unwrap().value.unwrap().to_vec())
            .collect();
        // Both locks for the whole step: what is answered and what is remembered have one order.
        let mut seen = self.seen.lock().unwrap();
        let is_put_off = |beginning: &Vec<u8>| values[0].starts_with(beginning);
        let guilty = self.guilty.lock().unwrap();
        let code = if values.iter().any(|value| guilty.as_ref() == Some(value)) {
            INVALID_RECORD
        } else if self.waiting_room.lock().unwrap().as_ref().is_some_and(is_put_off) {
            LATER
        } else {
            let next = self.script.lock().unwrap().pop_front();
            next.unwrap_or(*self.afterwards.lock().unwrap())
        };
        seen.push(Seen { code, header, bytes: bytes.to_vec(), values });
        code
    }
}

/// Where the answer says what is offered, makes InitProducerId (22), versions 0 to 1, a request that nobody knows.
fn hide_producer_ids(answer: &mut [u8]) {
    let offer = [0, 22, 0, 0, 0, 1];
    if let Some(at) = answer.windows(offer.len()).position(|window| window == offer) {
        answer[at] = 0x7f;
    }
}

fn start_thread(run: impl FnOnce() + Send + 'static) {
    // Detached: it ends with its connection.
    std::thread::Builder::new().name("scripted".to_owned()).spawn(run).unwrap();
}
