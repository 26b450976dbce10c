//! What an engine puts out in one call, and where it gets its entropy.

use jump_proto::engine::{Place, Route, Sink};
use jump_proto::time::Entropy;

use super::Chance;

/// A datagram on its way out.
pub(super) struct Sent {
    pub(super) route: Route,
    pub(super) bytes: Vec<u8>,
    /// It leaves in one message with the one before it.
    pub(super) coupled: bool,
}

/// What one engine call put out.
pub struct Out {
    pub(super) datagrams: Vec<Sent>,
    /// What the next datagram may be coupled to: the route and the size of a train that is not closed.
    pub(super) train: Option<(Route, usize)>,
    pub(super) inner: Vec<Vec<u8>>,
    pub(super) chance: Chance,
}

impl Sink for Out {
    fn deliver(&mut self, inner: &[u8]) {
        self.inner.push(inner.to_vec());
    }

    fn buffer(&mut self, route: Route, len: usize) -> &mut [u8] {
        self.train = None;
        self.push(route, len, false)
    }

    fn couple(&mut self, route: Route, len: usize) -> Place<'_> {
        let fits = |(of, size): (Route, usize)| of == route && len <= size;
        let coupled = self.train.is_some_and(fits);
        let size = self.train.filter(|_| coupled).map_or(len, |(_, size)| size);
        // A shorter one is the last.
        self.train = (len == size).then_some((route, size));
        Place { bytes: self.push(route, len, coupled), coupled }
    }

    fn entropy(&mut self) -> &mut dyn Entropy {
        &mut self.chance
    }
}

impl Out {
    pub(super) fn new(chance: Chance) -> Self {
        Self { datagrams: Vec::new(), train: None, inner: Vec::new(), chance }
    }

    fn push(&mut self, route: Route, len: usize, coupled: bool) -> &mut [u8] {
        self.datagrams.push(Sent { route, bytes: vec![0; len], coupled });
        &mut self.datagrams.last_mut().unwrap().bytes
    }
}

/// The sink of one call, for those who need its entropy.
pub struct Sunk(pub(super) Out);

impl Sink for Sunk {
    fn deliver(&mut self, inner: &[u8]) {
        self.0.deliver(inner);
    }

    fn buffer(&mut self, route: Route, len: usize) -> &mut [u8] {
        self.0.buffer(route, len)
    }

    fn couple(&mut self, route: Route, len: usize) -> Place<'_> {
        self.0.couple(route, len)
    }

    fn entropy(&mut self) -> &mut dyn Entropy {
        self.0.entropy()
    }
}
