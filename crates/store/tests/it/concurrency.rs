//! Many tasks at once: order, gaps, refusals beside successes, and a full queue.

use std::collections::HashMap;

use crate::support::{Log, append, id};
use lanyard_store::AppendError;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_get_dense_positions_and_keep_their_own_order() {
    let log = Log::new();
    let store = log.open();
    let (tasks, each) = (64u64, 40u64);
    let workers: Vec<_> = (0..tasks)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for seq in 0..each {
                    answers.push(store.append(append(n, seq, 1)).await.unwrap());
                    // A stale request in the same batches must not disturb the others.
                    assert!(matches!(store.append(append(n, 0, 1)).await, Err(AppendError::Conflict { .. })));
                }
                answers
            })
        })
        .collect();
    let mut by_pos = HashMap::new();
    for (n, worker) in (0..tasks).zip(workers) {
        let answers = worker.await.unwrap();
        assert!(answers.is_sorted_by_key(|a| a.first_pos), "stream {n}");
        by_pos.extend(answers.into_iter().map(|a| (a.first_pos, a)));
    }
    let events = store.range(0, 4096).await.unwrap();
    assert_eq!(events.len() as u64, tasks * each);
    for (pos, event) in (0u64..).zip(&events) {
        assert_eq!(event.header.pos, pos);
        assert_eq!(by_pos[&pos].leaves, [event.leaf]);
    }
    for n in 0..tasks {
        let stream = store.stream(id(n), 0, 100).await.unwrap();
        assert_eq!(stream.iter().map(|e| e.header.seq).collect::<Vec<_>>(), (0..each).collect::<Vec<_>>());
    }
    store.close().await.unwrap();
    assert_eq!(log.check().events, tasks * each);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_of_one_version_exactly_one_wins() {
    let log = Log::new();
    let store = log.open();
    for seq in 0..20 {
        let racers: Vec<_> = (0..16)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.append(append(1, seq, 1)).await.is_ok() })
            })
            .collect();
        let mut winners = 0;
        for racer in racers {
            winners += u32::from(racer.await.unwrap());
        }
        assert_eq!(winners, 1, "version {seq}");
    }
    assert_eq!(store.head().size, 20);
    store.close().await.unwrap();
    log.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_that_follows_the_head_misses_nothing() {
    let log = Log::new();
    let store = log.open();
    let total = 2000;
    let reader = tokio::spawn({
        let store = store.clone();
        async move {
            let (mut head, mut next) = (store.durable_head(), 0);
            while next < total {
                for event in store.range(next, 500).await.unwrap() {
                    assert_eq!(event.header.pos, next);
                    next += 1;
                }
                if next < total && head.borrow_and_update().size <= next {
                    head.changed().await.unwrap();
                }
            }
        }
    });
    let writers: Vec<_> = (0..20u64)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                for seq in 0..100 {
                    store.append(append(n, seq, 1)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    reader.await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_full_queue_is_busy_and_records_nothing_of_it() {
    let log = Log::new();
    let store = log.open();
    // More at once than the queue and the batch in work can hold together; none is awaited before all are sent.
    let total = 60_000u64;
    let all: Vec<_> = (0..total).map(|n| Box::pin(store.append(append(n, 0, 1)))).collect();
    let (mut done, mut busy) = (0u64, 0u64);
    for answer in join_all(all).await {
        match answer {
            Ok(_) => done += 1,
            Err(AppendError::Busy) => busy += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(done + busy, total);
    assert!(busy > 0);
    assert_eq!(store.head().size, done);
}

/// Polls all futures once each before waiting, in order.
async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs).filter(|(_, o)| o.is_none()) {
            match std::pin::Pin::new(future).poll(cx) {
                std::task::Poll::Ready(value) => *output = Some(value),
                std::task::Poll::Pending => pending = true,
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
