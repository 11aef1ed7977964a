//! The rules of a sale: who gets a unit, and when it comes back. Pure: no IO, no clock, no randomness.
