//! Hosts all jobs of an engine on this machine: requests in, messages out, a thread a job. When the
//! requests end, everything that a job started is ended with them.

use super::control::{Control, Wish};
use super::frames::Frames;
use super::job::{Surroundings, run};
use super::link::{Link, Uplink};
use super::workers::Workers;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_flow::job::{AgentRequest, JobMessage, JobSpec, MessageBody};
use tidegate_flow::wire::v1::{decode_request, encode_message};

/// A message that was not acknowledged for this long is sent again.
const RESEND: Duration = Duration::from_secs(10);

/// Runs attempts on this machine.
pub trait Host: Send + Sync {
    /// Runs one attempt to its end; the last message is its receipt.
    fn attempt(
        &self,
        spec: &JobSpec,
        secrets: &BTreeMap<String, String>,
        up: Arc<dyn Uplink>,
        control: Arc<Control>,
    );
    /// Removes what attempts left. None runs any more, and none follows.
    fn end(&self);
}

/// Steps as processes beside this one.
impl Host for Surroundings {
    fn attempt(
        &self,
        spec: &JobSpec,
        secrets: &BTreeMap<String, String>,
        up: Arc<dyn Uplink>,
        control: Arc<Control>,
    ) {
        run(spec, secrets, self, &Arc::new(Link::new(&spec.token, up, control)));
    }

    fn end(&self) {
        // Whatever this process started or adopted. Looking at every process of the machine costs as
        // much as a small run, so first whether there is anything.
        if self.launcher.has_strays() {
            let _ = self.launcher.clean(&self.mark, false);
        }
        self.temps.clear();
    }
}

/// Serves requests until they end, then ends all jobs.
pub fn supervise(
    host: Arc<dyn Host>,
    requests: impl Read,
    messages: impl Write + Send + 'static,
) -> io::Result<()> {
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    super::oom::remember();
    let outbox = Arc::new(Outbox::new(messages));
    let writer = {
        let outbox = outbox.clone();
        std::thread::Builder::new().name("messages".into()).spawn(move || outbox.write())?
    };
    let workers = Arc::new(Workers::default());
    let mut running: BTreeMap<String, Arc<Control>> = BTreeMap::new();
    let mut requests = Frames::new(requests);
    let mut result = Ok(());
    loop {
        let request = match requests.next(decode_request) {
            Ok(Some(request)) => request,
            Ok(None) => break,
            Err(error) => {
                result = Err(error);
                break;
            }
        };
        serve(request, &host, &outbox, &workers, &mut running)?;
    }
    for control in running.values() {
        control.ask(Wish::Kill, "the engine is gone");
    }
    workers.wait();
    host.end();
    outbox.close();
    let _ = writer.join();
    result
}

fn serve(
    request: AgentRequest,
    host: &Arc<dyn Host>,
    outbox: &Arc<Outbox>,
    workers: &Arc<Workers>,
    running: &mut BTreeMap<String, Arc<Control>>,
) -> io::Result<()> {
    match request {
        AgentRequest::Start { spec, secrets } => {
            // Nobody else holds the control of an attempt that ended.
            running.retain(|_, control| Arc::strong_count(control) > 1);
            // Said again by an engine that was not sure: the attempt runs once.
            if running.contains_key(&spec.token) {
                return Ok(());
            }
            let token = spec.token.clone();
            let control = Arc::new(Control::new());
            let (host, up, told) = (host.clone(), outbox.clone(), control.clone());
            workers.run(move || host.attempt(&spec, &secrets, up, told))?;
            running.insert(token, control);
        }
        AgentRequest::Cancel { token, reason } => {
            if let Some(control) = running.get(&token) {
                control.ask(Wish::Cancel, &reason);
            }
        }
        AgentRequest::Kill { token } => {
            if let Some(control) = running.get(&token) {
                control.ask(Wish::Kill, "ended at once");
            }
        }
        AgentRequest::Acknowledge { token, seq } => outbox.acknowledge(&token, seq),
        AgentRequest::Reply { token, id, answer } => {
            if let Some(control) = running.get(&token) {
                control.answer(id, answer);
            }
        }
    }
    Ok(())
}

/// Messages on their way; kept until acknowledged.
struct Outbox {
    state: Mutex<Box_>,
    more: Condvar,
    /// To the engine. Locked before `state`.
    pipe: Mutex<Box<dyn Write + Send>>,
}

#[derive(Default)]
struct Box_ {
    queue: VecDeque<JobMessage>,
    /// By attempt, in order of their numbers.
    kept: BTreeMap<String, VecDeque<(Instant, JobMessage)>>,
    closed: bool,
}

impl Uplink for Outbox {
    fn send(&self, message: JobMessage, urgent: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if message.seq > 0 {
            let copy = (Instant::now(), message.clone());
            state.kept.entry(message.token.clone()).or_default().push_back(copy);
        }
        // The last word of an attempt is written by its own thread, which has nothing else to do: one
        // thread less to wake before the next job starts.
        let last = matches!(message.body, MessageBody::Ended(_));
        state.queue.push_back(message);
        drop(state);
        if last && let Ok(mut pipe) = self.pipe.try_lock() {
            self.write_waiting(&mut **pipe);
        } else if urgent {
            self.more.notify_one();
        }
    }

    fn flush(&self) {
        if !self.state.lock().unwrap_or_else(PoisonError::into_inner).queue.is_empty() {
            self.more.notify_one();
        }
    }
}

impl Outbox {
    fn new(pipe: impl Write + Send + 'static) -> Self {
        Self { state: Mutex::default(), more: Condvar::new(), pipe: Mutex::new(Box::new(pipe)) }
    }

    fn acknowledge(&self, token: &str, seq: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = state.kept.get_mut(token) {
            while kept.front().is_some_and(|(_, m)| m.seq <= seq) {
                kept.pop_front();
            }
            if kept.is_empty() {
                state.kept.remove(token);
            }
        }
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.more.notify_one();
    }

    /// Waits until something waits to be written; false at the end.
    fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if !state.queue.is_empty() {
                return true;
            }
            if state.closed {
                return false;
            }
            let (guard, waited) =
                self.more.wait_timeout(state, RESEND).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() {
                let now = Instant::now();
                let mut again = VecDeque::new();
                for (sent, message) in state.kept.values_mut().flatten() {
                    if now.duration_since(*sent) >= RESEND {
                        *sent = now;
                        again.push_back(message.clone());
                    }
                }
                state.queue.extend(again);
            }
        }
    }

    fn write(&self) {
        while self.wait() {
            let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
            self.write_waiting(&mut **pipe);
        }
    }

    /// Writes what waits with as few calls as can be.
    fn write_waiting(&self, pipe: &mut dyn Write) {
        let batch = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut state.queue)
        };
        let mut frames = Vec::new();
        for message in &batch {
            // One that is larger than any frame may be could not be read either.
            frames.extend(encode_message(message).unwrap_or_default());
        }
        // Where the engine is gone, the end of the requests ends the jobs, not this.
        let _ = pipe.write_all(&frames).and_then(|()| pipe.flush());
    }
}
