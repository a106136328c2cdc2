//! An attempt's way to the engine: numbers its messages, asks questions.

use super::control::{Control, Wish};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tidegate_flow::job::{Answer, JobMessage, MessageBody, Question};

/// Where messages go; they are kept there until the engine acknowledged them.
pub trait Uplink: Send + Sync {
    /// Takes a message. One that is not `urgent` may wait for the next [`Uplink::flush`] or urgent one.
    fn send(&self, message: JobMessage, urgent: bool);
    /// Sends what waits.
    fn flush(&self);
}

/// What comes of a question.
pub enum Asked {
    /// This answer.
    Answer(Answer),
    /// The attempt was told to stop first.
    Stopped,
    /// There was no answer in time.
    TooLate,
}

/// One attempt's numbered messages.
pub struct Link {
    token: String,
    up: Arc<dyn Uplink>,
    /// The number of the next message. Held while it is sent: they leave in the order of their numbers.
    next: Mutex<u64>,
    question: AtomicU64,
    /// What the engine wants of this attempt.
    pub control: Arc<Control>,
}

impl Link {
    /// Makes the link of an attempt; its first message gets number 1.
    pub fn new(token: &str, up: Arc<dyn Uplink>, control: Arc<Control>) -> Self {
        Self { token: token.to_owned(), up, next: Mutex::new(1), question: AtomicU64::new(1), control }
    }

    /// Sends a message that must arrive.
    pub fn say(&self, body: MessageBody) {
        let urgent = matches!(body, MessageBody::Ended(_) | MessageBody::Ask { .. });
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.up.send(JobMessage { token: self.token.clone(), seq: *next, at: now(), body }, urgent);
        *next += 1;
    }

    /// Sends a message that may be lost.
    pub fn hint(&self, body: MessageBody) {
        self.up.send(JobMessage { token: self.token.clone(), seq: 0, at: now(), body }, true);
    }

    /// Sends what waits: something long follows.
    pub fn flush(&self) {
        self.up.flush();
    }

    /// Asks the engine and waits; `None` if the attempt is told to stop first.
    pub fn ask(&self, question: Question) -> Option<Answer> {
        match self.ask_within(question, Duration::MAX) {
            Asked::Answer(answer) => Some(answer),
            Asked::Stopped | Asked::TooLate => None,
        }
    }

    /// Asks the engine and waits for so long at most.
    pub fn ask_within(&self, question: Question, patience: Duration) -> Asked {
        let until = Instant::now().checked_add(patience);
        let id = self.question.fetch_add(1, Ordering::AcqRel);
        let wish = self.control.wish();
        self.say(MessageBody::Ask { id, question });
        loop {
            if let Some(answer) = self.control.take_answer(id) {
                return Asked::Answer(answer);
            }
            if self.control.wish() > wish || self.control.wish() == Wish::Kill {
                return Asked::Stopped;
            }
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Asked::TooLate;
            }
            self.control.wait(left.min(Duration::from_secs(5)));
        }
    }
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Heard(Mutex<Vec<u64>>);

    impl Uplink for Heard {
        fn send(&self, message: JobMessage, _: bool) {
            self.0.lock().unwrap().push(message.seq);
        }

        fn flush(&self) {}
    }

    #[test]
    fn messages_of_several_threads_leave_in_the_order_of_their_numbers() {
        let heard = Arc::new(Heard(Mutex::default()));
        let link = Link::new("r.0.1", heard.clone(), Arc::new(Control::new()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope
                    .spawn(|| (0..20_000).for_each(|_| link.say(MessageBody::Started { notes: Vec::new() })));
            }
        });
        let heard = heard.0.lock().unwrap();
        assert!(heard.iter().copied().eq(1..=80_000));
    }

    #[test]
    fn an_engine_that_is_away_is_waited_for_as_long_as_is_said() {
        let link = Link::new("r.0.1", Arc::new(Heard(Mutex::default())), Arc::new(Control::new()));
        let (began, patience) = (Instant::now(), Duration::from_millis(50));
        assert!(matches!(link.ask_within(Question::Uploads, patience), Asked::TooLate));
        assert!(began.elapsed() >= patience);
        // What comes after that is for another question.
        link.control.answer(1, Answer::Nodes);
        assert!(matches!(link.ask_within(Question::Uploads, patience), Asked::TooLate));
        link.control.answer(3, Answer::Nodes);
        assert!(matches!(link.ask_within(Question::Uploads, patience), Asked::Answer(Answer::Nodes)));
    }
}
