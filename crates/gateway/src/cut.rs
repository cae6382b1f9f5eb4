//! Open connections by device, so that distrust closes them at once (I6), and what was closed when.
//!
//! In scope: connections that have carried at least one request (before that they carry no data, and the handshake was
//! judged by the gate). Out of scope: judging; [`Connections::judge`] is given the judge.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use lanyard_api::clock::Clock;
use lanyard_api::listen::ConnectionHandle;
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;

/// Records of cuts that are kept: a drill over a thousand devices.
const MAX_RECORDS: usize = 1024;

/// Connections that were closed because a device is no longer trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The device.
    pub device: DeviceId,
    /// When the gateway heard of the change (or saw the time pass).
    pub heard: Timestamp,
    /// When all its connections were told to close.
    pub closed: Timestamp,
    /// How many.
    pub connections: usize,
}

/// The registry.
#[derive(Debug, Default)]
pub struct Connections {
    open: Mutex<Open>,
    cuts: Mutex<VecDeque<Cut>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_device: HashMap<DeviceId, Vec<(u64, ConnectionHandle)>>,
}

/// A registered connection; deregisters when dropped.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Connections>,
    device: DeviceId,
    number: u64,
}

impl Connections {
    /// Registers a connection of `device`. Done once a connection, not once a request.
    pub fn register(self: &Arc<Self>, device: DeviceId, handle: ConnectionHandle) -> Registration {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let number = open.next;
        open.next += 1;
        open.by_device.entry(device).or_default().push((number, handle));
        Registration { registry: self.clone(), device, number }
    }

    /// Closes the connections of each of `devices` that `is_cut` names.
    pub fn judge(
        &self,
        devices: &[DeviceId],
        heard: Timestamp,
        clock: &Clock,
        is_cut: impl Fn(DeviceId) -> bool,
    ) {
        for device in devices.iter().copied().filter(|d| is_cut(*d)) {
            let handles: Vec<ConnectionHandle> = {
                let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                open.by_device.get(&device).into_iter().flatten().map(|(_, h)| h.clone()).collect()
            };
            let live = handles.iter().filter(|h| !h.is_closed()).count();
            if live == 0 {
                continue;
            }
            handles.iter().for_each(ConnectionHandle::close);
            tracing::warn!(device.id = %device, connections = live, "device is not trusted: its connections are cut");
            let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
            if cuts.len() == MAX_RECORDS {
                cuts.pop_front();
            }
            cuts.push_back(Cut { device, heard, closed: clock.now(), connections: live });
        }
    }

    /// Devices with open connections.
    pub fn devices(&self) -> Vec<DeviceId> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_device.keys().copied().collect()
    }

    /// Number of open connections.
    pub fn count(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.by_device.values().map(Vec::len).sum()
    }

    /// What was cut, oldest first.
    pub fn cuts(&self) -> Vec<Cut> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut open = self.registry.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = open.by_device.get_mut(&self.device) {
            handles.retain(|(number, _)| *number != self.number);
            if handles.is_empty() {
                open.by_device.remove(&self.device);
            }
        }
    }
}
