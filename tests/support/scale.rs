//! How much a test does: little in `make test`, much in `make soak`. One variable for all suites.
//!
//! `TEST_FACTOR` is a number by which what `make test` does is multiplied, or `soak`.

const FACTOR: &str = "TEST_FACTOR";

/// How much of something: `test` in `make test`, `soak` in `make soak`.
pub fn scaled(test: u64, soak: u64) -> u64 {
    match std::env::var(FACTOR) {
        Ok(word) if word == "soak" => soak,
        Ok(factor) => {
            let factor: f64 = factor.parse().expect("TEST_FACTOR is a number or `soak`");
            ((test as f64 * factor).round() as u64).max(1)
        }
        Err(_absent) => test,
    }
}
