//! Engine.IO v4: sessions that survive a change of transport, as pure text forms.
//!
//! `packet` is one packet, `payload` the packets of one long-polling body, `session_id` the name of a session. What
//! happens in a session (heart-beat, upgrade, close) is in `reactor`; what its messages mean is for `socketio`, or for
//! an embedder of bare sessions.

pub mod application;
pub mod packet;
pub mod payload;
pub mod session_id;
