//! Threads that run attempts, kept for the next one: starting a thread is a good part of starting a
//! small step.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

type Task = Box<dyn FnOnce() + Send>;

/// As many threads as tasks ran at once.
#[derive(Default)]
pub(super) struct Workers {
    idle: Mutex<Vec<Sender<Task>>>,
    busy: Mutex<usize>,
    one_less: Condvar,
}

impl Workers {
    /// Runs a task on a thread that has nothing to do, or on a new one.
    pub(super) fn run(self: &Arc<Self>, task: impl FnOnce() + Send + 'static) -> io::Result<()> {
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let mut task: Task = Box::new(task);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(idle) = idle {
            match idle.send(task) {
                Ok(()) => return Ok(()),
                Err(unsent) => task = unsent.0,
            }
        }
        let all = self.clone();
        let started = std::thread::Builder::new().name("job".into()).spawn(move || all.work(task));
        if started.is_err() {
            self.ended();
        }
        started.map(drop)
    }

    /// Waits until no task runs.
    pub(super) fn wait(&self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        while *busy > 0 {
            busy = self.one_less.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(self: &Arc<Self>, first: Task) {
        /// Counts a task as ended however it ends.
        struct Busy<'a>(&'a Workers);
        impl Drop for Busy<'_> {
            fn drop(&mut self) {
                self.0.ended();
            }
        }
        let (door, inbox) = channel::<Task>();
        let mut next = Some(first);
        while let Some(task) = next {
            let busy = Busy(self);
            task();
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(door.clone());
            drop(busy);
            next = inbox.recv().ok();
        }
    }

    fn ended(&self) {
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.one_less.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_serves_again_and_all_are_waited_for() {
        let workers = Arc::new(Workers::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..50 {
            let seen = seen.clone();
            workers.run(move || seen.lock().unwrap().push(std::thread::current().id())).unwrap();
            workers.wait();
        }
        let mut seen = seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 50);
        seen.dedup();
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn tasks_at_once_have_threads_of_their_own() {
        let workers = Arc::new(Workers::default());
        let meet = Arc::new(std::sync::Barrier::new(5));
        for _ in 0..5 {
            let meet = meet.clone();
            workers
                .run(move || {
                    meet.wait();
                })
                .unwrap();
        }
        workers.wait();
    }
}
