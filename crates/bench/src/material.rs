//! Keys and certificates for the relay's bench, made by OpenSSL: the bench measures TLS, not our issuing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

const CONFIG: &str = "\
[req]
distinguished_name = dn
prompt = no
[dn]
CN = lanyard bench
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[server]
basicConstraints = critical,CA:FALSE
subjectAltName = IP:127.0.0.1
extendedKeyUsage = serverAuth
[client]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = clientAuth
";

/// Writes `ca`, `server` and `client` as `.pem` and `.key` into `folder`.
pub fn make(folder: &Path) -> Result<()> {
    std::fs::write(folder.join("openssl.cnf"), CONFIG)?;
    certificate(folder, "ca", false)?;
    certificate(folder, "server", true)?;
    certificate(folder, "client", true)
}

fn certificate(folder: &Path, name: &str, by_ca: bool) -> Result<()> {
    let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
    let curve = "ec_paramgen_curve:P-256";
    let mut command = Command::new("openssl");
    command.current_dir(folder).stdin(Stdio::null()).args(["req", "-x509", "-config", "openssl.cnf"]);
    command.args(["-newkey", "ec", "-pkeyopt", curve, "-nodes", "-days", "1"]);
    command.args(["-extensions", name, "-keyout", &key, "-out", &pem]);
    if by_ca {
        command.args(["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", &format!("/CN={name}")]);
    }
    let output = command.output().context("cannot start openssl: run `cargo xtask peers`")?;
    if !output.status.success() {
        bail!("openssl made no certificate for {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A client that trusts the CA and shows the client certificate.
pub fn client(folder: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem"))?)?;
    let chain = vec![CertificateDer::from_pem_file(folder.join("client.pem"))?];
    let key = PrivateKeyDer::from_pem_file(folder.join("client.key"))?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    Ok(Arc::new(config))
}
