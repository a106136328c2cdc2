//! Frames on an asynchronous connection.

use std::io;
use tidegate_flow::wire::v1::{FrameDecoder, HUB_FRAME_LIMIT, WireError};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Frames read from a connection.
pub(super) struct FrameReader<R> {
    from: R,
    decoder: FrameDecoder,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from a connection; frames over `limit` bytes are refused.
    pub(super) fn new(from: R) -> Self {
        Self { from, decoder: FrameDecoder::new(HUB_FRAME_LIMIT), buffer: vec![0; 64 * 1024] }
    }

    /// Reads the next frame and decodes it; `None` at the end of the connection. May be dropped
    /// while it waits: nothing is lost.
    pub(super) async fn next<T>(
        &mut self,
        decode: impl Fn(&[u8]) -> Result<(T, &[u8]), WireError>,
    ) -> io::Result<Option<(T, Vec<u8>)>> {
        let wrong = |e: WireError| io::Error::new(io::ErrorKind::InvalidData, e);
        loop {
            if let Some(body) = self.decoder.next_frame().map_err(wrong)? {
                let (word, content) = decode(body).map_err(wrong)?;
                return Ok(Some((word, content.to_vec())));
            }
            match self.from.read(&mut self.buffer).await? {
                0 => return Ok(None),
                n => self.decoder.push(self.buffer.get(..n).unwrap_or_default()),
            }
        }
    }
}
