//! Work that waits, and workers that take one piece after the other at the same time: how all benches ask a server.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cpu;

/// How requests went.
pub struct Pass {
    /// In a second.
    pub rate: f64,
    /// In a second of one core, whichever side used it.
    pub per_core: f64,
    /// How long each took.
    pub times: Vec<Duration>,
}

/// Carries out everything, and says what came of it in the order in which it was given. `one` takes a worker (its connection, say)
/// and a piece, and gives the worker back with how long each request of it took.
pub async fn all<W, T, R, F>(
    workers: Vec<W>,
    pieces: impl IntoIterator<Item = T>,
    one: impl Fn(W, T) -> F + Clone + Send + 'static,
) -> Result<(Pass, Vec<R>)>
where
    W: Send + 'static,
    T: Send + 'static,
    R: Send + 'static,
    F: Future<Output = Result<(W, Vec<Duration>, R)>> + Send,
{
    let waiting: Arc<Mutex<VecDeque<(usize, T)>>> =
        Arc::new(Mutex::new(pieces.into_iter().enumerate().collect()));
    let (start, before) = (Instant::now(), cpu::used()?);
    let mut tasks = Vec::new();
    for mut worker in workers {
        let (waiting, one) = (Arc::clone(&waiting), one.clone());
        tasks.push(tokio::spawn(async move {
            let mut done = Vec::new();
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((at, piece)) = next else { return Ok::<_, anyhow::Error>(done) };
                let (back, times, result) = one(worker, piece).await?;
                worker = back;
                done.push((at, times, result));
            }
        }));
    }
    let mut done = Vec::new();
    for task in tasks {
        done.extend(task.await??);
    }
    done.sort_unstable_by_key(|(at, ..)| *at);
    let (times, results): (Vec<_>, Vec<R>) =
        done.into_iter().map(|(_, times, result)| (times, result)).unzip();
    let times = times.concat();
    let per_core = cpu::per_core(times.len(), before, cpu::used()?);
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    Ok((Pass { rate, per_core, times }, results))
}
