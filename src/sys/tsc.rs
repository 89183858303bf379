//! The processor's time stamp counter, where it is invariant.
//!
//! Owns one instruction and the check whether it may be used. Knows nothing of wall clocks.

/// Whether [`ticks`] counts at one constant rate on all cores (CPUID 80000007H, EDX bit 8; Intel SDM
/// vol. 3 §18.17.1, AMD APM vol. 3 "Invariant TSC").
pub fn is_invariant() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::__cpuid;
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// The counter's value; only meaningful where [`is_invariant`].
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: RDTSC exists on every x86-64 processor and touches no memory.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        0
    }
}
