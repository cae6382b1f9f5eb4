//! The one thread that talks to the TPM. The TSS waits for an answer without limit; a caller here waits up to
//! a deadline and is then told so, and no second command is piled on a TPM that still owes an answer.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::TpmError;
use super::device::Device;

type Job = Box<dyn FnOnce(&mut Device) + Send>;

pub(super) struct Worker {
    // The lock makes callers queue here; the channel then holds at most the one job of a caller that gave up.
    // Gone only while dropping.
    jobs: Mutex<Option<SyncSender<Job>>>,
    ended: Mutex<Receiver<()>>,
    deadline: Duration,
}

impl Drop for Worker {
    /// Waits until the handles are flushed and the connection is closed: some TPMs serve one connection only,
    /// and the next one must find it free. A TPM that hangs is waited for no longer than a command would be.
    fn drop(&mut self) {
        self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(self.deadline);
    }
}

impl Worker {
    /// Starts the thread; it ends when the worker is dropped.
    pub(super) fn spawn(mut device: Device, deadline: Duration) -> Result<Self, TpmError> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(1);
        let (end, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name("tpm".to_owned())
            .spawn(move || {
                for job in queue {
                    job(&mut device);
                }
                drop(device);
                // Nobody is left to be told when the process is ending.
                let _ = end.send(());
            })
            .map_err(|e| TpmError::Unavailable(format!("cannot start the thread that talks to it: {e}")))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), ended: Mutex::new(ended), deadline })
    }

    /// Runs `command` on the thread and waits for it, but no longer than the deadline.
    pub(super) fn run<T, F>(&self, command: F) -> Result<T, TpmError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Device) -> Result<T, TpmError> + Send + 'static,
    {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |device| {
            let result = command(device);
            if let Err(error) = &result {
                device.after(error);
            }
            // A caller that gave up has dropped its end.
            let _ = reply.send(result);
        });
        let ended = || TpmError::Unavailable("the thread that talks to it has ended".to_owned());
        jobs.as_ref().ok_or_else(ended)?.try_send(job).map_err(|e| match e {
            TrySendError::Full(_) => {
                TpmError::Unavailable("it has not yet answered an earlier command".to_owned())
            }
            TrySendError::Disconnected(_) => ended(),
        })?;
        match answer.recv_timeout(self.deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                Err(TpmError::Unavailable(format!("no answer within {:?}", self.deadline)))
            }
            Err(RecvTimeoutError::Disconnected) => Err(ended()),
        }
    }
}
