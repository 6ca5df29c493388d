//! The channels against providers that work, fail, hang, redirect and talk rubbish.

mod command;
mod http;
mod push;
mod smpp;
mod smtp;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use super::answer::{Condition, Pointer};
use super::fixtures::delivery;
use super::http::{BodyType, Settings as HttpSettings, Verb};
use super::settings::{ChannelSettings, Sender, Settings, Way};
use super::template::{IN_REQUESTS, Template};
use super::*;
use crate::base::secret::Secret;

/// A provider of the test: answers each request with what `answer` makes of it, `None` by hanging.
struct Provider {
    address: SocketAddr,
    seen: mpsc::Receiver<String>,
}

impl Provider {
    fn start(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(request) = read_request(&mut stream) else { continue };
                let answer = answer(&request);
                let Ok(()) = tell.send(request) else { return };
                match answer {
                    // The peer may hang up as soon as it has read enough.
                    Some(octets) => drop(stream.write_all(&octets)),
                    None => hanging.push(stream),
                }
            }
        });
        Provider { address, seen }
    }

    fn saying(status: &'static str, body: &'static str) -> Provider {
        Provider::start(move |_| Some(answer(status, "", body.as_bytes())))
    }

    fn url(&self) -> String {
        format!("http://{}/send", self.address)
    }

    fn request(&self) -> String {
        self.seen.recv_timeout(Duration::from_secs(10)).expect("no request came")
    }

    fn got_nothing_more(&self) -> bool {
        self.seen.try_recv().is_err()
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut octets = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        octets.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&octets).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

fn template(text: &str) -> Template {
    Template::parse(text, IN_REQUESTS).unwrap()
}

fn asked(url: &str, body: &str) -> HttpSettings {
    HttpSettings {
        method: Verb::Post,
        url: template(url),
        headers: Vec::new(),
        body: (!body.is_empty()).then(|| template(body)),
        body_type: BodyType::Raw,
        username: None,
        password: None,
        token: None,
        token_scheme: "Bearer".into(),
        ok_status: vec![(200, 299)],
        ok_body: Vec::new(),
        reference: None,
        ca_file: None,
        proxy: None,
    }
}

fn channel(name: &str, way: Way) -> ChannelSettings {
    ChannelSettings {
        secret: None,
        inbound_token: None,
        signs: None,
        name: Label::new(name).unwrap(),
        kind: Kind::Sms,
        timeout: Duration::from_secs(5),
        from: vec![Sender { prefix: "".into(), sender: "radmfa".into() }],
        countries: Vec::new(),
        way,
    }
}

fn open(channels: Vec<ChannelSettings>) -> Channels {
    let settings = Settings { channels, ..Settings::none(Label::new("mfa-a").unwrap()) };
    open_with(&settings)
}

fn open_with(settings: &Settings) -> Channels {
    Channels::open(settings, means()).unwrap()
}

fn means() -> Means {
    let entropy = crate::base::system::Fixed { mono: Tick(0), unix: crate::base::time::UnixTime(0), seed: 7 };
    Means {
        clock: Arc::new(TestClock),
        arrived: Arc::new(|_| ()),
        gone: Arc::new(|_| ()),
        entropy: Arc::new(Mutex::new(entropy)),
        vapid: Some(Vapid::parse(&[7; 32]).unwrap()),
        actions: Arc::new(Actions::new([9; 32])),
    }
}

/// A clock that stands still: no test here waits for time to pass.
struct TestClock;

impl Clock for TestClock {
    fn mono(&self) -> Tick {
        Tick(1_000_000_000)
    }

    fn unix(&self) -> crate::base::time::UnixTime {
        crate::base::time::UnixTime::from_secs(1_767_225_600)
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().build().unwrap().block_on(future)
}

fn try_http(settings: HttpSettings) -> Result<Handed, String> {
    try_one(by(settings), delivery("+36301234542", "493817"))
}

fn by(settings: HttpSettings) -> Way {
    Way::Http(Box::new(settings))
}

fn try_one(way: Way, delivery: Delivery) -> Result<Handed, String> {
    let channels = open(vec![ChannelSettings { kind: delivery.kind, ..channel("one", way) }]);
    let name = Label::new("one").unwrap();
    let trial = wait(channels.send_by(&name, delivery).unwrap());
    trial.outcome.map_err(|refusal| refusal.to_string())
}
