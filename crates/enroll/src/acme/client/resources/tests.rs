//! What is read of answers, and what is refused.

use super::*;

const ORIGIN: &str = "https://ca.example:8443";

fn directory(more: &str) -> String {
    format!(
        r#"{{"newNonce":"{ORIGIN}/n","newAccount":"{ORIGIN}/a","newOrder":"{ORIGIN}/o","revokeCert":"{ORIGIN}/r",
        "meta":{{"externalAccountRequired":true,"profiles":{{"b":"x","a":"y"}}}}{more}}}"#
    )
}

fn order(status: &str, more: &str) -> String {
    format!(
        r#"{{"status":"{status}","identifiers":[{{"type":"dns","value":"a.example"}}],
        "authorizations":["{ORIGIN}/z"],"finalize":"{ORIGIN}/f"{more}}}"#
    )
}

fn authorization(challenge: &str) -> String {
    format!(
        r#"{{"status":"pending","identifier":{{"type":"dns","value":"a.example"}},"challenges":[{challenge}]}}"#
    )
}

// I12
#[test]
fn resources_are_read_and_a_cut_one_is_refused() {
    let text = directory("");
    let found = Directory::parse(ORIGIN, text.as_bytes()).unwrap();
    assert_eq!((found.profiles, found.binding_required), (vec!["a".into(), "b".into()], true));
    let text = [
        text,
        order("pending", ""),
        authorization(&format!(
            r#"{{"type":"http-01","url":"{ORIGIN}/c","status":"pending","token":"abc"}}"#
        )),
        r#"{"suggestedWindow":{"start":"2026-12-01T00:00:00Z","end":"2026-12-02T00:00:00Z"}}"#.into(),
    ];
    for (n, text) in text.iter().enumerate() {
        let read = |body: &[u8]| match n {
            0 => Directory::parse(ORIGIN, body).is_ok(),
            1 => OrderView::parse(ORIGIN, body).is_ok(),
            2 => AuthorizationView::parse(ORIGIN, body).is_ok(),
            _ => RenewalWindow::parse(body, 60).is_ok(),
        };
        assert!(read(text.as_bytes()), "{text}");
        for cut in 0..text.len() {
            assert!(!read(&text.as_bytes()[..cut]), "{n} cut to {cut}");
        }
        assert!(!read(&vec![b' '; MAX_ANSWER_BODY + 1]));
    }
}

// I12: an answer leads to nobody but the configured server.
#[test]
fn addresses_of_others_are_not_followed() {
    for bad in [
        "https://ca.example:8443.evil.example/x",
        "https://ca.example/x",
        "http://ca.example:8443/x",
        "https://ca.example:8443@evil.example/x",
        "/x",
        "https://ca.example:8443/x y",
        &format!("{ORIGIN}/{}", "x".repeat(MAX_URL)),
    ] {
        assert!(same_origin(ORIGIN, "finalize", bad).is_err(), "{bad}");
        let text = directory("").replace(&format!("{ORIGIN}/o"), bad);
        assert!(Directory::parse(ORIGIN, text.as_bytes()).is_err(), "{bad}");
    }
    assert_eq!(origin("https://ca.example:8443/acme/directory").unwrap(), ORIGIN);
    for bad in ["http://a", "https://", "https:///a", "https://u@a/", "ca.example", "https://a b/"] {
        assert!(origin(bad).is_err(), "{bad}");
    }
}

// I12
#[test]
fn each_rule_of_a_resource_says_no() {
    for bad in [
        order("done", ""),
        order("valid", ""),
        order("pending", "").replace("a.example", "*.example"),
        order("pending", "").replace(&format!("[\"{ORIGIN}/z\"]"), "[]"),
        order("pending", &format!(r#","authorizations":["{ORIGIN}/z"]"#)),
    ] {
        assert!(OrderView::parse(ORIGIN, bad.as_bytes()).is_err(), "{bad}");
    }
    let challenge = |token: &str| {
        authorization(&format!(
            r#"{{"type":"http-01","url":"{ORIGIN}/c","status":"pending","token":"{token}"}}"#
        ))
    };
    for token in ["", "../x", "a.b", "a b", &"t".repeat(MAX_TOKEN + 1)] {
        assert!(AuthorizationView::parse(ORIGIN, challenge(token).as_bytes()).is_err(), "{token}");
    }
    let unknown = authorization(r#"{"type":"email-01","url":"mailto:x","status":"new"}"#);
    let found = AuthorizationView::parse(ORIGIN, unknown.as_bytes()).unwrap();
    assert_eq!((found.challenges.len(), found.offered), (0, vec!["email-01".to_owned()]));
    for (start, end) in [("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"), ("x", "2026-12-01T00:00:00Z")] {
        let text = format!(r#"{{"suggestedWindow":{{"start":"{start}","end":"{end}"}}}}"#);
        assert!(RenewalWindow::parse(text.as_bytes(), 60).is_err(), "{text}");
    }
}

#[test]
fn a_problem_is_told_in_its_words_made_harmless() {
    let body = br#"{"type":"urn:ietf:params:acme:error:badCSR","detail":"no\n\u001b[31mred"}"#;
    let found = ServerProblem::parse(400, body);
    assert_eq!(found.to_string(), "`badCSR`: no  [31mred");
    let other = ServerProblem::parse(502, b"<html>bad gateway</html>");
    assert_eq!(other.to_string(), "HTTP status 502: <html>bad gateway</html>");
    assert_eq!(ServerProblem::parse(500, b"").to_string(), "HTTP status 500: no reason was given");
    assert!(ServerProblem::parse(400, &vec![b'x'; 10_000]).detail.len() <= MAX_WHY_CHARS);
}
