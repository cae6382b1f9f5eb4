use lanyard_domain::access::ReleaseName;
use lanyard_domain::id::{DeviceId, ReleaseId};
use lanyard_domain::tier::Tier;

use super::*;

const NOW: i64 = 1_795_305_600;

fn view() -> DeviceView {
    DeviceView {
        device: DeviceId::from_random([1; 16]),
        site: "north".into(),
        vendor: "Acme".into(),
        model: "Pump 3".into(),
        serial: "SN\"1".into(),
        tier: Tier::Critical,
        ai: false,
        scopes: vec!["system/Observation.crud".parse().unwrap(), "system/Patient.rs".parse().unwrap()],
        verdict: Verdict::Trusted,
        reasons: vec![],
        fresh_until: Some(Timestamp::from_seconds(NOW + 300)),
        untrusted_after: Some(Timestamp::from_seconds(NOW + 3600)),
        certificates: vec![Digest([7; 32])],
        firmware: Some(ReleaseName { id: ReleaseId::from_random([2; 16]), version: "1.2.3".into() }),
        ai_model: None,
        evidence_pos: Some(41),
        evidence_sha256: Some(Digest([9; 32])),
        as_of: 42,
    }
}

fn guard() -> Guard {
    Guard::new(GatewayId::from_random([3; 16]), "north", "hospital.example/log", Guard::MAX_BODY)
}

fn at(seconds: i64) -> Circumstances {
    let mut random = [0u8; 48];
    random.iter_mut().enumerate().for_each(|(i, b)| *b = i as u8);
    Circumstances { now: Timestamp::from_seconds(seconds), heard_pos: 99, ids: Ids::from_random(random) }
}

const OBSERVATION: &str = r#"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-11-21T23:59:00+00:00","valueQuantity":{"value":72.50,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}"#;

fn head<'a>(method: &'a str, path: &'a str, query: Option<&'a str>) -> Head<'a> {
    let content_type = Some("application/fhir+json; charset=UTF-8");
    Head { method, path, query, content_type, accept: Some("application/fhir+json"), unsupported: None }
}

fn rule_on(head: &Head<'_>, body: &[u8], view: &DeviceView, seconds: i64) -> Ruling {
    let caller = Caller { view, certificate: &Digest([7; 32]), token_scopes: None };
    guard().decide(head, body, &caller, &at(seconds))
}

fn create(body: &str, view: &DeviceView) -> Ruling {
    rule_on(&head("POST", "/fhir/Observation", None), body.as_bytes(), view, NOW)
}

fn forwarded(ruling: Ruling) -> Box<Forward> {
    match ruling {
        Ruling::Forward(forward) => forward,
        Ruling::Refuse(refused) => panic!("refused: {refused:?}"),
    }
}

fn refused(ruling: Ruling) -> Box<Refused> {
    match ruling {
        Ruling::Refuse(refused) => refused,
        Ruling::Forward(forward) => panic!("forwarded: {forward:?}"),
    }
}

fn check(name: &str, ruling: Ruling, status: u16, code: &str) {
    let refused = refused(ruling);
    let first = refused.refusal.reasons.first().map(|r| r.code.as_str());
    assert_eq!((refused.refusal.status, first), (status, Some(code)), "{name}: {refused:?}");
    assert!(!refused.record.allowed, "{name}");
    assert_eq!(refused.record.reasons, refused.refusal.reasons, "{name}");
    assert_eq!(refused.record.policy, access::POLICY, "{name}");
    let body: serde_json::Value = serde_json::from_str(&refused.refusal.body()).unwrap();
    assert_eq!(body["resourceType"], "OperationOutcome", "{name}");
    assert_eq!(body["issue"][0]["severity"], "error", "{name}");
    assert!(body["issue"][0]["diagnostics"].as_str().unwrap().len() > 10, "{name}");
}

fn bundle_of(forward: &Forward) -> serde_json::Value {
    match &forward.upstream {
        Upstream::Transaction(body) => serde_json::from_str(body).unwrap(),
        Upstream::Get(path) => panic!("a read of {path}"),
    }
}

