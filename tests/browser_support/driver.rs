//! WebDriver as it goes over the wire (W3C WebDriver §5): a request and an answer in JSON, one connection each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Process, Scratch};

/// How long one command may take: the longest are the start of a browser and the load of a page.
const COMMAND: Duration = Duration::from_secs(150);

/// What chromedriver says of a command that failed.
#[derive(Debug)]
pub struct Fault {
    pub error: String,
    pub message: String,
}

impl Fault {
    /// Whether another attempt may do: the page was about to change.
    pub fn may_pass(&self) -> bool {
        const PASSING: &[&str] = &[
            "stale element reference",
            "no such element",
            "element click intercepted",
            "element not interactable",
        ];
        PASSING.contains(&self.error.as_str())
    }
}

/// chromedriver, and the one session in it.
pub struct Driver {
    process: Process,
    port: u16,
    session: String,
}

impl Driver {
    /// Starts chromedriver on a port of its own choice, and a browser.
    pub fn start(mut command: Command, scratch: &Scratch, capabilities: &Value) -> Driver {
        // A group of its own: the browser is a child of it, and ends with it.
        command.arg("--port=0").process_group(0);
        let mut process = Process::spawn("chromedriver", command, scratch);
        let line = process.wait_for("started successfully on port ");
        let digits = line.rsplit(' ').next().unwrap().trim_end_matches('.');
        let port = digits.parse().unwrap_or_else(|_| panic!("no port in {line:?}"));
        let mut driver = Driver { process, port, session: String::new() };
        let answer = driver.send("POST", "/session", capabilities);
        let answer = answer.unwrap_or_else(|fault| panic!("no browser: {fault:?}"));
        answer["sessionId"].as_str().unwrap().clone_into(&mut driver.session);
        driver
    }

    /// A command beneath the session.
    pub fn session(&self, method: &str, path: &str, body: &Value) -> Result<Value, Fault> {
        self.send(method, &format!("/session/{}{path}", self.session), body)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, Fault> {
        let lost = |error: std::io::Error| Fault { error: "lost".into(), message: error.to_string() };
        let body = if method == "GET" || method == "DELETE" { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map_err(lost)?;
        stream.set_read_timeout(Some(COMMAND)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\
             Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).map_err(lost)?;
        let answer = read(&mut BufReader::new(stream)).map_err(lost)?;
        let mut answer: Value = serde_json::from_str(&answer)
            .map_err(|error| Fault { error: error.to_string(), message: answer.clone() })?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(Fault {
                error: error.to_owned(),
                message: value["message"].as_str().unwrap_or_default().to_owned(),
            }),
            None => Ok(value),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Lets the browser close by itself; whatever is left of the group ends below.
        let _closed = self.session("DELETE", "", &Value::Null);
        if let Ok(id) = i32::try_from(self.process.id())
            && self.process.try_wait().is_none()
        {
            let _none_left = killpg(Pid::from_raw(id), Signal::SIGTERM);
        }
    }
}

fn read(reader: &mut impl BufRead) -> std::io::Result<String> {
    let (mut length, mut line) = (None, String::new());
    while reader.read_line(&mut line)? > 2 {
        let (name, value) = line.trim_end().split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<u64>().ok();
        }
        line.clear();
    }
    let mut body = String::new();
    match length {
        Some(length) => reader.take(length).read_to_string(&mut body)?,
        None => reader.read_to_string(&mut body)?,
    };
    Ok(body)
}
