//! The servers under test, each a process of its own on loopback: one mock, nginx in front of it, mixgate in
//! front of it. They end with their handles.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use router_model::TAXONOMY;
use tempfile::TempDir;

use crate::{Fault, process};

const MIXGATE: &str = env!("CARGO_BIN_EXE_mixgate");
pub(crate) const NGINX: &str = "/usr/sbin/nginx";

/// The profile that mixgate was built with: the folder it lies in.
pub(crate) fn profile() -> &'static str {
    let folder = Path::new(MIXGATE).parent().and_then(Path::file_name);
    folder.and_then(|name| name.to_str()).unwrap_or("unknown")
}

/// Which way a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Direct,
    Nginx,
    Mixgate,
}

impl Via {
    pub(crate) const ALL: [Via; 3] = [Via::Direct, Via::Nginx, Via::Mixgate];
    pub(crate) const PROXIES: [Via; 2] = [Via::Nginx, Via::Mixgate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Via::Direct => "direct",
            Via::Nginx => "nginx",
            Via::Mixgate => "mixgate",
        }
    }
}

/// Where load goes, and whose CPU counts.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) pids: Vec<u32>,
}

/// A mock and both ways to it.
pub(crate) struct World {
    mock: Server,
    nginx: Server,
    pub(crate) mixgate: Server,
    // last: the servers still write into it
    dir: TempDir,
}

impl World {
    /// `mock` are further arguments of the mock, `experts` is how many mixgate knows.
    pub(crate) fn start(mock: &[&str], experts: usize) -> Result<Self, Fault> {
        let dir = tempfile::tempdir()?;
        let mock = start_mock(mock)?;
        let nginx = start_nginx(dir.path(), mock.address)?;
        let mixgate = start_mixgate(dir.path(), mock.address, experts, Log::File)?;
        Ok(Self { mock, nginx, mixgate, dir })
    }

    /// A further mixgate in front of the same mock.
    pub(crate) fn another(&self, experts: usize) -> Result<Server, Fault> {
        start_mixgate(self.dir.path(), self.mock.address, experts, Log::File)
    }

    /// The same without a decision log.
    pub(crate) fn silent(&self, experts: usize) -> Result<Server, Fault> {
        start_mixgate(self.dir.path(), self.mock.address, experts, Log::Off)
    }

