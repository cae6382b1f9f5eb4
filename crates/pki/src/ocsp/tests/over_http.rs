//! Requests and answers as HTTP carries them.

use super::super::http;
use super::*;

#[test]
fn a_get_is_cut_out_of_the_path_as_clients_write_it() {
    let h = Hospital::new();
    for n in 0..40u8 {
        let ask = Ask::new(h.issuer(), &random_serial(), HashKind::Sha1, nonce(usize::from(n) + 1)).unwrap();
        let der = ask.request();
        let plain = data_encoding::BASE64.encode(&der);
        let escaped = plain.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
        let unpadded = plain.trim_end_matches('=').to_owned();
        for path in [plain.clone(), format!("/{plain}"), escaped, unpadded] {
            assert_eq!(http::from_get(&path).as_ref(), Ok(&der), "{path}");
        }
    }
    let short = Ask::new(h.issuer(), &h.good, HashKind::Sha1, None).unwrap().request();
    assert_eq!(http::from_get(&http::get_path(&short).unwrap()), Ok(short));
    assert_eq!(http::get_path(&[0xff; 200]), None);
    for bad in ["", "/", "%", "%2", "%zz", "a b c", "====", "MEUw=Q==", "MEUwQ===", "M\u{e9}Uw", "-_-_"] {
        assert_eq!(http::from_get(bad), Err(http::NoRequest::NotBase64), "{bad}");
    }
    let long = "A".repeat(MAX_REQUEST_BYTES * 4 + 1);
    assert_eq!(http::from_get(&long), Err(http::NoRequest::TooLarge(long.len())));
}

#[test]
fn a_post_says_what_it_is() {
    let body = vec![1; 100];
    for kind in ["application/ocsp-request", "Application/OCSP-Request; charset=binary"] {
        assert_eq!(http::from_post(Some(kind), &body), Ok(body.as_slice()));
    }
    for kind in [None, Some(""), Some("application/json"), Some("application/ocsp-response")] {
        let refused = http::from_post(kind, &body).unwrap_err();
        assert_eq!((refused.clone(), refused.reply().status), (http::NoRequest::ContentType, 415));
    }
    let refused = http::from_post(Some(http::REQUEST_TYPE), &vec![1; MAX_REQUEST_BYTES + 1]).unwrap_err();
    assert_eq!(refused.reply().status, 413);
    let malformed = http::NoRequest::NotBase64.reply();
    assert_eq!((malformed.status, malformed.body.to_vec()), (200, vec![0x30, 3, 0x0a, 1, 1]));
}

#[test]
fn a_get_tells_proxies_how_long_to_keep_it_and_a_post_that_they_shall_not() {
    let h = Hospital::new();
    let response = h.respond(&h.ask(&h.good).request(), NOW);
    let header = |reply: &http::Reply, name: &str| {
        reply.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone())
    };
    let policy = h.responder.policy();
    let reply = http::get(&response, policy, http::Has(None), NOW);
    assert_eq!((reply.status, &reply.body), (200, response.der()));
    let etag = header(&reply, "etag").unwrap();
    assert_eq!(etag.len(), 66);
    for (name, value) in [
        ("content-type", "application/ocsp-response"),
        ("last-modified", "Sun, 22 Nov 2026 11:55:00 GMT"),
        ("expires", "Sun, 22 Nov 2026 13:00:00 GMT"),
        ("date", "Sun, 22 Nov 2026 12:00:00 GMT"),
        ("cache-control", "max-age=60, public, no-transform, must-revalidate"),
    ] {
        assert_eq!(header(&reply, name).as_deref(), Some(value));
    }
    // Never longer than it is good.
    let late = http::get(&response, policy, http::Has(None), NOW.plus_seconds(3570));
    assert!(header(&late, "cache-control").unwrap().starts_with("max-age=30,"));
    for tags in [etag.clone(), format!("\"x\", W/{etag}"), "*".into()] {
        let same = http::get(&response, policy, http::Has(Some(&tags)), NOW);
        assert_eq!((same.status, same.body.len()), (304, 0), "{tags}");
        assert!(header(&same, "etag").is_some() && header(&same, "content-type").is_none());
    }
    assert_eq!(http::get(&response, policy, http::Has(Some("\"x\"")), NOW).status, 200);
    assert_eq!(header(&http::post(&response), "cache-control").as_deref(), Some("no-store"));
    let for_one =
        h.respond(&Ask::new(h.issuer(), &h.good, HashKind::Sha1, nonce(16)).unwrap().request(), NOW);
    let reply = http::get(&for_one, policy, http::Has(None), NOW);
    assert_eq!(header(&reply, "cache-control").as_deref(), Some("no-store"));
    let error = http::error(ErrorStatus::TryLater);
    assert_eq!((error.status, error.body.to_vec()), (200, vec![0x30, 3, 0x0a, 1, 3]));
}

#[test]
fn dates_of_http_have_the_right_weekday() {
    for (at, text) in [
        ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("2024-02-29T23:59:59Z", "Thu, 29 Feb 2024 23:59:59 GMT"),
        ("2026-12-31T00:00:00Z", "Thu, 31 Dec 2026 00:00:00 GMT"),
    ] {
        assert_eq!(http::date(at.parse().unwrap()), text);
    }
}
