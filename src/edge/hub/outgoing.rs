//! What is on its way to one client of a hub: frames in order, objects read from the disk as they go out.

use super::stream::PIECE;
use crate::store::FileObjects;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidegate_flow::wire::v1::{FromHub, encode_hub, encode_hub_head};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Answers to one client that are whole in memory, at most.
const HELD: usize = 16;
/// Questions of one client that are being answered, at most.
const TURNS: usize = 64;
/// A client that has so many frames to read, or so many bytes in memory, is not listened to until it has read some.
const MOST: usize = 10_000;
const BYTES: usize = 1 << 20;

/// The way to a client.
#[derive(Clone)]
pub(super) struct Frames {
    queue: UnboundedSender<Outgoing>,
    waiting: Arc<Waiting>,
    /// Room for answers that are whole in memory.
    held: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// Another connection took the place of this one.
    pub(super) over: Arc<Notify>,
}

/// How much waits to be sent.
#[derive(Default)]
struct Waiting {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    /// There is room again.
    drained: Notify,
}

impl Waiting {
    fn has_room(&self) -> bool {
        self.frames.load(Ordering::Acquire) <= MOST && self.bytes.load(Ordering::Acquire) <= BYTES
    }

    fn add(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Each way down over a bound is seen by exactly one who takes, whatever is added meanwhile: who waits for room
    /// missed none.
    fn take(&self, bytes: usize) {
        let frames = self.frames.fetch_sub(1, Ordering::AcqRel) == MOST + 1;
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        let crossed = frames || before > BYTES && before - bytes <= BYTES;
        if crossed && self.has_room() {
            self.drained.notify_waiters();
        }
    }
}

/// What waits to be sent.
enum Outgoing {
    Frame(Vec<u8>),
    /// One that takes room.
    Held(Vec<u8>, OwnedSemaphorePermit),
    /// The answer to a question about an object.
    Object {
        id: u64,
        digest: String,
    },
}

impl Outgoing {
    /// Bytes in memory.
    fn bytes(&self) -> usize {
        match self {
            Self::Frame(frame) | Self::Held(frame, _) => frame.len(),
            Self::Object { .. } => 0,
        }
    }
}

/// The other end of [`Frames`].
pub(super) struct Queue {
    queue: UnboundedReceiver<Outgoing>,
    waiting: Arc<Waiting>,
}

impl Frames {
    /// Makes a way and its other end.
    pub(super) fn new() -> (Self, Queue) {
        let (sender, queue) = unbounded_channel();
        let waiting = Arc::<Waiting>::default();
        let frames = Self {
            queue: sender,
            waiting: waiting.clone(),
            held: Arc::new(Semaphore::new(HELD)),
            turns: Arc::new(Semaphore::new(TURNS)),
            over: Arc::default(),
        };
        (frames, Queue { queue, waiting })
    }

    /// Says a word.
    pub(super) fn say(&self, word: &FromHub) {
        self.say_with(word, &[]);
    }

    /// Says a word about some content.
    pub(super) fn say_with(&self, word: &FromHub, content: &[u8]) {
        // A client that is gone hears it again after its next connection.
        if let Ok(frame) = encode_hub(word, content) {
            self.send(Outgoing::Frame(frame));
        }
    }

    /// Waits for room for an answer that is whole in memory; `None`: the client is gone.
    pub(super) async fn hold(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            room = self.held.clone().acquire_owned() => room.ok(),
            () = self.queue.closed() => None,
        }
    }

    /// Waits until one more question of the client may be answered; `None`: the client is gone.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            turn = self.turns.clone().acquire_owned() => turn.ok(),
            () = self.queue.closed() => None,
        }
    }

    /// Says a word about some content that takes room until it is on its way.
    pub(super) fn say_held(&self, word: &FromHub, content: &[u8], room: OwnedSemaphorePermit) {
        if let Ok(frame) = encode_hub(word, content) {
            self.send(Outgoing::Held(frame, room));
        }
    }

    /// Tells whether nothing reaches the client any more.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Answers with an object.
    pub(super) fn object(&self, id: u64, digest: String) {
        self.send(Outgoing::Object { id, digest });
    }

    fn send(&self, what: Outgoing) {
        self.waiting.add(what.bytes());
        let _ = self.queue.send(what);
    }

    /// Tells whether more may be said to the client before it has read some.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.has_room()
    }

    /// Bytes that wait, for tests.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.waiting.bytes.load(Ordering::Acquire)
    }

    /// Waits until [`Self::has_room`], or until the client is gone.
    pub(super) async fn room(&self) {
        loop {
            let mut drained = pin!(self.waiting.drained.notified());
            drained.as_mut().enable();
            if self.has_room() {
                return;
            }
            tokio::select! {
                () = drained => {}
                () = self.queue.closed() => return,
            }
        }
    }

    /// Waits until there is room where there was none; `false`: the client is gone. `before` is called once no
    /// notice of it can be missed.
    pub(super) async fn drained(&self, before: impl FnOnce()) -> bool {
        let mut drained = pin!(self.waiting.drained.notified());
        drained.as_mut().enable();
        before();
        tokio::select! {
            () = drained => true,
            () = self.queue.closed() => false,
        }
    }
}

/// Sends what comes until nothing can come any more, or the client takes nothing for as long as `patience`.
pub(super) async fn write(
    mut to: impl AsyncWrite + Unpin,
    mut from: Queue,
    objects: Arc<FileObjects>,
    patience: Duration,
) {
    while let Some(what) = from.queue.recv().await {
        let bytes = what.bytes();
        let sent = match what {
            Outgoing::Frame(frame) => pieces(&mut to, &frame, patience).await,
            Outgoing::Held(frame, _room) => pieces(&mut to, &frame, patience).await,
            Outgoing::Object { id, digest } => object(&mut to, id, &digest, &objects, patience).await,
        };
        from.waiting.take(bytes);
        if sent.is_err() || from.queue.is_empty() && in_time(patience, to.flush()).await.is_err() {
            return;
        }
    }
    let _ = in_time(patience, to.shutdown()).await;
}

async fn in_time<T>(patience: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(patience, what).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn pieces(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], patience: Duration) -> io::Result<()> {
    for piece in bytes.chunks(PIECE) {
        in_time(patience, to.write_all(piece)).await?;
    }
    Ok(())
}

async fn object(
    to: &mut (impl AsyncWrite + Unpin),
    id: u64,
    digest: &str,
    objects: &FileObjects,
    patience: Duration,
) -> io::Result<()> {
    let wrong = |e| io::Error::new(io::ErrorKind::InvalidData, e);
    let opened = objects.open_object(digest).ok();
    let found = opened.is_some();
    let size = opened.as_ref().map_or(0, |(_, size)| *size);
    let head = encode_hub_head(&FromHub::Object { id, found }, size).map_err(wrong)?;
    in_time(patience, to.write_all(&head)).await?;
    let Some((file, _)) = opened else { return Ok(()) };
    let mut hasher = blake3::Hasher::new();
    send_file(to, &file, size, patience, |piece| {
        hasher.update(piece);
    })
    .await?;
    if hasher.finalize().to_hex().as_str() != digest {
        // The client sees it, too. What is not there can be given again.
        objects.discard(digest);
    }
    Ok(())
}

/// Sends `size` bytes of a file.
pub(super) async fn send_file(
    to: &mut (impl AsyncWrite + Unpin),
    file: &File,
    size: u64,
    patience: Duration,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < size {
        let wanted = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(piece, at)?;
        each(piece);
        in_time(patience, to.write_all(piece)).await?;
        at += wanted as u64;
    }
    Ok(())
}