    pub(crate) fn target(&self, via: Via) -> Target {
        match via {
            Via::Direct => self.mock.target(),
            Via::Nginx => {
                let address = self.nginx.address;
                Target { address, pids: process::children(self.nginx.pid()) }
            }
            Via::Mixgate => self.mixgate.target(),
        }
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// The admin plane of a mixgate.
    pub(crate) admin: Option<SocketAddr>,
    /// From exec to its first answer.
    pub(crate) started_in: Duration,
    /// Asks it to end by itself; without it, it is killed.
    farewell: Option<Command>,
}

impl Server {
    fn start(command: &mut Command, address: SocketAddr, path: &str) -> Result<Self, Fault> {
        let start = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut server = Self { child, address, admin: None, started_in: Duration::ZERO, farewell: None };
        while !answers(address, path) {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("{command:?} ended early: {status}").into());
            }
            if start.elapsed() > Duration::from_secs(10) {
                return Err(format!("{command:?} did not answer {path} within 10 s").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        server.started_in = start.elapsed();
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn target(&self) -> Target {
        Target { address: self.address, pids: vec![self.pid()] }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let asked = self.farewell.as_mut().is_some_and(|c| c.status().is_ok_and(|s| s.success()));
        if !asked {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Whether a GET of this path is a 200.
fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        io::Write::write_all(&mut stream, request.as_bytes())?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn start_mock(more: &[&str]) -> Result<Server, Fault> {
    let address = free_address()?;
    let mut command = Command::new(MIXGATE);
    command.args(["mock", "--listen", &address.to_string()]).args(more).stderr(Stdio::null());
    Server::start(&mut command, address, "/v1/models")
}

fn start_nginx(dir: &Path, upstream: SocketAddr) -> Result<Server, Fault> {
    let address = free_address()?;
    let conf = dir.join("nginx.conf");
    fs::write(&conf, nginx_conf(dir, address, upstream))?;
    let nginx = || {
        let mut command = Command::new(NGINX);
        command.arg("-p").arg(dir).arg("-c").arg(&conf).stderr(Stdio::null());
        command
    };
    let mut server = Server::start(nginx().args(["-g", "daemon off;"]), address, "/v1/models")?;
    // a killed master would leave its workers behind
    let mut farewell = nginx();
    farewell.args(["-s", "stop"]);
    server.farewell = Some(farewell);
    Ok(server)
}

fn nginx_conf(dir: &Path, listen: SocketAddr, upstream: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        "worker_processes 2;\nworker_rlimit_nofile 8192;\npid {dir}/nginx.pid;\nerror_log {dir}/nginx.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000;\n\
         \x20 client_body_temp_path {dir}/body;\n  proxy_temp_path {dir}/proxy;\n\
         \x20 fastcgi_temp_path {dir}/fastcgi;\n  uwsgi_temp_path {dir}/uwsgi;\n  scgi_temp_path {dir}/scgi;\n\
         \x20 client_max_body_size 64m;\n  client_body_buffer_size 16m;\n\
         \x20 upstream mock {{ server {upstream}; keepalive 512; keepalive_requests 1000000; }}\n\
         \x20 server {{\n    listen {listen};\n    location / {{\n      proxy_pass http://mock;\n\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_buffering off;\n\
         \x20   }}\n  }}\n}}\n"
    )
}

/// Where decisions are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    File,
    Off,
}

fn start_mixgate(dir: &Path, upstream: SocketAddr, experts: usize, told: Log) -> Result<Server, Fault> {
    let (address, admin) = (free_address()?, free_address()?);
    let config = dir.join(format!("experts-{}.yaml", address.port()));
    fs::write(&config, mixgate_yaml(dir, address, admin, upstream, experts, told))?;
    let log = File::create(dir.join(format!("mixgate-{}.log", address.port())))?;
    let mut command = Command::new(MIXGATE);
    command.arg("serve").arg("--config").arg(&config).stderr(log);
    let mut server = Server::start(&mut command, address, "/health")?;
    server.admin = Some(admin);
    Ok(server)
}

/// Each expert good at one domain; windows and concurrency wide enough for the longest bodies and the most
/// connections, all else default.
fn mixgate_yaml(
    dir: &Path,
    listen: SocketAddr,
    admin: SocketAddr,
    upstream: SocketAddr,
    experts: usize,
    told: Log,
) -> String {
    let file = dir.join(format!("decisions-{}.jsonl", listen.port()));
    let decisions = if told == Log::File { file.display().to_string() } else { "off".to_owned() };
    let mut yaml = format!(
        "server: {{ listen: '{listen}', admin_listen: '{admin}' }}\n\
         log: {{ decisions: '{decisions}' }}\nfallback: expert-0\nexperts:\n"
    );
    for index in 0..experts {
        let quality = if index == 0 { String::new() } else { quality(index) };
        let price = if index == 0 { 10.0 } else { 0.1 + index as f64 / 1000.0 };
        let _ = writeln!(
            yaml,
            "  - {{ name: expert-{index}, model: mock-{index}, base_url: 'http://{upstream}/v1', {quality}\
             price: {{ input_per_1m: {price}, output_per_1m: {price} }}, context_window: 100000000, \
             max_concurrency: 4096 }}"
        );
    }
    yaml
}

fn quality(index: usize) -> String {
    format!("quality: {{ {}: 0.97, general: 0.7 }}, ", TAXONOMY[index % TAXONOMY.len()])
        .replace("general: 0.97, general: 0.7", "general: 0.97")
}
