//! One row of the table: how often it runs, from which seed, and the line that it ends with.

use std::fs::File;
use std::io::Write;

use crate::support::oracle::Tally;
use crate::support::random::Random;
use crate::support::scale::scaled;

const SEED: &str = "FAULTS_SEED";
const REPORT: &str = "FAULTS_REPORT";

/// See the module's head.
pub struct Row {
    number: &'static str,
    name: &'static str,
    runs: u64,
    seed: u64,
}

impl Row {
    /// A row that runs `test` times in `make test` and `soak` times in `make soak`.
    pub fn begin(number: &'static str, name: &'static str, test: u64, soak: u64) -> Self {
        let runs = scaled(test, soak);
        let seed = match std::env::var(SEED) {
            Ok(seed) => seed.parse().expect("FAULTS_SEED is a number"),
            Err(_absent) => {
                let mut bytes = [0; 8];
                getrandom::fill(&mut bytes).unwrap();
                // Short enough to be typed.
                u64::from_le_bytes(bytes) >> 32
            }
        };
        // At once, for a row that does not reach its end.
        eprintln!("fault {number} {name}: begins, {runs} runs, seed {seed}");
        Self { number, name, runs, seed }
    }

    /// How often it runs.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// The randomness of one part of it.
    pub fn random(&self, part: u64) -> Random {
        Random::new(self.seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Fails unless the oracle found no difference; else prints the row.
    pub fn finish(self, figures: &str, tally: &Tally) {
        let Self { number, name, runs, seed } = self;
        let line = format!(
            "fault {number} {name}: {runs} runs, {} records, {figures}, difference {}, seed {seed}\n",
            tally.delivered,
            tally.difference()
        );
        print!("{line}");
        if let Some(path) = std::env::var_os(REPORT) {
            let mut report = File::options().append(true).create(true).open(path).unwrap();
            // One write, so that lines of rows that run beside each other stay whole.
            report.write_all(line.as_bytes()).unwrap();
        }
        tally.assert_clean(&line);
    }
}
