//! The sockets that are open, found by what the engine calls them.

use jump_proto::engine::Via;
use rustix::event::epoll;
use rustix::fd::OwnedFd;

use crate::udp::Udp;

/// A client has a handful of paths and a gateway one socket per address: a scan beats a map.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: Vec<OpenSocket>,
    next_key: u64,
}

/// A socket and what the last calls on it have shown.
#[derive(Debug)]
pub(crate) struct OpenSocket {
    pub(crate) udp: Udp,
    /// What `epoll` calls it; never used again, so that a late event finds nothing.
    pub(crate) key: u64,
    /// The kernel takes nothing more until it says so.
    pub(crate) blocked: bool,
    /// The last send failed locally, and that was told.
    pub(crate) failed: bool,
    /// The kernel takes several datagrams as one message.
    pub(crate) couples: bool,
}

impl Sockets {
    /// Takes the keys from `first_key` on.
    pub(crate) fn new(first_key: u64) -> Self {
        Self { open: Vec::new(), next_key: first_key }
    }

    /// Adds a socket, in place of one with the same name.
    pub(crate) fn add(&mut self, udp: Udp, epoll: &OwnedFd) -> rustix::io::Result<()> {
        self.remove(udp.via());
        let key = self.next_key;
        self.next_key += 1;
        epoll::add(epoll, &udp, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
        self.open.push(OpenSocket { udp, key, blocked: false, failed: false, couples: true });
        Ok(())
    }

    /// Closes the socket `via`, which also ends the watch on it.
    pub(crate) fn remove(&mut self, via: Via) {
        self.open.retain(|socket| socket.udp.via() != via);
    }

    pub(crate) fn get_mut(&mut self, via: Via) -> Option<&mut OpenSocket> {
        self.open.iter_mut().find(|socket| socket.udp.via() == via)
    }

    /// Notes that the socket that `epoll` calls `key` takes datagrams again.
    pub(crate) fn unblock(&mut self, key: u64, epoll: &OwnedFd) {
        if let Some(socket) = self.open.iter_mut().find(|socket| socket.key == key) {
            socket.set_blocked(false, epoll);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn at(&self, place: usize) -> Option<&OpenSocket> {
        self.open.get(place)
    }
}

impl OpenSocket {
    /// Notes whether the kernel takes datagrams, and asks to be told when it does again.
    pub(crate) fn set_blocked(&mut self, blocked: bool, epoll: &OwnedFd) {
        if self.blocked == blocked {
            return;
        }
        self.blocked = blocked;
        let mut wanted = epoll::EventFlags::IN;
        wanted.set(epoll::EventFlags::OUT, blocked);
        // A failure leaves the age limit of the batch to end the block.
        let _ = epoll::modify(epoll, &self.udp, epoll::EventData::new_u64(self.key), wanted);
    }
}
