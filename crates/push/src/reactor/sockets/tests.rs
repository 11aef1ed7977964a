use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Sockets that each have a connection of their own, whose key is the socket's number.
struct Fixture {
    sockets: Sockets,
    firsts: Vec<Key>,
}

impl Fixture {
    fn with(count: u32) -> Self {
        let mut sockets = Sockets::new(0, 2);
        let firsts = (0..count)
            .map(|connection| {
                let mut first = NO_SOCKET;
                sockets.insert(connection, &mut first, 0);
                first
            })
            .collect();
        Self { sockets, firsts }
    }

    fn members(&self, room: &str) -> BTreeSet<Key> {
        self.sockets.members(0, room).map(|socket| socket.connection).collect()
    }

    fn tagged(&self, tag: u64) -> BTreeSet<Key> {
        self.sockets.tagged(tag).map(|socket| socket.connection).collect()
    }
}

#[test]
fn a_name_is_not_valid_for_the_next_socket_in_the_same_place() {
    let mut fixture = Fixture::with(1);
    let id = fixture.sockets.id(fixture.firsts[0]);
    fixture.sockets.remove(id.key, &mut fixture.firsts[0]);
    let again = fixture.sockets.insert(0, &mut fixture.firsts[0], 0);
    assert_eq!(again, id.key);
    assert!(fixture.sockets.lookup(id).is_none());
}

#[test]
fn a_connection_finds_its_socket_in_each_namespace() {
    let mut sockets = Sockets::new(0, 3);
    let mut first = NO_SOCKET;
    let keys: Vec<Key> = (0..3).map(|namespace| sockets.insert(9, &mut first, namespace)).collect();
    assert_eq!(sockets.lookup_of_connection(first, 0), Some(keys[0]));
    sockets.remove(keys[1], &mut first);
    assert_eq!(sockets.lookup_of_connection(first, 1), None);
    assert_eq!(sockets.lookup_of_connection(first, 0), Some(keys[0]));
    sockets.remove(keys[2], &mut first);
    sockets.remove(keys[0], &mut first);
    assert_eq!(first, NO_SOCKET);
}

#[test]
fn a_room_ends_with_its_last_member() {
    let mut fixture = Fixture::with(2);
    fixture.sockets.join(fixture.firsts[0], "a");
    fixture.sockets.join(fixture.firsts[1], "a");
    fixture.sockets.leave(fixture.firsts[0], "a");
    assert_eq!(fixture.members("a"), BTreeSet::from([1]));
    let key = fixture.firsts[1];
    fixture.sockets.remove(key, &mut fixture.firsts[1]);
    assert!(fixture.sockets.rooms.is_empty() && fixture.sockets.room_keys[0].is_empty());
}

proptest! {
    #[test]
    fn rooms_and_tags_agree_with_plain_sets(steps in prop::collection::vec(
        (0..4_u8, 0..6_usize, 0..3_u8), 1..120,
    )) {
        let mut fixture = Fixture::with(6);
        let mut rooms: Vec<BTreeSet<Key>> = vec![BTreeSet::new(); 3];
        let mut tags: Vec<BTreeSet<Key>> = vec![BTreeSet::new(); 3];
        for (step, who, what) in steps {
            let key = fixture.firsts[who];
            let number = Key::try_from(who).unwrap();
            let room = format!("room {what}");
            match step {
                0 => {
                    fixture.sockets.join(key, &room);
                    rooms[usize::from(what)].insert(number);
                }
                1 => {
                    fixture.sockets.leave(key, &room);
                    rooms[usize::from(what)].remove(&number);
                }
                2 => {
                    if fixture.sockets.get(key).tag.is_none() {
                        fixture.sockets.mark_joined(key, Some(u64::from(what)));
                        tags[usize::from(what)].insert(number);
                    }
                }
                _ => {
                    fixture.sockets.remove(key, &mut fixture.firsts[who]);
                    fixture.sockets.insert(number, &mut fixture.firsts[who], 0);
                    for set in rooms.iter_mut().chain(&mut tags) {
                        set.remove(&number);
                    }
                }
            }
            for index in 0..3_u8 {
                prop_assert_eq!(&fixture.members(&format!("room {index}")), &rooms[usize::from(index)]);
                prop_assert_eq!(&fixture.tagged(u64::from(index)), &tags[usize::from(index)]);
            }
        }
    }
}
