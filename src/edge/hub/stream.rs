//! Words and their content on an asynchronous connection, read as they come: content is never whole in
//! memory unless somebody asks for it.

use crate::store::{Incoming, StoreError};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tidegate_flow::wire::v1::{HUB_FRAME_LIMIT, WireError};
use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio::time::timeout;

/// Bytes that are read at once.
pub(super) const PIECE: usize = 64 << 10;
/// The largest content of a word that is no object, in bytes.
const SMALL: u64 = 1 << 20;

/// Words read from a connection.
pub(super) struct WordReader<R> {
    from: BufReader<R>,
    /// Bytes of a frame.
    limit: u32,
    /// Within this time something has to come.
    patience: Duration,
    /// Content of the last word that was not read yet.
    left: u64,
    /// Grows while something is being sent over the same connection: then the other side listens.
    sending: Arc<AtomicU64>,
}

impl<R: AsyncRead + Unpin> WordReader<R> {
    /// Reads from a connection; one that says nothing for as long as `patience` is broken.
    pub(super) fn new(from: R, patience: Duration) -> Self {
        let from = BufReader::with_capacity(PIECE, from);
        Self { from, limit: HUB_FRAME_LIMIT, patience, left: 0, sending: Arc::default() }
    }

    /// Waits on while this grows.
    pub(super) fn while_sending(&mut self, sending: Arc<AtomicU64>) {
        self.sending = sending;
    }

    /// Refuses frames of more than `limit` bytes.
    pub(super) fn limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Reads the next word; `None` at the end of the connection. Its content is read next, or passed
    /// over. Not to be dropped while it waits, unless the connection ends.
    pub(super) async fn next<T>(
        &mut self,
        decode: impl Fn(&[u8]) -> Result<(T, &[u8]), WireError>,
    ) -> io::Result<Option<T>> {
        let wrong = |e: WireError| io::Error::new(io::ErrorKind::InvalidData, e);
        self.content(|_| Ok(())).await?;
        let mut length = [0; 4];
        match self.some(&mut length).await? {
            0 => return Ok(None),
            n => self.fill(length.get_mut(n..).unwrap_or_default()).await?,
        }
        let size = u32::from_le_bytes(length);
        if size > self.limit {
            return Err(wrong(WireError::TooLarge { size: u64::from(size), limit: self.limit }));
        }
        // The version, and the length of the JSON.
        let mut body = vec![0; 5];
        if size < 5 {
            return Err(wrong(WireError::Empty));
        }
        self.fill(&mut body).await?;
        let json = body.split_last_chunk::<4>().map_or(0, |(_, length)| u32::from_le_bytes(*length));
        let left = (size - 5).checked_sub(json).ok_or_else(|| wrong(WireError::Empty))?;
        // Grows with what really comes.
        let mut from = 5;
        while from < 5 + json as usize {
            let to = (from + PIECE).min(5 + json as usize);
            body.resize(to, 0);
            self.fill(body.get_mut(from..to).unwrap_or_default()).await?;
            from = to;
        }
        self.left = u64::from(left);
        Ok(Some(decode(&body).map_err(wrong)?.0))
    }

    /// Reads the content of the last word, piece by piece.
    pub(super) async fn content(&mut self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut piece = vec![0; usize::try_from(self.left).unwrap_or(PIECE).min(PIECE)];
        while self.left > 0 {
            let wanted = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
            let read = self.some(piece.get_mut(..wanted).unwrap_or_default()).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.left -= read as u64;
            each(piece.get(..read).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Reads the content of the last word, which is no object.
    pub(super) async fn small(&mut self) -> io::Result<Vec<u8>> {
        if self.left > SMALL {
            let (size, limit) = (self.left, u32::try_from(SMALL).unwrap_or(u32::MAX));
            return Err(io::Error::new(io::ErrorKind::InvalidData, WireError::TooLarge { size, limit }));
        }
        self.whole().await
    }

    /// Reads the content of the last word.
    pub(super) async fn whole(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.content(|piece| {
            content.extend_from_slice(piece);
            Ok(())
        })
        .await?;
        Ok(content)
    }

    /// Reads the content of the last word as an object; all of it is read, whatever becomes of it.
    pub(super) async fn object(&mut self, into: &mut Incoming) -> io::Result<Result<(), StoreError>> {
        let mut kept = Ok(());
        self.content(|piece| {
            if kept.is_ok() {
                kept = into.write(piece);
            }
            Ok(())
        })
        .await?;
        Ok(kept)
    }

    async fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut from = 0;
        while from < bytes.len() {
            match self.some(bytes.get_mut(from..).unwrap_or_default()).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => from += n,
            }
        }
        Ok(())
    }

    async fn some(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let before = self.sending.load(Ordering::Relaxed);
            match timeout(self.patience, self.from.read(bytes)).await {
                Ok(read) => return read,
                Err(_) if self.sending.load(Ordering::Relaxed) != before => {}
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::wire::v1::{ToHub, decode_to_hub, encode_hub};

    fn reader(bytes: &[u8]) -> WordReader<&[u8]> {
        WordReader::new(bytes, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn words_come_with_their_content_or_without_it() {
        let mut bytes = Vec::new();
        for (offset, content) in [(0, vec![7; 200_000]), (1, Vec::new()), (2, vec![8; 5])] {
            bytes.extend(encode_hub(&ToHub::Log { offset }, &content).unwrap());
        }
        let mut reader = reader(&bytes);
        assert_eq!(reader.next(decode_to_hub).await.unwrap(), Some(ToHub::Log { offset: 0 }));
        // Passed over.
        assert_eq!(reader.next(decode_to_hub).await.unwrap(), Some(ToHub::Log { offset: 1 }));
        assert_eq!(reader.next(decode_to_hub).await.unwrap(), Some(ToHub::Log { offset: 2 }));
        assert_eq!(reader.small().await.unwrap(), [8; 5]);
        assert_eq!(reader.next(decode_to_hub).await.unwrap(), None);
    }

    #[tokio::test]
    async fn cut_and_huge_frames_are_errors_before_they_are_read() {
        let frame = encode_hub(&ToHub::Ping, b"content").unwrap();
        for cut in 1..frame.len() {
            let mut reader = reader(&frame[..cut]);
            let read = match reader.next(decode_to_hub).await {
                Ok(_) => reader.small().await.map(drop),
                Err(error) => Err(error),
            };
            assert!(read.is_err(), "{cut}");
        }
        for head in [u32::MAX, HUB_FRAME_LIMIT + 1, 4, 0] {
            let mut bytes = head.to_le_bytes().to_vec();
            bytes.extend_from_slice(&[1; 64]);
            assert!(reader(&bytes).next(decode_to_hub).await.is_err(), "{head}");
        }
        // The JSON is said to be longer than its frame.
        assert!(reader(&[9, 0, 0, 0, 1, 200, 0, 0, 0, 0, 0, 0, 0]).next(decode_to_hub).await.is_err());
        let mut limited = reader(&frame);
        limited.limit(8);
        assert!(limited.next(decode_to_hub).await.is_err());
    }
}
