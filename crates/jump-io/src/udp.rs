//! UDP sockets: the client's, one per path, connected and bound to an interface; the gateway's, one
//! per address.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{RecvMeta, UdpSocketState};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use jump_proto::engine::Via;

/// Messages per receive call; with GRO each may hold up to 64 datagrams.
pub const RECEIVE_MESSAGES: usize = 16;
/// Room for each: the longest that the kernel coalesces, so that nothing is ever truncated.
const MESSAGE_MAX: usize = 65_536;
/// Bursts wait in the kernel while the loop is busy.
const SOCKET_BUFFER: usize = 4 << 20;

/// A UDP socket with its place in the engine's world.
#[derive(Debug)]
pub struct Udp {
    socket: Socket,
    state: UdpSocketState,
    via: Via,
}

impl Udp {
    /// Opens a client's path: bound to `interface` (empty: any), marked, connected to `remote`.
    pub fn connect(path: u32, interface: &str, remote: SocketAddr, mark: u32) -> io::Result<Self> {
        let socket = open(remote)?;
        let mut remote = remote;
        if !interface.is_empty() {
            socket.bind_device(Some(interface.as_bytes()))?;
            if let SocketAddr::V6(address) = &mut remote
                && address.ip().is_unicast_link_local()
            {
                address.set_scope_id(rustix::net::netdevice::name_to_index(&socket, interface)?);
            }
        }
        if mark != 0 {
            socket.set_mark(mark)?;
        }
        socket.connect(&remote.into())?;
        Self::new(socket, Via::Path(path))
    }

    /// Opens a gateway's socket on `address`; IPv6 takes IPv6 only, so that both versions may share
    /// a port.
    pub fn listen(listener: u32, address: SocketAddr) -> io::Result<Self> {
        let socket = open(address)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        Self::new(socket, Via::Listener(listener))
    }

    /// Receives a batch; `Ok(0)` says that nothing is there, an error is at most a hint about the
    /// path.
    pub fn receive(&self, mail: &mut Mail) -> io::Result<usize> {
        let mut messages = mail.space.chunks_exact_mut(MESSAGE_MAX);
        let mut slices: [IoSliceMut<'_>; RECEIVE_MESSAGES] =
            std::array::from_fn(|_| IoSliceMut::new(messages.next().unwrap_or_default()));
        mail.received = 0;
        match self.state.recv((&self.socket).into(), &mut slices, &mut mail.metas) {
            Ok(count) => {
                mail.received = count;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Returns which socket this is to the engine.
    pub fn via(&self) -> Via {
        self.via
    }

    /// Returns the address that the socket is bound to.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
    }

    /// Returns the address that the socket is connected to.
    pub fn remote_address(&self) -> io::Result<SocketAddr> {
        self.socket
            .peer_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
    }

    fn new(socket: Socket, via: Via) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state, via })
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Where datagrams are received into.
#[derive(Debug)]
pub struct Mail {
    space: Box<[u8]>,
    metas: [RecvMeta; RECEIVE_MESSAGES],
    received: usize,
}

/// One datagram as it came.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub remote: SocketAddr,
    /// The address of ours that it was sent to.
    pub local: Option<IpAddr>,
    /// Its bytes, to be opened in place.
    pub bytes: &'a mut [u8],
}

impl Mail {
    /// Makes room for one batch.
    pub fn new() -> Self {
        Self {
            space: vec![0; RECEIVE_MESSAGES * MESSAGE_MAX].into_boxed_slice(),
            metas: [RecvMeta::default(); RECEIVE_MESSAGES],
            received: 0,
        }
    }

    /// Hands out each datagram of the last batch; a coalesced message is cut again.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let messages = self.space.chunks_exact_mut(MESSAGE_MAX);
        messages.zip(&self.metas[..self.received]).flat_map(|(message, meta)| {
            let length = meta.len.min(message.len());
            message[..length].chunks_mut(meta.stride.max(1)).map(|bytes| Datagram {
                remote: meta.addr,
                local: meta.dst_ip,
                bytes,
            })
        })
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self::new()
    }
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // The forced sizes pass the system's limit and need a privilege; the plain ones are clamped by
    // it.
    if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER)?;
    }
    if sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
        sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER)?;
    }
    Ok(socket)
}
