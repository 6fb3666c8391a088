//! Free ports of 127.0.0.1. The system may give a freed port to somebody else before the server has bound it;
//! callers notice that the server ended, and try again with others.

use std::net::{Ipv4Addr, TcpListener};

use crate::Error;

pub(crate) fn free<const N: usize>() -> Result<[u16; N], Error> {
    let mut ports = [0; N];
    // All are held until all are known, so that they differ.
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(no_port)?;
        *port = listener.local_addr().map_err(no_port)?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Whether somebody listens on `port` already.
pub(crate) fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

fn no_port(source: std::io::Error) -> Error {
    Error::NoFreePort { source }
}
