//! What an application logs: a function of (run, thread, sequence), so that what arrives is checked without
//! having been kept. A run is one process of a test, numbered by the test.
//!
//! A text begins with its name and repeats it every [`STAMP_EVERY`] bytes, so that a piece of another record shows.
//! Making one costs less than logging it: a kill shall find the copy into the ring under way, not us.

use crate::support::random::Random;

/// Run, thread and sequence in hexadecimal, each followed by a space.
const HEAD_BYTES: usize = 8 + 1 + 4 + 1 + 12 + 1;
const STAMP_EVERY: usize = 128;
/// Seven of eight texts are shorter than the first, the eighth may take its time to copy.
const SHORT_BYTES_MAX: u64 = 320;
const LONG_BYTES_MAX: u64 = 120_000;

/// Which record this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    pub run: u32,
    pub thread: u16,
    pub sequence: u64,
}

/// Makes the texts of one thread.
pub struct Texts {
    run: u32,
    thread: u16,
    buffer: Vec<u8>,
}

impl Texts {
    pub fn new(run: u32, thread: u16) -> Self {
        let mut random = Random::new(u64::from(run) << 16 | u64::from(thread));
        let most = HEAD_BYTES + LONG_BYTES_MAX as usize;
        let word = format!("{:016x}", random.next());
        let buffer = word.bytes().cycle().take(most).collect();
        Self { run, thread, buffer }
    }

    /// The text of the record `sequence`.
    pub fn text(&mut self, sequence: u64) -> &[u8] {
        let id = Id { run: self.run, thread: self.thread, sequence };
        let (head, bytes) = (id.head(), id.bytes());
        for stamp in (0..bytes).step_by(STAMP_EVERY) {
            let room = (self.buffer.len() - stamp).min(HEAD_BYTES);
            self.buffer[stamp..stamp + room].copy_from_slice(&head[..room]);
        }
        &self.buffer[..bytes]
    }
}

impl Id {
    /// The beginning of the text, which no other record has.
    pub fn head(self) -> [u8; HEAD_BYTES] {
        let mut head = [b' '; HEAD_BYTES];
        put_hex(&mut head[..8], self.run.into());
        put_hex(&mut head[9..13], self.thread.into());
        put_hex(&mut head[14..26], self.sequence);
        head
    }

    /// Which record `text` is; none where it is not one, to the last byte. `texts` is kept from call to call.
    pub fn of(text: &[u8], texts: &mut Option<Texts>) -> Option<Self> {
        let head = std::str::from_utf8(text.get(..HEAD_BYTES)?).ok()?;
        let mut words = head.split(' ');
        let mut number = || u64::from_str_radix(words.next()?, 16).ok();
        let (run, thread, sequence) = (number()?, number()?, number()?);
        let (run, thread) = (run.try_into().ok()?, thread.try_into().ok()?);
        if texts.as_ref().is_none_or(|texts| (texts.run, texts.thread) != (run, thread)) {
            *texts = Some(Texts::new(run, thread));
        }
        let expected = texts.as_mut()?.text(sequence);
        (expected == text).then_some(Self { run, thread, sequence })
    }

    fn bytes(self) -> usize {
        let mut random = Random::new(u64::from(self.thread) << 48 ^ self.sequence);
        let is_long = random.below(8) == 0;
        let filler = random.below(if is_long { LONG_BYTES_MAX } else { SHORT_BYTES_MAX });
        HEAD_BYTES + filler as usize
    }
}

fn put_hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}
