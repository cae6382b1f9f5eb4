//! OpenSSL 3 makes the requests and reads the answers: what a device with nothing but `openssl` and `curl` does.

use std::fs;
use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use lanyard_enroll::est::client::{Answer, Answered, read_ca_certificates};
use lanyard_enroll::est::{EstError, Incoming, Linking, Wish, keygen, parse, render};
use lanyard_enroll::{Authentication, Outcome};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::key::KeyKind;

use super::hospital::{BINDING, Hospital, NOW, post, template};

/// Runs openssl in `dir`; stdout and stderr in one.
fn openssl(dir: &Path, args: &str) -> String {
    let out = Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("the `openssl` command must be installed (Debian package `openssl`)");
    let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "openssl {args}: {text}");
    text
}

fn pem(der: &[u8]) -> String {
    Certificate::parse(der).unwrap().to_pem()
}

// R36
#[test]
fn requests_by_openssl_are_granted_and_openssl_reads_the_answers() {
    let hospital = Hospital::new();
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let [issuing, root] = <[Vec<u8>; 2]>::try_from(hospital.bundle()).unwrap();
    fs::write(d.join("root.pem"), pem(&root)).unwrap();
    fs::write(d.join("issuing.pem"), pem(&issuing)).unwrap();
    let shown = [hospital.issued().der().to_vec()];
    for newkey in [
        "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=pump",
        // What a client sends that follows a template without subject (RFC 9908 3.4).
        "-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384 -subj / -addext extendedKeyUsage=clientAuth",
        "-newkey ed25519 -subj /CN=pump/serialNumber=17",
        "-newkey rsa:2048 -subj /CN=pump -addext subjectAltName=DNS:evil.example",
    ] {
        openssl(d, &format!("req -new -nodes -keyout key.pem -outform DER -out csr.der {newkey}"));
        openssl(d, "pkey -in key.pem -pubout -outform DER -out pub.der");
        // Lines of 64 characters, and one line.
        for (encode, decode) in [
            ("base64 -in csr.der -out csr.b64", "base64 -d -in answer.b64 -out answer.p7b"),
            ("base64 -A -in csr.der -out csr.b64", "base64 -d -A -in answer.b64 -out answer.p7b"),
        ] {
            openssl(d, encode);
            let body = fs::read(d.join("csr.b64")).unwrap();
            let request = Incoming { certificates: &shown, ..post("/.well-known/est/simplereenroll", &body) };
            let reply = hospital.answer(&request, |request| hospital.issue(request));
            assert_eq!(reply.status, 200, "{newkey}: {}", String::from_utf8_lossy(&reply.body));
            fs::write(d.join("answer.b64"), &reply.body).unwrap();
            openssl(d, decode);
            let text = openssl(d, "pkcs7 -inform DER -in answer.p7b -print_certs -out leaf.pem");
            assert_eq!(text, "", "{newkey}");
            let seconds = NOW.as_seconds();
            openssl(
                d,
                &format!(
                    "verify -x509_strict -attime {seconds} -purpose sslclient -CAfile root.pem -untrusted issuing.pem leaf.pem"
                ),
            );
            openssl(d, "x509 -in leaf.pem -noout -pubkey -out leaf.pub");
            openssl(d, "pkey -pubin -in leaf.pub -pubout -outform DER -out leaf.der");
            assert_eq!(fs::read(d.join("leaf.der")).unwrap(), fs::read(d.join("pub.der")).unwrap());
            // The names of the request are not in it.
            let text = openssl(d, "x509 -in leaf.pem -noout -text");
            assert!(!text.contains("evil.example") && text.contains("O = General Hospital"), "{text}");
        }
    }
}

/// A request with a challenge password, as device makers' configuration files write it.
fn with_challenge(dir: &Path, challenge: &str) -> Vec<u8> {
    let config = format!(
        "[req]\nprompt=no\ndistinguished_name=dn\nattributes=attrs\n[dn]\nCN=pump\n[attrs]\nchallengePassword={challenge}\n"
    );
    fs::write(dir.join("req.cnf"), config).unwrap();
    openssl(
        dir,
        "req -config req.cnf -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout key.pem -outform DER -out csr.der",
    );
    openssl(dir, "base64 -in csr.der -out csr.b64");
    fs::read(dir.join("csr.b64")).unwrap()
}

// R36
#[test]
fn a_challenge_password_by_openssl_is_a_secret_or_binds_the_request_to_its_connection() {
    let hospital = Hospital::new();
    let dir = tempfile::tempdir().unwrap();
    let path = "/.well-known/est/simpleenroll";

    let body = with_challenge(dir.path(), Hospital::secret().reveal());
    let reply = hospital.answer(&post(path, &body), |request| {
        assert!(matches!(request.authentication, Authentication::Secret(_)));
        hospital.issue(request)
    });
    assert_eq!(reply.status, 200);

    let shown = [hospital.issued().der().to_vec()];
    let body = with_challenge(dir.path(), &BASE64.encode(&BINDING));
    let request = Incoming { certificates: &shown, ..post(path, &body) };
    let linking = |request: &Incoming<'_>| match parse(request).map(|request| request.wish) {
        Ok(Wish::Enroll(enroll)) => Ok(enroll.linking),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(linking(&request), Ok(Linking::Proven));
    assert_eq!(linking(&Incoming { channel_binding: None, ..request }), Ok(Linking::NotChecked));
    // Taken from another connection.
    let elsewhere = [7; 32];
    let moved = Incoming { channel_binding: Some(&elsewhere), ..request };
    assert_eq!(linking(&moved), Err(EstError::NotLinked));
    // What people type when OpenSSL asks for `A challenge password []`.
    let body = with_challenge(dir.path(), "hospital");
    let request = Incoming { certificates: &shown, ..post(path, &body) };
    let refused = linking(&request).unwrap_err();
    assert_eq!(refused.status(), 403);
    assert!(refused.to_string().contains("leave it out"), "{refused}");
}

