//! Threads that make the blocking calls, so that who asks can stop waiting.
//!
//! As many as there are sessions, each with one session of its own. A call that does not come back keeps its thread;
//! when all of them are in such calls, further asks are refused at once instead of being lined up. Threads end with the
//! [`Workers`]; those in a stuck call when the call ends.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lanyard_pki::key::{KeyEntry, KeyKind, KeyLabel, KeyUse};

use crate::connection::Connection;
use crate::error::HsmError;
use crate::token::Token;

/// Asks in line before more are refused: each is a waiting thread, and 1024 of them at 1 ms a signature is a second.
const MOST_WAITING: usize = 1024;
/// How long the end waits for the workers to give their sessions back. A library whose exit handlers run while a thread is
/// inside it may crash the process (SoftHSM does).
const LONGEST_END: Duration = Duration::from_secs(2);

/// What can be asked.
pub(crate) enum Request {
    Connect,
    Generate { label: KeyLabel, kind: KeyKind, usage: KeyUse },
    Public(KeyLabel),
    Sign { label: KeyLabel, message: Vec<u8> },
    Decrypt { label: KeyLabel, ciphertext: Vec<u8> },
    List,
}

/// What is answered.
pub(crate) enum Reply {
    Kinds(Vec<KeyKind>),
    Bytes(Vec<u8>),
    Keys(Vec<KeyEntry>),
}

type Answer = Result<Reply, HsmError>;

struct Job {
    request: Request,
    deadline: Instant,
    reply: SyncSender<Answer>,
}

#[derive(Default)]
struct Line {
    jobs: VecDeque<Job>,
    is_closed: bool,
    /// Threads that have not ended.
    working: usize,
    /// For each worker, when whoever asked for what it does now stops waiting.
    busy_until: Vec<Option<Instant>>,
}

struct Shared {
    line: Mutex<Line>,
    ready: Condvar,
    ended: Condvar,
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        // A poisoned lock: every change of the line is one push, pop or store.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Workers {
    shared: Arc<Shared>,
    token: Arc<Token>,
}

impl Workers {
    pub(crate) fn start(token: Token) -> Result<Self, HsmError> {
        let token = Arc::new(token);
        let line = Line { busy_until: vec![None; token.config.sessions], ..Line::default() };
        let shared =
            Arc::new(Shared { line: Mutex::new(line), ready: Condvar::new(), ended: Condvar::new() });
        let workers = Self { shared, token };
        for number in 0..workers.token.config.sessions {
            let (shared, token) = (workers.shared.clone(), workers.token.clone());
            thread::Builder::new()
                .name(format!("hsm-{number}"))
                .spawn(move || work(&shared, number, Connection::new(token)))
                .map_err(|e| HsmError::Lost(format!("cannot start a thread: {e}")))?;
            workers.shared.line().working += 1;
        }
        Ok(workers)
    }

    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    pub(crate) fn stuck(&self) -> usize {
        self.shared.line().stuck()
    }

    /// Asks and waits, at most `timeout`.
    pub(crate) fn ask(&self, request: Request, timeout: Duration) -> Answer {
        let deadline = Instant::now() + timeout;
        let (reply, answer) = sync_channel(1);
        let mut line = self.shared.line();
        if line.stuck() == line.busy_until.len() {
            let count = line.busy_until.len();
            return Err(HsmError::Lost(format!("it does not answer, all {count} sessions wait for it")));
        }
        if line.jobs.len() >= MOST_WAITING {
            return Err(HsmError::Lost(format!("{MOST_WAITING} calls wait for it already")));
        }
        line.jobs.push_back(Job { request, deadline, reply });
        drop(line);
        self.shared.ready.notify_one();
        match answer.recv_timeout(timeout) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                Err(HsmError::Lost(format!("no answer within {} s", timeout.as_secs_f32())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(HsmError::Lost("its worker ended".into())),
        }
    }
}

impl Line {
    /// How many workers are in calls that nobody waits for any more.
    fn stuck(&self) -> usize {
        let now = Instant::now();
        self.busy_until.iter().flatten().filter(|until| **until < now).count()
    }

    fn set_busy(&mut self, worker: usize, until: Option<Instant>) {
        if let Some(slot) = self.busy_until.get_mut(worker) {
            *slot = until;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut line = self.shared.line();
        line.is_closed = true;
        self.shared.ready.notify_all();
        let deadline = Instant::now() + LONGEST_END;
        while line.working > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            line = self.shared.ended.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn work(shared: &Shared, number: usize, mut connection: Connection) {
    while let Some(job) = next(shared, number) {
        let answer = connection.answer(&job.request);
        shared.line().set_busy(number, None);
        // Who asked may have stopped waiting; a signature that nobody takes is harmless.
        let _ = job.reply.send(answer);
    }
    connection.forget();
    shared.line().working -= 1;
    shared.ended.notify_all();
}

fn next(shared: &Shared, number: usize) -> Option<Job> {
    let mut line = shared.line();
    loop {
        if line.is_closed {
            return None;
        }
        match line.jobs.pop_front() {
            // Nobody waits for it any more.
            Some(job) if job.deadline < Instant::now() => {}
            Some(job) => {
                line.set_busy(number, Some(job.deadline));
                return Some(job);
            }
            None => line = shared.ready.wait(line).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_stuck_when_nobody_waits_for_its_call_any_more() {
        let past = Instant::now();
        let future = past + Duration::from_secs(60);
        thread::sleep(Duration::from_millis(2));
        let stuck = |busy_until| Line { busy_until, ..Line::default() }.stuck();
        assert_eq!(stuck(vec![Some(past), Some(past)]), 2);
        assert_eq!(stuck(vec![Some(past), None]), 1);
        assert_eq!(stuck(vec![None, Some(future)]), 0);
    }
}
