//! The channels against providers that work, fail, hang, redirect and talk rubbish.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use super::answer::{Condition, Pointer};
use super::fixtures::delivery;
use super::http::{BodyType, Verb};
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

fn http(url: &str, body: &str) -> http::Settings {
    http::Settings {
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

fn channel(name: &str, http: http::Settings) -> ChannelSettings {
    ChannelSettings {
        name: Label::new(name).unwrap(),
        kind: Kind::Sms,
        timeout: Duration::from_secs(5),
        from: vec![Sender { prefix: "".into(), sender: "radmfa".into() }],
        countries: Vec::new(),
        way: Way::Http(Box::new(http)),
    }
}

fn open(channels: Vec<ChannelSettings>) -> Channels {
    let settings = Settings { channels, ..Settings::none(Label::new("mfa-a").unwrap()) };
    open_with(&settings)
}

fn open_with(settings: &Settings) -> Channels {
    Channels::open(settings, Means { clock: Arc::new(TestClock), arrived: Arc::new(|_| ()) }).unwrap()
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

fn try_one(settings: http::Settings) -> Result<Handed, String> {
    let channels = open(vec![channel("one", settings)]);
    let name = Label::new("one").unwrap();
    let trial = wait(channels.send_by(&name, delivery("+36301234542", "493817")).unwrap());
    trial.outcome.map_err(|refusal| refusal.to_string())
}

#[test]
fn a_request_is_made_as_its_templates_say() {
    let provider = Provider::saying("200 OK", "fine");
    let settings = http::Settings { method: Verb::Post, ..http(&provider.url(), "{to}|{text}") };
    let handed = try_one(settings).unwrap();
    assert_eq!(handed.answer, "200: fine");
    let request = provider.request();
    assert!(request.starts_with("POST /send HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: text/plain; charset=utf-8\r\n"), "{request}");
    assert!(
        request.ends_with(
            "\r\n\r\n+36301234542|493817 is your code for vpn, good for 5 min. Tell it to nobody."
        ),
        "{request}"
    );
}

#[test]
fn what_is_filled_in_is_escaped_for_its_place_and_credentials_go_where_they_are_asked() {
    let provider = Provider::saying("202 Accepted", "0: Accepted for delivery");
    let settings = http::Settings {
        method: Verb::Get,
        username: Some("u&1".into()),
        password: Some(Secret::from("p w")),
        ..http(&format!("{}?user={{username}}&pass={{password}}&to={{to}}&from={{from}}", provider.url()), "")
    };
    try_one(settings).unwrap();
    let request = provider.request();
    assert!(
        request.starts_with("GET /send?user=u%261&pass=p%20w&to=%2B36301234542&from=radmfa HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(!request.contains("authorization"), "{request}");

    let basic = http::Settings {
        username: Some("u".into()),
        password: Some(Secret::from("p")),
        headers: vec![("X-Key".into(), Secret::from("k1"))],
        ..http(&provider.url(), "x")
    };
    try_one(basic).unwrap();
    let request = provider.request();
    assert!(request.contains("authorization: Basic dTpw\r\n"), "{request}");
    assert!(request.contains("x-key: k1\r\n"), "{request}");

    let token = http::Settings {
        token: Some(Secret::from("t1")),
        token_scheme: "AccessKey".into(),
        body_type: BodyType::Json,
        ..http(&provider.url(), r#"{"to":"{to-digits}","text":"{text}"}"#)
    };
    try_one(token).unwrap();
    let request = provider.request();
    assert!(request.contains("authorization: AccessKey t1\r\n"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(request.contains(r#"{"to":"36301234542","text":"493817 is"#), "{request}");
}

#[test]
fn an_answer_means_sent_only_where_status_and_body_say_so() {
    let vonage = |url: &str| http::Settings {
        ok_body: vec![Condition::parse("/messages/*/status=0").unwrap()],
        reference: Pointer::parse("/messages/0/message-id"),
        ..http(url, "{text}")
    };
    let sent = Provider::saying("200 OK", r#"{"messages":[{"status":"0","message-id":"0C1"}]}"#);
    assert_eq!(try_one(vonage(&sent.url())).unwrap().reference.as_deref(), Some("0C1"));
    let refused =
        Provider::saying("200 OK", r#"{"messages":[{"status":"4","error-text":"Bad Credentials"}]}"#);
    let said = try_one(vonage(&refused.url())).unwrap_err();
    assert!(said.contains("not what means sent") && said.contains("Bad Credentials"), "{said}");
    let broken = Provider::saying("503 Service Unavailable", "later");
    assert_eq!(try_one(http(&broken.url(), "x")).unwrap_err(), "the provider answered 503: later");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Provider::saying("200 OK", "fine");
    let target = elsewhere.url();
    let provider =
        Provider::start(move |_| Some(answer("302 Found", &format!("Location: {target}\r\n"), b"")));
    let said = try_one(http(&provider.url(), "{text}")).unwrap_err();
    assert!(said.contains("302 (redirects are not followed)"), "{said}");
    assert!(elsewhere.got_nothing_more());
}

#[test]
fn rubbish_and_endless_answers_are_failures_that_show_neither_code_nor_secret() {
    let rubbish = Provider::start(|_| Some(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()));
    assert!(try_one(http(&rubbish.url(), "x")).unwrap_err().contains("cannot be asked"));
    let endless = Provider::start(|_| Some(answer("200 OK", "", &vec![b'x'; 200_000])));
    assert!(try_one(http(&endless.url(), "x")).unwrap_err().contains("longer than 65536 octets"));
    let short = Provider::start(|_| Some(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec()));
    assert!(try_one(http(&short.url(), "x")).unwrap_err().contains("broke off"));
    let echo = Provider::start(|request| Some(answer("400 Bad Request", "", request.as_bytes())));
    let settings = http::Settings {
        token: Some(Secret::from("t0ken-of-ours")),
        ..http(&format!("{}?t={{text}}", echo.url()), "{code} {text}")
    };
    let said = try_one(settings).unwrap_err();
    assert!(said.contains("400"), "{said}");
    assert!(!said.contains("493817") && !said.contains("t0ken-of-ours"), "{said}");
}

#[test]
fn a_provider_that_hangs_or_is_gone_is_given_up_without_naming_its_url() {
    let hanging = Provider::start(|_| None);
    let url = format!("{}?key={{password}}", hanging.url());
    let settings = http::Settings { password: Some(Secret::from("hidden-one")), ..http(&url, "{text}") };
    let channels =
        open(vec![ChannelSettings { timeout: Duration::from_millis(300), ..channel("one", settings) }]);
    let name = Label::new("one").unwrap();
    let said =
        wait(channels.send_by(&name, delivery("+36301234542", "493817")).unwrap()).outcome.unwrap_err();
    assert!(said.to_string().contains("in time") || said.to_string().contains("within 300 ms"), "{said}");

    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}/?key={{password}}");
    let settings = http::Settings { password: Some(Secret::from("hidden-one")), ..http(&url, "{text}") };
    let said = try_one(settings).unwrap_err();
    assert!(said.contains(&format!("http://{gone} cannot be asked")), "{said}");
    assert!(!said.contains("hidden-one") && !said.contains("493817"), "{said}");
}

#[test]
fn a_channel_that_fails_gives_way_to_the_next_and_a_resend_begins_with_the_next() {
    let broken = Provider::saying("500 Internal Server Error", "");
    let first = Provider::saying("200 OK", "");
    let second = Provider::saying("200 OK", "");
    let channels = open(vec![
        channel("first", http(&first.url(), "{text}")),
        channel("second", http(&second.url(), "{text}")),
    ]);
    let sent = |channels: &Channels, attempt| match wait(
        channels.send(Delivery { attempt, ..delivery("+36301234542", "493817") }),
    ) {
        Sent::Accepted { provider, .. } => provider.to_string(),
        Sent::Failed => "none".into(),
    };
    assert_eq!(sent(&channels, 0), "first");
    assert_eq!(sent(&channels, 1), "second");
    assert_eq!(sent(&channels, 2), "first");

    let channels = open(vec![
        channel("broken", http(&broken.url(), "{text}")),
        channel("second", http(&second.url(), "{text}")),
    ]);
    assert_eq!(sent(&channels, 0), "second");
    assert!(broken.request().contains("493817"));
    // It failed just now, so the other one is asked first.
    assert_eq!(sent(&channels, 0), "second");
    assert!(broken.got_nothing_more());

    assert_eq!(sent(&open(vec![channel("broken", http(&broken.url(), "x"))]), 0), "none");
    assert_eq!(sent(&open(Vec::new()), 0), "none");
}

#[test]
fn a_channel_serves_its_kind_and_countries_and_no_number_that_is_blocked() {
    let provider = Provider::saying("200 OK", "");
    let hungary =
        ChannelSettings { countries: vec!["+36".into()], ..channel("hungary", http(&provider.url(), "x")) };
    let mut settings = Settings { channels: vec![hungary], ..Settings::none(Label::new("mfa-a").unwrap()) };
    settings.sms.numbers.block = vec!["+3690".into()];
    let channels = open_with(&settings);
    assert!(channels.reaches(Kind::Sms, "+36301234567"));
    assert!(!channels.reaches(Kind::Sms, "+431234567"));
    assert!(!channels.reaches(Kind::Sms, "+36901234567"));
    assert!(!channels.reaches(Kind::Sms, "06301234567"));
    assert!(!channels.reaches(Kind::Voice, "+36301234567"));
    assert_eq!(wait(channels.send(delivery("+36901234567", "493817"))), Sent::Failed);
    assert!(provider.got_nothing_more());
}

#[test]
fn the_sender_goes_by_the_number_that_is_reached() {
    let provider = Provider::saying("200 OK", "");
    let american = Sender { prefix: "+1".into(), sender: "+12025550100".into() };
    let mut one = channel("one", http(&provider.url(), "{from}"));
    one.from.push(american);
    let channels = open(vec![one]);
    assert!(matches!(wait(channels.send(delivery("+12125550100", "1"))), Sent::Accepted { .. }));
    assert!(provider.request().ends_with("\r\n\r\n+12025550100"));
    assert!(matches!(wait(channels.send(delivery("+36301234567", "1"))), Sent::Accepted { .. }));
    assert!(provider.request().ends_with("\r\n\r\nradmfa"));
}

#[test]
fn a_probe_connects_and_sends_nothing() {
    let provider = Provider::saying("405 Method Not Allowed", "");
    let channels = open(vec![channel("one", http(&provider.url(), "{text}"))]);
    let name = Label::new("one").unwrap();
    let said = wait(channels.probe(&name).unwrap()).unwrap();
    assert!(said.contains(&format!("http://{} answers", provider.address)), "{said}");
    assert!(provider.request().starts_with("OPTIONS / HTTP/1.1\r\n"));
    assert!(channels.probe(&Label::new("two").unwrap()).is_none());
}

#[test]
fn no_place_stands_before_the_path() {
    for (url, fault) in [
        ("http://{to}/", http::UrlFault::OpenHost),
        ("https://a.example{to}", http::UrlFault::OpenHost),
        ("https://a.example:{to}/x", http::UrlFault::OpenHost),
        ("ftp://a.example/", http::UrlFault::NoUrl),
        ("https:///x", http::UrlFault::NoUrl),
        ("https://user:pass@a.example/", http::UrlFault::NoUrl),
        ("a.example/send", http::UrlFault::NoUrl),
    ] {
        assert_eq!(http::fixed_url(&template(url)), Err(fault), "{url}");
    }
    assert!(http::fixed_url(&template("https://a.example/x/{to}?y={text}")).is_ok());
    assert!(http::fixed_url(&template("https://a.example")).is_ok());
}
