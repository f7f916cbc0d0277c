//! The program itself, in a process of its own that can be killed.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use countersign_domain::time::Timestamp;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

use crate::{
    api::{Api, Transport},
    grpc::Grpc,
    http::Http,
    tenant::Client,
};

/// The demo's client without a secret.
pub const DEMO_CLIENT: Client = Client { id: "demo-native", secret: None };
/// The password of the demo's numbered users.
pub const DEMO_PASSWORD: &str = countersign::demo::people::SHARED_PASSWORD;

/// A `countersign demo` that runs. Killed when dropped.
pub struct DemoProcess {
    child: Child,
    description: Value,
}

impl DemoProcess {
    /// Starts one in `folder` with `users` numbered users, on free ports, and waits until it serves.
    pub async fn start(folder: &Path, users: u32) -> Self {
        Self::start_with(folder, users, &[]).await
    }

    /// The same with `more` arguments.
    pub async fn start_with(folder: &Path, users: u32, more: &[&str]) -> Self {
        let told = folder.join("demo.json");
        let _first_start = std::fs::remove_file(&told);
        // A shell, because whoever has a limit on the size of files is ended by the signal unless it is ignored from the start.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(binary())
            .args(["demo", "--users", &users.to_string(), "--dir"])
            .arg(folder)
            .args(["--https-port", "0", "--http-port", "0", "--grpc-port", "0", "--ops-port", "0"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut greeting = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        // It greets once it serves.
        let first = greeting.next_line().await.expect("the greeting is text");
        assert!(first.is_some(), "the program ended instead of serving: {:?}", child.wait().await);
        tokio::spawn(async move { while let Ok(Some(_)) = greeting.next_line().await {} });
        let description = std::fs::read(&told).expect("demo.json is written before the greeting");
        Self { child, description: serde_json::from_slice(&description).expect("demo.json is JSON") }
    }

    /// The API over `transport`.
    pub async fn api(&self, transport: Transport) -> Api {
        let grpc = self.text("grpc_addr").parse().expect("an address");
        Api::new(transport, Http::new(self.http()).await, Grpc::new(grpc))
    }

    /// Base of the HTTP API.
    pub fn http(&self) -> String {
        self.text("http_url").to_owned()
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        self.text("issuer")
    }

    /// Kills it: nothing is written any more, nobody is told.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Lets no file grow beyond `bytes`; without a number, lets them grow again.
    pub async fn limit_files(&self, bytes: Option<u64>) {
        let soft = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let id = self.child.id().expect("it runs").to_string();
        let set = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={soft}:")]).status().await;
        assert!(set.expect("prlimit of util-linux is there").success());
    }

    fn text(&self, member: &str) -> &str {
        self.description[member].as_str().expect("demo.json has it")
    }
}

/// A `countersign serve` that runs. Killed when dropped.
pub struct ServeProcess {
    child: Child,
    ready: Value,
    log: Log,
}

/// The log of a process.
enum Log {
    /// It is read as it comes.
    Read(JoinHandle<Vec<Value>>),
    /// Nobody reads it any more.
    Stalled(Lines<BufReader<ChildStdout>>),
}

impl ServeProcess {
    /// Makes an account in the stores of `config`, which no server has open.
    pub async fn add_user(folder: &Path, config: &str, username: &str, password: &str) {
        let secret = folder.join("password");
        std::fs::write(&secret, password).expect("the folder can be written");
        let mut command = Command::new(binary());
        command.args(["user", "add", username, "--config"]).arg(written(folder, config));
        let added = command.arg("--password-file").arg(secret).stdout(Stdio::null()).status().await;
        assert!(added.expect("the program starts").success());
    }

    /// Starts one with `config`, whose files are in `folder`, and waits until it serves.
    pub async fn start(folder: &Path, config: &str) -> Self {
        Self::start_after("", folder, config).await
    }

    /// The same, after a shell has done `first`.
    pub async fn start_after(first: &str, folder: &Path, config: &str) -> Self {
        let Self { child, ready, log } = Self::start_unread(first, folder, config).await;
        let Log::Stalled(mut lines) = log else { unreachable!("nobody reads yet") };
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                read.push(serde_json::from_str(&line).expect("each line is JSON"));
            }
            read
        });
        Self { child, ready, log: Log::Read(reading) }
    }

    /// The same, and nobody reads its log once it serves.
    pub async fn start_stalled(folder: &Path, config: &str) -> Self {
        Self::start_unread("", folder, config).await
    }

    async fn start_unread(first: &str, folder: &Path, config: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{first}\nexec \"$@\""), "sh"])
            .arg(binary())
            .args(["serve", "--config"])
            .arg(written(folder, config))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let ready = loop {
            let line = lines.next_line().await.expect("the log is text");
            let line = line.unwrap_or_else(|| panic!("the program ended instead of serving: {:?}", child.try_wait()));
            let line: Value = serde_json::from_str(&line).expect("each line is JSON");
            if line["message"] == "countersign is ready" {
                break line;
            }
        };
        Self { child, ready, log: Log::Stalled(lines) }
    }

    /// Sends it a signal, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        signal(self.child.id().expect("it runs"), name).await;
    }

    /// Waits until it has ended, and answers its exit code and what it logged once it was ready. A log that nobody reads is empty.
    pub async fn ended(mut self) -> (Option<i32>, Vec<Value>) {
        let code = self.child.wait().await.expect("it ends").code();
        let log = match self.log {
            Log::Read(reading) => reading.await.expect("the log is read to its end"),
            Log::Stalled(_) => Vec::new(),
        };
        (code, log)
    }

    /// Base of the ops listener.
    pub fn ops(&self) -> String {
        format!("http://{}", self.address("ops.address"))
    }

    /// The API over `transport`.
    pub async fn api(&self, transport: Transport) -> Api {
        let grpc = self.address("grpc.address").parse().expect("an address");
        Api::new(transport, Http::new(self.http()).await, Grpc::new(grpc))
    }

    /// Base of the HTTP API.
    pub fn http(&self) -> String {
        format!("http://{}", self.address("http.address"))
    }

    /// Base of the HTTP API over TLS.
    pub fn https(&self) -> String {
        let address: SocketAddr = self.address("https.address").parse().expect("an address");
        format!("https://localhost:{}", address.port())
    }

    /// Whether it listens for `protocol`: `grpc`, `http`, `https` or `ops`.
    pub fn listens(&self, protocol: &str) -> bool {
        self.ready[format!("{protocol}.address")].is_string()
    }

    /// Kills it: nothing is written any more, nobody is told.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    fn address(&self, member: &str) -> &str {
        self.ready[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.ready))
    }
}

