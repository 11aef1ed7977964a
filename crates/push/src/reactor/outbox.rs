//! What waits to be written to one client. It exists only while something waits.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use bytes::{Buf as _, Bytes};

const SLICES_PER_WRITE: usize = 16;

/// Frames in order; the first may be written in part. Frames are shared, so their bytes are not copied in here.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// Adds a frame, or the rest of one, at the end.
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// How many bytes wait, shared ones counted in full.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frames that wait, in order.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.frames.iter()
    }

    /// Writes as much as `writer` takes. `true` once nothing waits any more.
    pub(crate) fn write_to(&mut self, mut writer: impl Write) -> io::Result<bool> {
        while let Some(first) = self.frames.front() {
            let taken = if self.frames.len() == 1 {
                // For a socket that is the cheaper system call.
                writer.write(first)
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
                let mut used = 0;
                for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                    *slice = IoSlice::new(frame);
                    used += 1;
                }
                writer.write_vectored(&slices[..used])
            };
            match taken {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(front) = self.frames.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most seven bytes a time, and nothing more after `room` bytes.
    struct Narrow {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(7).min(self.room);
            if length == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= length;
            self.written.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn frames_leave_whole_and_in_order_through_a_narrow_writer() {
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for index in 0..40_u8 {
            let frame = vec![index; usize::from(index % 9) + 1];
            expected.extend_from_slice(&frame);
            outbox.push(frame.into());
        }
        let mut writer = Narrow { written: Vec::new(), room: 50 };
        assert!(!outbox.write_to(&mut writer).unwrap());
        assert_eq!(outbox.bytes(), expected.len() - 50);
        writer.room = usize::MAX;
        assert!(outbox.write_to(&mut writer).unwrap());
        assert_eq!((outbox.bytes(), writer.written), (0, expected));
    }
}
