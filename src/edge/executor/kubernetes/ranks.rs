//! What the pods of one attempt of `nodes: N` say together: they start at once, one that fails ends
//! the others, and success needs a receipt of each. Pure.

use std::collections::{BTreeMap, BTreeSet};
use tidegate_flow::job::{Conclusion, FailureClass, JobMessage, MessageBody, Question, Receipt};

/// The token of one pod of an attempt; rank 0 speaks with the attempt's own.
pub fn token_of(attempt: &str, rank: u32) -> String {
    if rank == 0 { attempt.to_owned() } else { format!("{attempt}.n{rank}") }
}

/// The attempt and the rank behind a token.
pub fn attempt_of(token: &str) -> (&str, u32) {
    let ranked = token.rsplit_once(".n").and_then(|(attempt, rank)| Some((attempt, rank.parse().ok()?)));
    ranked.unwrap_or((token, 0))
}

/// What is to be done about a message.
#[derive(Debug, PartialEq)]
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// The engine hears it.
    Pass(Box<JobMessage>),
    /// All are there: these questions are answered, by rank.
    Go(Vec<(u32, u64)>),
    /// One has failed: these ranks are ended.
    End(Vec<u32>),
}

/// The pods of one attempt.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    count: u32,
    /// Questions at the barrier by rank.
    at_barrier: BTreeMap<u32, u64>,
    /// Receipts by rank, with the number of their message, in the order in which they came.
    receipts: Vec<(u32, u64, Receipt)>,
    /// Rank 0's last message, which carries the whole attempt's receipt.
    last: Option<JobMessage>,
    /// Ranks that were told to end because another failed.
    ended: BTreeSet<u32>,
    /// Ranks that were heard to end, and when, in this order.
    order: Vec<(i64, u32)>,
}

impl Ranks {
    /// The pods of an attempt that has not started.
    pub(super) fn new(count: u32) -> Self {
        Self { count, ..Self::default() }
    }

    /// All ranks; one pod is rank 0.
    pub(super) fn all(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.count.max(1)
    }

    /// Receipts by rank, to acknowledge each.
    pub(super) fn receipts(&self) -> impl Iterator<Item = (u32, u64)> {
        self.receipts.iter().map(|(rank, seq, _)| (*rank, *seq))
    }

    /// Tells whether a failed rank waits for others to end.
    pub(super) fn failing(&self) -> bool {
        self.receipts.iter().any(|(_, _, receipt)| receipt.conclusion != Conclusion::Success)
    }

    /// A rank is heard to end, before it is known what counts of that: its pod goes, its steps ended under its agent, or
    /// its receipt came. `at` is by the clock of its node, or 0 where one hears them in the order in which they end.
    pub(super) fn ends_at(&mut self, rank: u32, at: i64) {
        if !self.order.iter().any(|(_, known)| *known == rank) {
            self.order.push((at, rank));
            self.order.sort_by_key(|(at, _)| *at);
        }
    }

    /// Tells whether no rank ended before this one.
    pub(super) fn is_first(&self, rank: u32) -> bool {
        self.order.first().is_some_and(|(_, first)| *first == rank)
    }

