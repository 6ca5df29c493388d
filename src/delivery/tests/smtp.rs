//! Mails to a mail server of the test, in the clear; `tests/peers_channels.rs` has a real one with TLS.

use std::io::{BufRead, BufReader};

use super::super::smtp::{Security, Settings as Mail};
use super::*;

/// Takes one session after another; `refuse` is the command that it answers with 550.
fn mail_server(refuse: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, said) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut session = String::new();
            let mut in_letter = false;
            stream.write_all(b"220 mail.test ESMTP\r\n").unwrap();
            while let Some(Ok(line)) = lines.next() {
                session.push_str(&line);
                session.push('\n');
                let answer = match line.split(' ').next().unwrap_or_default() {
                    "." => "250 2.0.0 Ok: queued as 4ABC\r\n",
                    _ if in_letter => continue,
                    word if word == refuse => "550 5.7.1 not for 493817\r\n",
                    "EHLO" => "250-mail.test\r\n250 8BITMIME\r\n",
                    "DATA" => "354 go on\r\n",
                    "QUIT" => "221 bye\r\n",
                    _ => "250 fine\r\n",
                };
                in_letter = answer.starts_with("354");
                // The client may be gone.
                drop(stream.write_all(answer.as_bytes()));
            }
            drop(tell.send(session));
        }
    });
    (address, said)
}

fn mail(address: SocketAddr) -> Way {
    Way::Smtp(Mail {
        host: address.ip().to_string(),
        port: address.port(),
        security: Security::None,
        username: None,
        password: None,
        ca_file: None,
    })
}

fn letter() -> Delivery {
    Delivery { kind: Kind::Email, ..delivery("mary@example.com", "493817") }
}

fn send(way: Way) -> Result<Handed, String> {
    let from = vec![Sender { prefix: "".into(), sender: "VPN <vpn@example.com>".into() }];
    let channels = open(vec![ChannelSettings { kind: Kind::Email, from, ..channel("mail", way) }]);
    let name = Label::new("mail").unwrap();
    wait(channels.send_by(&name, letter()).unwrap()).outcome.map_err(|refusal| refusal.to_string())
}

#[test]
fn a_mail_has_its_headers_and_the_servers_name_for_it_is_kept() {
    let (address, said) = mail_server("");
    let handed = send(mail(address)).unwrap();
    assert_eq!(handed.reference.as_deref(), Some("4ABC"));
    let session = said.recv_timeout(Duration::from_secs(10)).unwrap();
    for line in [
        "MAIL FROM:<vpn@example.com>",
        "RCPT TO:<mary@example.com>",
        "From: VPN <vpn@example.com>",
        "To: mary@example.com",
        "Subject: Your code for vpn",
        "Auto-Submitted: auto-generated",
        "Content-Type: text/plain; charset=utf-8",
    ] {
        assert!(session.lines().any(|other| other.starts_with(line)), "{line} is not in\n{session}");
    }
    assert!(session.contains("\n493817 is your code for vpn."), "{session}");
}

#[test]
fn a_mail_that_is_refused_is_said_without_the_code() {
    let (address, _said) = mail_server("RCPT");
    let said = send(mail(address)).unwrap_err();
    assert!(said.contains("550") && said.contains("not for …"), "{said}");
    assert!(!said.contains("493817"), "{said}");
}

#[test]
fn a_mail_server_that_is_gone_or_has_no_starttls_takes_nothing() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(send(mail(gone)).unwrap_err().contains(&gone.to_string()));
    let (address, said) = mail_server("");
    let Way::Smtp(settings) = mail(address) else { panic!() };
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/src/delivery/tests/authority.pem");
    let private = Mail { security: Security::StartTls, ca_file: Some(certificate.into()), ..settings };
    assert!(send(Way::Smtp(private)).is_err());
    let session = said.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(!session.contains("MAIL"), "{session}");
}

#[test]
fn a_probe_opens_a_session_and_sends_nothing() {
    let (address, said) = mail_server("");
    let channels = open(vec![ChannelSettings { kind: Kind::Email, ..channel("mail", mail(address)) }]);
    let name = Label::new("mail").unwrap();
    assert_eq!(wait(channels.probe(&name).unwrap()).unwrap(), format!("{address} takes a session"));
    let session = said.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(!session.contains("MAIL"), "{session}");
}
