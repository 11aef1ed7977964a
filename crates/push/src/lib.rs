//! An Engine.IO v4 / Socket.IO v5 server for very many idle connections.
