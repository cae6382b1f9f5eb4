//! What devices measure: FHIR R4 Observations with plausible numbers, coded and without free text, as the gateway's
//! contract wants them. Patients are invented; there is no patient data in a simulation.
//!
//! To add a kind of reading: a variant of [`Reading`] and its arm in [`ClinicalSource::next`].

use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::rng::SeededRng;

const LOINC: &str = "http://loinc.org";
const UCUM: &str = "http://unitsofmeasure.org";
/// ISO/IEEE 11073-10101, the nomenclature of bedside devices.
const MDC: &str = "urn:iso:std:iso:11073:10101";
const SNOMED: &str = "http://snomed.info/sct";

/// What a device reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Heart rate.
    HeartRate,
    /// Oxygen saturation by pulse oximetry.
    Spo2,
    /// Flow of an infusion pump.
    InfusionRate,
    /// What an AI model sees in a head CT.
    CtTriage,
    /// Body weight at home.
    BodyWeight,
}

/// A stream of readings of one device about one invented patient.
#[derive(Debug, Clone)]
pub struct ClinicalSource {
    readings: Vec<Reading>,
    turn: usize,
    patient: String,
    rng: SeededRng,
}

impl ClinicalSource {
    /// A source that reports `readings` in turn about `patient` (a logical id).
    pub fn new(readings: &[Reading], patient: &str, rng: SeededRng) -> Self {
        Self { readings: readings.to_vec(), turn: 0, patient: patient.to_owned(), rng }
    }

    /// The next Observation of `device`.
    pub fn next(&mut self, device: DeviceId, now: Timestamp) -> Value {
        let reading = self.readings.get(self.turn % self.readings.len().max(1)).copied();
        self.turn = self.turn.wrapping_add(1);
        let (code, value) = match reading.unwrap_or(Reading::HeartRate) {
            Reading::HeartRate => (
                coding(LOINC, "8867-4", "Heart rate"),
                quantity(self.rng.between(58, 96), 0, "beats/minute", "/min"),
            ),
            Reading::Spo2 => (
                coding(LOINC, "59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"),
                quantity(self.rng.between(94, 99), 0, "%", "%"),
            ),
            Reading::InfusionRate => (
                coding(MDC, "157784", "MDC_FLOW_FLUID_PUMP"),
                quantity(self.rng.between(200, 1250), 1, "mL/h", "mL/h"),
            ),
            Reading::BodyWeight => (
                coding(LOINC, "29463-7", "Body weight"),
                quantity(self.rng.between(512, 1048), 1, "kg", "kg"),
            ),
            Reading::CtTriage => return self.triage(device, now),
        };
        let mut observation = self.observation(device, now, "vital-signs", code);
        put(&mut observation, "valueQuantity", value);
        observation
    }

    fn triage(&mut self, device: DeviceId, now: Timestamp) -> Value {
        let (code, display) = match self.rng.between(0, 4) {
            0 => ("1386000", "Intracranial hemorrhage"),
            _ => ("17621005", "Normal"),
        };
        let study = coding(LOINC, "18782-3", "Radiology Study observation (findings)");
        let mut observation = self.observation(device, now, "imaging", study);
        put(&mut observation, "valueCodeableConcept", coding(SNOMED, code, display));
        observation
    }

    fn observation(&self, device: DeviceId, now: Timestamp, category: &str, code: Value) -> Value {
        json!({
            "resourceType": "Observation",
            "status": "final",
            "category": [coding("http://terminology.hl7.org/CodeSystem/observation-category", category, category)],
            "code": code,
            "subject": { "reference": format!("Patient/{}", self.patient) },
            "effectiveDateTime": now.to_string(),
            "device": { "identifier": { "system": "urn:ietf:rfc:3986", "value": device.urn() } },
        })
    }
}

fn coding(system: &str, code: &str, display: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code, "display": display }] })
}

/// `digits` of `number` stand behind the decimal point.
fn quantity(number: u64, digits: u32, unit: &str, code: &str) -> Value {
    // Numbers of a simulation are far below 2^53.
    #[expect(clippy::cast_precision_loss, reason = "numbers of a simulation are far below 2^53")]
    let value = number as f64 / f64::from(10u32.pow(digits));
    let value = if digits == 0 { json!(number) } else { json!(value) };
    json!({ "value": value, "unit": unit, "system": UCUM, "code": code })
}

fn put(observation: &mut Value, name: &str, value: Value) {
    if let Some(members) = observation.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_take_turns_and_name_the_device_by_its_identifier() {
        let device = DeviceId::from_random([3; 16]);
        let now = Timestamp::from_seconds(1_795_305_600);
        let all = [
            (Reading::HeartRate, "8867-4"),
            (Reading::Spo2, "59408-5"),
            (Reading::InfusionRate, "157784"),
            (Reading::CtTriage, "18782-3"),
            (Reading::BodyWeight, "29463-7"),
        ];
        let readings: Vec<Reading> = all.iter().map(|(r, _)| *r).collect();
        let mut source = ClinicalSource::new(&readings, "p1", SeededRng::new(1));
        for (_, code) in all.iter().chain(all.iter()) {
            let observation = source.next(device, now);
            assert_eq!(observation["code"]["coding"][0]["code"], *code);
            assert_eq!(observation["device"]["identifier"]["value"], device.urn());
            assert_eq!(observation["subject"]["reference"], "Patient/p1");
            let values = ["valueQuantity", "valueCodeableConcept"];
            assert_eq!(values.iter().filter(|v| observation.get(**v).is_some()).count(), 1);
        }
    }

    #[test]
    fn a_quantity_keeps_its_decimal_places() {
        assert_eq!(quantity(1250, 1, "mL/h", "mL/h")["value"], json!(125.0));
        assert_eq!(quantity(72, 0, "/min", "/min")["value"], json!(72));
    }
}
