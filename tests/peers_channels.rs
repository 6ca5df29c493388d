//! Channels with peers that others wrote: Debian's kannel, a message centre of npm's `smpp`, a mail server of Python's
//! aiosmtpd. radmfa is the real program: `channel send` and `check`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits with the real clock"
)]

mod cli_support;
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use cli_support::Desk;
use serde_json::Value;
use support::process::{poll, program};
use support::smpp_centre::{lines, message_centre, target};
use support::{Process, free_port};

/// What every configuration here begins with.
const SITE: &str = "server-name = \"mfa-a\"\n[[client]]\nname = \"vpn\"\naddress = \"127.0.0.1\"\nsecret = \"0123456789abcdef0123\"\n\
                    [[primary]]\nname = \"own\"\ntype = \"local\"\n";

fn configure(desk: &Desk, channel: &str) {
    desk.write(
        "radmfa.toml",
        &format!("listen = [\"127.0.0.1:{}\"]\n{SITE}[[channel]]\n{channel}", free_port()),
    );
    std::process::Command::new("chmod").args(["600"]).arg(desk.scratch.join("radmfa.toml")).status().unwrap();
}

fn smpp(port: u16, password: &str) -> String {
    format!(
        "name = \"centre\"\nkind = \"sms\"\ntype = \"smpp\"\nserver = \"127.0.0.1:{port}\"\nusername = \"radmfa\"\n\
         password = \"{password}\"\nfrom = \"radmfa\"\n"
    )
}

#[test]
fn a_message_centre_of_npms_smpp_takes_messages_and_parts() {
    let desk = Desk::new("channel-smpp");
    let port = free_port();
    let centre = message_centre(&desk.scratch, port);
    configure(&desk, &smpp(port, "s3cret"));
    let said = desk.ok("channel send centre +36301234542 --config radmfa.toml");
    assert!(said.contains("channel centre: taken"), "{said}");
    assert!(said.contains("the provider calls it m"), "{said}");
    let said = desk.ok("channel send centre +36301234542 --sample hu --config radmfa.toml");
    assert!(said.contains("for 1 message,"), "{said}");
    let taken: Vec<Value> = lines(&centre).into_iter().filter(|line| line["to"].is_string()).collect();
    assert_eq!(taken[0]["to"], "36301234542");
    assert_eq!(taken[0]["from"], "radmfa");
    assert_eq!(taken[0]["ton"], serde_json::json!([5, 1]));
    assert_eq!(taken[0]["text"], "radmfa test message from mfa-a. It holds no code.");
    assert_eq!(taken[0]["receipt"], 1);
    assert_eq!(taken[1]["coding"], 8);
    assert_eq!(taken[1]["text"], "000000 a kódja (mfa-a), 5 percig él. Ne adja meg senkinek!");

    let long = "{code} elfelejtett jelszó helyett ez a kód jó, és nem szabad senkinek sem megadni soha.";
    let text =
        format!("{}[[text]]\nkind = \"sms\"\nlanguage = \"hu\"\ntext = \"{long}\"\n", smpp(port, "s3cret"));
    configure(&desk, &text);
    let said = desk.ok("channel send centre +36301234542 --sample hu --config radmfa.toml");
    assert!(said.contains("for 2 messages,"), "{said}");
    let parts: Vec<Value> = lines(&centre).into_iter().filter(|line| line["header"].is_array()).collect();
    assert_eq!(parts.len(), 2);
    let whole: String = parts.iter().map(|part| part["text"].as_str().unwrap()).collect();
    assert_eq!(whole, long.replace("{code}", "000000"));

    let said = desk.ok("check --config radmfa.toml --store memory:");
    assert!(said.contains("is bound to as transceiver, calls itself npm"), "{said}");
    // Each of the four commands takes leave before it ends.
    poll("four times unbind", Duration::from_secs(10), || {
        let left = lines(&centre).iter().filter(|line| line["unbind"] == true).count();
        (left == 4).then_some(())
    });
}

