//! Frames on the pipe between an engine and its supervisor: the sent forms are `flow::wire`'s.

use std::io::{self, Read};
use tidegate_flow::wire::v1::{FrameDecoder, WireError};

/// Frames read from a stream.
pub struct Frames<R> {
    from: R,
    decoder: FrameDecoder,
    buffer: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Reads from a stream; no buffer of its own is needed.
    pub fn new(from: R) -> Self {
        Self { from, decoder: FrameDecoder::default(), buffer: vec![0; 64 * 1024] }
    }

    /// Reads the next frame and decodes it; `None` at the end of the stream, also where it ends
    /// inside a frame: the other side was killed.
    pub fn next<T>(&mut self, decode: impl Fn(&[u8]) -> Result<T, WireError>) -> io::Result<Option<T>> {
        loop {
            if let Some(body) = self.decoder.next_frame().map_err(invalid)? {
                return decode(body).map(Some).map_err(invalid);
            }
            match self.from.read(&mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(n) => self.decoder.push(self.buffer.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// A form that cannot be read or written, as an error of the stream.
pub fn invalid(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
