//! A connection to a hub that is made again whenever it breaks.
//!
//! Not here: what is said over it (`agent`, `executor::kubernetes`).

use super::outgoing::send_file;
use super::stream::{PIECE, WordReader};
use super::tls::SERVER_NAME;
use crate::store::{Incoming, StoreError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tidegate_flow::wire::v1::{FromHub, ToHub, decode_from_hub, encode_hub, encode_hub_head};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

/// The hub is asked whether it is there this often.
const PING: Duration = Duration::from_secs(10);
/// A connection over which nothing came for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// A connection has to stand within this time.
const DIAL: Duration = Duration::from_secs(20);
/// A host that says nothing is dialled anew after this: a Service that is not known on the node yet loses the first packets,
/// and the kernel's own repetitions come ever more slowly (1, 3, 7, 15 s).
const SILENT_HOST: Duration = Duration::from_secs(5);
/// The pause after a connection that broke; doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A connection before TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A dialled connection, or why there is none.
pub type Dialled = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Makes connections.
pub type Dial = Box<dyn Fn() -> Dialled + Send + Sync>;

/// Dials an address.
pub fn dial_tcp(address: SocketAddr) -> Dial {
    Box::new(move || {
        Box::pin(async move {
            let stream = timeout(SILENT_HOST, tokio::net::TcpStream::connect(address)).await;
            let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    })
}

/// What a hub says to one that it lets in: see [`FromHub::Welcome`].
#[derive(Clone, Copy, Debug)]
pub struct Welcome {
    /// The last message that is kept.
    pub kept: u64,
    /// Bytes of the log that are kept.
    pub log: u64,
    /// It has an object store.
    pub store: bool,
    /// It is told what engines rely on, and collects the rest.
    pub collects: bool,
}

/// Who is connected. Called on the runtime's threads: nothing here may wait.
pub trait Peer: Send + Sync + 'static {
    /// The first word of each connection.
    fn hello(&self) -> ToHub;
    /// The connection stands: what has to be said again goes to `connection`.
    fn welcome(&self, connection: &Connection, said: Welcome);
    /// Where the content of this word goes, if it is not to be whole in memory; [`Self::landed`] follows.
    fn landing(&self, _word: &FromHub) -> Option<Incoming> {
        None
    }
    /// The content of a word is where [`Self::landing`] said, or could not be written.
    fn landed(&self, _word: FromHub, _content: Result<Incoming, StoreError>) {}
    /// The hub says something.
    fn hear(&self, connection: &Connection, word: FromHub, content: Vec<u8>);
    /// The hub wants no more of this peer; there will be no other connection.
    fn refused(&self, reason: &str);
    /// There is no connection at the moment.
    fn broken(&self, _error: &io::Error) {}
}

/// The way to a hub. Words said while there is no connection are dropped: [`Peer::welcome`] says
/// again what counts.
#[derive(Clone)]
pub struct Connection {
    frames: UnboundedSender<Out>,
}

enum Out {
    Frame(Vec<u8>),
    /// A frame up to its content, which is so many bytes of a file.
    Object {
        head: Vec<u8>,
        file: Arc<File>,
        size: u64,
    },
    /// A new connection stands: frames before this one belong to an old one.
    Mark(u64),
    Close,
}

impl Connection {
    /// Keeps a connection up until it is closed or refused; the future has to be driven.
    pub fn new(
        dial: Dial,
        tls: Arc<ClientConfig>,
        peer: Arc<dyn Peer>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (frames, queue) = unbounded_channel();
        let connection = Self { frames };
        (connection.clone(), keep_up(connection, queue, dial, tls, peer))
    }

    /// Says a word.
    pub fn say(&self, word: &ToHub) {
        self.say_with(word, &[]);
    }

    /// Says a word about some content.
    pub fn say_with(&self, word: &ToHub, content: &[u8]) {
        if let Ok(frame) = encode_hub(word, content) {
            let _ = self.frames.send(Out::Frame(frame));
        }
    }

    /// Says a word about `size` bytes of a file.
    pub fn say_file(&self, word: &ToHub, file: Arc<File>, size: u64) {
        if let Ok(head) = encode_hub_head(word, size) {
            let _ = self.frames.send(Out::Object { head, file, size });
        }
    }

    /// Ends the connection once all that was said is on its way.
    pub fn close(&self) {
        let _ = self.frames.send(Out::Close);
    }
}

/// How a connection ended.
enum End {
    Broken(io::Error),
    Closed,
}

async fn keep_up(
    connection: Connection,
    mut queue: UnboundedReceiver<Out>,
    dial: Dial,
    tls: Arc<ClientConfig>,
    peer: Arc<dyn Peer>,
) {
    let mut pause = PAUSE;
    let mut number = 0;
    loop {
        let began = Instant::now();
        number += 1;
        match once(&connection, &mut queue, &dial, &tls, &*peer, number).await {
            End::Closed => return,
            End::Broken(error) => peer.broken(&error),
        }
        if began.elapsed() > LONGEST_PAUSE {
            pause = PAUSE;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn once(
    connection: &Connection,
    queue: &mut UnboundedReceiver<Out>,
    dial: &Dial,
    tls: &Arc<ClientConfig>,
    peer: &dyn Peer,
    number: u64,
) -> End {
    let stood = timeout(DIAL, stand(dial, tls, peer)).await;
    let (mut reader, mut writer) = match stood {
        Ok(Ok(halves)) => halves,
        Ok(Err(error)) => return End::Broken(error),
        Err(_) => return End::Broken(io::ErrorKind::TimedOut.into()),
    };
    let sending = Arc::new(AtomicU64::new(0));
    reader.while_sending(sending.clone());
    tokio::select! {
        end = read(connection, &mut reader, peer, number) => end,
        end = write(connection, queue, &mut writer, number, &sending) => end,
    }
}

async fn read(connection: &Connection, reader: &mut Reading, peer: &dyn Peer, number: u64) -> End {
    loop {
        match reader.next(decode_from_hub).await {
            Ok(Some(FromHub::Welcome { kept, log, store, collects })) => {
                let _ = connection.frames.send(Out::Mark(number));
                peer.welcome(connection, Welcome { kept, log, store, collects });
            }
            Ok(Some(FromHub::Refused { reason })) => {
                peer.refused(&reason);
                return End::Closed;
            }
            Ok(Some(FromHub::Pong)) => {}
            Ok(Some(word)) => {
                if let Err(error) = take(connection, reader, peer, word).await {
                    return End::Broken(error);
                }
            }
            Ok(None) => return End::Broken(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => return End::Broken(error),
        }
    }
}

/// Takes a word with its content.
async fn take(
    connection: &Connection,
    reader: &mut Reading,
    peer: &dyn Peer,
    word: FromHub,
) -> io::Result<()> {
    match peer.landing(&word) {
        Some(mut incoming) => {
            let kept = reader.object(&mut incoming).await?;
            peer.landed(word, kept.map(|()| incoming));
        }
        None => {
            let content = reader.whole().await?;
            peer.hear(connection, word, content);
        }
    }
    Ok(())
}

async fn write(
    connection: &Connection,
    queue: &mut UnboundedReceiver<Out>,
    writer: &mut Writing,
    number: u64,
    sending: &AtomicU64,
) -> End {
    // What was said before the welcome went nowhere; only what follows the mark is sent.
    let mut marked = false;
    let mut ping = tokio::time::interval(PING);
    loop {
        let out = tokio::select! {
            out = queue.recv() => out,
            _ = ping.tick() => {
                if marked {
                    connection.say(&ToHub::Ping);
                }
                continue;
            }
        };
        let sent = match out {
            Some(Out::Mark(n)) => {
                marked = marked || n == number;
                Ok(())
            }
            Some(Out::Frame(frame)) if marked => in_pieces(writer, &frame).await,
            Some(Out::Object { head, file, size }) if marked => match in_pieces(writer, &head).await {
                Ok(()) => {
                    let each = |_: &[u8]| {
                        sending.fetch_add(1, Ordering::Relaxed);
                    };
                    send_file(writer, &file, size, SILENCE, each).await
                }
                failed => failed,
            },
            Some(Out::Frame(_) | Out::Object { .. }) => Ok(()),
            Some(Out::Close) | None => {
                let _ = timeout(DIAL, writer.shutdown()).await;
                return End::Closed;
            }
        };
        let sent = match sent {
            Ok(()) if queue.is_empty() => writer.flush().await,
            other => other,
        };
        if let Err(error) = sent {
            return End::Broken(error);
        }
    }
}

type Reading = WordReader<tokio::io::ReadHalf<tokio_rustls::client::TlsStream<Box<dyn Stream>>>>;
type Writing = tokio::io::WriteHalf<tokio_rustls::client::TlsStream<Box<dyn Stream>>>;

async fn stand(dial: &Dial, tls: &Arc<ClientConfig>, peer: &dyn Peer) -> io::Result<(Reading, Writing)> {
    let stream = dial().await?;
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
    let (reading, mut writing) = tokio::io::split(stream);
    let hello = encode_hub(&peer.hello(), &[]).map_err(io::Error::other)?;
    writing.write_all(&hello).await?;
    writing.flush().await?;
    Ok((WordReader::new(reading, SILENCE), writing))
}

async fn in_pieces(writer: &mut Writing, frame: &[u8]) -> io::Result<()> {
    for piece in frame.chunks(PIECE) {
        let written = timeout(SILENCE, writer.write_all(piece)).await;
        written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    }
    Ok(())
}