// R81, R55
#[test]
fn an_accepted_observation_goes_out_with_a_provenance_in_one_transaction() {
    let forward = forwarded(create(OBSERVATION, &view()));
    assert_eq!(forward.permit().allowed().len(), 1);
    let bundle = bundle_of(&forward);
    assert_eq!(bundle["type"], "transaction");
    assert_eq!(bundle["entry"].as_array().unwrap().len(), 2);
    let (observation, provenance) = (&bundle["entry"][0], &bundle["entry"][1]["resource"]);
    assert_eq!(observation["request"], serde_json::json!({"method": "POST", "url": "Observation"}));
    assert_eq!(provenance["target"][0]["reference"], observation["fullUrl"]);
    assert_eq!(
        provenance["agent"][0]["who"]["identifier"]["value"],
        "urn:uuid:01010101-0101-4101-8101-010101010101"
    );
    assert_eq!(provenance["agent"][0]["who"]["display"], "Acme Pump 3 SN\"1");
    assert_eq!(provenance["agent"][1]["type"]["coding"][0]["code"], "assembler");
    assert_eq!(provenance["entity"][0]["what"]["identifier"]["value"], Digest([9; 32]).to_string());
    let facts = provenance["extension"].as_array().unwrap();
    let fact = |name: &str| facts.iter().find(|e| e["url"] == format!("urn:lanyard:fhir:{name}")).cloned();
    assert_eq!(fact("verdict").unwrap()["valueString"], "trusted");
    assert_eq!(fact("log-heard-position").unwrap()["valueString"], "99");
    assert_eq!(fact("evidence-position").unwrap()["valueString"], "41");
    assert_eq!(fact("firmware-release").unwrap()["extension"][1]["valueString"], "1.2.3");
    assert_eq!(fact("decision").unwrap()["valueString"], format!("urn:uuid:{}", forward.record.decision));
    assert!(fact("model-release").is_none());
    // The number keeps its precision.
    let Upstream::Transaction(body) = &forward.upstream else { panic!() };
    assert!(body.contains("\"value\":72.50,"));
    // I4: the record says what the decision rests on.
    let record = &forward.record;
    assert!(record.allowed && record.interaction == "create Observation" && record.evidence_pos == Some(41));
    assert_eq!(record.request_sha256, Some(sha256(OBSERVATION.as_bytes())));
    assert_eq!(record.forwarded_sha256, Some(sha256(body.as_bytes())));
}

// R41, R53, R55, R65, R79, I5, I6
#[test]
fn who_may_not_is_refused_before_anything_else_is_looked_at() {
    let post = head("POST", "/fhir/Observation", None);
    let with = |change: &dyn Fn(&mut DeviceView)| {
        let mut view = view();
        change(&mut view);
        view
    };
    let body = b"not even JSON";
    for (name, view, seconds, status, code) in [
        (
            "other certificate",
            with(&|v| v.certificates = vec![Digest([8; 32])]),
            NOW,
            401,
            "certificate_not_current",
        ),
        ("no certificate", with(&|v| v.certificates.clear()), NOW, 401, "certificate_not_current"),
        (
            "quarantined",
            with(&|v| {
                v.verdict = Verdict::Untrusted;
                v.reasons = vec![Reason::new("quarantined", "It is in quarantine.")];
            }),
            NOW,
            403,
            "quarantined",
        ),
        ("time alone", view(), NOW + 3601, 403, "evidence_expired"),
        (
            "never proven",
            with(&|v| (v.fresh_until, v.untrusted_after) = (None, None)),
            NOW,
            403,
            "evidence_expired",
        ),
        ("no scope", with(&|v| v.scopes.clear()), NOW, 403, "not_in_scope"),
        (
            "read-only",
            with(&|v| v.scopes = vec!["system/Observation.rs".parse().unwrap()]),
            NOW,
            403,
            "not_in_scope",
        ),
        ("other site", with(&|v| v.site = "south".into()), NOW, 403, "other_site"),
        ("unknown model", with(&|v| v.ai = true), NOW, 403, "model_unknown"),
    ] {
        check(name, rule_on(&post, body, &view, seconds), status, code);
    }
}

