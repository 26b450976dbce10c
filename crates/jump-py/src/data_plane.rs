//! `DataPlane`: each method is one order or one question; what it means is written in
//! `_native.pyi`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use jump_io::clock::SystemEntropy;
use jump_io::plane::Plane;
use jump_io::{host, tun};
use jump_proto::client::{Client, PathView};
use jump_proto::discard::Discard;
use jump_proto::engine::{Engine, Sink};
use jump_proto::gateway::Gateway;
use jump_proto::time::Instant;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::error::Failure;
use crate::facts;
use crate::keys::Keys;
use crate::limits::Limits;

/// A running data plane of either role.
#[pyclass(frozen, module = "jumping_vpn._native")]
pub(crate) struct DataPlane(pub(crate) Plane<Engine>);

/// Path, active, up, srtt, jitter, base round trip, loss in and out, bytes in and out, packet size.
type PathRow = (u32, bool, bool, u32, u32, u32, f64, f64, u64, u64, u16);

/// Sealed root, packets given up and in doubt, window lost, counter lost, fresh lookup ids.
type DerivedRow<'py> = (Bound<'py, PyBytes>, u64, u64, bool, bool, Vec<[u8; 16]>);

#[pymethods]
impl DataPlane {
    #[staticmethod]
    #[pyo3(signature = (keys, *, node, incarnation, capacity))]
    fn gateway(keys: &Keys, node: u16, incarnation: u16, capacity: u32) -> Result<Self, Failure> {
        let (secrets, ciphers) = (keys.gateway()?, host::ciphers());
        let entropy = &mut SystemEntropy;
        let gateway = Gateway::new(secrets, ciphers, node, incarnation, capacity, entropy);
        Ok(Self(Plane::new(Engine::Gateway(Box::new(gateway)))?))
    }

    #[staticmethod]
    #[pyo3(signature = (keys, *, gateway_public))]
    fn client(keys: &Keys, gateway_public: &[u8]) -> Result<Self, Failure> {
        let public = array(gateway_public, "gateway_public")?;
        let client = Client::new(keys.client()?, public, host::ciphers());
        Ok(Self(Plane::new(Engine::Client(Box::new(client)))?))
    }

    fn start(&self, py: Python<'_>) -> Result<(), Failure> {
        Ok(py.detach(|| self.0.start())?)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    fn event_fd(&self) -> i32 {
        self.0.facts_ready().as_raw_fd()
    }

    fn drain<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let drained = self.0.drain(limit).map_err(Failure::from)?;
        let list = PyList::empty(py);
        if drained.dropped > 0 {
            list.append(facts::dropped(py, drained.dropped)?)?;
        }
        for fact in drained.facts {
            list.append(facts::to_tuple(py, fact)?)?;
        }
        Ok(list)
    }

    fn open_tun(&self, py: Python<'_>, name: &str, mtu: u32) -> Result<String, Failure> {
        Ok(py.detach(|| self.0.open_tun(name, mtu, tun::Offload::ALL))?)
    }

    fn extend_fence(&self, py: Python<'_>, until_us: u64) -> Result<(), Failure> {
        let until = Instant(until_us);
        self.order(py, |engine, _, _| {
            match engine {
                Engine::Gateway(gateway) => gateway.extend_fence(until),
                Engine::Client(client) => client.extend_fence(until),
            }
            Ok(())
        })
    }

