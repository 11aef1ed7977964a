//! Connecting from an own address that was chosen beforehand.

use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::os::fd::AsFd;

/// To be called before the socket is bound to an address without a port: the kernel then chooses the port when it connects.
/// A port serves once for each address connected to, and not once for all; and one whose last connection was closed a
/// second ago is free again, where there are timestamps.
pub(crate) fn choose_port_late(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::SocketAddr;

    #[test]
    fn a_bound_socket_has_no_port_before_it_connects() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        choose_port_late(&socket).unwrap();
        let source = SocketAddr::from(([127, 0, 0, 9], 0));
        socket.bind(&source.into()).unwrap();
        assert_eq!(socket.local_addr().unwrap().as_socket(), Some(source));
    }
}
