//! Groups, capacity, order and fairness, told as little stories.

use super::*;
use crate::run::ConcurrencyGroup;
use proptest::prelude::*;

fn machine() -> Capacity {
    Capacity { cpu_millis: 4000, memory_bytes: 100, gpus: [0, 1].into() }
}

fn asks(run: &str, cpu: u64, gpus: u32) -> Request {
    let need = Some(Need { cpu_millis: cpu, memory_bytes: 0, gpus });
    Request { run: run.to_owned(), need, ..Request::default() }
}

fn in_group(cancel: bool, all: bool) -> Request {
    let group = ConcurrencyGroup { group: "Prod".to_owned(), cancel_in_progress: cancel, queue_all: all };
    Request { group: Some(group), ..Request::default() }
}

fn granted(decisions: &[Decision<u32>]) -> Vec<u32> {
    let key = |decision: &Decision<u32>| match decision {
        Decision::Grant { key, .. } => Some(*key),
        _ => None,
    };
    decisions.iter().filter_map(key).collect()
}

#[test]
fn gpus_are_lent_one_by_one_and_come_back() {
    let mut queue = Queue::new(machine());
    for key in 0..3 {
        queue.request(key, asks("a", 1000, 1));
    }
    let decisions = queue.decide();
    let gpus = |index: usize| match &decisions[index] {
        Decision::Grant { gpus, .. } => gpus.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((gpus(0), gpus(1), decisions.len()), (vec![0], vec![1], 2));
    queue.release(&1);
    assert_eq!(queue.decide(), [Decision::Grant { key: 2, gpus: vec![1] }]);
}

#[test]
fn a_request_above_the_machine_runs_alone() {
    let mut queue = Queue::new(machine());
    queue.request(0, asks("a", 1000, 0));
    queue.request(1, asks("a", 64_000, 0));
    assert_eq!(granted(&queue.decide()), [0]);
    queue.release(&0);
    assert_eq!(granted(&queue.decide()), [1]);
    queue.request(2, asks("a", 1, 0));
    assert!(queue.decide().is_empty(), "alone");
    // Too much of one thing is alone, too.
    queue.request(3, asks("a", 1, 3));
    queue.release(&1);
    assert_eq!(granted(&queue.decide()), [2]);
    queue.release(&2);
    assert_eq!(granted(&queue.decide()), [3]);
    assert_eq!(queue.left(), &Capacity::default());
}

#[test]
fn what_is_above_the_machine_is_said() {
    let need = |cpu_millis, memory_bytes, gpus| Need { cpu_millis, memory_bytes, gpus };
    assert_eq!(need(4000, 100, 2).above(&machine()), None);
    let said = |need: Need| need.above(&machine()).unwrap();
    assert_eq!(said(need(4500, 0, 0)), "5 cores asked for, this machine has 4");
    assert_eq!(said(need(0, 3 << 20, 0)), "3 MiB of memory asked for, this machine has 0 MiB");
    assert_eq!(said(need(0, 0, 3)), "3 GPUs asked for, this machine has 2");
}

#[test]
fn a_run_gets_no_more_at_once_than_it_wants() {
    let mut queue = Queue::new(machine());
    for key in 0..4 {
        queue.request(key, Request { most: Some(1), ..asks("a", 500, 0) });
    }
    queue.request(10, asks("b", 500, 0));
    assert_eq!(granted(&queue.decide()), [0, 10]);
    // However often others pass it: it waits for itself.
    for key in 20..80 {
        queue.request(key, asks("b", 500, 0));
        assert_eq!(granted(&queue.decide()), [key]);
        queue.release(&key);
    }
    queue.release(&0);
    assert_eq!(granted(&queue.decide()), [1]);
}

#[test]
fn runs_take_turns() {
    let mut queue = Queue::new(machine());
    for key in 0..10 {
        queue.request(key, asks("a", 1000, 0));
    }
    queue.request(100, asks("b", 1000, 0));
    queue.request(101, asks("b", 1000, 0));
    let mut first = granted(&queue.decide());
    first.sort_unstable();
    assert_eq!(first, [0, 1, 100, 101]);
}

#[test]
fn a_large_request_is_not_passed_forever() {
    let mut queue = Queue::new(machine());
    queue.request(0, asks("a", 1000, 0));
    queue.decide();
    queue.request(1, asks("b", 4000, 0));
    let (mut running, mut passed) = (0, 0);
    for key in 10..200 {
        queue.request(key, asks("c", 1000, 0));
        let decisions = granted(&queue.decide());
        if decisions.is_empty() {
            break;
        }
        passed += 1;
        queue.release(&running);
        running = key;
    }
    assert!(passed < 64, "passed {passed} times");
    queue.release(&running);
    assert_eq!(granted(&queue.decide()).first(), Some(&1));
}

#[test]
fn a_newcomer_replaces_who_waits_for_a_group() {
    let mut queue = Queue::new(machine());
    for key in 0..3 {
        queue.request(key, in_group(false, false));
    }
    let decisions = queue.decide();
    // All three came before anybody was granted: the last one stays.
    assert_eq!(granted(&decisions), [2]);
    queue.request(3, in_group(false, false));
    assert!(queue.decide().is_empty());
    queue.request(4, in_group(false, false));
    assert_eq!(queue.decide(), [Decision::Replace { key: 3, group: "Prod".to_owned() }]);
    queue.release(&2);
    assert_eq!(granted(&queue.decide()), [4]);
}

#[test]
fn queue_max_lets_all_wait_and_cancel_in_progress_stops_the_holder_once() {
    let mut queue = Queue::new(machine());
    for key in 0..3 {
        queue.request(key, in_group(false, true));
    }
    assert_eq!(granted(&queue.decide()), [0]);
    queue.release(&0);
    assert_eq!(granted(&queue.decide()), [1]);
    queue.request(9, in_group(true, false));
    let group = || "Prod".to_owned();
    let wanted = [Decision::Stop { key: 1, group: group() }, Decision::Replace { key: 2, group: group() }];
    assert_eq!(queue.decide(), wanted);
    queue.release(&1);
    assert_eq!(granted(&queue.decide()), [9]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    /// Never more is lent than there is, a group never has two holders, and everybody who stays
    /// gets a turn.
    #[test]
    fn nothing_is_lent_twice_and_nobody_waits_forever(
        script in prop::collection::vec((0_u32..12, 0_u8..3, 1_u64..6, 0_u32..4, any::<bool>(), any::<bool>()), 0..80),
    ) {
        let mut queue = Queue::new(machine());
        let mut held: Vec<u32> = Vec::new();
        for (key, run, cpu, gpus, group, cancel) in script {
            if held.contains(&key) {
                queue.release(&key);
                held.retain(|other| *other != key);
            } else {
                let group = group.then(|| in_group(cancel, cancel).group).flatten();
                queue.request(key, Request { group, ..asks(&run.to_string(), cpu * 1000, gpus) });
            }
            // Put together again from what a store would keep, it is the same queue.
            let mut again = Queue::restore(machine(), queue.standing(), queue.passed());
            let decisions = queue.decide();
            let granted_again = granted(&again.decide());
            prop_assert_eq!(granted_again, granted(&decisions));
            prop_assert_eq!((again.left(), again.passed()), (queue.left(), queue.passed()));
            held.extend(granted(&decisions));
            let in_use: u64 = queue.standing().iter().filter(|one| one.held.is_some())
                .filter_map(|one| one.request.need.as_ref()).map(|need| need.cpu_millis).sum();
            prop_assert_eq!(queue.left().cpu_millis + in_use, 4000);
        }
        for _ in 0..200 {
            if queue.waiting() == 0 {
                break;
            }
            prop_assert!(!held.is_empty(), "somebody waits and nobody holds anything");
            for key in held.drain(..) {
                queue.release(&key);
            }
            held.extend(granted(&queue.decide()));
        }
        prop_assert_eq!(queue.waiting(), 0);
    }
}

#[test]
fn a_group_is_one_projects() {
    let of = |project: &str, cancel: bool| Request { project: project.to_owned(), ..in_group(cancel, false) };
    let mut queue = Queue::new(machine());
    let newcomers = [(0, "a"), (1, "b"), (2, "a"), (3, ""), (4, "b")];
    let mut let_in = newcomers.iter().map(|(key, project)| {
        queue.request(*key, of(project, false));
        granted(&queue.decide()).len()
    });
    assert!(let_in.by_ref().eq([1, 1, 0, 1, 0]), "one of each holds it");
    // As the next process finds it.
    let mut queue = Queue::restore(machine(), queue.standing(), queue.passed());
    queue.release(&1);
    assert_eq!(granted(&queue.decide()), [4], "that of `a` still waits");
    queue.request(5, of("a", true));
    let group = "Prod".to_owned();
    let said = queue.decide();
    assert!(said.contains(&Decision::Replace { key: 2, group: group.clone() }), "{said:?}");
    assert!(said.contains(&Decision::Stop { key: 0, group }), "{said:?}");
    assert_eq!(said.len(), 2, "nobody of another project hears of it");
}