#[test]
fn a_message_centre_that_knows_another_password_is_said() {
    let desk = Desk::new("channel-smpp-password");
    let port = free_port();
    let _centre = message_centre(&desk.scratch, port);
    configure(&desk, &smpp(port, "wr0ngpw"));
    let said = desk.fails("channel send centre +36301234542 --config radmfa.toml", 1);
    assert!(said.contains("the password is wrong"), "{said}");
    assert!(!said.contains("wr0ngpw"), "{said}");
    let said = desk.fails("check --config radmfa.toml --store memory:", 1);
    assert!(said.contains("channel centre: ") && said.contains("the password is wrong"), "{said}");
}

fn openssl(desk: &Desk, line: &str) {
    let mut command = Command::new(program("openssl"));
    command.current_dir(desk.scratch.path()).args(line.split_whitespace());
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// A mail server with a certificate of a new authority, which is `ca.pem` on the desk.
fn mail_server(desk: &Desk, security: &str) -> (Process, u16) {
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(desk, &format!("req -x509 {curve} -subj /CN=authority -keyout ca.key -out ca.pem"));
    openssl(desk, &format!("req {curve} -subj /CN=localhost -keyout mail.key -out mail.csr"));
    desk.write("san", "subjectAltName=DNS:localhost\n");
    openssl(
        desk,
        "x509 -req -in mail.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out mail.pem",
    );
    let port = free_port();
    let mut command = Command::new(target("python/bin/python"));
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mail_sink.py"))
        .args([&port.to_string(), security, "mail.pem", "mail.key", "vpn", "s3cret"])
        .current_dir(desk.scratch.path());
    let mut server = Process::spawn("mail", command, &desk.scratch);
    server.wait_for("ready");
    (server, port)
}

fn mail(port: u16, security: &str, password: &str, authorities: &str) -> String {
    format!(
        "name = \"mail\"\nkind = \"email\"\ntype = \"smtp\"\nserver = \"localhost:{port}\"\ntls = \"{security}\"\n\
         username = \"vpn\"\npassword = \"{password}\"\nfrom = \"VPN <vpn@example.com>\"\n{authorities}"
    )
}

#[test]
fn a_mail_server_takes_mails_over_starttls_and_over_tls_once_logged_in() {
    for security in ["starttls", "tls"] {
        let desk = Desk::new(&format!("channel-mail-{security}"));
        let (server, port) = mail_server(&desk, security);
        configure(&desk, &mail(port, security, "s3cret", "ca-file = \"ca.pem\"\n"));
        let said = desk.ok("channel send mail mary@example.com --sample hu --config radmfa.toml");
        assert!(said.contains("the provider calls it SINK1"), "{said}");
        let mails = lines(&server);
        assert_eq!(mails.len(), 1, "{}", server.log());
        assert_eq!(mails[0]["to"], serde_json::json!(["mary@example.com"]));
        assert_eq!(mails[0]["from"], "vpn@example.com");
        assert_eq!(mails[0]["subject"], "Belépési kód: mfa-a");
        assert_eq!(mails[0]["automatic"], "auto-generated");
        assert_eq!(mails[0]["tls"], true);
        assert!(mails[0]["text"].as_str().unwrap().starts_with("000000 a belépési kódja (mfa-a)."));
        assert!(desk.ok("check --config radmfa.toml --store memory:").contains("takes a session"));
        assert_eq!(lines(&server).len(), 1, "check sends nothing");
    }
}

#[test]
fn a_mail_server_that_nobody_vouches_for_or_that_knows_another_password_gets_no_mail() {
    let desk = Desk::new("channel-mail-wrong");
    let (server, port) = mail_server(&desk, "starttls");
    // An authority that has signed nothing here.
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(&desk, &format!("req -x509 {curve} -subj /CN=other -keyout other.key -out other.pem"));
    let other = "ca-file = \"other.pem\"\ntimeout = \"3s\"\n";
    configure(&desk, &mail(port, "starttls", "s3cret", other));
    let said = desk.fails("channel send mail mary@example.com --config radmfa.toml", 1);
    assert!(said.contains("certificate"), "{said}");
    configure(&desk, &mail(port, "starttls", "wr0ngpw", "ca-file = \"ca.pem\"\n"));
    let said = desk.fails("channel send mail mary@example.com --config radmfa.toml", 1);
    assert!(said.contains("535"), "{said}");
    assert!(!said.contains("wr0ngpw"), "{said}");
    assert_eq!(lines(&server), Vec::<Value>::new());
}

/// A stand-in for the provider behind kannel: says what each request asked for.
fn provider() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut octets = [0; 8192];
            let count = stream.read(&mut octets).unwrap_or(0);
            let request =
                String::from_utf8_lossy(&octets[..count]).lines().next().unwrap_or_default().to_owned();
            let body = "Sent.";
            // kannel may have hung up.
            drop(write!(
                stream,
                "HTTP/1.1 202 Accepted\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ));
            drop(tell.send(request));
        }
    });
    (port, asked)
}