    /// Receipts, and one more, in the order in which their ranks ended.
    fn in_order<'a>(&'a self, more: Option<(Option<u32>, &'a Receipt)>) -> Vec<&'a Receipt> {
        let place = |rank| self.order.iter().position(|(_, known)| Some(*known) == rank);
        let said = self.receipts.iter().map(|(rank, _, receipt)| (Some(*rank), receipt));
        let mut all: Vec<_> = said.chain(more).map(|(rank, receipt)| (place(rank), receipt)).collect();
        all.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
        all.into_iter().map(|(_, receipt)| receipt).collect()
    }

    /// Takes a message of a rank.
    pub(super) fn hear(&mut self, rank: u32, message: JobMessage) -> Then {
        if self.count == 0 {
            return Then::Pass(Box::new(message));
        }
        match message.body {
            MessageBody::Ask { id, question: Question::Nodes } => {
                self.at_barrier.insert(rank, id);
                let all = self.at_barrier.len() == self.count as usize;
                // An agent that asks again heard nothing yet.
                if all {
                    Then::Go(self.at_barrier.iter().map(|(r, id)| (*r, *id)).collect())
                } else {
                    Then::Nothing
                }
            }
            MessageBody::Ended(ref receipt) => {
                if self.is_done(rank) {
                    return Then::Nothing;
                }
                self.receipts.push((rank, message.seq, named(rank, receipt.clone())));
                self.ends_at(rank, message.at);
                if rank == 0 {
                    self.last = Some(message);
                }
                match self.together() {
                    Some(message) => Then::Pass(Box::new(message)),
                    None if self.failing() => Then::End(self.rest()),
                    None => Then::Nothing,
                }
            }
            // What the others ask is answered with their token; what they say besides does not count.
            MessageBody::Ask { .. } => Then::Pass(Box::new(message)),
            _ if rank == 0 => Then::Pass(Box::new(message)),
            _ => Then::Nothing,
        }
    }

    /// Ranks that still run, each once.
    fn rest(&mut self) -> Vec<u32> {
        let rest: Vec<u32> = self.missing().filter(|rank| !self.ended.contains(rank)).collect();
        self.ended.extend(&rest);
        rest
    }

    /// Tells whether a rank has its receipt: what becomes of its pod from then on says nothing.
    pub(super) fn is_done(&self, rank: u32) -> bool {
        self.receipts.iter().any(|(done, ..)| *done == rank)
    }

    /// Ranks without a receipt.
    pub(super) fn missing(&self) -> impl Iterator<Item = u32> {
        self.all().filter(|rank| !self.is_done(*rank))
    }

    /// The receipt of the whole attempt, once each rank has one.
    fn together(&self) -> Option<JobMessage> {
        if self.receipts.len() < self.count as usize {
            return None;
        }
        let mut message = self.last.clone()?;
        if let (MessageBody::Ended(whole), Some(failed)) = (&mut message.body, self.failed()) {
            *whole = failed;
        }
        Some(message)
    }

    /// How the attempt has failed as far as its ranks have said; `None`: nothing yet.
    pub(super) fn failed(&self) -> Option<Receipt> {
        counts(&self.in_order(None)).map(|failed| self.whole(failed))
    }

    /// How the attempt ends of which the cluster tells the end: of one rank, or (`None`) of all. What a rank said before
    /// may be why.
    pub(super) fn ends(&self, rank: Option<u32>, receipt: Receipt) -> Receipt {
        if self.count == 0 {
            return receipt;
        }
        let receipt = named(rank.unwrap_or_default(), receipt);
        self.whole(counts(&self.in_order(Some((rank, &receipt)))).unwrap_or(&receipt))
    }

    /// Of a failure what it says of itself; all else of an attempt is rank 0's.
    fn whole(&self, failed: &Receipt) -> Receipt {
        let own = self.receipts.iter().find(|(rank, ..)| *rank == 0).map(|(_, _, receipt)| receipt.clone());
        let bare = || {
            let bare = Receipt::bare(failed.conclusion, failed.class, String::new());
            Receipt { duration_ms: failed.duration_ms, ..bare }
        };
        let own = own.unwrap_or_else(bare);
        Receipt {
            conclusion: failed.conclusion,
            class: failed.class,
            exit: failed.exit,
            reason: failed.reason.clone(),
            step_memory: failed.step_memory.clone(),
            failed_step: failed.failed_step.or(own.failed_step),
            ..own
        }
    }
}

/// A failure of a rank above 0 names it.
fn named(rank: u32, mut receipt: Receipt) -> Receipt {
    if rank > 0 && receipt.conclusion != Conclusion::Success {
        let reason = receipt.reason.take().unwrap_or_default();
        receipt.reason = Some(format!("node {rank}: {reason}"));
    }
    receipt
}

/// The failure that counts: the first one. But a pod that is gone may be gone because the cluster ended another for its
/// memory or disk, or took it away, and a program that fails may do so because its peer has no memory or disk: that is
/// the cause then.
fn counts<'a>(all: &[&'a Receipt]) -> Option<&'a Receipt> {
    use FailureClass::{Disk, Failure, Lost, Oom, Preempted};
    let Some(first) = all.iter().find(|r| r.conclusion == Conclusion::Failure) else {
        return all.iter().find(|r| r.conclusion != Conclusion::Success).copied();
    };
    let caused = |class| match first.class {
        Some(Lost) => matches!(class, Some(Oom | Disk | Preempted)),
        Some(Failure) => matches!(class, Some(Oom | Disk)),
        _ => false,
    };
    Some(all.iter().find(|receipt| caused(receipt.class)).unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(seq: u64, body: MessageBody) -> JobMessage {
        JobMessage { token: "r.1.1".into(), seq, at: 0, body }
    }

    fn ended(conclusion: Conclusion, class: Option<FailureClass>, reason: &str) -> JobMessage {
        said(9, MessageBody::Ended(Receipt::bare(conclusion, class, reason.to_owned())))
    }

    fn good() -> JobMessage {
        ended(Conclusion::Success, None, "")
    }

    #[test]
    fn tokens() {
        for rank in [0, 1, 12] {
            assert_eq!(attempt_of(&token_of("01J.3.1", rank)), ("01J.3.1", rank));
        }
    }

    #[test]
    fn steps_start_when_all_are_there_and_success_needs_each_receipt() {
        let mut ranks = Ranks::new(2);
        let ask = |id| said(1, MessageBody::Ask { id, question: Question::Nodes });
        assert_eq!(ranks.hear(1, ask(4)), Then::Nothing);
        assert_eq!(ranks.hear(1, ask(4)), Then::Nothing, "said again");
        assert_eq!(ranks.hear(0, ask(7)), Then::Go(vec![(0, 7), (1, 4)]));
        assert_eq!(ranks.hear(1, said(2, MessageBody::Started { notes: Vec::new() })), Then::Nothing);
        // Whoever asks waits for an answer.
        let asks = said(3, MessageBody::Ask { id: 5, question: Question::Uploads });
        assert!(matches!(ranks.hear(1, asks), Then::Pass(_)));
        assert!(matches!(ranks.hear(0, said(2, MessageBody::Started { notes: Vec::new() })), Then::Pass(_)));
        assert_eq!(ranks.hear(0, good()), Then::Nothing);
        let Then::Pass(whole) = ranks.hear(1, good()) else { panic!() };
        assert!(
            matches!(whole.body, MessageBody::Ended(receipt) if receipt.conclusion == Conclusion::Success)
        );
    }

    #[test]
    fn a_rank_that_fails_ends_the_others_and_is_named() {
        let mut ranks = Ranks::new(3);
        assert_eq!(
            ranks.hear(2, ended(Conclusion::Failure, Some(FailureClass::Failure), "exit 3")),
            Then::End(vec![0, 1])
        );
        assert_eq!(ranks.hear(0, ended(Conclusion::Cancelled, None, "ended")), Then::End(vec![]));
        let Then::Pass(whole) = ranks.hear(1, ended(Conclusion::Failure, Some(FailureClass::Lost), "gone"))
        else {
            panic!()
        };
        let MessageBody::Ended(receipt) = whole.body else { panic!() };
        assert_eq!(
            (receipt.class, receipt.reason.as_deref()),
            (Some(FailureClass::Failure), Some("node 2: exit 3"))
        );
    }

    #[test]
    fn a_pod_that_is_gone_with_another_is_not_the_cause() {
        let mut ranks = Ranks::new(2);
        ranks.hear(1, ended(Conclusion::Failure, Some(FailureClass::Lost), "gone"));
        let Then::Pass(whole) = ranks.hear(0, ended(Conclusion::Failure, Some(FailureClass::Oom), "memory"))
        else {
            panic!()
        };
        let MessageBody::Ended(receipt) = whole.body else { panic!() };
        assert_eq!(receipt.class, Some(FailureClass::Oom));
        // A program that fails because its peer is gone is not the cause either.
        let mut ranks = Ranks::new(2);
        ranks.hear(1, ended(Conclusion::Failure, Some(FailureClass::Lost), "gone"));
        ranks.hear(0, ended(Conclusion::Failure, Some(FailureClass::Failure), "no peer"));
        assert_eq!(ranks.failed().unwrap().class, Some(FailureClass::Lost));
    }

    #[test]
    fn a_program_whose_peer_has_no_memory_is_not_the_cause_and_else_the_first_one_is() {
        use FailureClass::{Data, Disk, Failure, Gate, Lost, Oom, Preempted, Timeout};
        for (first, second, counts) in [
            (Failure, Oom, Oom),
            (Failure, Disk, Disk),
            (Failure, Preempted, Failure),
            (Failure, Lost, Failure),
            (Failure, Gate, Failure),
            (Lost, Preempted, Preempted),
            (Lost, Failure, Lost),
            (Timeout, Oom, Timeout),
            (Gate, Oom, Gate),
            (Data, Disk, Data),
        ] {
            let mut ranks = Ranks::new(2);
            ranks.hear(1, ended(Conclusion::Failure, Some(first), "a"));
            ranks.hear(0, ended(Conclusion::Failure, Some(second), "b"));
            assert_eq!(ranks.failed().unwrap().class, Some(counts), "{first:?}, {second:?}");
        }
    }

    #[test]
    fn one_pod_is_passed_on() {
        let mut ranks = Ranks::new(0);
        assert!(matches!(ranks.hear(0, good()), Then::Pass(_)));
    }
}
