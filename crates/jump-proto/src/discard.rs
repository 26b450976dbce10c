//! Why a packet was dropped. Each reason is a counter; none is ever told to the sender.

macro_rules! discards {
    ($($(#[$doc:meta])+ $variant:ident => $name:literal,)+) => {
        /// The one error of the packet path.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum Discard {
            $($(#[$doc])+ $variant,)+
        }

        impl Discard {
            /// Whether a network that only loses and repeats packets cannot cause this.
            pub fn is_suspicious(self) -> bool {
                matches!(
                    self,
                    Self::Forged
                        | Self::InnerSource
                        | Self::Malformed
                        | Self::RateLimited
                        | Self::Truncated
                        | Self::UnknownClient
                        | Self::UnknownLookup
                        | Self::UnknownType
                )
            }

            /// Every reason, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the name of this reason's counter.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

discards! {
    /// The dead-man deadline passed, or the session's slot was revoked.
    Fenced => "fenced",
    /// The tag, MAC or token did not verify.
    Forged => "forged",
    /// What was sealed is no IP packet.
    InnerMalformed => "inner_malformed",
    /// The inner source address is not the session's own.
    InnerSource => "inner_source",
    /// From one client to another, which policy does not allow.
    Isolated => "isolated",
    /// A length, a reserved byte or a field is not what the protocol allows.
    Malformed => "malformed",
    /// No session has this inner address, or no path is open.
    NoRoute => "no_route",
    /// A bounded table or buffer is full.
    Overloaded => "overloaded",
    /// The source prefix used up its rate.
    RateLimited => "rate_limited",
    /// The counter was accepted before.
    Replayed => "replayed",
    /// The counter is below the window or the floor: too old to tell whether it was seen.
    Stale => "stale",
    /// Shorter than the shortest packet of its type.
    Truncated => "truncated",
    /// A handshake with a static key that is not allowed.
    UnknownClient => "unknown_client",
    /// The receiver index names no binding here.
    UnknownIndex => "unknown_index",
    /// The lookup id does not open under the common key.
    UnknownLookup => "unknown_lookup",
    /// The first byte names no packet.
    UnknownType => "unknown_type",
    /// Under load, and the source address is not proven: a RETRY was sent.
    Unproven => "unproven",
    /// A protocol version, suite, cipher or fragment form that this build does not speak.
    Unsupported => "unsupported",
    /// A public key whose shared secret would be predictable.
    WeakKey => "weak_key",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_listed_once_each_in_alphabetical_order() {
        let names: alloc::vec::Vec<_> = Discard::ALL.iter().map(|reason| reason.as_str()).collect();

        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    }
}
