//! Sessions with a message centre of the test; `tests/peers_channels.rs` has one that somebody else wrote.

use super::super::smpp::{Bind, Long, Settings as Centre};
use super::*;
use crate::engine::delivery::Arrival;

/// What came over a session: the command's number, its status, its sequence number and its body.
#[derive(Debug)]
struct Pdu {
    command: u32,
    sequence: u32,
    body: Vec<u8>,
}

/// One end of a session, in the words of the specification.
struct Line(TcpStream);

impl Line {
    fn take(&mut self) -> Option<Pdu> {
        let mut header = [0; 16];
        self.0.read_exact(&mut header).ok()?;
        let word = |place: usize| u32::from_be_bytes(header[place..place + 4].try_into().unwrap());
        let mut body = vec![0; usize::try_from(word(0)).unwrap() - 16];
        self.0.read_exact(&mut body).ok()?;
        Some(Pdu { command: word(4), sequence: word(12), body })
    }

    fn say(&mut self, command: u32, status: u32, sequence: u32, body: &[u8]) {
        let length = u32::try_from(16 + body.len()).unwrap();
        let header: Vec<u8> =
            [length, command, status, sequence].iter().flat_map(|word| word.to_be_bytes()).collect();
        // The peer may be gone.
        drop(self.0.write_all(&[&header, body].concat()));
    }
}

/// A centre that answers each bind and then each PDU as `act` says, which gets the session's number from 0.
fn centre(act: impl Fn(usize, &mut Line, &Pdu) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut line = Line(stream.unwrap());
            while let Some(pdu) = line.take() {
                act(number, &mut line, &pdu);
            }
        }
    });
    address
}

fn settings(address: SocketAddr) -> Centre {
    Centre {
        host: address.ip().to_string(),
        port: address.port(),
        username: "radmfa".into(),
        password: Secret::from("s3cret"),
        system_type: String::new(),
        bind: Bind::Transceiver,
        window: 10,
        enquire_link: Duration::from_secs(30),
        long: Long::Parts,
    }
}

fn open_centre(settings: Centre) -> (Channels, mpsc::Receiver<Arrival>) {
    let (tell, arrivals) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let arrived = move |arrival| drop(tell.lock().unwrap().send(arrival));
    let channels = vec![channel("centre", Way::Smpp(settings))];
    let settings = Settings { channels, ..Settings::none(Label::new("mfa-a").unwrap()) };
    let means = Means { arrived: Arc::new(arrived), ..means() };
    (Channels::open(&settings, means).unwrap(), arrivals)
}

fn send(channels: &Channels, to: &str) -> Result<Handed, String> {
    let name = Label::new("centre").unwrap();
    wait(channels.send_by(&name, delivery(to, "493817")).unwrap())
        .outcome
        .map_err(|refusal| refusal.to_string())
}

const BOUND: &[u8] = b"centre\0";

#[test]
fn a_message_is_submitted_over_a_bound_session_and_its_receipt_belongs_to_its_login() {
    let (tell, said) = mpsc::channel();
    let address = centre(move |_, line, pdu| {
        match pdu.command {
            9 => line.say(0x8000_0009, 0, pdu.sequence, BOUND),
            4 => {
                line.say(0x8000_0004, 0, pdu.sequence, b"17AB\0");
                // The same name in decimal digits, as some centres write it.
                let text = b"id:6059 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000";
                let mut body = b"\0\x01\x0136301234542\0\x05\0radmfa\0\x04\0\0\0\0\0\0\0\0".to_vec();
                body.push(u8::try_from(text.len()).unwrap());
                body.extend_from_slice(text);
                line.say(5, 0, 77, &body);
            }
            _ => {}
        }
        drop(tell.send((pdu.command, pdu.sequence, pdu.body.clone())));
    });
    let (channels, arrivals) = open_centre(settings(address));
    let handed = send(&channels, "+36301234542").unwrap();
    assert_eq!(handed.reference.as_deref(), Some("17AB"));
    let arrival = arrivals.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(arrival.arrived && arrival.last);
    assert_eq!((&*arrival.state, arrival.login), ("DELIVRD", crate::engine::record::LoginId::from_number(7)));

    let next = || said.recv_timeout(Duration::from_secs(10)).unwrap();
    let (command, _, body) = next();
    assert_eq!(command, 9);
    assert!(body.starts_with(b"radmfa\0s3cret\0\0\x34"), "{body:?}");
    let (command, _, body) = next();
    assert_eq!(command, 4);
    // service_type; source: alphanumeric; destination: international, E.164; a receipt is asked for, GSM-7.
    assert!(body.starts_with(b"\0\x05\0radmfa\0\x01\x0136301234542\0\0\0\0\0\0\x01\0\0\0"), "{body:?}");
    assert!(body.ends_with(b"493817 is your code for vpn, good for 5 min. Tell it to nobody."), "{body:?}");
    // The receipt is answered.
    let (command, sequence, _) = next();
    assert_eq!((command, sequence), (0x8000_0005, 77));
    // Dropped, the session says good-bye.
    drop(channels);
    assert_eq!(next().0, 6);
}

