//! A connection to a hub that is made again whenever it breaks.
//!
//! Not here: what is said over it (`agent`, `executor::kubernetes`).

use super::stream::FrameReader;
use super::tls::SERVER_NAME;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::wire::v1::{FromHub, ToHub, decode_from_hub, encode_hub};
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
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    })
}

/// Who is connected. Called on the runtime's threads: nothing here may wait.
pub trait Peer: Send + Sync + 'static {
    /// The first word of each connection.
    fn hello(&self) -> ToHub;
    /// The connection stands: what has to be said again goes to `connection`.
    fn welcome(&self, connection: &Connection, kept: u64, log: u64);
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
        self.send(word, content);
    }

    fn send(&self, word: &impl Serialize, content: &[u8]) {
        if let Ok(frame) = encode_hub(word, content) {
            let _ = self.frames.send(Out::Frame(frame));
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
    // What was said before the welcome went nowhere; only what follows the mark is sent.
    let mut marked = false;
    let mut heard = Instant::now();
    let mut ping = tokio::time::interval(PING);
    loop {
        tokio::select! {
            word = reader.next(decode_from_hub) => {
                heard = Instant::now();
                match word {
                    Ok(Some((FromHub::Welcome { kept, log }, _))) => {
                        let _ = connection.frames.send(Out::Mark(number));
                        peer.welcome(connection, kept, log);
                    }
                    Ok(Some((FromHub::Refused { reason }, _))) => {
                        peer.refused(&reason);
                        return End::Closed;
                    }
                    Ok(Some((FromHub::Pong, _))) => {}
                    Ok(Some((word, content))) => peer.hear(connection, word, content),
                    Ok(None) => return End::Broken(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) => return End::Broken(error),
                }
            }
            out = queue.recv() => {
                let sent = match out {
                    Some(Out::Mark(n)) => {
                        marked = marked || n == number;
                        Ok(())
                    }
                    Some(Out::Frame(frame)) if marked => send(&mut writer, &frame, queue.is_empty()).await,
                    Some(Out::Frame(_)) => Ok(()),
                    Some(Out::Close) | None => {
                        let _ = timeout(DIAL, writer.shutdown()).await;
                        return End::Closed;
                    }
                };
                if let Err(error) = sent {
                    return End::Broken(error);
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE {
                    return End::Broken(io::ErrorKind::TimedOut.into());
                }
                if marked {
                    connection.say(&ToHub::Ping);
                }
            }
        }
    }
}

type Reading = FrameReader<tokio::io::ReadHalf<tokio_rustls::client::TlsStream<Box<dyn Stream>>>>;
type Writing = tokio::io::WriteHalf<tokio_rustls::client::TlsStream<Box<dyn Stream>>>;

async fn stand(dial: &Dial, tls: &Arc<ClientConfig>, peer: &dyn Peer) -> io::Result<(Reading, Writing)> {
    let stream = dial().await?;
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
    let (reading, mut writing) = tokio::io::split(stream);
    let hello = encode_hub(&peer.hello(), &[]).map_err(io::Error::other)?;
    writing.write_all(&hello).await?;
    writing.flush().await?;
    Ok((FrameReader::new(reading), writing))
}

async fn send(writer: &mut Writing, frame: &[u8], last: bool) -> io::Result<()> {
    writer.write_all(frame).await?;
    if last { writer.flush().await } else { Ok(()) }
}
