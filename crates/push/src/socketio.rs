//! Socket.IO v5: namespaces, events, acknowledgements and attachments over the messages of a session, as text forms.
//!
//! `packet` reads what a client sends, `encode` writes what the server sends, `attachments` gathers the binary parts of
//! a packet. Who is connected and who is in which room is in `reactor::sockets`.

pub mod attachments;
pub mod encode;
pub mod packet;