// R79
#[test]
fn a_token_narrows_what_the_record_allows() {
    let view = view();
    let (reads, all): ([Scope; 1], [Scope; 1]) =
        (["system/Observation.r".parse().unwrap()], ["system/Observation.cruds".parse().unwrap()]);
    let post = head("POST", "/fhir/Observation", None);
    let search = head("GET", "/fhir/Observation", Some("code=8867-4"));
    let decide = |head: &Head<'_>, scopes: &[Scope]| {
        let caller = Caller { view: &view, certificate: &Digest([7; 32]), token_scopes: Some(scopes) };
        guard().decide(head, OBSERVATION.as_bytes(), &caller, &at(NOW))
    };
    check("narrow", decide(&post, &reads), 403, "not_in_token_scope");
    forwarded(decide(&post, &all));
    // The record has no `s` for Observation: a token that says so does not add it.
    check("wide", decide(&search, &all), 403, "not_in_scope");
}

// R78, I9: every refusal of a head, with the status that FHIR gives it
#[test]
fn requests_that_are_not_offered_are_refused() {
    let view = view();
    let ok = "application/fhir+json";
    for (name, method, path, query, content_type, accept, status, code) in [
        ("metadata", "GET", "/fhir/metadata", None, Some(ok), None, 404, "resource_not_offered"),
        ("unknown type", "POST", "/fhir/Basic", None, Some(ok), None, 404, "resource_not_offered"),
        ("elsewhere", "GET", "/", None, None, None, 404, "path_not_offered"),
        ("prefix", "GET", "/fhirX/Patient/1", None, None, None, 404, "path_not_offered"),
        ("history", "GET", "/fhir/Patient/1/_history", None, None, None, 404, "path_not_offered"),
        ("escape", "GET", "/fhir/Patient/%2e%2e", None, None, None, 404, "path_not_offered"),
        ("double", "GET", "/fhir//Patient/1", None, None, None, 404, "path_not_offered"),
        ("dots", "GET", "/fhir/Patient/..", None, None, None, 400, "id_malformed"),
        ("operation", "GET", "/fhir/Patient/$everything", None, None, None, 400, "id_malformed"),
        (
            "long id",
            "GET",
            &format!("/fhir/Patient/{}", "x".repeat(65)),
            None,
            None,
            None,
            400,
            "id_malformed",
        ),
        ("patch", "PATCH", "/fhir/Observation/1", None, None, None, 405, "method_not_offered"),
        ("base get", "GET", "/fhir", None, None, None, 405, "method_not_offered"),
        ("delete type", "DELETE", "/fhir/Observation", None, None, None, 405, "method_not_offered"),
        ("conditional", "POST", "/fhir/Observation", Some("x=1"), Some(ok), None, 400, "query_not_offered"),
        (
            "xml",
            "POST",
            "/fhir/Observation",
            None,
            Some("application/fhir+xml"),
            None,
            415,
            "content_type_not_accepted",
        ),
        ("no type", "POST", "/fhir/Observation", None, None, None, 415, "content_type_not_accepted"),
        (
            "latin",
            "POST",
            "/fhir/Observation",
            None,
            Some("application/json; charset=latin1"),
            None,
            415,
            "content_type_not_accepted",
        ),
        (
            "r5",
            "POST",
            "/fhir/Observation",
            None,
            Some("application/fhir+json; fhirVersion=5.0"),
            None,
            415,
            "content_type_not_accepted",
        ),
        (
            "accept",
            "GET",
            "/fhir/Patient/1",
            None,
            None,
            Some("text/html, application/fhir+xml"),
            406,
            "format_not_offered",
        ),
        (
            "accept r5",
            "GET",
            "/fhir/Patient/1",
            None,
            None,
            Some("application/fhir+json;fhirVersion=5.0"),
            406,
            "format_not_offered",
        ),
        ("format", "GET", "/fhir/Patient", Some("_id=1&_format=xml"), None, None, 406, "format_not_offered"),
        (
            "include",
            "GET",
            "/fhir/Patient",
            Some("_id=1&_include=Patient:link"),
            None,
            None,
            400,
            "parameter_not_offered",
        ),
        (
            "revinclude",
            "GET",
            "/fhir/Patient",
            Some("_revinclude=Observation:subject"),
            None,
            None,
            400,
            "parameter_not_offered",
        ),
        (
            "chain",
            "GET",
            "/fhir/Patient",
            Some("organization.name=x"),
            None,
            None,
            400,
            "parameter_not_offered",
        ),
        (
            "modifier",
            "GET",
            "/fhir/Patient",
            Some("name:contains=x"),
            None,
            None,
            400,
            "parameter_not_offered",
        ),
        (
            "coded name",
            "GET",
            "/fhir/Patient",
            Some("%5Finclude=x"),
            None,
            None,
            400,
            "parameter_not_offered",
        ),
        ("long query", "GET", "/fhir/Patient", Some(&"a".repeat(2049)), None, None, 400, "query_malformed"),
        ("no scope", "POST", "/fhir/Patient", None, Some(ok), None, 403, "not_in_scope"),
        ("no scope read", "GET", "/fhir/Encounter/1", None, None, None, 403, "not_in_scope"),
    ] {
        let head = Head { method, path, query, content_type, accept, unsupported: None };
        check(name, rule_on(&head, OBSERVATION.as_bytes(), &view, NOW), status, code);
    }
    for header in request::UNSUPPORTED {
        let head = Head { unsupported: Some(header), ..head("POST", "/fhir/Observation", None) };
        let status = if header == "content-encoding" { 415 } else { 400 };
        check(header, rule_on(&head, OBSERVATION.as_bytes(), &view, NOW), status, "header_not_supported");
    }
}

