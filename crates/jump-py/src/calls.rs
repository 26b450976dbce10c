//! How a call reaches the engine: with or without the interpreter, waking the packet loop or not.

use jump_io::outbox::Outbox;
use jump_proto::client::Client;
use jump_proto::engine::Engine;
use jump_proto::gateway::Gateway;
use jump_proto::time::Instant;
use pyo3::prelude::*;

use crate::data_plane::DataPlane;
use crate::error::Failure;

impl DataPlane {
    pub(crate) fn order<T: Send>(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut Engine, Instant, &mut Outbox) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        py.detach(|| self.0.order(change))?
    }

    pub(crate) fn order_gateway<T: Send>(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut Gateway, Instant, &mut Outbox) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        self.order(py, |engine, now, outbox| match engine {
            Engine::Gateway(gateway) => change(gateway, now, outbox),
            Engine::Client(_) => Err(Failure::Role("gateway")),
        })
    }

    /// Has the gateway make something for which the loop is not woken: an answer follows, or nothing does.
    pub(crate) fn consult<T>(
        &self,
        make: impl FnOnce(&mut Gateway, &mut Outbox) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.0.consult(|engine, outbox| match engine {
            Engine::Gateway(gateway) => make(gateway, outbox),
            Engine::Client(_) => Err(Failure::Role("gateway")),
        })?
    }

    /// The same for what takes microseconds. The interpreter is released only where somebody else holds the
    /// engine: to give it away and wait to have it back costs more than the work.
    pub(crate) fn brief<T: Send>(
        &self,
        py: Python<'_>,
        make: impl FnOnce(&mut Gateway, &mut Outbox) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let tried =
            self.0.try_consult(|engine: &mut Engine, outbox: &mut Outbox| match engine {
                Engine::Gateway(gateway) => make(gateway, outbox),
                Engine::Client(_) => Err(Failure::Role("gateway")),
            })?;
        match tried {
            Ok(result) => result,
            Err(make) => py.detach(|| self.0.consult(make))?,
        }
    }

    pub(crate) fn order_client<T: Send>(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut Client, Instant, &mut Outbox) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        self.order(py, |engine, now, outbox| match engine {
            Engine::Client(client) => change(client, now, outbox),
            Engine::Gateway(_) => Err(Failure::Role("client")),
        })
    }
}
