//! nginx, twice: as a reverse proxy with mutual TLS (what a relay without any rules costs), and serving a file (what an
//! answer costs that nobody thinks about).

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A running nginx; ends with the value.
pub struct Nginx {
    process: Child,
    pub address: SocketAddr,
}

impl Nginx {
    /// A relay, with the certificates of [`crate::material`] in `folder`.
    pub fn start(folder: &Path, upstream: SocketAddr) -> Result<Nginx> {
        let address = free_port()?;
        let path = folder.display();
        let http = format!(
            "upstream ehr {{ server {upstream}; keepalive 256; keepalive_requests 100000000; }}
              server {{
                listen {address} ssl backlog=4096;
                ssl_certificate {path}/server.pem; ssl_certificate_key {path}/server.key;
                ssl_client_certificate {path}/ca.pem; ssl_verify_client on;
                location / {{
                  proxy_pass http://ehr; proxy_http_version 1.1; proxy_set_header Connection \"\";
                  proxy_set_header X-Client $ssl_client_fingerprint;
                }}
              }}"
        );
        Nginx::run(folder, address, &http)
    }

    /// The files of `folder`, kept open and sent from the page cache: as fast as nginx gets.
    pub fn serve_files(folder: &Path) -> Result<Nginx> {
        let address = free_port()?;
        let path = folder.display();
        let http = format!(
            "sendfile on; tcp_nopush on; tcp_nodelay on; open_file_cache max=16 inactive=1h;
              server {{ listen {address} backlog=4096; root {path}; }}"
        );
        Nginx::run(folder, address, &http)
    }

    fn run(folder: &Path, address: SocketAddr, http: &str) -> Result<Nginx> {
        let path = folder.display();
        let config = format!(
            "daemon off; worker_processes auto; pid {path}/nginx.pid; error_log {path}/error.log warn;
            events {{ worker_connections 4096; }}
            http {{
              access_log off;
              client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
              uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
              keepalive_requests 100000000;
              {http}
            }}"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config)?;
        let process = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start nginx: run `cargo xtask peers`")?;
        let mut nginx = Nginx { process, address };
        nginx.wait(folder)?;
        Ok(nginx)
    }

    fn wait(&mut self, folder: &Path) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let log = || std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
            if let Some(status) = self.process.try_wait()? {
                bail!("nginx ended ({status}): {}", log());
            }
            if start.elapsed() > Duration::from_secs(10) {
                bail!("nginx does not listen: {}", log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM to the master ends its workers too; SIGKILL would leave them behind.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// nginx drops its rights: its workers must reach their temporary folders.
pub fn open_to_workers(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?)
}
