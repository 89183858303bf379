//! What the user sees: a table that is redrawn in place, or a line now and then where there is no
//! terminal.

use std::fmt::Write as _;
use std::io;
use std::io::IsTerminal;
use std::io::Write as _;
use std::time::Duration;

use logdrive::Snapshot;

use crate::RATE;
use crate::THREADS;
use crate::account::Verdict;
use crate::receivers::Receivers;

/// Pause between two drawings, on a terminal and elsewhere.
const REDRAW: Duration = Duration::from_millis(200);
const REPRINT: Duration = Duration::from_secs(2);
/// The rate that is shown is the mean of this long.
const RATE_WINDOW: Duration = Duration::from_secs(1);
const BAR_CELLS: f64 = 30.0;

/// The terminal, or a file or pipe.
pub struct Screen {
    is_terminal: bool,
    /// Lines of the table that stands there, to go back over.
    drawn_lines: usize,
    drawn_at: Option<Duration>,
    rate: f64,
    rate_from: (Duration, u64),
    events: Vec<String>,
}

impl Screen {
    pub fn new(lines: &str) -> Self {
        let rate = grouped(u64::from(THREADS) * RATE);
        println!("logdrive demo: {THREADS} threads, {rate} lines/s, 3 receivers; {lines}\n");
        Self {
            is_terminal: io::stdout().is_terminal(),
            drawn_lines: 0,
            drawn_at: None,
            rate: 0.0,
            rate_from: (Duration::ZERO, 0),
            events: Vec::new(),
        }
    }

    /// Tells that something happened.
    pub fn event(&mut self, elapsed: Duration, text: &str) {
        let line = format!("{:>5.1} s  {text}", elapsed.as_secs_f64());
        if !self.is_terminal {
            println!("{line}");
        }
        self.events.push(line);
    }

    /// Shows the figures, if it is time to or if they are the last ones.
    pub fn show(&mut self, stats: &Snapshot, receivers: &Receivers, elapsed: Duration, last: bool) {
        let pause = if self.is_terminal { REDRAW } else { REPRINT };
        if !last && self.drawn_at.is_some_and(|at| elapsed.saturating_sub(at) < pause) {
            return;
        }
        self.drawn_at = Some(elapsed);
        self.measure_rate(stats, elapsed);
        if !self.is_terminal {
            println!("{}", self.line(stats, elapsed));
            return;
        }
        let table = self.table(stats, receivers, elapsed);
        let mut screen = String::new();
        if self.drawn_lines > 0 {
            let _infallible = write!(screen, "\x1b[{}A", self.drawn_lines);
        }
        for line in table.lines() {
            let _infallible = writeln!(screen, "{line}\x1b[K");
        }
        self.drawn_lines = table.lines().count();
        let mut out = io::stdout().lock();
        // A terminal that is gone does not stop the demo: its exit code still tells.
        let _gone = out.write_all(screen.as_bytes()).and_then(|()| out.flush());
    }

    fn measure_rate(&mut self, stats: &Snapshot, elapsed: Duration) {
        let (from, delivered) = self.rate_from;
        let window = elapsed.saturating_sub(from);
        if window >= RATE_WINDOW {
            let more = stats.sender.delivered.saturating_sub(delivered);
            self.rate = more as f64 / window.as_secs_f64();
            self.rate_from = (elapsed, stats.sender.delivered);
        }
    }

    fn line(&self, stats: &Snapshot, elapsed: Duration) -> String {
        let shares: Vec<_> = stats
            .sender
            .receivers
            .iter()
            .map(|one| format!("{:.0} %", share(stats, one.records)))
            .collect();
        let shares = if shares.is_empty() { "-".to_owned() } else { shares.join(" ") };
        format!(
            "{:>5.1} s  accepted {}, delivered {}, in spool {}, dropped {}, {}/s, shares {}, {} -> {}",
            elapsed.as_secs_f64(),
            grouped(stats.accepted),
            grouped(stats.sender.delivered),
            grouped(waiting(stats)),
            grouped(stats.dropped_total()),
            grouped(self.rate as u64),
            shares,
            bytes(stats.bytes_in),
            bytes(stats.bytes_sealed),
        )
    }

    fn table(&self, stats: &Snapshot, receivers: &Receivers, elapsed: Duration) -> String {
        let sender = &stats.sender;
        let ratio = stats.bytes_in as f64 / stats.bytes_sealed.max(1) as f64;
        let rows = [
            (
                "accepted",
                grouped(stats.accepted),
                "time",
                format!("{:.1} s", elapsed.as_secs_f64()),
            ),
            (
                "delivered",
                grouped(sender.delivered),
                "rate",
                format!("{}/s", grouped(self.rate as u64)),
            ),
            ("in spool", grouped(waiting(stats)), "before compression", bytes(stats.bytes_in)),
            (
                "dropped",
                grouped(stats.dropped_total()),
                "after",
                format!("{} ({ratio:.1} x)", bytes(stats.bytes_sealed)),
            ),
        ];
        let mut table = String::new();
        for (left, value, right, other) in rows {
            let _infallible = writeln!(table, "  {left:<10} {value:>12}     {right:<18}  {other}");
        }
        let _infallible =
            writeln!(table, "\n  {:<24} {:<9} {:>12}   share", "receiver", "state", "records");
        for (number, (address, is_running)) in (1..).zip(receivers.states()) {
            let name = address.to_string();
            let known = sender.receivers.iter().find(|one| one.address == name);
            let state = match (is_running, known.is_some_and(|one| one.is_connected)) {
                (false, _) => "killed",
                (true, true) => "connected",
                (true, false) => "waiting",
            };
            let records = known.map_or(0, |one| one.records);
            let share = share(stats, records);
            let bar = "#".repeat((share / 100.0 * BAR_CELLS).round() as usize);
            let name = format!("{number}  {name}");
            let _infallible = writeln!(
                table,
                "  {name:<24} {state:<9} {:>12}  {share:>4.1} %  {bar}",
                grouped(records)
            );
        }
        table.push('\n');
        for event in &self.events {
            let _infallible = writeln!(table, "  {event}");
        }
        table
    }

    /// Tells how the comparison ended.
    pub fn verdict(&self, verdict: &Verdict, stats: &Snapshot) {
        let Verdict { logged, read, missing, duplicated, corrupted } = verdict;
        let refused = stats.refused_total();
        println!("\n  logged     {:>12} lines", grouped(*logged));
        println!("  read back  {:>12} lines from the files of the 3 receivers\n", grouped(*read));
        if refused > 0 {
            println!("  refused {refused} lines at the call: {:?}", stats.refused);
        }
        println!("  missing {missing}, duplicated {duplicated}, corrupted {corrupted}");
    }
}

/// Lines that were accepted and not acknowledged yet: being compressed, in the spool, or on the wire.
fn waiting(stats: &Snapshot) -> u64 {
    stats.accepted.saturating_sub(stats.sender.delivered + stats.dropped_total())
}

/// Percent of all that was acknowledged.
fn share(stats: &Snapshot, records: u64) -> f64 {
    let total: u64 = stats.sender.receivers.iter().map(|one| one.records).sum();
    100.0 * records as f64 / total.max(1) as f64
}

/// A number with commas, as in 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(count: u64) -> String {
    format!("{:.1} MiB", count as f64 / (1 << 20) as f64)
}
