//! The inventory as operators list it: filters, order, pages.

use std::sync::Arc;

use lanyard_agent::tpm::soft::SoftTpm;
use lanyard_api::pki::InventoryLine;

use crate::hospital::{Hospital, record};

async fn list(hospital: &Hospital, filter: &str) -> Vec<InventoryLine> {
    hospital.look(&hospital.security, &format!("/v1/certificates{filter}")).await.unwrap()
}

// R48
#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_is_filtered_and_paged() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let (maker, firmware) = hospital.supplied().await;
    let mut ids = Vec::new();
    for (serial, owner) in [("P-1", "biomed-team"), ("P-2", "biomed-team"), ("P-3", "imaging-team")] {
        let mut record = record(serial);
        record.owner = owner.into();
        let device = hospital.register(record).await.unwrap();
        hospital.approve(device).await;
        let chip = Arc::new(SoftTpm::in_memory(&maker, "Chip 2", serial).unwrap());
        firmware.boot(&chip);
        hospital.agent(serial, &chip, &firmware).enroll().await.unwrap();
        ids.push(device.to_string());
    }
    let all = list(&hospital, "").await;
    assert!(all.is_sorted_by_key(|line| line.not_after), "{all:?}");
    let devices: Vec<&InventoryLine> = all.iter().filter(|l| l.kind == "device").collect();
    assert_eq!(devices.len(), 3);
    assert!(all.iter().any(|l| l.kind == "server" && l.profile == "control_server" && l.owner.is_empty()));
    let profile = devices[0].profile.clone();
    assert!(!profile.is_empty());

    let count = async |filter: &str| list(&hospital, filter).await.len();
    assert_eq!(count("?owner=biomed-team").await, 2);
    assert_eq!(count("?owner=imaging-team").await, 1);
    assert_eq!(count("?owner=nobody").await, 0);
    assert_eq!(count("?site=north").await, 3);
    assert_eq!(count(&format!("?profile={profile}")).await, 3);
    // Our own services by what they are.
    let responders = list(&hospital, "?profile=ocsp_responder").await;
    assert!(
        responders.iter().all(|l| l.name == "OCSP responder" && l.effect.contains("status")),
        "{responders:?}"
    );
    assert!(!responders.is_empty());
    assert_eq!(count("?profile=control_server").await, all.len() - 3 - responders.len());
    assert_eq!(count("?profile=none-such").await, 0);
    assert_eq!(count("?issuer=issuing-1").await, all.len());
    assert_eq!(count("?issuer=none-such").await, 0);
    assert_eq!(count("?revoked=true").await, 0);
    assert_eq!(count("?revoked=false").await, all.len());
    assert_eq!(count("?expiring_percent=100").await, all.len());
    assert_eq!(count("?expiring_percent=1").await, 0);
    let of_one = list(&hospital, &format!("?subject={}", ids[2])).await;
    assert_eq!((of_one.len(), of_one[0].owner.as_str()), (1, "imaging-team"));
    let by_serial = list(&hospital, &format!("?serial={}", of_one[0].serial)).await;
    assert_eq!(by_serial, of_one);

    // Page by page it is the same list.
    let mut pages: Vec<InventoryLine> = Vec::new();
    loop {
        let after = pages.last().map(|l| format!("&after={}", l.serial)).unwrap_or_default();
        let page = list(&hospital, &format!("?limit=2{after}")).await;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        pages.extend(page);
    }
    assert_eq!(pages, all);
    for bad in ["?after=xyz", "?after=1234", "?serial=XYZ"] {
        let refused =
            hospital.look::<Vec<InventoryLine>>(&hospital.security, &format!("/v1/certificates{bad}")).await;
        assert_eq!(refused.unwrap_err().code(), "malformed", "{bad}");
    }
    hospital.running.shutdown().await;
}
