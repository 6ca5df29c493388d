//! Pushes to browsers and by ntfy.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::actions::Act;
use super::super::web_push::places::{Place, Places};
use super::super::web_push::subscription::Subscription;
use super::super::{ntfy, web_push};
use super::*;
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::asking::{Asks, Matching, Question, Reference, To};

const REFERENCE: Reference = Reference([0xab; 16]);

fn question(matching: Matching) -> Delivery {
    let lifetime = Duration::from_mins(1);
    let question = Question {
        reference: REFERENCE,
        passkey: false,
        device: Some(To { id: 9, channel: Label::new("one").unwrap(), name: "phone".into() }),
        asks: Asks::Approval { matching, choices: None },
        station: Some("198.51.100.7".into()),
        lifetime,
        expires: UnixTime::from_secs(1_767_225_600) + lifetime,
    };
    Delivery { kind: Kind::Push, message: Message::Ask(Box::new(question)), ..delivery("x", "493817") }
}

fn published(provider: &Provider, delivery: Delivery) -> (Result<Handed, String>, Option<serde_json::Value>) {
    let url = Template::parse(&format!("http://{}", provider.address), &[]).unwrap();
    let token = Some(Secret::from("tk_secret"));
    let way = Way::Ntfy(Box::new(ntfy::Settings { url, token, ca_file: None, proxy: None }));
    let settings = Settings {
        channels: vec![ChannelSettings { kind: Kind::Push, ..channel("one", way) }],
        portal: Some("https://mfa.example.com".into()),
        ..Settings::none(Label::new("mfa-a").unwrap())
    };
    let channels = open_with(&settings);
    let trial = wait(channels.send_by(&Label::new("one").unwrap(), delivery).unwrap());
    let request = provider.seen.try_recv().ok().map(|request| {
        assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer tk_secret\r\n"), "{request}");
        serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
    });
    (trial.outcome.map_err(|refusal| refusal.to_string()), request)
}

/// The token at the end of a button's URL, and what it is good for.
fn act(action: &serde_json::Value) -> Act {
    let url = action["url"].as_str().unwrap().strip_prefix("https://mfa.example.com/").unwrap();
    let (path, token) = url.rsplit_once('/').unwrap();
    let (reference, act) = Actions::new([9; 32]).read(token).unwrap();
    assert_eq!(path, if act == Act::Open { "a" } else { "device/api/act" });
    assert_eq!(reference, REFERENCE);
    act
}

#[test]
fn ntfy_is_told_no_name_and_its_buttons_are_good_for_one_question() {
    let provider = Provider::saying("200 OK", r#"{"id":"m1","topic":"radmfa-topic-1"}"#);
    let to = |matching| Delivery { to: "radmfa-topic-1".into(), ..question(matching) };
    let (handed, body) = published(&provider, to(Matching::None));
    let handed = handed.unwrap();
    assert_eq!(handed.reference.as_deref(), Some("m1"));
    assert!(!handed.answer.contains("topic-1"), "{handed:?}");
    let body = body.unwrap();
    for name in ["mary", "vpn", "198.51.100.7", "phone", "mfa-a"] {
        assert!(!body.to_string().contains(name), "{body}");
    }
    assert_eq!(body["topic"], "radmfa-topic-1");
    let actions = body["actions"].as_array().unwrap();
    assert_eq!(actions.iter().map(act).collect::<Vec<_>>(), [Act::Approve, Act::Deny]);
    assert!(actions.iter().all(|action| action["action"] == "http" && action["method"] == "POST"));
    assert_eq!(
        body["click"].as_str().map(|_| act(&serde_json::json!({ "url": body["click"] }))),
        Some(Act::Open)
    );

    for matching in [Matching::Type, Matching::Choose] {
        let body = published(&provider, to(matching)).1.unwrap();
        let actions = body["actions"].as_array().unwrap();
        assert_eq!(actions.iter().map(act).collect::<Vec<_>>(), [Act::Open, Act::Deny], "{matching:?}");
        assert_eq!(actions[0]["action"], "view");
    }
    let elsewhere = Delivery { to: "../v1/account".into(), ..question(Matching::None) };
    assert_eq!(published(&provider, elsewhere).1, None);
}

#[test]
fn an_endpoint_that_is_not_listed_is_not_even_asked() {
    let provider = Provider::saying("201 Created", "");
    let key = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    let try_at = |endpoint: &str, places: Places| {
        let to = Subscription::new(endpoint, key, &URL_SAFE_NO_PAD.encode([1; 16])).unwrap().print();
        let way = Way::Web(web_push::Settings { places, ca_file: None, proxy: None });
        try_one(way, Delivery { to: to.into(), ..question(Matching::Type) }).unwrap_err()
    };
    let here = format!("https://{}/x", provider.address);
    let fault = try_at(&here, Places::known());
    assert!(fault.contains("push-services"), "{fault}");
    let plain = format!("http://{}/x", provider.address);
    let listed = || Places::new(vec![Place::parse("127.0.0.1").unwrap()]);
    assert!(try_at(&plain, listed()).contains("push-services"), "plain HTTP");
    // A name that stands for this machine is no place of the Internet, though the name is listed.
    let named = Place::parse(&format!("localhost:{}", provider.address.port())).unwrap();
    let fault = try_at(&format!("https://localhost:{}/x", provider.address.port()), Places::new(vec![named]));
    assert!(fault.contains("no address of the Internet"), "{fault}");
    assert!(provider.got_nothing_more());
    let nobody = Delivery { user: UserName::canonical(b"mary").unwrap(), ..question(Matching::Type) };
    let way = Way::Web(web_push::Settings { places: listed(), ca_file: None, proxy: None });
    assert!(try_one(way, nobody).unwrap_err().contains("no subscription"));
}
