//! Renewals per second through the control plane's own use case, `Control::renew`: key certified by the device's TPM,
//! request verified, evidence appraised, intent recorded, certificate signed and recorded.
//!
//! The devices' part (TPM, request) is done before the clock starts; HTTP and TLS are left out (`enrollment` has them).

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lanyard_agent::tpm::{KeySlot, RootOfTrust};
use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
use lanyard_attest::tcg::QUOTED_PCRS;
use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_control::enroll::Proof;
use lanyard_control::journal::Journal;
use lanyard_domain::id::DeviceId;
use lanyard_pki::csr;
use lanyard_sim::device::VirtualDevice;
use lanyard_sim::fleet::concurrently;

use crate::hospital::Hospital;
use crate::table::{Row, in_sequence};
use crate::{Settings, cpu, p256};

/// Renewals of each device, one after the other.
const ROUNDS: usize = 4;
/// Devices that renew at the same time.
const AT_ONCE: usize = 512;
/// Two of the TPM's clock.
const TICK: Duration = Duration::from_millis(2);
/// Stands for the connection that proofs are bound to.
const CHANNEL: [u8; 32] = [6; 32];

pub fn run(settings: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let raw = p256::raw(settings.time)?;
    let control = &hospital.control.state.control;
    let checkpoint = control.journal.newest_checkpoint().context("there is no checkpoint")?;
    let reference = CheckpointRef { size: checkpoint.size, root: checkpoint.root.0 };
    let mut prepared: Vec<(DeviceId, Vec<Proof>)> = Vec::with_capacity(hospital.devices.len());
    for device in &hospital.devices {
        prepared.push((device.id()?, Vec::with_capacity(ROUNDS)));
    }
    for _ in 0..ROUNDS {
        // A quote counts once, and the TPM's clock tells two apart by the millisecond.
        std::thread::sleep(TICK);
        for (device, (_, proofs)) in hospital.devices.iter().zip(&mut prepared) {
            proofs.push(proof(device, &reference)?);
        }
    }
    let count = prepared.len() * ROUNDS;
    let (start, before) = (Instant::now(), cpu::used()?);
    hospital.runtime.block_on(async {
        let renewed = concurrently(prepared, AT_ONCE, |(id, proofs)| {
            let (control, clock) = (control.clone(), hospital.clock.clone());
            async move {
                for proof in proofs {
                    control.renew(id, proof, CHANNEL, clock.now()).await?;
                }
                Ok(())
            }
        });
        renewed.await.into_iter().collect::<Result<Vec<()>>>()
    })?;
    let ours = count as f64 / start.elapsed().as_secs_f64();
    let per_core = cpu::per_core(count, before, cpu::used()?);
    Ok(vec![Row {
        ours: Some(ours),
        limit: Some(in_sequence(raw.sign, raw.verify / 3.0) * cpu::cores() as f64),
        note: format!(
            "{per_core:.0} per core, {AT_ONCE} at once; limit: three verifies and one sign on {} cores, no disk",
            cpu::cores()
        ),
        ..Row::rate("renewal: key, CSR and evidence to recorded certificate")
    }])
}

/// What the agent sends for a renewal, made on the device's own TPM.
fn proof(device: &VirtualDevice, checkpoint: &CheckpointRef) -> Result<Proof> {
    let id: DeviceId = device.id()?;
    let root: &dyn RootOfTrust = device.agent.root().as_ref();
    let slot: KeySlot = device.agent.identities().next_slot();
    let nonce = |purpose| qualifying_data(purpose, checkpoint, *id.as_bytes(), CHANNEL);
    let tls_public = root.create_tls_key(slot)?;
    let certified = root.certify_tls_key(slot, &nonce(Purpose::Certify))?;
    let spki = spki_der(&Public::parse(&tls_public).context("the TLS key cannot be read")?);
    let csr = csr::build(&spki, &id.to_string(), |message| root.sign_tls(slot, message))?;
    let quote = root.quote(&nonce(Purpose::Attest), &QUOTED_PCRS)?;
    let boot = device.class.firmware().boot(device.class.ai_model().as_ref());
    let evidence = TpmEvidence {
        quote: quote.attest,
        signature: quote.signature,
        pcrs: quote.pcrs,
        event_log: boot.log,
    };
    Ok(Proof {
        checkpoint_size: checkpoint.size,
        tls_public,
        certify: certified.attest,
        certify_signature: certified.signature,
        csr,
        evidence: evidence.encode(),
    })
}
