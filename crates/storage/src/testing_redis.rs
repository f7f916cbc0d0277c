//! A Redis server of one's own, for tests: on a free port of the loopback address, with its data in a folder that goes with it.
#![allow(clippy::panic, clippy::expect_used, reason = "a test that cannot have its server must fail, loudly")]

use std::{
    io::{BufRead as _, BufReader, ErrorKind},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// How the server is set up.
#[derive(Clone, Debug, Default)]
pub struct RedisServerOptions {
    /// Password of the default user.
    pub password: Option<String>,
    /// Name and password of a user that has exactly the rights the session store needs; the default user is then off.
    pub acl_user: Option<(String, String)>,
    /// Certificate chain and private key (PEM) of a server that speaks TLS only. The certificate must name 127.0.0.1.
    pub tls: Option<(String, String)>,
    /// `maxmemory-policy`; `noeviction` if it is not given.
    pub maxmemory_policy: Option<String>,
}

/// A running server. It is killed when dropped.
pub struct RedisServer {
    folder: TempDir,
    options: RedisServerOptions,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server, and waits until it takes connections.
    pub fn start(options: RedisServerOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Between here and the server's own bind somebody else may take the port.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .expect("a free port of the loopback address")
                .port();
            write_config(folder.path(), &options, port);
            if let Some(child) = spawn(folder.path()) {
                return Self { folder, options, port, child: Some(child) };
            }
        }
        panic!("redis-server did not start; its output is above");
    }

    /// The URL, with user and password.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "rediss" } else { "redis" };
        let credentials = match (&self.options.acl_user, &self.options.password) {
            (Some((user, password)), _) => format!("{user}:{password}@"),
            (None, Some(password)) => format!(":{password}@"),
            (None, None) => String::new(),
        };
        format!("{scheme}://{credentials}127.0.0.1:{}", self.port)
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id; `None` while it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends it at once (SIGKILL). What it held is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; waiting tells.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts it again on the same port, empty, and waits until it takes connections.
    pub fn restart(&mut self) {
        self.kill();
        for _ in 0..10 {
            self.child = spawn(self.folder.path());
            if self.child.is_some() {
                return;
            }
        }
        panic!("redis-server did not start again; its output is above");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn write_config(folder: &Path, options: &RedisServerOptions, port: u16) {
    let mut lines = vec![
        "bind 127.0.0.1".to_owned(),
        "save \"\"".to_owned(),
        "appendonly no".to_owned(),
        "daemonize no".to_owned(),
        format!("dir {}", folder.display()),
        format!("maxmemory-policy {}", options.maxmemory_policy.as_deref().unwrap_or("noeviction")),
    ];
    if let Some((certificate, key)) = &options.tls {
        let (certificate_path, key_path) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate_path, certificate).expect("the certificate is written");
        std::fs::write(&key_path, key).expect("the key is written");
        lines.push("port 0".to_owned());
        lines.push(format!("tls-port {port}"));
        lines.push(format!("tls-cert-file {}", certificate_path.display()));
        lines.push(format!("tls-key-file {}", key_path.display()));
        lines.push(format!("tls-ca-cert-file {}", certificate_path.display()));
        lines.push("tls-auth-clients no".to_owned());
    } else {
        lines.push(format!("port {port}"));
    }
    if let Some((user, password)) = &options.acl_user {
        lines.push("user default off".to_owned());
        lines.push(format!("user {user} on >{password} {}", crate::redis::ACL_RULES));
    } else if let Some(password) = &options.password {
        lines.push(format!("requirepass {password}"));
    }
    std::fs::write(folder.join("redis.conf"), lines.join("\n")).expect("the configuration is written");
}

/// The server, once it takes connections; `None` if it ended instead.
fn spawn(folder: &Path) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .arg(folder.join("redis.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => panic!(
                "redis-server is not on the PATH. The tests start their own; install it (Debian: apt-get install redis-server)"
            ),
            _ => panic!("redis-server cannot be started: {error}"),
        });
    let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
    let mut line = String::new();
    while output.read_line(&mut line).is_ok_and(|read| read > 0) {
        if line.contains("Ready to accept connections") {
            // Its pipe must not fill up.
            std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
            return Some(child);
        }
        eprint!("{line}");
        line.clear();
    }
    drop(child.wait());
    None
}
