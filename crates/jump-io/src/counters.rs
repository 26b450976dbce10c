//! What the loop counts: one writer, any number of readers.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that only the packet loop writes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: usize) {
        // One writer: a load and a store are enough, and cheaper than a locked addition.
        let value = self.0.load(Ordering::Relaxed) + count as u64;
        self.0.store(value, Ordering::Relaxed);
    }

    /// Returns the count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident,)*) => {
        /// The loop's counters, each named as its field.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(#[doc = $doc] pub $name: Counter,)*
        }

        impl Counters {
            /// Returns every counter with its name.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    #[doc = "Datagrams handed to the engine."]
    datagrams_in,
    #[doc = "Datagrams that the kernel took."]
    datagrams_out,
    #[doc = "Receive calls that failed; an ICMP error is one."]
    receive_errors,
    #[doc = "Datagrams dropped because the batch was full behind a blocked socket."]
    send_overflow,
    #[doc = "Datagrams dropped after their socket stayed blocked too long."]
    send_blocked,
    #[doc = "Datagrams that the kernel refused."]
    send_errors,
    #[doc = "Datagrams larger than the interface or path allows."]
    send_too_big,
    #[doc = "Datagrams for a path that is not open."]
    send_unrouted,
    #[doc = "Messages that carried them; one carries up to 64."]
    trains_out,
    #[doc = "Sockets that take no message with more than one datagram."]
    trains_refused,
    #[doc = "Turns of the loop."]
    turns,
    #[doc = "Packets that the TUN gave."]
    tun_in,
    #[doc = "Reads that brought them; one brings up to 64 KiB of one flow."]
    tun_reads,
    #[doc = "Reads that brought what cannot be cut into packets."]
    tun_malformed,
    #[doc = "Writes to the TUN; one takes up to 64 KiB of one flow."]
    tun_out,
    #[doc = "Writes that the TUN refused, or that came while there was none."]
    tun_refused,
}
