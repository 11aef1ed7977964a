//! Who has joined which namespace on one thread, under which tag, and in which rooms.
//!
//! Plain data without I/O. Lists run through the records themselves, and a socket in one room needs no allocation, so
//! that an idle signed-in connection costs little.

use std::collections::HashMap;

use slab::Slab;

use super::Key;
use crate::application::SocketId;

/// Marks the end of a list.
pub(crate) const NO_SOCKET: Key = Key::MAX;

/// The sockets of one thread.
#[derive(Debug)]
pub(crate) struct Sockets {
    reactor: u8,
    generation: u32,
    records: Slab<Socket>,
    tagged: HashMap<u64, Key>,
    room_keys: Vec<HashMap<Box<str>, Key>>,
    rooms: Slab<Room>,
}

/// One client in one namespace.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) connection: Key,
    pub(crate) namespace: u8,
    /// Whether the client has been told that it has joined.
    pub(crate) has_joined: bool,
    pub(crate) tag: Option<u64>,
    generation: u32,
    next_of_connection: Key,
    previous_of_tag: Key,
    next_of_tag: Key,
    rooms: Rooms,
}

/// The rooms of one socket; most are in one.
#[derive(Debug, Default)]
enum Rooms {
    #[default]
    None,
    One(Membership),
    #[expect(clippy::box_collection, reason = "keeps the record of those in one room small")]
    Many(Box<Vec<Membership>>),
}

#[derive(Clone, Copy, Debug)]
struct Membership {
    room: Key,
    position: u32,
}

#[derive(Debug)]
struct Room {
    namespace: u8,
    name: Box<str>,
    members: Vec<Key>,
}

impl Sockets {
    /// No sockets yet, in any of `namespaces` namespaces.
    pub(crate) fn new(reactor: u8, namespaces: usize) -> Self {
        Self {
            reactor,
            generation: 0,
            records: Slab::new(),
            tagged: HashMap::new(),
            room_keys: vec![HashMap::new(); namespaces],
            rooms: Slab::new(),
        }
    }

