//! Where the lines come from: made up (web access, JSON, Java), or from files.
//!
//! Every line ends with `id=THREAD-NUMBER` or a JSON field of that name.

use std::error::Error;
use std::io::Write;

use logdrive::clock::UtcMillis;

const PATHS: [&str; 6] = [
    "/",
    "/api/v1/orders",
    "/api/v1/cart/items",
    "/assets/app.6f1d2c.js",
    "/search?q=blue+shoes&page=2",
    "/login",
];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15",
    "curl/8.17.0",
];
const STATUSES: [u16; 8] = [200, 200, 200, 200, 200, 304, 404, 502];

/// All lines there are to log.
pub struct Lines {
    /// Empty where they are made up.
    from_files: Vec<Vec<u8>>,
    description: String,
}

impl Lines {
    /// The lines of these files; made-up ones where none is named.
    pub fn of(files: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut from_files = Vec::new();
        for file in files {
            let bytes = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
            let mut lines: Vec<_> =
                bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            // What stands behind the last newline is a line only if there is something.
            lines.pop_if(|line| line.is_empty());
            from_files.append(&mut lines);
        }
        let description = match (files, from_files.len()) {
            ([], _) => "made-up web, JSON and Java lines".to_owned(),
            (_, 0) => return Err("the files hold no line".into()),
            (_, count) => format!("{count} lines of {} files, repeated", files.len()),
        };
        Ok(Self { from_files, description })
    }

    /// What they are, in words.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The lines of one thread.
    pub fn source(&self, thread: u32) -> Source<'_> {
        let (time, line) = (UtcMillis(0).to_string(), Vec::new());
        Source { lines: self, thread, time, random: u64::from(thread), line }
    }
}

/// Makes the lines of one thread, without an allocation per line.
pub struct Source<'a> {
    lines: &'a Lines,
    thread: u32,
    time: String,
    random: u64,
    line: Vec<u8>,
}

impl Source<'_> {
    /// The time that the next lines tell, in nanoseconds since 1970.
    pub fn set_time(&mut self, wall_nanos: u64) {
        self.time = UtcMillis((wall_nanos / 1_000_000).cast_signed()).to_string();
    }

    /// Line `number` of the thread.
    pub fn next_line(&mut self, number: u64) -> &[u8] {
        self.line.clear();
        if self.lines.from_files.is_empty() {
            self.make_up(number);
        } else {
            let at = (number + u64::from(self.thread)) % self.lines.from_files.len() as u64;
            self.line.extend_from_slice(&self.lines.from_files[at as usize]);
            let thread = self.thread;
            write!(self.line, " id={thread}-{number}").expect("writing into a vector cannot fail");
        }
        &self.line
    }

    fn make_up(&mut self, number: u64) {
        let (thread, order, millis) = (self.thread, self.pick(1_000_000), self.pick(900) + 3);
        let kind = self.pick(3);
        let written = match kind {
            0 => {
                let (a, b) = (self.pick(256), self.pick(256));
                let (path, agent) = (PATHS[self.pick(6) as usize], AGENTS[self.pick(3) as usize]);
                let status = STATUSES[self.pick(8) as usize];
                let time = &self.time;
                write!(
                    self.line,
                    "203.0.{a}.{b} - - [{time}] \"GET {path} HTTP/1.1\" {status} {order} \"-\" \
                     \"{agent}\" rt=0.{millis:03} id={thread}-{number}"
                )
            }
            1 => {
                let (time, user) = (&self.time, order % 40_000);
                write!(
                    self.line,
                    "{{\"ts\":\"{time}\",\"level\":\"info\",\"service\":\"checkout\",\
                     \"msg\":\"order placed\",\"order\":{order},\"user\":\"u{user}\",\
                     \"duration_ms\":{millis},\"id\":\"{thread}-{number}\"}}"
                )
            }
            _java => {
                let time = &self.time;
                write!(
                    self.line,
                    "{time} INFO  [http-nio-8080-exec-{thread}] c.e.shop.payment.PaymentService : \
                     payment for order {order} authorised in {millis} ms id={thread}-{number}"
                )
            }
        };
        written.expect("writing into a vector cannot fail");
    }

    /// A number below `bound`; splitmix64 (Steele, Lea and Flood 2014) is random enough.
    fn pick(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
