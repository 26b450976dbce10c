//! What touches the kernel: TUN, UDP sockets, the event loop, and the lab's link element.
//!
//! One thread, the [packet loop](packet_loop), moves every packet to completion:
//!
//! 1. `epoll` says which descriptors are ready, or a timer says that the engine is due.
//! 2. Datagrams are received in batches ([`udp`]) and handed to the engine, which opens them in
//!    place and delivers the inner packets to the TUN ([`tun`]) at once.
//! 3. Packets read from the TUN are sealed by the engine straight into the send batch ([`batch`]).
//! 4. The batch leaves with as few system calls as possible, outside of the engine's lock.
//! 5. What the engine has to report goes to one bounded queue with one descriptor ([`facts`]).
//!
//! The engine is shared with the control plane through a fair lock ([`turnstile`]): the loop takes
//! it once per batch, an order takes it for microseconds and then wakes the loop ([`plane`]).
#![deny(unsafe_code)]

pub mod batch;
pub mod clock;
pub mod counters;
pub mod engine;
pub mod facts;
pub mod host;
pub mod keyfile;
pub mod link;
pub mod outbox;
mod outlet;
mod packet_loop;
pub mod plane;
mod sockets;
pub mod stepped;
mod sys;
pub mod tun;
pub mod turnstile;
pub mod udp;
