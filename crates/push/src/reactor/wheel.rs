//! The timers of one thread: at most one for each connection, O(1) to set, move and cancel.
//!
//! A hashed wheel: a slot for each tick modulo the wheel's size, each slot a list that runs through the entries
//! themselves. What lies further ahead than one turn is met and left in place once a turn.

use super::Key;

const SLOTS: usize = 4096;
const NONE: Key = Key::MAX;

/// A moment on the wheel's own scale; see `reactor::clock` for its length.
pub(crate) type Tick = u64;

/// The moment that never comes.
pub(crate) const NEVER: Tick = Tick::MAX;

/// Timers by connection key.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Box<[Key]>,
    occupied: Box<[u64]>,
    entries: Vec<Entry>,
    /// The first tick that has not been expired yet.
    upcoming: Tick,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Tick,
    previous: Key,
    next: Key,
}

const UNSET: Entry = Entry { at: NEVER, previous: NONE, next: NONE };

impl Wheel {
    /// An empty wheel at tick 0.
    pub(crate) fn new() -> Self {
        Self {
            heads: vec![NONE; SLOTS].into(),
            occupied: vec![0; SLOTS / 64].into(),
            entries: Vec::new(),
            upcoming: 0,
        }
    }

    /// Sets the timer of `key`, instead of the one it had. A moment that has passed means the next one.
    pub(crate) fn schedule(&mut self, key: Key, at: Tick) {
        self.cancel(key);
        if at == NEVER {
            return;
        }
        if self.entries.len() <= key as usize {
            self.entries.resize(key as usize + 1, UNSET);
        }
        let at = at.max(self.upcoming);
        let slot = slot_of(at);
        let next = self.heads[slot];
        if next != NONE {
            self.entries[next as usize].previous = key;
        }
        self.entries[key as usize] = Entry { at, previous: NONE, next };
        self.heads[slot] = key;
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Removes the timer of `key`, if it has one.
    pub(crate) fn cancel(&mut self, key: Key) {
        let Some(&Entry { at, previous, next }) = self.entries.get(key as usize) else {
            return;
        };
        if at == NEVER {
            return;
        }
        let slot = slot_of(at);
        match previous {
            NONE => self.heads[slot] = next,
            previous => self.entries[previous as usize].next = next,
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if self.heads[slot] == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
        self.entries[key as usize] = UNSET;
    }

    /// Takes the timers that are due at `now` or before, in the order of their ticks.
    pub(crate) fn expire(&mut self, now: Tick, due: &mut Vec<Key>) {
        while self.upcoming <= now {
            let Some(tick) = self.next_occupied().filter(|tick| *tick <= now) else {
                self.upcoming = now + 1;
                return;
            };
            let mut key = self.heads[slot_of(tick)];
            while key != NONE {
                let Entry { at, next, .. } = self.entries[key as usize];
                if at <= tick {
                    self.cancel(key);
                    due.push(key);
                }
                key = next;
            }
            self.upcoming = tick + 1;
        }
    }

    /// The next tick at which something may be due; `None` if there is no timer.
    pub(crate) fn next_occupied(&self) -> Option<Tick> {
        let start = slot_of(self.upcoming);
        let words = SLOTS / 64;
        // One more word than there are: the first is looked at from `start` upwards, and at last below it.
        (0..=words).find_map(|step| {
            let word = (start / 64 + step) % words;
            let mask = match step {
                0 => u64::MAX << (start % 64),
                _ if step == words => !(u64::MAX << (start % 64)),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            (bits != 0).then(|| {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                self.upcoming + ((slot + SLOTS - start) % SLOTS) as Tick
            })
        })
    }
}

fn slot_of(tick: Tick) -> usize {
    usize::try_from(tick % SLOTS as Tick).expect("a remainder of SLOTS fits")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn expired(wheel: &mut Wheel, now: Tick) -> Vec<Key> {
        let mut due = Vec::new();
        wheel.expire(now, &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn a_timer_is_due_at_its_tick_and_once() {
        let mut wheel = Wheel::new();
        wheel.schedule(3, 10);
        assert_eq!(wheel.next_occupied(), Some(10));
        assert_eq!(expired(&mut wheel, 9), Vec::<Key>::new());
        assert_eq!(expired(&mut wheel, 10), [3]);
        assert_eq!(expired(&mut wheel, 10_000), Vec::<Key>::new());
        assert_eq!(wheel.next_occupied(), None);
    }

    #[test]
    fn a_timer_beyond_one_turn_waits_for_its_turn() {
        let mut wheel = Wheel::new();
        let far = SLOTS as Tick * 2 + 5;
        wheel.schedule(0, far);
        assert_eq!(expired(&mut wheel, far - 1), Vec::<Key>::new());
        assert_eq!(expired(&mut wheel, far), [0]);
    }

    #[test]
    fn a_passed_moment_is_due_next() {
        let mut wheel = Wheel::new();
        expired(&mut wheel, 100);
        wheel.schedule(0, 50);
        assert_eq!(expired(&mut wheel, 101), [0]);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_map(steps in prop::collection::vec(
            (0..3_u8, 0..20_u32, 0..10_000_u64), 1..200,
        )) {
            let mut wheel = Wheel::new();
            let mut model: HashMap<Key, Tick> = HashMap::new();
            let mut now = 0;
            for (step, key, value) in steps {
                match step {
                    0 => {
                        wheel.schedule(key, now + value);
                        model.insert(key, (now + value).max(now + 1));
                    }
                    1 => {
                        wheel.cancel(key);
                        model.remove(&key);
                    }
                    _ => {
                        now += value / 10 + 1;
                        let mut expected: Vec<Key> =
                            model.iter().filter(|(_, at)| **at <= now).map(|(key, _)| *key).collect();
                        expected.sort_unstable();
                        model.retain(|_, at| *at > now);
                        prop_assert_eq!(expired(&mut wheel, now), expected);
                    }
                }
                if let Some(first) = model.values().min() {
                    prop_assert!(wheel.next_occupied().is_some_and(|next| next <= *first));
                }
            }
        }
    }
}
