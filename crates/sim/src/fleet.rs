//! Many devices at once: manufacture, register, approve, enroll, connect. For the demo's dozen and for measurements with
//! thousands, on the same code.
//!
//! In scope: concurrency with a limit, and telling how far it is. Out of scope: stopping at the first failure; each
//! device has its own outcome, as in a hospital.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use http::StatusCode;
use lanyard_agent::tpm::TpmError;
use lanyard_api::device::{Issued, Standing};
use lanyard_domain::id::DeviceId;
use lanyard_domain::operator::Role;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_domain::tier::Tier;
use tokio::task::JoinSet;

use crate::catalogue::{Class, SITE};
use crate::device::{DeviceError, Manufactured, Storage, VirtualDevice};
use crate::maker::Maker;
use crate::operators::{Desk, DeskError, VirtualOperator};
use crate::rng::fresh;

/// Makes devices `from..to` of a fleet, on all cores: a chip costs a key pair and a signature.
pub async fn manufacture(
    from: usize,
    to: usize,
    maker: Arc<Maker>,
    storage: Storage,
) -> Result<Vec<Manufactured>, DeviceError> {
    let outcomes = concurrently((from..to).collect(), 8, move |index| {
        let (maker, storage) = (maker.clone(), storage.clone());
        async move {
            let made = tokio::task::spawn_blocking(move || Manufactured::new(index, &maker, &storage));
            made.await.map_err(|_| DeviceError::Stopping)?.map_err(|e: TpmError| DeviceError::from(e))
        }
    });
    outcomes.await.into_iter().collect()
}

/// The people that admitting a device takes.
#[derive(Clone)]
pub struct Admission {
    /// Their way to the control plane.
    pub desk: Desk,
    /// Registers.
    pub registrar: Arc<VirtualOperator>,
    /// Approves for security.
    pub security: Arc<VirtualOperator>,
    /// Approves for biomedical engineering.
    pub biomedical: Arc<VirtualOperator>,
}

impl Admission {
    /// Registers one record; says under which id.
    pub async fn register(&self, record: DeviceRecord) -> Result<DeviceId, DeskError> {
        let device = DeviceId::from_random(fresh()?);
        let action = Action::RegisterDevice { device, record };
        self.desk.decide(&self.registrar, action, "delivered and labelled").await?;
        Ok(device)
    }

    /// Both approvals, by two people.
    pub async fn approve(&self, device: DeviceId) -> Result<(), DeskError> {
        for (who, role) in [(&self.security, Role::Security), (&self.biomedical, Role::Biomedical)] {
            self.desk
                .decide(who, Action::ApproveDevice { device, role }, "checked against the order")
                .await?;
        }
        Ok(())
    }

    /// Brings a quarantined device back: approved firmware, a person's release, good evidence.
    pub async fn restore(&self, device: &VirtualDevice) -> Result<Standing, RestoreError> {
        device.boot_approved().await?;
        let action = Action::ReleaseDevice { device: device.id()? };
        self.desk.decide(&self.security, action, "firmware restored and compared").await?;
        Ok(device.agent.attest().await.map_err(DeviceError::from)?)
    }

    /// Registers and approves a fleet without a purchase list, for measurements.
    pub async fn admit(&self, made: &[Manufactured], limit: usize) -> Vec<Result<DeviceId, DeskError>> {
        let records: Vec<DeviceRecord> = made.iter().map(|m| plain_record(m.class, &m.serial)).collect();
        concurrently(records, limit, |record| {
            let admission = self.clone();
            async move {
                let device = admission.register(record).await?;
                admission.approve(device).await.map(|()| device)
            }
        })
        .await
    }
}

/// Why a device did not come back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The person.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// A record with all that the rules ask and nothing else.
pub(crate) fn plain_record(class: Class, serial: &str) -> DeviceRecord {
    let scope = "system/Observation.c".parse();
    DeviceRecord {
        vendor: class.vendor().to_owned(),
        model: class.model().to_owned(),
        serial: serial.to_owned(),
        site: SITE.to_owned(),
        owner: "biomed@hospital.example".to_owned(),
        department: "Measurements".to_owned(),
        purpose: "Load for measurements".to_owned(),
        class: class.slug().to_owned(),
        tier: Tier::High,
        ai: class.ai_model().is_some(),
        scopes: scope.into_iter().collect(),
        ae_title: None,
        zone: "monitoring".to_owned(),
        ek_sha256: None,
    }
}

/// Enrolls devices, `limit` at a time; `done` hears how many are through.
pub async fn enroll(
    devices: &[Arc<VirtualDevice>],
    limit: usize,
    done: impl Fn(usize) + Send + Sync + 'static,
) -> Vec<Result<Issued, DeviceError>> {
    let (done, count) = (Arc::new(done), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    concurrently(devices.to_vec(), limit, move |device| {
        let (done, count) = (done.clone(), count.clone());
        async move {
            let outcome = device.agent.enroll().await.map_err(DeviceError::from);
            done(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1);
            outcome
        }
    })
    .await
}

/// Opens each device's kept connection by sending one reading; the statuses in the order of `devices`.
pub async fn connect(devices: &[Arc<VirtualDevice>], limit: usize) -> Vec<Result<StatusCode, DeviceError>> {
    concurrently(devices.to_vec(), limit, |device| async move { Ok(device.send().await?.status) }).await
}

/// Runs `work` on all items, at most `limit` at a time; outcomes in the order of the items. A task that panicked is
/// missing from them.
pub async fn concurrently<T, R, F>(items: Vec<T>, limit: usize, work: impl Fn(T) -> F) -> Vec<R>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let limit = NonZeroUsize::new(limit).map_or(1, NonZeroUsize::get);
    let (mut tasks, mut outcomes) = (JoinSet::new(), Vec::with_capacity(items.len()));
    for (index, item) in items.into_iter().enumerate() {
        if tasks.len() >= limit
            && let Some(Ok(outcome)) = tasks.join_next().await
        {
            outcomes.push(outcome);
        }
        let future = work(item);
        tasks.spawn(async move { (index, future.await) });
    }
    while let Some(finished) = tasks.join_next().await {
        outcomes.extend(finished.ok());
    }
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn outcomes_keep_their_order_and_the_limit_holds() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let outcomes = concurrently((0..50usize).collect(), 4, |n| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..(50 - n) {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                n
            }
        });
        assert_eq!(outcomes.await, (0..50).collect::<Vec<_>>());
        assert!((1..=4).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn records_of_a_fleet_follow_the_rules() {
        for class in Class::ALL {
            let record = plain_record(class, "S-1");
            record.check().unwrap();
            assert_eq!(record.scopes.len(), 1);
        }
    }
}
