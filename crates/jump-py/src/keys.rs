//! Keys: loaded, created and handed to the data plane without ever being a Python object.

use std::fs::File;
use std::path::PathBuf;

use jump_io::clock::SystemEntropy;
use jump_io::host;
use jump_io::keyfile::{ClientKeys, GatewayKeys};
use jump_proto::gateway::GatewaySecrets;
use jump_proto::keys::{ClusterSecrets, StaticKey};
use pyo3::prelude::*;

use crate::error::Failure;

/// The secrets of a gateway or of a client.
#[pyclass(frozen, module = "jumping_vpn._native")]
pub(crate) struct Keys(Holder);

enum Holder {
    Client(ClientKeys),
    Gateway(GatewayKeys),
}

#[pymethods]
impl Keys {
    /// Create `gateway.key`, `node.key` and `cluster.key`; `FileExistsError` if one is there.
    #[staticmethod]
    fn create_gateway(py: Python<'_>, directory: PathBuf) -> Result<Self, Failure> {
        let created = py.detach(|| GatewayKeys::create(&directory, &mut SystemEntropy));
        Ok(Self(Holder::Gateway(created?)))
    }

    /// Load what `create_gateway` created.
    #[staticmethod]
    fn load_gateway(py: Python<'_>, directory: PathBuf) -> Result<Self, Failure> {
        let loaded = py.detach(|| GatewayKeys::load(&directory))?;
        Ok(Self(Holder::Gateway(loaded)))
    }

    /// Return the keys of a client configuration and its text with the secrets blanked out.
    #[staticmethod]
    fn load_client(py: Python<'_>, path: PathBuf) -> Result<(Self, String), Failure> {
        let (keys, text) = py.detach(|| ClientKeys::load(&path))?;
        Ok((Self(Holder::Client(keys)), text))
    }

    /// Return the public half of the identity.
    fn public(&self) -> [u8; 32] {
        match &self.0 {
            Holder::Client(keys) => *keys.identity.public(),
            Holder::Gateway(keys) => *keys.identity.public(),
        }
    }
}

impl Keys {
    /// Returns the secrets that a gateway's engine keeps for itself.
    pub(crate) fn gateway(&self) -> Result<GatewaySecrets, Failure> {
        let Holder::Gateway(keys) = &self.0 else {
            return Err(Failure::Role("client"));
        };
        Ok(GatewaySecrets {
            identity: StaticKey::new(keys.identity.private().duplicate()),
            node: keys.node.duplicate(),
            cluster: ClusterSecrets::derive(&keys.cluster),
        })
    }

    /// Returns the identity that a client's engine keeps for itself.
    pub(crate) fn client(&self) -> Result<StaticKey, Failure> {
        let Holder::Client(keys) = &self.0 else {
            return Err(Failure::Role("gateway"));
        };
        if keys.psk.is_some() {
            return Err(Failure::Argument("psk: the gateway does not take pre-shared keys".into()));
        }
        Ok(StaticKey::new(keys.identity.private().duplicate()))
    }
}

/// Generate a key pair, write `template` with `@PRIVATE_KEY@` replaced, return the public key.
#[pyfunction]
pub(crate) fn write_client_config(
    py: Python<'_>,
    descriptor: i32,
    template: &str,
) -> Result<[u8; 32], Failure> {
    let public = py.detach(|| {
        let file = File::from(host::duplicate(descriptor)?);
        ClientKeys::write_config(&file, template, &mut SystemEntropy)
    });
    Ok(public?)
}
