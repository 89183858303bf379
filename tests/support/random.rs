//! Reproducible randomness: a seed that is printed, and numbers that follow from it.

/// SplitMix64 (Steele, Lea and Flood, 2014): good enough for fault plans, one line of state.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From the environment's `E2E_SEED`, else a fresh seed; printed, so that a failure can be repeated.
    pub fn seeded(test: &str) -> Self {
        let given = std::env::var("E2E_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        });
        println!("{test}: E2E_SEED={seed}");
        Self(seed)
    }

    /// From a number.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