#[test]
fn a_bind_that_is_refused_is_said_at_once_and_to_every_message() {
    let address = centre(|_, line, pdu| line.say(0x8000_0009, 0x0E, pdu.sequence, b"\0"));
    let (channels, _) = open_centre(settings(address));
    for _ in 0..2 {
        let said = send(&channels, "+36301234542").unwrap_err();
        assert!(said.contains("the password is wrong (0x0000000e)"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    let said = wait(channels.probe(&Label::new("centre").unwrap()).unwrap()).unwrap_err();
    assert!(said.to_string().contains("is not bound to"), "{said}");
}

#[test]
fn a_session_that_breaks_is_bound_anew() {
    let address = centre(|number, line, pdu| match (pdu.command, number) {
        (9, _) => line.say(0x8000_0009, 0, pdu.sequence, BOUND),
        (4, 0) => drop(line.0.shutdown(std::net::Shutdown::Both)),
        (4, _) => line.say(0x8000_0004, 0, pdu.sequence, b"2\0"),
        _ => {}
    });
    let (channels, _) = open_centre(settings(address));
    let said = send(&channels, "+36301234542").unwrap_err();
    assert!(said.contains("broke off") || said.contains("not bound"), "{said}");
    let handed = (0..1000).find_map(|_| {
        let handed = send(&channels, "+36301234542").ok();
        if handed.is_none() {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        handed
    });
    assert_eq!(handed.expect("no new session within ten seconds").reference.as_deref(), Some("2"));
}

#[test]
fn a_message_that_comes_too_soon_is_sent_again_and_one_that_is_refused_is_not() {
    let (tell, said) = mpsc::channel();
    let address = centre(move |_, line, pdu| match pdu.command {
        9 => line.say(0x8000_0009, 0, pdu.sequence, BOUND),
        4 => {
            let refused = pdu.body.windows(11).any(|part| part == b"36301230000");
            let first = tell.send(()).is_ok() && pdu.sequence == 2;
            let status = if refused {
                0x0B
            } else if first {
                0x58
            } else {
                0
            };
            line.say(0x8000_0004, status, pdu.sequence, b"3\0");
        }
        _ => {}
    });
    let (channels, _) = open_centre(settings(address));
    assert_eq!(send(&channels, "+36301234542").unwrap().reference.as_deref(), Some("3"));
    assert_eq!(said.try_iter().count(), 2);
    let said = send(&channels, "+36301230000").unwrap_err();
    assert!(said.contains("the number is not known (0x0000000b)"), "{said}");
}

#[test]
fn a_long_text_goes_in_parts_or_whole_and_in_ucs_2_where_it_must() {
    let (tell, said) = mpsc::channel();
    let address = centre(move |_, line, pdu| match pdu.command {
        9 | 2 => line.say(pdu.command | 0x8000_0000, 0, pdu.sequence, BOUND),
        4 => {
            line.say(0x8000_0004, 0, pdu.sequence, b"4\0");
            drop(tell.send(pdu.body.clone()));
        }
        _ => {}
    });
    let hungarian = |settings: Centre| {
        let mut texts = super::super::text::Texts::new(Label::new("mfa-a").unwrap());
        let body = Template::parse(
            "{code} ő {code} {app} abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz 0123456789 0123456789",
            super::super::template::IN_TEXTS,
        );
        texts.written.push(super::super::text::Text {
            asks: false,
            kind: Kind::Sms,
            language: "en".into(),
            subject: None,
            body: body.unwrap(),
        });
        let channels = vec![channel("centre", Way::Smpp(settings))];
        let none = Settings::none(Label::new("mfa-a").unwrap());
        open_with(&Settings { channels, texts, ..none })
    };
    let channels = hungarian(settings(address));
    assert!(send(&channels, "+36301234542").unwrap().answer.contains("2 messages"));
    let parts: Vec<Vec<u8>> = said.try_iter().collect();
    assert_eq!(parts.len(), 2);
    for (number, part) in (1_u8..).zip(&parts) {
        // esm_class with a header of user data, data_coding 8; the receipt of the first part alone is asked for.
        let fields = [0x40, 0, 0, 0, 0, u8::from(number == 1), 0, 8, 0];
        let place = part.windows(9).position(|window| window == fields);
        let text = &part[place.expect("the fields of a part") + 10..];
        assert_eq!(text[..3], [5, 0, 3], "{text:?}");
        assert_eq!(text[4..6], [2, number]);
        assert!(text.len() <= 140);
    }
    drop(channels);

    let whole = Centre { long: Long::Payload, bind: Bind::Transmitter, ..settings(address) };
    assert!(send(&hungarian(whole), "+36301234542").unwrap().answer.contains("1 message,"));
    let body = said.try_recv().unwrap();
    // sm_length 0, then the parameter message_payload.
    let payload = body.windows(3).position(|window| window == [0, 0x04, 0x24]).expect("a payload");
    let length = usize::from(u16::from_be_bytes([body[payload + 3], body[payload + 4]]));
    assert_eq!(length, body.len() - payload - 5);
}

#[test]
fn a_centre_that_talks_rubbish_or_nothing_is_given_up() {
    let address = centre(|_, line, _| line.say(0x8000_0009, 0, 99, BOUND));
    let (channels, _) = open_centre(settings(address));
    assert!(send(&channels, "+36301234542").unwrap_err().contains("answered with something else"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rubbish = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream.unwrap().write_all(&[0xFF; 64]));
        }
    });
    let (channels, _) = open_centre(settings(rubbish));
    let said = send(&channels, "+36301234542").unwrap_err();
    assert!(said.contains("a PDU of 4294967295 octets") || said.contains("reset"), "{said}");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (channels, _) = open_centre(settings(gone));
    assert!(send(&channels, "+36301234542").unwrap_err().contains("is not bound to"));
}