#[test]
fn a_request_for_other_names_or_for_an_encrypted_key_by_openssl_is_refused() {
    let hospital = Hospital::new();
    let dir = tempfile::tempdir().unwrap();
    let shown = [hospital.issued().der().to_vec()];
    for (oid, expected) in [
        ("1.3.6.1.5.5.7.7.36", EstError::NameChange),
        ("1.2.840.113549.1.9.16.2.37", EstError::KeyEncryption),
        ("1.2.840.113549.1.9.16.2.54", EstError::KeyEncryption),
    ] {
        // OpenSSL writes a text where these want structures; it is the attribute's presence that counts.
        let config = format!(
            "oid_section=oids\n[oids]\nwish={oid}\n[req]\nprompt=no\ndistinguished_name=dn\nattributes=attrs\n[dn]\nCN=pump\n[attrs]\nwish=x\n"
        );
        fs::write(dir.path().join("req.cnf"), config).unwrap();
        openssl(
            dir.path(),
            "req -config req.cnf -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout key.pem -outform DER -out csr.der",
        );
        let body = BASE64.encode(&fs::read(dir.path().join("csr.der")).unwrap()).into_bytes();
        for operation in ["simpleenroll", "simplereenroll", "serverkeygen"] {
            let path = format!("/.well-known/est/{operation}");
            let refused = parse(&Incoming { certificates: &shown, ..post(&path, &body) }).unwrap_err();
            assert_eq!(refused, expected, "{operation}");
        }
    }
}

#[test]
fn openssl_reads_a_key_made_by_the_server_and_it_fits_the_certificate() {
    let hospital = Hospital::new();
    let dir = tempfile::tempdir().unwrap();
    for kind in [KeyKind::P256, KeyKind::P384] {
        let key = keygen::MadeKey::generate(kind).unwrap();
        let outcome = hospital.issue(&key.request(None, Authentication::Certificate(vec![])));
        let reply = keygen::reply(&outcome, &key, Default::default());
        let Outcome::Issued { chain } = outcome else { panic!("not issued") };
        let answer = Answer {
            status: reply.status,
            content_type: Some(&reply.headers[0].1),
            retry_after: None,
            reason: None,
            body: &reply.body,
        };
        let read = lanyard_enroll::est::client::read_server_key(&answer);
        let Ok(Answered::Granted(issued)) = read else { panic!("{read:?}") };
        fs::write(dir.path().join("key.der"), &*issued.pkcs8).unwrap();
        fs::write(dir.path().join("leaf.pem"), pem(&chain[0])).unwrap();
        let check = openssl(dir.path(), "pkey -inform DER -in key.der -check -noout");
        assert!(check.contains("Key is valid"), "{check}");
        let public = openssl(dir.path(), "pkey -inform DER -in key.der -pubout");
        assert_eq!(public, openssl(dir.path(), "x509 -in leaf.pem -noout -pubkey"));
    }
}

// R47
#[test]
fn openssl_parses_our_csr_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let reply = render::csr_attributes(Some(&template()), Default::default());
    fs::write(dir.path().join("csrattrs.der"), BASE64.decode(&reply.body).unwrap()).unwrap();
    let text = openssl(dir.path(), "asn1parse -inform DER -in csrattrs.der");
    // Once as single attributes, once in the template.
    for (line, times) in [
        (":id-ecPublicKey", 2),
        (":secp384r1", 2),
        (":ecdsa-with-SHA384", 1),
        (":Extension Request", 2),
        (":X509v3 Extended Key Usage", 2),
        (":1.2.840.113549.1.9.16.2.61", 1),
        ("cont [ 0 ]", 1),
        ("cont [ 1 ]", 1),
    ] {
        assert_eq!(text.matches(line).count(), times, "{line} in\n{text}");
    }
}

#[test]
fn a_bag_by_openssl_is_read_as_an_answer() {
    let hospital = Hospital::new();
    let dir = tempfile::tempdir().unwrap();
    let bundle: String = hospital.bundle().iter().map(|der| pem(der)).collect();
    fs::write(dir.path().join("cas.pem"), bundle).unwrap();
    openssl(dir.path(), "crl2pkcs7 -nocrl -certfile cas.pem -outform DER -out cas.p7b");
    openssl(dir.path(), "base64 -in cas.p7b -out cas.b64");
    let body = fs::read(dir.path().join("cas.b64")).unwrap();
    let answer = Answer {
        status: 200,
        content_type: Some("application/pkcs7-mime"),
        retry_after: None,
        reason: None,
        body: &body,
    };
    let Ok(Answered::Granted(found)) = read_ca_certificates(&answer) else { panic!("not read") };
    assert_eq!(found.len(), 2);
}
