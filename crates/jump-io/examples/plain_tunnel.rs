//! A tunnel without cryptography, one packet per system call: what a ping costs before any VPN
//! does its work. Usage: `plain_tunnel INTERFACE MTU listen|connect ADDRESS:PORT`.

use std::env;
use std::error::Error;
use std::io;
use std::net::UdpSocket;

use jump_io::tun::{Inbox, Offload, Tun};
use jump_proto::offload::VnetHeader;
use rustix::event::{PollFd, PollFlags, poll};

const DATAGRAM_MAX: usize = 65_535;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [interface, mtu, role, address] = words.as_slice() else {
        return Err("usage: plain_tunnel INTERFACE MTU listen|connect ADDRESS:PORT".into());
    };
    let tun = Tun::open(interface, mtu.parse()?, Offload::Nothing)?;
    let socket = if role == "listen" {
        UdpSocket::bind(address)?
    } else {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(address)?;
        socket
    };
    socket.set_nonblocking(true)?;
    forward(&tun, &socket)
}

/// Carries packets both ways for ever; who listens answers the first that ever sends.
fn forward(tun: &Tun, socket: &UdpSocket) -> Result<(), Box<dyn Error>> {
    let mut inbox = Inbox::new();
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        let mut ready = [PollFd::new(tun, PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
        poll(&mut ready, None)?;
        while let Some(read) = inbox.receive(tun)? {
            // Before the other end is known there is nowhere to send it; a full queue drops it.
            let _ = read.map(|packet| socket.send(packet.packet()));
        }
        while let Some(length) = receive(socket, &mut datagram)? {
            tun.send(VnetHeader::NONE, &datagram[..length])?;
        }
    }
}

fn receive(socket: &UdpSocket, datagram: &mut [u8]) -> io::Result<Option<usize>> {
    match socket.recv_from(datagram) {
        Ok((length, source)) => {
            if socket.peer_addr().is_err() {
                socket.connect(source)?;
            }
            Ok(Some(length))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