#[test]
fn a_type_that_devices_may_only_read_is_not_written() {
    let mut view = view();
    view.scopes.push("system/Patient.c".parse().unwrap());
    let post = head("POST", "/fhir/Patient", None);
    check("patient", rule_on(&post, br#"{"resourceType":"Patient"}"#, &view, NOW), 422, "type_not_writable");
}

// R78, I12
#[test]
fn bodies_that_are_not_what_was_agreed_are_refused() {
    let view = view();
    let change = |from: &str, to: &str| {
        assert!(OBSERVATION.contains(from), "{from}");
        OBSERVATION.replace(from, to)
    };
    let add = |member: &str| change(r#""status":"final""#, &format!(r#""status":"final",{member}"#));
    let quantity = r#","valueQuantity":{"value":72.50,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}"#;
    let other = r#"{"identifier":{"system":"urn:ietf:rfc:3986","value":"urn:uuid:02010101-0101-4101-8101-010101010101"}}"#;
    for (name, body, status, code) in [
        ("empty", String::new(), 400, "json_malformed"),
        ("list", "[]".into(), 400, "resource_type_differs"),
        ("twice", add(r#""status":"final""#), 400, "json_malformed"),
        ("deep", "[".repeat(5000), 400, "json_malformed"),
        ("other type", change("\"Observation\"", "\"Patient\""), 400, "resource_type_differs"),
        ("id", add(r#""id":"x""#), 400, "id_differs"),
        ("bad status", change("\"final\"", "\"nonsense\""), 422, "code_not_in_value_set"),
        ("no status", change("\"status\":\"final\",", ""), 422, "element_missing"),
        (
            "no code",
            change(
                r#""code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}]},"#,
                "",
            ),
            422,
            "element_missing",
        ),
        (
            "text code",
            change(
                r#""coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}]"#,
                r#""text":"pulse""#,
            ),
            422,
            "element_missing",
        ),
        ("no value", change(quantity, ""), 422, "value_missing"),
        ("two values", add(r#""valueInteger":1"#), 422, "choice_repeated"),
        (
            "obs-6",
            add(r#""dataAbsentReason":{"coding":[{"system":"http://x.example/a","code":"unknown"}]}"#),
            422,
            "obs_6",
        ),
        ("two times", add(r#""effectiveInstant":"2026-11-21T10:00:00Z""#), 422, "choice_repeated"),
        (
            "empty component",
            add(r#""component":[{"code":{"coding":[{"system":"http://x.example/a","code":"b"}]}}]"#),
            422,
            "value_missing",
        ),
        (
            "string",
            change(quantity, r#","valueString":"the patient is well""#),
            422,
            "free_content_not_accepted",
        ),
        ("note", add(r#""note":[{"text":"x"}]"#), 422, "free_content_not_accepted"),
        (
            "narrative",
            add(r#""text":{"status":"generated","div":"<div/>"}"#),
            422,
            "free_content_not_accepted",
        ),
        ("contained", add(r#""contained":[{"resourceType":"Binary"}]"#), 422, "free_content_not_accepted"),
        (
            "extension",
            add(r#""extension":[{"url":"urn:x","valueString":"x"}]"#),
            422,
            "free_content_not_accepted",
        ),
        (
            "display",
            change("\"Patient/p1\"", "\"Patient/p1\",\"display\":\"Jane\""),
            422,
            "reference_malformed",
        ),
        ("shadow", add(r#""_status":{"id":"x"}"#), 422, "element_unknown"),
        ("custom", add(r#""payload":"AAAA""#), 422, "element_unknown"),
        (
            "own tag",
            add(r#""meta":{"tag":[{"system":"urn:lanyard:fhir:verdict","code":"x"}]}"#),
            422,
            "element_unknown",
        ),
        (
            "own label",
            add(r#""meta":{"security":[{"system":"http://x.example/a","code":"AIAST"}]}"#),
            422,
            "code_not_in_value_set",
        ),
        ("absolute", change("Patient/p1", "http://evil.example/Patient/p1"), 422, "reference_malformed"),
        ("wrong target", change("Patient/p1", "Practitioner/p1"), 422, "reference_malformed"),
        (
            "urn",
            change("Patient/p1", "urn:uuid:02010101-0101-4101-8101-010101010101"),
            422,
            "reference_malformed",
        ),
        ("path", change("Patient/p1", "Patient/p1/_history/1"), 422, "reference_malformed"),
        ("not our device", add(&format!(r#""device":{other}"#)), 422, "device_is_not_the_sender"),
        ("literal device", add(r#""device":{"reference":"Device/1"}"#), 422, "device_is_not_the_sender"),
        ("future", change("2026-11-21T23:59:00+00:00", "2026-11-22T00:01:01Z"), 422, "time_in_the_future"),
        ("bad time", change("2026-11-21T23:59:00+00:00", "yesterday"), 422, "time_malformed"),
        ("null", change("72.50", "null"), 422, "value_malformed"),
        ("huge number", change("72.50", "1e999"), 422, "value_malformed"),
        ("endless number", change("72.50", &"9".repeat(40)), 400, "json_malformed"),
        ("text number", change("72.50", "\"72\""), 422, "value_malformed"),
        ("not a list", add(r#""category":{"coding":[]}"#), 422, "not_a_list"),
        ("empty list", add(r#""category":[]"#), 422, "list_size"),
        ("empty object", change(r#"{"reference":"Patient/p1"}"#, "{}"), 422, "reference_malformed"),
        ("two lines", change("Heart rate", "Heart\\nrate"), 422, "value_malformed"),
        ("long label", change("Heart rate", &"x".repeat(129)), 422, "value_malformed"),
    ] {
        check(name, create(&body, &view), status, code);
    }
    let refusal = refused(create(&add(r#""component":[{"x":1}]"#), &view)).refusal;
    assert_eq!(refusal.expression.as_deref(), Some("Observation.component[0].x"));
    let refusal = refused(create(&"x".repeat(Guard::MAX_BODY + 1), &view)).refusal;
    assert_eq!(refusal.status, 413);
}

// I9: what a refusal says does not depend on what a request holds
#[test]
fn refusals_never_repeat_values_of_the_request() {
    let secret = "Zaphod-7319";
    for (from, to) in [
        ("\"final\"", format!("\"{secret}\"")),
        ("Patient/p1", secret.to_owned()),
        ("72.50", format!("\"{secret}\"")),
        ("2026-11-21T23:59:00+00:00", secret.to_owned()),
        ("\"status\"", format!("\"{secret}\":1,\"status\"")),
    ] {
        let refused = refused(create(&OBSERVATION.replace(from, &to), &view()));
        assert!(!refused.refusal.body().contains(secret), "{from}: {}", refused.refusal.body());
        assert!(!format!("{:?}", refused.record).contains(secret), "{from}");
    }
    let get = head("GET", "/fhir/Patient/Zaphod-7319", None);
    let forward = forwarded(rule_on(&get, b"", &view(), NOW));
    assert!(!format!("{:?}", forward.record).contains(secret));
}

// I12
#[test]
fn a_body_cut_at_any_byte_is_refused_and_any_bit_flip_is_ruled_on() {
    let view = view();
    for cut in 0..OBSERVATION.len() {
        check("cut", create(OBSERVATION.get(..cut).unwrap(), &view), 400, "json_malformed");
    }
    for bit in 0..OBSERVATION.len() * 8 {
        let mut body = OBSERVATION.as_bytes().to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        if let Ruling::Forward(forward) = rule_on(&head("POST", "/fhir/Observation", None), &body, &view, NOW)
        {
            assert_eq!(bundle_of(&forward)["entry"][0]["resource"]["resourceType"], "Observation");
        }
    }
}

// R62
#[test]
fn what_an_ai_device_writes_carries_the_label_and_its_model() {
    let mut view = view();
    view.ai = true;
    view.ai_model = Some(ReleaseName { id: ReleaseId::from_random([5; 16]), version: "2026.4".into() });
    let labelled = OBSERVATION.replace(
        r#""status":"final""#,
        r#""status":"final","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"AIAST"}]}"#,
    );
    for body in [OBSERVATION, &labelled] {
        let bundle = bundle_of(&forwarded(create(body, &view)));
        let security = bundle["entry"][0]["resource"]["meta"]["security"].as_array().unwrap();
        assert_eq!(security.len(), 1);
        assert_eq!(security[0]["code"], "AIAST");
        let provenance = bundle["entry"][1]["resource"].to_string();
        assert!(provenance.contains("urn:lanyard:fhir:model-release") && provenance.contains("2026.4"));
    }
}

// I5: staleness degrades, it does not refuse; and it shows
#[test]
fn data_of_a_degraded_device_is_accepted_and_flagged() {
    let forward = forwarded(rule_on(
        &head("POST", "/fhir/Observation", None),
        OBSERVATION.as_bytes(),
        &view(),
        NOW + 301,
    ));
    let bundle = bundle_of(&forward);
    assert_eq!(bundle["entry"][0]["resource"]["meta"]["tag"][0]["code"], "degraded");
    assert!(bundle["entry"][1].to_string().contains("\"degraded\""));
    assert_eq!(forward.record.verdict, Some(Verdict::Degraded));
    assert_eq!(forward.record.reasons[0].code, "evidence_stale");
}

#[test]
fn reads_and_searches_go_out_narrow() {
    let view = view();
    let read = forwarded(rule_on(&head("GET", "/fhir/Patient/p1", None), b"", &view, NOW));
    assert_eq!(read.upstream, Upstream::Get("/Patient/p1".into()));
    let search = head("GET", "/fhir/Patient", Some("identifier=urn:x%7C1&_count=2"));
    let search = forwarded(rule_on(&search, b"", &view, NOW));
    assert_eq!(search.upstream, Upstream::Get("/Patient?identifier=urn:x%7C1&_count=2".into()));
    assert_eq!(search.record.interaction, "search Patient");
}

#[test]
fn updates_and_deletes_carry_a_provenance_too() {
    let view = view();
    let body = OBSERVATION.replace("\"status\"", "\"id\":\"o1\",\"status\"");
    let put = head("PUT", "/fhir/Observation/o1", None);
    let bundle = bundle_of(&forwarded(rule_on(&put, body.as_bytes(), &view, NOW)));
    assert_eq!(bundle["entry"][0]["request"], serde_json::json!({"method": "PUT", "url": "Observation/o1"}));
    assert_eq!(bundle["entry"][1]["resource"]["target"][0]["reference"], "Observation/o1");
    check("no id", rule_on(&put, OBSERVATION.as_bytes(), &view, NOW), 400, "id_differs");
    let delete = head("DELETE", "/fhir/Observation/o1", None);
    let bundle = bundle_of(&forwarded(rule_on(&delete, b"", &view, NOW)));
    assert_eq!(bundle["entry"][0]["request"]["method"], "DELETE");
    assert_eq!(bundle["entry"][1]["resource"]["activity"]["coding"][0]["code"], "DELETE");
}

fn transaction(entries: &[String]) -> String {
    format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#, entries.join(","))
}

fn entry(n: u8, resource: &str, kind: &str) -> String {
    format!(
        r#"{{"fullUrl":"urn:uuid:0000000{n}-0000-4000-8000-000000000000","resource":{resource},"request":{{"method":"POST","url":"{kind}"}}}}"#
    )
}

// R41: every entry is checked
#[test]
fn a_transaction_is_as_good_as_its_worst_entry() {
    let view = view();
    let post = head("POST", "/fhir", None);
    let rule = |body: &str| rule_on(&post, body.as_bytes(), &view, NOW);
    let member = OBSERVATION.replace(
        r#""status":"final""#,
        r#""status":"final","derivedFrom":[{"reference":"urn:uuid:00000001-0000-4000-8000-000000000000"}]"#,
    );
    let good = transaction(&[entry(1, OBSERVATION, "Observation"), entry(2, &member, "Observation")]);
    let forward = forwarded(rule(&good));
    let bundle = bundle_of(&forward);
    assert_eq!(bundle["entry"].as_array().unwrap().len(), 3);
    assert_eq!(bundle["entry"][2]["resource"]["target"].as_array().unwrap().len(), 2);
    assert_eq!(forward.permit().allowed().len(), 2);
    assert_eq!(forward.record.interaction, "transaction: create Observation x2");

    let report = r#"{"resourceType":"DiagnosticReport","status":"final","code":{"coding":[{"system":"http://x.example/a","code":"b"}]}}"#;
    let ok = entry(1, OBSERVATION, "Observation");
    for (name, body, status, code) in [
        ("no scope", transaction(&[ok.clone(), entry(2, report, "DiagnosticReport")]), 403, "not_in_scope"),
        ("patient", transaction(&[ok.clone(), entry(2, "{}", "Patient")]), 403, "not_in_scope"),
        (
            "mismatch",
            transaction(&[ok.clone(), entry(2, report, "Observation")]),
            400,
            "resource_type_differs",
        ),
        ("same url", transaction(&[ok.clone(), ok.clone()]), 400, "full_url_repeated"),
        (
            "conditional",
            transaction(&[ok.replace("\"url\":\"Observation\"", "\"url\":\"Observation?x=1\"")]),
            400,
            "entry_malformed",
        ),
        (
            "ifNoneExist",
            transaction(&[ok.replace("\"method\"", "\"ifNoneExist\":\"x=1\",\"method\"")]),
            400,
            "entry_malformed",
        ),
        ("get", transaction(&[ok.replace("\"POST\"", "\"GET\"")]), 400, "entry_malformed"),
        ("no fullUrl", transaction(&[ok.replace("\"fullUrl\"", "\"link\"")]), 400, "entry_malformed"),
        ("none", transaction(&[]), 400, "entry_count"),
        ("many", transaction(&vec![ok.clone(); 101]), 400, "entry_count"),
        ("batch", good.replace("\"transaction\"", "\"batch\""), 400, "not_a_transaction"),
        ("extra", good.replace("\"type\"", "\"id\":\"x\",\"type\""), 400, "not_a_transaction"),
        ("empty", transaction(&[entry(1, "{}", "Observation")]), 400, "resource_type_differs"),
    ] {
        check(name, rule(&body), status, code);
    }
}

// The property behind R69: whatever is asked, a ruling to forward holds one `Allowed` for each interaction in it.
#[test]
fn nothing_is_forwarded_without_an_allowed_for_each_interaction() {
    // A small generator with a fixed seed: every run tries the same 20,000 combinations.
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut draw = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let methods = ["GET", "POST", "PUT", "DELETE", "PATCH"];
    let paths = ["/fhir", "/fhir/Observation", "/fhir/Observation/o1", "/fhir/Patient", "/fhir/Patient/p1"];
    let scopes = ["system/Observation.c", "system/Observation.r", "system/Patient.s", "system/Patient.r"];
    let bodies = [OBSERVATION.to_owned(), transaction(&[entry(1, OBSERVATION, "Observation")]), "{}".into()];
    let mut forwards = 0;
    for _ in 0..20_000 {
        let mut view = view();
        view.verdict = [Verdict::Trusted, Verdict::Degraded, Verdict::Untrusted][draw(3)];
        view.scopes = (0..draw(3)).map(|_| scopes[draw(4)].parse().unwrap()).collect();
        view.certificates = vec![Digest([6 + draw(2) as u8; 32])];
        let (method, path) = (methods[draw(5)], paths[draw(5)]);
        let query = (method == "GET" && path == "/fhir/Patient").then_some("identifier=1");
        let head = head(method, path, query);
        let seconds = NOW + [0, 301, 3601][draw(3)];
        let Ruling::Forward(forward) = rule_on(&head, bodies[draw(3)].as_bytes(), &view, seconds) else {
            continue;
        };
        forwards += 1;
        assert!(!forward.permit().allowed().is_empty());
        assert!(forward.permit().allowed().iter().all(|a| a.verdict() != Verdict::Untrusted));
        assert_eq!(view.certificates, [Digest([7; 32])]);
        assert!(seconds < NOW + 3601 && view.verdict != Verdict::Untrusted);
        let (verb, kind) = match &forward.expect {
            Expect::Read { kind, .. } => ('r', *kind),
            Expect::Search { kind, .. } => ('s', *kind),
            Expect::Transaction { entries, .. } => ('c', entries[0].1),
        };
        assert!(view.scopes.iter().any(|s| s.to_string() == format!("system/{kind}.{verb}")));
    }
    assert!(forwards > 100, "{forwards}");
}

const TWO: &[(transaction::Verb, &str)] = &[(transaction::Verb::Create, "Observation")];

fn judge(asked: answer::Asked, status: u16, body: &str) -> Result<answer::Answer, Refusal> {
    answer::judge(&Expect::Transaction { entries: TWO.to_vec(), asked }, status, body.as_bytes())
}

const DONE: &str = r#"{"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"status":"201 Created","location":"http://ehr.example/r4/Observation/o7/_history/1"}},{"response":{"status":"201","location":"Provenance/p7"}}]}"#;

// R82: success is only what the EHR reported in full
#[test]
fn the_device_hears_success_only_for_a_complete_transaction() {
    let answer = judge(answer::Asked::Single, 200, DONE).unwrap();
    assert_eq!((answer.status, answer.location.as_deref()), (201, Some("/fhir/Observation/o7/_history/1")));
    assert_eq!(answer.written, ["Observation/o7"]);
    let bundle = judge(answer::Asked::Bundle, 200, DONE).unwrap();
    let answer::Body::Own(body) = bundle.body else { panic!() };
    assert!(body.contains("201 Created") && !body.contains("Provenance"));
    for (name, body) in [
        ("no entries", DONE.replace("\"entry\"", "\"entries\"")),
        ("one entry", r#"{"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"status":"201","location":"Observation/1"}}]}"#.into()),
        ("failed entry", DONE.replace("201 Created", "400 Bad Request")),
        ("failed provenance", DONE.replace("\"201\"", "\"422\"")),
        ("no location", DONE.replace("location", "loc")),
        ("other type", DONE.replace("Observation", "Basic")),
        ("batch", DONE.replace("transaction-response", "batch-response")),
        ("text", "OK".into()),
        ("cut", DONE.strip_suffix('}').unwrap().into()),
        ("no status", DONE.replace("\"status\":\"201\"", "\"x\":\"201\"")),
    ] {
        assert_eq!(judge(answer::Asked::Single, 200, &body).unwrap_err().status, 502, "{name}");
    }
}

// R82: the EHR's failures, and its opinion of the gateway's credential, are never the device's fault
#[test]
fn the_status_of_the_ehr_is_translated() {
    for (upstream, status) in [
        (301, 502),
        (400, 422),
        (401, 502),
        (403, 502),
        (404, 422),
        (409, 409),
        (412, 409),
        (422, 422),
        (429, 503),
        (500, 502),
        (503, 503),
        (504, 504),
        (100, 502),
    ] {
        assert_eq!(judge(answer::Asked::Single, upstream, "{}").unwrap_err().status, status, "{upstream}");
    }
    let read = Expect::Read { kind: "Patient", id: "1".into() };
    assert_eq!(answer::judge(&read, 404, b"").unwrap_err().status, 404);
}

// R80: an EHR that ignores a parameter or adds resources does not widen what a device sees
#[test]
fn answers_wider_than_the_question_are_refused() {
    let read = Expect::Read { kind: "Patient", id: "1".into() };
    assert!(answer::judge(&read, 200, br#"{"resourceType":"Patient","id":"1"}"#).is_ok());
    assert!(answer::judge(&read, 200, br#"{"resourceType":"Patient","id":"2"}"#).is_err());
    let search = Expect::Search { kind: "Encounter", parameters: vec!["subject".into(), "_count".into()] };
    let set = |link: &str, kind: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"searchset","link":[{{"relation":"self","url":"http://e/Encounter?{link}"}}],"entry":[{{"resource":{{"resourceType":"{kind}"}}}}]}}"#
        )
    };
    assert!(answer::judge(&search, 200, set("subject=Patient/1", "Encounter").as_bytes()).is_ok());
    assert!(answer::judge(&search, 200, set("_count=1", "Encounter").as_bytes()).is_err());
    assert!(answer::judge(&search, 200, set("subject=Patient/1", "Patient").as_bytes()).is_err());
}
