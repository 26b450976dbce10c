//! `Stepper`: a data plane in virtual time, for simulations. Orders and facts go through the `DataPlane` that it
//! holds, as they do with a running one.

use std::net::SocketAddr;

use jump_io::host;
use jump_io::plane::Plane;
use jump_io::stepped::{Arrival, Seeded};
use jump_proto::client::Client;
use jump_proto::engine::{Engine, Route, Via};
use jump_proto::gateway::Gateway;
use jump_proto::time::Instant;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::data_plane::DataPlane;
use crate::error::Failure;
use crate::keys::Keys;

/// A data plane whose time, entropy and packets are its caller's.
#[pyclass(frozen, module = "jumping_vpn._native")]
pub(crate) struct Stepper(Py<DataPlane>);

/// Datagrams, inner packets, the next deadline, whether the TUN may be read, news.
type TurnRow<'py> = (Vec<SentRow<'py>>, Vec<Bound<'py, PyBytes>>, Option<u64>, bool, bool);

/// The path (none at a gateway), the remote address, the datagram.
type SentRow<'py> = (Option<u32>, String, Bound<'py, PyBytes>);

#[pymethods]
impl Stepper {
    #[staticmethod]
    #[pyo3(signature = (keys, *, node, incarnation, capacity, seed))]
    fn gateway(
        py: Python<'_>,
        keys: &Keys,
        node: u16,
        incarnation: u16,
        capacity: u32,
        seed: u64,
    ) -> PyResult<Self> {
        let (secrets, entropy) = (keys.gateway()?, &mut Seeded::new(!seed));
        let gateway = Gateway::new(secrets, host::ciphers(), node, incarnation, capacity, entropy);
        Self::around(py, Engine::Gateway(Box::new(gateway)), seed)
    }

    #[staticmethod]
    #[pyo3(signature = (keys, *, gateway_public, seed))]
    fn client(py: Python<'_>, keys: &Keys, gateway_public: [u8; 32], seed: u64) -> PyResult<Self> {
        let client = Client::new(keys.client()?, gateway_public, host::ciphers());
        Self::around(py, Engine::Client(Box::new(client)), seed)
    }

    fn plane(&self, py: Python<'_>) -> Py<DataPlane> {
        self.0.clone_ref(py)
    }

    fn set_time(&self, now_us: u64) {
        self.plane_of().set_time(Instant(now_us));
    }

    fn hear(&self, path: Option<u32>, remote: &str, datagram: &[u8]) -> Result<(), Failure> {
        let remote: SocketAddr = remote
            .parse()
            .map_err(|_| Failure::Argument(format!("\"{remote}\" is no address with a port")))?;
        let from = Route { via: via(path), remote, local: None };
        self.arrive(Arrival::Datagram(from, &mut datagram.to_vec()))
    }

    fn read(&self, inner: &[u8]) -> Result<(), Failure> {
        self.arrive(Arrival::Inner(inner))
    }

    fn fail(&self, path: u32, errno: i32) -> Result<(), Failure> {
        self.arrive(Arrival::SocketFailed(Via::Path(path), errno))
    }

    fn too_big(&self, path: u32, size: usize) -> Result<(), Failure> {
        self.arrive(Arrival::TooBig(Via::Path(path), size))
    }

    fn turn<'py>(&self, py: Python<'py>, due: bool) -> PyResult<TurnRow<'py>> {
        let turn = self.plane_of().turn(due).map_err(Failure::from)?;
        let sent = turn.sent.iter().map(|(route, datagram)| {
            let path = match route.via {
                Via::Path(path) => Some(path),
                Via::Listener(_) => None,
            };
            (path, route.remote.to_string(), PyBytes::new(py, datagram))
        });
        let delivered = turn.delivered.iter().map(|inner| PyBytes::new(py, inner));
        let deadline = turn.deadline.map(|Instant(us)| us);
        Ok((sent.collect(), delivered.collect(), deadline, turn.tun_open, turn.told))
    }
}

impl Stepper {
    fn around(py: Python<'_>, engine: Engine, seed: u64) -> PyResult<Self> {
        let plane = Plane::stepped(engine, seed).map_err(Failure::from)?;
        Ok(Self(Py::new(py, DataPlane(plane))?))
    }

    fn plane_of(&self) -> &Plane<Engine> {
        &self.0.get().0
    }

    fn arrive(&self, arrival: Arrival<'_>) -> Result<(), Failure> {
        Ok(self.plane_of().arrive(arrival)?)
    }
}

/// A gateway's data plane has one listener, a client's has paths.
fn via(path: Option<u32>) -> Via {
    path.map_or(Via::Listener(0), Via::Path)
}
