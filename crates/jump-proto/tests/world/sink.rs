//! What an engine puts out in one call, and where it gets its entropy.

use jump_proto::engine::{Route, Sink};
use jump_proto::time::Entropy;

use super::Chance;

/// What one engine call put out.
pub struct Out {
    pub(super) datagrams: Vec<(Route, Vec<u8>)>,
    pub(super) inner: Vec<Vec<u8>>,
    pub(super) chance: Chance,
}

impl Sink for Out {
    fn deliver(&mut self, inner: &[u8]) {
        self.inner.push(inner.to_vec());
    }

    fn buffer(&mut self, route: Route, len: usize) -> &mut [u8] {
        self.datagrams.push((route, vec![0; len]));
        &mut self.datagrams.last_mut().unwrap().1
    }

    fn entropy(&mut self) -> &mut dyn Entropy {
        &mut self.chance
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

    fn entropy(&mut self) -> &mut dyn Entropy {
        self.0.entropy()
    }
}
