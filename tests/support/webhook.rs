//! The organisation's own app: takes questions at a webhook, checks their signatures, and answers as a person would.

use super::process::poll;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What came: the lines of the head in lower case, and the body.
#[derive(Clone, Debug)]
pub struct Posted {
    pub head: Vec<String>,
    pub body: String,
}

impl Posted {
    pub fn header(&self, name: &str) -> &str {
        let line = self.head.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {:?}", self.head))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A webhook that answers every question with 204, or with what it is told to.
pub struct Webhook {
    pub address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
    status: Arc<Mutex<&'static str>>,
}

impl Webhook {
    /// Listens until the test's process ends.
    pub fn start() -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (posted, status) = (Arc::default(), Arc::new(Mutex::new("204 No Content")));
        let webhook = Webhook { address, posted: Arc::clone(&posted), status: Arc::clone(&status) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (posted, status) = (Arc::clone(&posted), Arc::clone(&status));
                std::thread::spawn(move || take(&stream, &posted, &status));
            }
        });
        webhook
    }

    /// From now on questions are answered so.
    pub fn answers(&self, status: &'static str) {
        *self.status.lock().unwrap() = status;
    }

    pub fn count(&self) -> usize {
        self.posted.lock().unwrap().len()
    }

    /// Question `place`, counted from 0, waited for.
    pub fn question(&self, place: usize) -> Posted {
        poll("a question", Duration::from_secs(10), || self.posted.lock().unwrap().get(place).cloned())
    }
}

fn take(stream: &TcpStream, posted: &Mutex<Vec<Posted>>, status: &Mutex<&'static str>) {
    let mut reader = BufReader::new(stream);
    let Some((head, body)) = read(&mut reader) else { return };
    posted.lock().unwrap().push(Posted { head, body });
    let mut stream = stream;
    let answer =
        format!("HTTP/1.1 {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status.lock().unwrap());
    stream.write_all(answer.as_bytes()).unwrap();
}

fn read(reader: &mut BufReader<impl Read>) -> Option<(Vec<String>, String)> {
    let (mut head, mut length, mut line) = (Vec::new(), 0, String::new());
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        let (name, value) = line.trim_end().split_once(": ").unwrap_or((line.trim_end(), ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
        head.push(format!("{}: {value}", name.to_ascii_lowercase()));
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

/// As the contract says: HMAC-SHA-256 of `way`, newline, timestamp, newline, body.
pub fn signature(secret: &str, way: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{way}\n{timestamp}\n{body}").as_bytes());
    let octets: [u8; 32] = mac.finalize().into_bytes().into();
    format!("sha256={}", radmfa::base::text::hex(&octets))
}

pub fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// POSTs `body` to `url` with these headers; the status, and the body of the answer.
pub fn post(url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    ask("POST", url, headers, body)
}

/// The same of what is there.
pub fn get(url: &str) -> (u16, String) {
    ask("GET", url, &[], "")
}

fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.extend([*name, ": ", *value, "\r\n"]);
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.unwrap_or_else(|| panic!("no status in {answer:?}")), body.unwrap_or_default())
}

/// An answer to `question`, signed under `secret` at `at`; the status that it gets.
pub fn answer_at(
    question: &Posted,
    secret: &str,
    at: u64,
    verdict: &str,
    number: Option<&str>,
) -> (u16, String) {
    let json = question.json();
    let body = serde_json::json!({ "id": json["id"], "verdict": verdict, "number": number }).to_string();
    let timestamp = at.to_string();
    let signed = signature(secret, "in", &timestamp, &body);
    let headers = [("X-Radmfa-Timestamp", timestamp.as_str()), ("X-Radmfa-Signature", signed.as_str())];
    post(json["callback"].as_str().unwrap(), &headers, &body)
}
