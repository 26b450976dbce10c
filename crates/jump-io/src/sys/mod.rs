//! The system calls that no library wraps as we need them; `unsafe` lives here and nowhere else.
#![allow(unsafe_code)]

pub(crate) mod descriptor;
pub(crate) mod message;
pub(crate) mod packet;
pub(crate) mod tun;
