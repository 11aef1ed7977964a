//! `miaosha-load sockets` and `miaosha-load sale` as they are shipped: the binary, with its worker processes, against a
//! small site on a free port of this machine (`site`).

#![expect(clippy::unwrap_used, reason = "a test's own server and files; a panic is the failure")]

mod sale;
mod site;
mod sockets;