/// kannel's two daemons, and the port of sendsms.
fn kannel(desk: &Desk, provider: u16) -> (Process, Process, u16) {
    let (admin, smsbox, sendsms) = (free_port(), free_port(), free_port());
    desk.write(
        "kannel.conf",
        &format!(
            "group = core\nadmin-port = {admin}\nadmin-password = x\nadmin-interface = 127.0.0.1\nsmsbox-port = {smsbox}\n\
             smsbox-interface = 127.0.0.1\nbox-allow-ip = 127.0.0.1\nbox-deny-ip = \"*.*.*.*\"\n\n\
             group = smsc\nsmsc = http\nsmsc-id = up\nsystem-type = kannel\nport = {}\nsmsc-username = u\n\
             smsc-password = p\nsend-url = http://127.0.0.1:{provider}/up\n\n\
             group = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {sendsms}\nsendsms-interface = 127.0.0.1\n\n\
             group = sendsms-user\nusername = radmfa\npassword = s3cret\nmax-messages = 3\nconcatenation = true\n",
            free_port()
        ),
    );
    let start = |name: &str, ready: &str| {
        let mut command = Command::new(program(name));
        command.arg("kannel.conf").current_dir(desk.scratch.path());
        let mut process = Process::spawn(name, command, &desk.scratch);
        process.wait_for(ready);
        process
    };
    let bearerbox = start("bearerbox", "MAIN: Start-up done, entering mainloop");
    let smsbox = start("smsbox", "Connected to bearerbox");
    (bearerbox, smsbox, sendsms)
}

fn by_kannel(sendsms: u16, password: &str) -> String {
    format!(
        "name = \"kannel\"\nkind = \"sms\"\ntype = \"http\"\npreset = \"kannel\"\n\
         url = \"http://127.0.0.1:{sendsms}/cgi-bin/sendsms\"\nusername = \"radmfa\"\npassword = \"{password}\"\n\
         from = \"+3612345678\"\n"
    )
}

#[test]
fn kannel_takes_messages_over_sendsms_and_passes_them_on() {
    let desk = Desk::new("channel-kannel");
    let (port, asked) = provider();
    let (_bearerbox, _smsbox, sendsms) = kannel(&desk, port);
    configure(&desk, &by_kannel(sendsms, "s3cret"));
    let said = desk.ok("channel send kannel +36301234542 --config radmfa.toml");
    assert!(said.contains("it answered 202: 0: Accepted for delivery"), "{said}");
    let request = asked.recv_timeout(Duration::from_secs(20)).expect("kannel passed nothing on");
    assert!(request.contains("to=%2B36301234542"), "{request}");
    assert!(request.contains("text=radmfa+test+message+from+mfa-a.+It+holds+no+code."), "{request}");
    let said = desk.ok("channel send kannel +36301234542 --sample hu --config radmfa.toml");
    assert!(said.contains("202"), "{said}");
    let request = asked.recv_timeout(Duration::from_secs(20)).expect("kannel passed nothing on");
    assert!(request.contains("coding=2"), "{request}");

    configure(&desk, &by_kannel(sendsms, "wr0ngpw"));
    let said = desk.fails("channel send kannel +36301234542 --config radmfa.toml", 1);
    assert!(said.contains("the provider answered 403"), "{said}");
    assert!(!said.contains("wr0ngpw"), "{said}");
}
