//! What a client does with a signed URL: reads an object there, or puts one; in pieces, and again if it breaks.

use super::http::{client, said};
use super::stream::PIECE;
use crate::store::{FileObjects, StoreError};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// The first pause after a transfer that broke; doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Content that is wrong so often is wrong.
const WRONG: u32 = 3;

/// Why a transfer did not succeed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store is away, the URL is too old: it is asked for another one.
    Passing(String),
    /// What came, or what the hub found there, is not what it should be.
    Damaged(String),
    /// It is this machine: no use.
    Here(StoreError),
}

/// Counts tries and waits between them.
#[derive(Default)]
pub(super) struct Tries {
    count: u32,
    wrong: u32,
    /// What went wrong last.
    pub(super) trouble: String,
}

impl Tries {
    /// Waits before the next try; an error: there is none.
    pub(super) fn again(&mut self, trouble: Trouble) -> Result<(), StoreError> {
        self.trouble = match trouble {
            Trouble::Here(error) => return Err(error),
            Trouble::Passing(reason) => reason,
            Trouble::Damaged(reason) => {
                self.wrong += 1;
                if self.wrong >= WRONG {
                    let source = io::Error::other(reason);
                    let path = "the object store".to_owned();
                    return Err(StoreError::Io { doing: "moving an object to or from", path, source });
                }
                reason
            }
        };
        let pause = PAUSE.saturating_mul(1 << self.count.min(10)).min(LONGEST_PAUSE);
        self.count += 1;
        std::thread::sleep(pause);
        Ok(())
    }
}

/// A client of object stores, for threads that wait.
pub(super) struct Transfers {
    runtime: Option<Runtime>,
    client: reqwest::Client,
}

impl Transfers {
    /// Makes one.
    pub(super) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { runtime: Some(runtime), client: client()? })
    }

    /// Reads an object into a folder; its digest is checked.
    pub(super) fn get(
        &self,
        url: &str,
        headers: &[(String, String)],
        into: &FileObjects,
        digest: &str,
    ) -> Result<(), Trouble> {
        self.block_on(async {
            let request = with(self.client.get(url), headers);
            let mut answer = checked(request.send().await).await?;
            let mut incoming = into.begin().map_err(Trouble::Here)?;
            while let Some(piece) = answer.chunk().await.map_err(|e| Trouble::Passing(said(e)))? {
                incoming.write(&piece).map_err(Trouble::Here)?;
            }
            incoming.finish(into, digest).map_err(|error| match error {
                StoreError::Damaged(_) => Trouble::Damaged(error.to_string()),
                other => Trouble::Here(other),
            })
        })
    }

    /// Puts `size` bytes of a file.
    pub(super) fn put(
        &self,
        url: &str,
        headers: &[(String, String)],
        file: &Arc<File>,
        size: u64,
    ) -> Result<(), Trouble> {
        self.block_on(async {
            let request = with(self.client.put(url), headers).header("content-length", size);
            checked(request.body(body(file.clone(), size)).send().await).await.map(drop)
        })
    }

    fn block_on<T>(&self, transfer: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(transfer),
            None => Err(Trouble::Passing("the transfers are over".to_owned())),
        }
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        // From whatever thread: this waits for nothing.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn with(request: reqwest::RequestBuilder, headers: &[(String, String)]) -> reqwest::RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// A file's bytes, a piece at a time.
fn body(file: Arc<File>, size: u64) -> reqwest::Body {
    let pieces = futures::stream::unfold(0, move |at| {
        let file = file.clone();
        async move {
            let wanted = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
            if wanted == 0 {
                return None;
            }
            let mut piece = vec![0; wanted];
            let read = file.read_exact_at(&mut piece, at);
            Some((read.map(|()| piece), at + wanted as u64))
        }
    });
    reqwest::Body::wrap_stream(pieces)
}

/// An answer that says yes. What else a store says may repeat what was signed: only its code is told.
async fn checked(answer: reqwest::Result<reqwest::Response>) -> Result<reqwest::Response, Trouble> {
    let answer = answer.map_err(|e| Trouble::Passing(said(e)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    let code =
        text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let code = code.filter(|code| code.len() < 60 && code.bytes().all(|b| b.is_ascii_alphanumeric()));
    Err(Trouble::Passing(
        format!("the store answers {status} {}", code.unwrap_or_default()).trim_end().to_owned(),
    ))
}
