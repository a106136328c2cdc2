//! What the engine wants of a running attempt: cancel, kill, answers to its questions.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tidegate_flow::job::Answer;

/// How far an attempt is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Go on.
    Run,
    /// End the running step; steps with `always()` or `cancelled()` still run.
    Cancel,
    /// End everything at once.
    Kill,
}

/// The engine's side of one attempt; shared between threads.
#[derive(Debug)]
pub struct Control {
    wish: AtomicU8,
    reason: Mutex<String>,
    answers: Mutex<BTreeMap<u64, Answer>>,
    wake: Option<OwnedFd>,
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

impl Control {
    /// Makes one that says "run".
    pub fn new() -> Self {
        Self {
            wish: AtomicU8::new(0),
            reason: Mutex::default(),
            answers: Mutex::default(),
            // Without it (no descriptors left) waits are cut into short ones.
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok(),
        }
    }

    /// Returns what is wanted.
    pub fn wish(&self) -> Wish {
        match self.wish.load(Ordering::Acquire) {
            0 => Wish::Run,
            1 => Wish::Cancel,
            _ => Wish::Kill,
        }
    }

    /// Asks for more; it never gets less.
    pub fn ask(&self, wish: Wish, reason: &str) {
        if let Ok(mut text) = self.reason.lock()
            && text.is_empty()
        {
            reason.clone_into(&mut text);
        }
        self.wish.fetch_max(wish as u8, Ordering::AcqRel);
        self.wake();
    }

    /// Returns why the attempt is to end.
    pub fn reason(&self) -> String {
        self.reason.lock().map(|r| r.clone()).unwrap_or_default()
    }

    /// Hands in an answer.
    pub fn answer(&self, id: u64, answer: Answer) {
        if let Ok(mut answers) = self.answers.lock() {
            answers.insert(id, answer);
        }
        self.wake();
    }

    /// Takes an answer that is there.
    pub fn take_answer(&self, id: u64) -> Option<Answer> {
        self.answers.lock().ok()?.remove(&id)
    }

    /// The descriptor that becomes readable when something changed.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.wake.as_ref().map(AsFd::as_fd)
    }

    /// Makes [`Control::fd`] unreadable until the next change.
    pub fn settle(&self) {
        if let Some(fd) = &self.wake {
            let _ = rustix::io::read(fd, &mut [0_u8; 8]);
        }
    }

    /// Waits for a change, at most this long.
    pub fn wait(&self, time: Duration) {
        match &self.wake {
            Some(fd) => {
                let mut fds = [PollFd::new(fd, PollFlags::IN)];
                let _ = poll(&mut fds, Some(&timespec(time)));
                self.settle();
            }
            None => std::thread::sleep(time.min(Duration::from_millis(20))),
        }
    }

    /// Waits until `until` unless the attempt is told to stop; tells whether it was.
    pub fn sleep_until(&self, until: Instant, up_to: Wish) -> bool {
        loop {
            if self.wish() > up_to {
                return true;
            }
            let now = Instant::now();
            if now >= until {
                return false;
            }
            self.wait(until - now);
        }
    }

    fn wake(&self) {
        if let Some(fd) = &self.wake {
            let _ = rustix::io::write(fd, &1_u64.to_ne_bytes());
        }
    }
}

/// A duration as `poll` takes it, rounded up to whole milliseconds.
pub fn timespec(time: Duration) -> Timespec {
    let time = time.min(Duration::from_hours(24 * 365)) + Duration::from_micros(999);
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_millis()) * 1_000_000,
    }
}