    fn counters(&self, py: Python<'_>) -> Result<BTreeMap<&'static str, u64>, Failure> {
        let counters = py.detach(|| self.0.look(|engine| engine.counters().clone()))?;
        Ok(counters.named().chain(self.0.counters()).collect())
    }

    fn set_limits(&self, py: Python<'_>, number: u64, limits: &Limits) -> Result<(), Failure> {
        let limits = limits.0;
        self.order(py, |engine, _, _| {
            match engine {
                Engine::Gateway(gateway) => gateway.set_limits(number, limits),
                Engine::Client(client) => client.set_limits(limits),
            }
            Ok(())
        })
    }

    fn send_message(&self, py: Python<'_>, number: u64, message: &[u8]) -> Result<bool, Failure> {
        self.order(py, |engine, now, outbox| {
            Ok(match engine {
                Engine::Gateway(gateway) => gateway.send_message(number, message, now, outbox),
                Engine::Client(client) => client.send_message(message, now, outbox),
            })
        })
    }

    fn drop_binding(&self, py: Python<'_>, number: u64, epoch: u64) -> Result<(), Failure> {
        self.order(py, |engine, _, _| {
            match engine {
                Engine::Gateway(gateway) => gateway.drop_binding(number, epoch),
                Engine::Client(client) => client.drop_binding(epoch),
            }
            Ok(())
        })
    }

    // Gateway

    fn listen(&self, py: Python<'_>, address: &str, port: u16) -> Result<u16, Failure> {
        let address = SocketAddr::new(ip_address(address)?, port);
        Ok(py.detach(|| self.0.listen(address))?.port())
    }

    fn allow_clients(&self, py: Python<'_>, publics: Vec<Vec<u8>>) -> Result<(), Failure> {
        let publics: Vec<[u8; 32]> =
            publics.iter().map(|public| array(public, "publics")).collect::<Result<_, _>>()?;
        self.order_gateway(py, |gateway, _, _| {
            gateway.allow_clients(&publics);
            Ok(())
        })
    }

    fn set_isolation(&self, py: Python<'_>, isolated: bool) -> Result<(), Failure> {
        self.order_gateway(py, |gateway, _, _| {
            gateway.set_isolation(isolated);
            Ok(())
        })
    }

    fn seal_birth(&self, py: Python<'_>, birth: u64) -> Result<Vec<u8>, Failure> {
        py.detach(|| self.consult(|gateway, out| Ok(gateway.seal_birth(birth, out.entropy())?)))
    }

    fn adopt_birth(
        &self,
        py: Python<'_>,
        birth: u64,
        number: u64,
        addresses: Vec<String>,
        limits: &Limits,
    ) -> Result<(), Failure> {
        let (addresses, limits) = (ip_addresses(&addresses)?, limits.0);
        self.order_gateway(py, |gateway, now, _| {
            Ok(gateway.adopt_birth(birth, number, &addresses, limits, now)?)
        })
    }

    fn grant(&self, py: Python<'_>, number: u64, message: &[u8]) -> Result<bool, Failure> {
        self.order_gateway(py, |gateway, now, outbox| {
            Ok(gateway.grant(number, message, now, outbox))
        })
    }

    fn reject_birth(&self, py: Python<'_>, birth: u64, message: &[u8]) -> Result<(), Failure> {
        self.order_gateway(py, |gateway, _, outbox| {
            gateway.reject_birth(birth, message, outbox);
            Ok(())
        })
    }

    #[allow(clippy::too_many_arguments, reason = "a session's record has as many parts")]
    fn install(
        &self,
        py: Python<'_>,
        number: u64,
        session_id: &[u8],
        confirmed: (u64, Vec<u8>),
        unconfirmed: Option<(u64, Vec<u8>)>,
        addresses: Vec<String>,
        limits: &Limits,
    ) -> Result<(), Failure> {
        let session_id = array(session_id, "session_id")?;
        let (addresses, limits) = (ip_addresses(&addresses)?, limits.0);
        let confirmed = (confirmed.0, confirmed.1.as_slice());
        let unconfirmed = unconfirmed.as_ref().map(|(epoch, sealed)| (*epoch, sealed.as_slice()));
        self.order_gateway(py, |gateway, _, _| {
            Ok(gateway.install(number, session_id, confirmed, unconfirmed, &addresses, limits)?)
        })
    }

    fn holds(&self, py: Python<'_>, number: u64) -> Result<bool, Failure> {
        self.order_gateway(py, |gateway, _, _| Ok(gateway.holds(number)))
    }

    fn release(&self, py: Python<'_>, number: u64) -> Result<(), Failure> {
        self.order_gateway(py, |gateway, _, _| {
            gateway.release(number);
            Ok(())
        })
    }

    fn freeze(&self, py: Python<'_>, number: u64) -> Result<(), Failure> {
        self.order_gateway(py, |gateway, _, _| {
            gateway.freeze(number);
            Ok(())
        })
    }

    fn derive<'py>(
        &self,
        py: Python<'py>,
        token: u64,
        epoch: u64,
        owner: u16,
        ids: usize,
    ) -> Result<DerivedRow<'py>, Failure> {
        let (report, ids) = py.detach(|| {
            let derivation = self.consult(|gateway, out| {
                Ok(gateway.prepare(token, epoch, owner, out.entropy())?)
            })?;
            // The costly part: nobody waits for it but the caller.
            let derived = derivation.run()?;
            self.consult(|gateway, out| {
                let report = gateway.keep(token, derived, out.entropy())?;
                let ids = gateway.lookup_ids(report.number, ids, out.entropy());
                Ok((report, ids))
            })
        })?;
        let sealed = PyBytes::new(py, &report.sealed_root);
        let (given_up, in_doubt) = (report.given_up, report.in_doubt);
        Ok((sealed, given_up, in_doubt, report.window_lost, report.counter_lost, ids))
    }

    fn bind(&self, py: Python<'_>, token: u64, keep_previous: bool) -> Result<(), Failure> {
        let (now, keep) = (self.0.now(), keep_previous);
        self.brief(py, |gateway, out| Ok(gateway.bind(token, keep, now, out)?))
    }

    fn respond(&self, py: Python<'_>, token: u64, message: &[u8]) -> Result<(), Failure> {
        let now = self.0.now();
        self.brief(py, |gateway, out| Ok(gateway.respond(token, message, now, out)?))
    }

    fn flush(&self) {
        self.0.flush();
    }

    fn repeat_answer(&self, py: Python<'_>, token: u64) -> Result<bool, Failure> {
        self.order_gateway(py, |gateway, now, outbox| Ok(gateway.repeat_answer(token, now, outbox)))
    }

    fn forget(&self, py: Python<'_>, token: u64) -> Result<(), Failure> {
        self.order_gateway(py, |gateway, _, _| {
            gateway.forget(token);
            Ok(())
        })
    }

    fn session_gone(&self, py: Python<'_>, token: u64) -> Result<(), Failure> {
        self.order_gateway(py, |gateway, now, outbox| {
            gateway.session_gone(token, now, outbox);
            Ok(())
        })
    }

    fn session_found(&self, py: Python<'_>, token: u64) -> Result<(), Failure> {
        self.order_gateway(py, |gateway, now, _| {
            gateway.session_found(token, now);
            Ok(())
        })
    }

    fn lookup_ids(
        &self,
        py: Python<'_>,
        number: u64,
        count: usize,
    ) -> Result<Vec<[u8; 16]>, Failure> {
        self.brief(py, |gateway, out| Ok(gateway.lookup_ids(number, count, out.entropy())))
    }

    // Client

    fn restore(
        &self,
        py: Python<'_>,
        session_id: &[u8],
        epoch: u64,
        sealed: &[u8],
        limits: &Limits,
    ) -> Result<(), Failure> {
        let (session_id, limits) = (array(session_id, "session_id")?, limits.0);
        self.order_client(py, |client, _, _| Ok(client.restore(session_id, epoch, sealed, limits)?))
    }

    fn open_path(
        &self,
        py: Python<'_>,
        path: u32,
        interface: &str,
        remote: &str,
        port: u16,
        mark: u32,
    ) -> Result<(), Failure> {
        let remote = SocketAddr::new(ip_address(remote)?, port);
        let route = py.detach(|| self.0.open_path(path, interface, remote, mark))?;
        self.order_client(py, |client, now, _| {
            client.open_path(path, route, now);
            Ok(())
        })
    }

    fn close_path(&self, py: Python<'_>, path: u32) -> Result<(), Failure> {
        self.order_client(py, |client, _, _| {
            client.close_path(path);
            Ok(())
        })?;
        Ok(py.detach(|| self.0.close_path(path))?)
    }

    fn start_handshake(&self, py: Python<'_>, path: u32) -> Result<(), Failure> {
        self.order_client(py, |client, now, outbox| Ok(client.start_handshake(path, now, outbox)?))
    }

    fn stop_handshake(&self, py: Python<'_>) -> Result<(), Failure> {
        self.order_client(py, |client, _, _| {
            client.stop_handshake();
            Ok(())
        })
    }

    fn seal_root(&self, py: Python<'_>) -> Result<Vec<u8>, Failure> {
        self.order_client(py, |client, _, outbox| {
            client.seal_root(outbox.entropy()).ok_or(Failure::Engine(Discard::Stale))
        })
    }

    fn request(
        &self,
        py: Python<'_>,
        attempt: u64,
        candidates: Vec<(u32, Vec<u8>, Vec<u8>)>,
        early: bool,
    ) -> Result<(), Failure> {
        let candidates = candidates
            .into_iter()
            .map(|(path, id, message)| Ok((path, array(&id, "candidates")?, message)))
            .collect::<Result<Vec<_>, Failure>>()?;
        self.order_client(py, |client, now, outbox| {
            Ok(client.request(attempt, &candidates, early, now, outbox)?)
        })
    }

    fn withdraw(&self, py: Python<'_>) -> Result<(), Failure> {
        self.order_client(py, |client, _, _| {
            client.withdraw();
            Ok(())
        })
    }

    fn adopt(
        &self,
        py: Python<'_>,
        token: u64,
        epoch: u64,
        owner: u16,
    ) -> Result<Vec<u8>, Failure> {
        self.order_client(py, |client, _, outbox| {
            Ok(client.adopt(token, epoch, owner, outbox.entropy())?)
        })
    }

    fn activate(&self, py: Python<'_>, token: u64) -> Result<(u64, u64, u64), Failure> {
        self.order_client(py, |client, now, outbox| {
            let carried = client.activate(token, now, outbox)?;
            Ok((carried.resent, carried.given_up, carried.in_doubt))
        })
    }

    fn probe(
        &self,
        py: Python<'_>,
        path: u32,
        lookup_id: &[u8],
        interval_us: u64,
    ) -> Result<(), Failure> {
        let lookup_id = array(lookup_id, "lookup_id")?;
        self.order_client(py, |client, now, _| {
            client.probe(path, lookup_id, Duration::from_micros(interval_us), now);
            Ok(())
        })
    }

    fn paths(&self, py: Python<'_>) -> Result<Vec<PathRow>, Failure> {
        let views = self.order_client(py, |client, _, _| Ok(client.paths()))?;
        let row = |view: PathView| {
            let figures = view.figures;
            let (loss_in, loss_out) = facts::losses(&figures);
            let (srtt, jitter, base) = (figures.srtt_us, figures.jitter_us, figures.base_rtt_us);
            let (bytes_in, bytes_out) = (view.bytes_in, view.bytes_out);
            let PathView { path, active, up, packet_size: size, .. } = view;
            (path, active, up, srtt, jitter, base, loss_in, loss_out, bytes_in, bytes_out, size)
        };
        Ok(views.into_iter().map(row).collect())
    }

    fn erase(&self, py: Python<'_>) -> Result<(), Failure> {
        self.order_client(py, |client, _, _| {
            client.erase();
            Ok(())
        })
    }
}

fn array<const LENGTH: usize>(bytes: &[u8], what: &str) -> Result<[u8; LENGTH], Failure> {
    let found = bytes.len();
    bytes
        .try_into()
        .map_err(|_| Failure::Argument(format!("{what}: expected {LENGTH} bytes, found {found}")))
}

pub(crate) fn ip_address(text: &str) -> Result<IpAddr, Failure> {
    text.parse().map_err(|_| Failure::Argument(format!("\"{text}\" is no IP address")))
}

fn ip_addresses(texts: &[String]) -> Result<Vec<IpAddr>, Failure> {
    texts.iter().map(|text| ip_address(text)).collect()
}
