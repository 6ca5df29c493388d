//! HTTP channels, and what holds for channels of every type.

use super::super::http::{UrlFault, fixed_url};
use super::*;

#[test]
fn a_request_is_made_as_its_templates_say() {
    let provider = Provider::saying("200 OK", "fine");
    let settings = HttpSettings { method: Verb::Post, ..asked(&provider.url(), "{to}|{text}") };
    let handed = try_http(settings).unwrap();
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
    let settings = HttpSettings {
        method: Verb::Get,
        username: Some("u&1".into()),
        password: Some(Secret::from("p w")),
        ..asked(
            &format!("{}?user={{username}}&pass={{password}}&to={{to}}&from={{from}}", provider.url()),
            "",
        )
    };
    try_http(settings).unwrap();
    let request = provider.request();
    assert!(
        request.starts_with("GET /send?user=u%261&pass=p%20w&to=%2B36301234542&from=radmfa HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(!request.contains("authorization"), "{request}");

    let basic = HttpSettings {
        username: Some("u".into()),
        password: Some(Secret::from("p")),
        headers: vec![("X-Key".into(), Secret::from("k1"))],
        ..asked(&provider.url(), "x")
    };
    try_http(basic).unwrap();
    let request = provider.request();
    assert!(request.contains("authorization: Basic dTpw\r\n"), "{request}");
    assert!(request.contains("x-key: k1\r\n"), "{request}");

    let token = HttpSettings {
        token: Some(Secret::from("t1")),
        token_scheme: "AccessKey".into(),
        body_type: BodyType::Json,
        ..asked(&provider.url(), r#"{"to":"{to-digits}","text":"{text}"}"#)
    };
    try_http(token).unwrap();
    let request = provider.request();
    assert!(request.contains("authorization: AccessKey t1\r\n"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(request.contains(r#"{"to":"36301234542","text":"493817 is"#), "{request}");
}

#[test]
fn an_answer_means_sent_only_where_status_and_body_say_so() {
    let vonage = |url: &str| HttpSettings {
        ok_body: vec![Condition::parse("/messages/*/status=0").unwrap()],
        reference: Pointer::parse("/messages/0/message-id"),
        ..asked(url, "{text}")
    };
    let sent = Provider::saying("200 OK", r#"{"messages":[{"status":"0","message-id":"0C1"}]}"#);
    assert_eq!(try_http(vonage(&sent.url())).unwrap().reference.as_deref(), Some("0C1"));
    let refused =
        Provider::saying("200 OK", r#"{"messages":[{"status":"4","error-text":"Bad Credentials"}]}"#);
    let said = try_http(vonage(&refused.url())).unwrap_err();
    assert!(said.contains("not what means sent") && said.contains("Bad Credentials"), "{said}");
    let broken = Provider::saying("503 Service Unavailable", "later");
    assert_eq!(try_http(asked(&broken.url(), "x")).unwrap_err(), "the provider answered 503: later");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Provider::saying("200 OK", "fine");
    let target = elsewhere.url();
    let provider =
        Provider::start(move |_| Some(answer("302 Found", &format!("Location: {target}\r\n"), b"")));
    let said = try_http(asked(&provider.url(), "{text}")).unwrap_err();
    assert!(said.contains("302 (redirects are not followed)"), "{said}");
    assert!(elsewhere.got_nothing_more());
}

#[test]
fn rubbish_and_endless_answers_are_failures_that_show_neither_code_nor_secret() {
    let rubbish = Provider::start(|_| Some(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()));
    assert!(try_http(asked(&rubbish.url(), "x")).unwrap_err().contains("cannot be asked"));
    let endless = Provider::start(|_| Some(answer("200 OK", "", &vec![b'x'; 200_000])));
    assert!(try_http(asked(&endless.url(), "x")).unwrap_err().contains("longer than 65536 octets"));
    let short = Provider::start(|_| Some(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec()));
    assert!(try_http(asked(&short.url(), "x")).unwrap_err().contains("broke off"));
    let echo = Provider::start(|request| Some(answer("400 Bad Request", "", request.as_bytes())));
    let settings = HttpSettings {
        token: Some(Secret::from("t0ken-of-ours")),
        ..asked(&format!("{}?t={{text}}", echo.url()), "{code} {text}")
    };
    let said = try_http(settings).unwrap_err();
    assert!(said.contains("400"), "{said}");
    assert!(!said.contains("493817") && !said.contains("t0ken-of-ours"), "{said}");
}

#[test]
fn a_provider_that_hangs_or_is_gone_is_given_up_without_naming_its_url() {
    let hanging = Provider::start(|_| None);
    let url = format!("{}?key={{password}}", hanging.url());
    let settings = HttpSettings { password: Some(Secret::from("hidden-one")), ..asked(&url, "{text}") };
    let channels =
        open(vec![ChannelSettings { timeout: Duration::from_millis(300), ..channel("one", by(settings)) }]);
    let name = Label::new("one").unwrap();
    let said =
        wait(channels.send_by(&name, delivery("+36301234542", "493817")).unwrap()).outcome.unwrap_err();
    assert!(said.to_string().contains("in time") || said.to_string().contains("within 300 ms"), "{said}");

    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}/?key={{password}}");
    let settings = HttpSettings { password: Some(Secret::from("hidden-one")), ..asked(&url, "{text}") };
    let said = try_http(settings).unwrap_err();
    assert!(said.contains(&format!("http://{gone} cannot be asked")), "{said}");
    assert!(!said.contains("hidden-one") && !said.contains("493817"), "{said}");
}

#[test]
fn a_channel_that_fails_gives_way_to_the_next_and_a_resend_begins_with_the_next() {
    let broken = Provider::saying("500 Internal Server Error", "");
    let first = Provider::saying("200 OK", "");
    let second = Provider::saying("200 OK", "");
    let channels = open(vec![
        channel("first", by(asked(&first.url(), "{text}"))),
        channel("second", by(asked(&second.url(), "{text}"))),
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
        channel("broken", by(asked(&broken.url(), "{text}"))),
        channel("second", by(asked(&second.url(), "{text}"))),
    ]);
    assert_eq!(sent(&channels, 0), "second");
    assert!(broken.request().contains("493817"));
    // It failed just now, so the other one is asked first.
    assert_eq!(sent(&channels, 0), "second");
    assert!(broken.got_nothing_more());

    assert_eq!(sent(&open(vec![channel("broken", by(asked(&broken.url(), "x")))]), 0), "none");
    assert_eq!(sent(&open(Vec::new()), 0), "none");
}

#[test]
fn a_channel_serves_its_kind_and_countries_and_no_number_that_is_blocked() {
    let provider = Provider::saying("200 OK", "");
    let hungary = ChannelSettings {
        countries: vec!["+36".into()],
        ..channel("hungary", by(asked(&provider.url(), "x")))
    };
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
    let mut one = channel("one", by(asked(&provider.url(), "{from}")));
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
    let channels = open(vec![channel("one", by(asked(&provider.url(), "{text}")))]);
    let name = Label::new("one").unwrap();
    let said = wait(channels.probe(&name).unwrap()).unwrap();
    assert!(said.contains(&format!("http://{} answers", provider.address)), "{said}");
    assert!(provider.request().starts_with("OPTIONS / HTTP/1.1\r\n"));
    assert!(channels.probe(&Label::new("two").unwrap()).is_none());
}

#[test]
fn no_place_stands_before_the_path() {
    for (url, fault) in [
        ("http://{to}/", UrlFault::OpenHost),
        ("https://a.example{to}", UrlFault::OpenHost),
        ("https://a.example:{to}/x", UrlFault::OpenHost),
        ("ftp://a.example/", UrlFault::NoUrl),
        ("https:///x", UrlFault::NoUrl),
        ("https://user:pass@a.example/", UrlFault::NoUrl),
        ("a.example/send", UrlFault::NoUrl),
    ] {
        assert_eq!(fixed_url(&template(url)), Err(fault), "{url}");
    }
    assert!(fixed_url(&template("https://a.example/x/{to}?y={text}")).is_ok());
    assert!(fixed_url(&template("https://a.example")).is_ok());
}