    /// Adds a socket that has not joined yet at the head of its connection's list.
    pub(crate) fn insert(&mut self, connection: Key, first: &mut Key, namespace: u8) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let key = self.records.insert(Socket {
            connection,
            namespace,
            has_joined: false,
            tag: None,
            generation: self.generation,
            next_of_connection: *first,
            previous_of_tag: NO_SOCKET,
            next_of_tag: NO_SOCKET,
            rooms: Rooms::None,
        });
        *first = as_key(key);
        *first
    }

    /// Takes a socket out of its connection's list, its rooms and its tag.
    pub(crate) fn remove(&mut self, key: Key, first: &mut Key) -> Socket {
        self.leave_all(key);
        self.untag(key);
        let socket = self.records.remove(key as usize);
        if *first == key {
            *first = socket.next_of_connection;
        } else {
            let mut other = *first;
            while other != NO_SOCKET {
                let next = &mut self.records[other as usize].next_of_connection;
                if *next == key {
                    *next = socket.next_of_connection;
                    break;
                }
                other = *next;
            }
        }
        socket
    }

    /// The socket of this name, if it still exists.
    pub(crate) fn lookup(&self, id: SocketId) -> Option<(Key, &Socket)> {
        let socket = self.records.get(id.key as usize)?;
        (socket.generation == id.generation).then_some((id.key, socket))
    }

    /// The socket of a connection in a namespace.
    pub(crate) fn lookup_of_connection(&self, first: Key, namespace: u8) -> Option<Key> {
        let mut key = first;
        while let Some(socket) = self.records.get(key as usize) {
            if socket.namespace == namespace {
                return Some(key);
            }
            key = socket.next_of_connection;
        }
        None
    }

    /// The socket behind a key that is known to be in use.
    pub(crate) fn get(&self, key: Key) -> &Socket {
        &self.records[key as usize]
    }

    /// The name of a socket.
    pub(crate) fn id(&self, key: Key) -> SocketId {
        let socket = self.get(key);
        SocketId { key, generation: socket.generation, reactor: self.reactor, namespace: socket.namespace }
    }

    /// Notes that the client has joined, and lists the socket under its tag.
    pub(crate) fn mark_joined(&mut self, key: Key, tag: Option<u64>) {
        let first = tag.and_then(|tag| self.tagged.insert(tag, key)).unwrap_or(NO_SOCKET);
        if first != NO_SOCKET {
            self.records[first as usize].previous_of_tag = key;
        }
        let socket = &mut self.records[key as usize];
        socket.has_joined = true;
        socket.tag = tag;
        socket.next_of_tag = first;
    }

    /// The sockets with this tag, in all namespaces.
    pub(crate) fn tagged(&self, tag: u64) -> impl Iterator<Item = &Socket> {
        let mut key = self.tagged.get(&tag).copied().unwrap_or(NO_SOCKET);
        std::iter::from_fn(move || {
            let socket = self.records.get(key as usize)?;
            key = socket.next_of_tag;
            Some(socket)
        })
    }

    /// All sockets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Socket> {
        self.records.iter().map(|(_, socket)| socket)
    }

    /// The sockets in a room.
    pub(crate) fn members(&self, namespace: u8, room: &str) -> impl Iterator<Item = &Socket> {
        let members = match self.room_keys[usize::from(namespace)].get(room) {
            Some(room) => self.rooms[*room as usize].members.as_slice(),
            None => &[],
        };
        members.iter().map(|key| self.get(*key))
    }

    /// Puts a socket into a room; nothing changes if it is there.
    pub(crate) fn join(&mut self, key: Key, name: &str) {
        let namespace = self.get(key).namespace;
        let room = if let Some(room) = self.room_keys[usize::from(namespace)].get(name) {
            *room
        } else {
            let name: Box<str> = name.into();
            let room = as_key(self.rooms.insert(Room { namespace, name: name.clone(), members: Vec::new() }));
            self.room_keys[usize::from(namespace)].insert(name, room);
            room
        };
        let socket = &mut self.records[key as usize];
        if socket.rooms.as_slice().iter().any(|membership| membership.room == room) {
            return;
        }
        let members = &mut self.rooms[room as usize].members;
        socket.rooms.push(Membership { room, position: as_key(members.len()) });
        members.push(key);
    }

    /// Takes a socket out of a room; nothing changes if it is not there.
    pub(crate) fn leave(&mut self, key: Key, name: &str) {
        let socket = &mut self.records[key as usize];
        let Some(room) = self.room_keys[usize::from(socket.namespace)].get(name).copied() else {
            return;
        };
        if let Some(membership) = socket.rooms.take(room) {
            self.remove_member(membership);
        }
    }

    fn leave_all(&mut self, key: Key) {
        let rooms = std::mem::take(&mut self.records[key as usize].rooms);
        for membership in rooms.as_slice() {
            self.remove_member(*membership);
        }
    }

    fn remove_member(&mut self, Membership { room, position }: Membership) {
        let members = &mut self.rooms[room as usize].members;
        members.swap_remove(position as usize);
        if let Some(moved) = members.get(position as usize) {
            self.records[*moved as usize].rooms.set_position(room, position);
        } else if members.is_empty() {
            let Room { namespace, name, .. } = self.rooms.remove(room as usize);
            self.room_keys[usize::from(namespace)].remove(&name);
        }
    }

    fn untag(&mut self, key: Key) {
        let Socket { tag: Some(tag), previous_of_tag, next_of_tag, .. } = self.records[key as usize] else {
            return;
        };
        if let Some(next) = self.records.get_mut(next_of_tag as usize) {
            next.previous_of_tag = previous_of_tag;
        }
        if let Some(previous) = self.records.get_mut(previous_of_tag as usize) {
            previous.next_of_tag = next_of_tag;
        } else if next_of_tag == NO_SOCKET {
            self.tagged.remove(&tag);
        } else {
            self.tagged.insert(tag, next_of_tag);
        }
    }
}

impl Rooms {
    fn as_slice(&self) -> &[Membership] {
        match self {
            Self::None => &[],
            Self::One(membership) => std::slice::from_ref(membership),
            Self::Many(memberships) => memberships,
        }
    }

    fn push(&mut self, membership: Membership) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(membership),
            Self::One(first) => Self::Many(Box::new(vec![first, membership])),
            Self::Many(mut memberships) => {
                memberships.push(membership);
                Self::Many(memberships)
            }
        };
    }

    fn take(&mut self, room: Key) -> Option<Membership> {
        match self {
            Self::None => None,
            Self::One(membership) => {
                let membership = *membership;
                (membership.room == room).then(|| {
                    *self = Self::None;
                    membership
                })
            }
            Self::Many(memberships) => {
                let index = memberships.iter().position(|membership| membership.room == room)?;
                Some(memberships.swap_remove(index))
            }
        }
    }

    fn set_position(&mut self, room: Key, position: u32) {
        let memberships = match self {
            Self::None => &mut [],
            Self::One(membership) => std::slice::from_mut(membership),
            Self::Many(memberships) => memberships.as_mut_slice(),
        };
        for membership in memberships {
            if membership.room == room {
                membership.position = position;
            }
        }
    }
}

fn as_key(index: usize) -> Key {
    Key::try_from(index).expect("a process cannot hold four thousand million connections")
}

#[cfg(test)]
#[path = "sockets/tests.rs"]
mod tests;
