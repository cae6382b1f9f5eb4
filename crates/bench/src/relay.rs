//! FHIR requests per second over mutual TLS with kept connections, to one upstream.
//!
//! The load, the relay and the upstream share this machine's cores, the same for every relay that is measured.

use anyhow::Result;
use bytes::Bytes;

use crate::load::{Load, Outcome};
use crate::nginx::Nginx;
use crate::table::{Row, quantile};
use crate::{Settings, load, material, upstream};

/// Devices of a ward, and of a hospital's floor.
const CONNECTIONS: [usize; 2] = [16, 128];

/// A reading of a bedside monitor.
const OBSERVATION: &str = r#"{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-11-22T00:00:00Z","valueQuantity":{"value":72,"unit":"beats/minute","system":"http://unitsofmeasure.org","code":"/min"}}"#;

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    // nginx drops its rights: its workers must reach their temporary folders.
    open_to_workers(folder.path())?;
    material::make(folder.path())?;
    let client = material::client(folder.path())?;
    runtime.block_on(async {
        let upstream = upstream::start().await?;
        let nginx = Nginx::start(folder.path(), upstream)?;
        let mut rows = Vec::new();
        for connections in CONNECTIONS {
            let load = Load {
                address: nginx.address,
                path: "/fhir/Observation".to_owned(),
                body: Bytes::from_static(OBSERVATION.as_bytes()),
                connections,
                time: settings.time,
            };
            let limit = load::run(&load, &client).await?;
            rows.push(row(connections, limit));
        }
        Ok(rows)
    })
}

fn row(connections: usize, mut limit: Outcome) -> Row {
    let (p50, p99) = (quantile(&mut limit.times, 0.5), quantile(&mut limit.times, 0.99));
    Row {
        what: format!("mTLS relay, {connections} connections"),
        ours: None,
        limit: Some((limit.rate, format!("nginx, p50 {p50:.2} ms p99 {p99:.2} ms"))),
        target: "",
    }
}

fn open_to_workers(folder: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?)
}
