//! Time and entropy, both asked of the kernel.

use jump_proto::time::{Entropy, Instant};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, clock_gettime};

/// Returns the time of `CLOCK_BOOTTIME`, which goes on while the machine sleeps.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    Instant(time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000)
}

/// The kernel's random generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// Fills `out`; waits only where the kernel has not gathered its first entropy yet.
    ///
    /// # Panics
    ///
    /// When the kernel has no `getrandom`: nothing can be kept secret then.
    fn fill(&mut self, out: &mut [u8]) {
        let mut filled = 0;
        while filled < out.len() {
            match getrandom(&mut out[filled..], GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("the kernel gives no random bytes: {error}"),
            }
        }
    }
}