/// Sends a signal, such as `TERM`, to a process.
pub async fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().await;
    assert!(sent.expect("kill is there").success());
}

/// What a configuration says of places: everything is in `folder` and on free ports.
pub fn places(folder: &Path) -> String {
    format!(
        "[grpc]\nlisten = '127.0.0.1:0'\n[http]\nlisten = '127.0.0.1:0'\n[https]\nenabled = false\n\
         [ops]\nlisten = '127.0.0.1:0'\n[storage]\nurl = 'sqlite:{}'\n\
         [keys]\nkek = 'a2V5IGVuY3J5cHRpb24ga2V5IG9mIDMyIGJ5dGVzISE='\nrsa_bits = 2048\n",
        folder.join("countersign.db").display()
    )
}

/// The file with `config`.
fn written(folder: &Path, config: &str) -> PathBuf {
    let file = folder.join("countersign.toml");
    std::fs::write(&file, config).expect("the folder can be written");
    file
}

/// The program, which is built beside this one.
fn binary() -> PathBuf {
    built("countersign")
}

fn built(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this program has a path");
    let found = tests.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("no program `{name}` in the folders above {}: build it with `cargo build --bin {name}`", tests.display())
    })
}

/// The folder of the program, for a `PATH`.
pub fn folder_of_program() -> PathBuf {
    binary().parent().expect("the program is in a folder").to_owned()
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it said.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

/// Starts the program in `folder` and leaves it alone. Killed when dropped.
pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

/// What a program says that goes on until it is ended. Killed when dropped.
pub struct Saying {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Saying {
    /// Starts the program in `folder`.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        Self { lines: BufReader::new(child.stdout.take().expect("it is piped")).lines(), _child: child }
    }

    /// The next line, which must come within a minute.
    pub async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(60), self.lines.next_line());
        let line = next.await.expect("it says something within a minute").expect("what it says is text");
        line.expect("it goes on")
    }
}

/// Runs the program in `folder` with `input` to read.
pub async fn run(folder: &Path, arguments: &[&str], input: &str) -> Ended {
    ended(Command::new(binary()).args(arguments), folder, input).await
}

/// Runs the program in `folder` by a clock that shows `now` when it starts.
pub async fn run_at(now: Timestamp, folder: &Path, arguments: &[&str]) -> Ended {
    let now = now.as_millis().to_string();
    ended(Command::new(built("countersign-at")).arg(now).args(arguments), folder, "").await
}

/// Runs a line of the shell in `folder` on a terminal at which somebody types `input`, with the program in its `PATH`; what the terminal showed
/// is what it said.
pub async fn run_on_a_terminal(folder: &Path, line: &str, input: &str) -> Ended {
    let mut terminal = Command::new("script");
    terminal.args(["-q", "-e", "-c", line, "/dev/null"]).env("SHELL", "/bin/sh").env("TERM", "xterm");
    ended(terminal.env("PATH", programs()), folder, input).await
}

/// Runs lines of bash in `folder` with `input` to read, with the program in its `PATH`.
pub async fn run_in_a_shell(folder: &Path, lines: &str, input: &str) -> Ended {
    // This machine is asked itself, whatever is between it and others.
    let mut shell = Command::new("bash");
    ended(shell.args(["-c", lines]).env("PATH", programs()).env("NO_PROXY", "localhost"), folder, input).await
}

/// A `PATH` that begins with the folder of the program.
fn programs() -> String {
    format!("{}:{}", folder_of_program().display(), std::env::var("PATH").expect("there is one"))
}

async fn ended(command: &mut Command, folder: &Path, input: &str) -> Ended {
    use tokio::io::AsyncWriteExt as _;
    command.current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // One that does not read it may be gone already.
    drop(stdin.write_all(input.as_bytes()).await);
    drop(stdin);
    let ended = child.wait_with_output().await.expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: ended.status.code().unwrap_or(-1), out: text(&ended.stdout), err: text(&ended.stderr) }
}
