//! A push service and the browsers that it carries pushes to: it takes messages over TLS, checks who sends them (RFC 8292) and opens them as
//! the browser would (RFC 8291). A device's key signs as `WebCrypto` does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::{PublicKey, SecretKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use sha2::Sha256;

use super::Scratch;
use super::process::{poll, program};
use super::webhook::seconds_now;

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Pushed {
    pub path: String,
    head: Vec<String>,
    pub body: Vec<u8>,
}

impl Pushed {
    pub fn header(&self, name: &str) -> &str {
        let line = self.head.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {:?}", self.head))
    }

    /// The claims of its VAPID token, which is signed by the key in it; that key.
    pub fn vapid(&self) -> (Value, String) {
        let header = self.header("authorization");
        let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let public = VerifyingKey::from_sec1_bytes(&decode(key)).unwrap();
        public.verify(signed.as_bytes(), &Signature::from_slice(&decode(signature)).unwrap()).unwrap();
        let (_, claims) = signed.split_once('.').unwrap();
        (serde_json::from_slice(&decode(claims)).unwrap(), key.to_owned())
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A push service that answers every message with 201, or with what it is told to.
pub struct PushService {
    pub address: SocketAddr,
    pushed: Arc<Mutex<Vec<Pushed>>>,
    answer: Arc<Mutex<&'static str>>,
}

impl PushService {
    /// Listens until the test's process ends; the authority of its certificate is `push-ca.pem` in `scratch`.
    pub fn start(scratch: &Scratch) -> PushService {
        let config = Arc::new(certificate(scratch));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (pushed, answer) = (Arc::default(), Arc::new(Mutex::new("201 Created\r\n")));
        let service = PushService { address, pushed: Arc::clone(&pushed), answer: Arc::clone(&answer) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (pushed, answer) = (Arc::clone(&pushed), Arc::clone(&answer));
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                std::thread::spawn(move || serve(StreamOwned::new(connection, stream), &pushed, &answer));
            }
        });
        service
    }

    /// From now on messages are answered so: status, line break, headers each with one.
    pub fn answers(&self, answer: &'static str) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn count(&self) -> usize {
        self.pushed.lock().unwrap().len()
    }

    /// Message `place`, counted from 0, waited for.
    pub fn message(&self, place: usize) -> Pushed {
        poll("a push", Duration::from_secs(20), || self.pushed.lock().unwrap().get(place).cloned())
    }

    pub fn origin(&self) -> String {
        format!("https://{}", self.address)
    }
}

fn certificate(scratch: &Scratch) -> ServerConfig {
    let openssl = |line: &str| {
        let mut command = Command::new(program("openssl"));
        let ran = command.current_dir(scratch.path()).args(line.split_whitespace()).output().unwrap();
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {curve} -days 2 -subj /CN=authority -keyout push-ca.key -out push-ca.pem"));
    openssl(&format!("req {curve} -subj /CN=push -keyout push.key -out push.csr"));
    std::fs::write(scratch.join("push.san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        "x509 -req -in push.csr -CA push-ca.pem -CAkey push-ca.key -CAcreateserial -days 2 -extfile push.san -out push.pem",
    );
    let chain = vec![CertificateDer::from_pem_file(scratch.join("push.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(scratch.join("push.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_no_client_auth().with_single_cert(chain, key).unwrap()
}

fn serve(
    stream: StreamOwned<ServerConnection, TcpStream>,
    pushed: &Mutex<Vec<Pushed>>,
    answer: &Mutex<&'static str>,
) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length, mut line, mut path) = (Vec::new(), 0, String::new(), String::new());
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            if path.is_empty() {
                line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
            }
            let (name, value) = line.trim_end().split_once(": ").unwrap_or((line.trim_end(), ""));
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
            head.push(format!("{}: {value}", name.to_ascii_lowercase()));
            line.clear();
        }
        let mut body = vec![0; length];
        if path.is_empty() || reader.read_exact(&mut body).is_err() {
            return;
        }
        pushed.lock().unwrap().push(Pushed { path, head, body });
        let said = format!("HTTP/1.1 {}Content-Length: 0\r\n\r\n", answer.lock().unwrap());
        let stream = reader.get_mut();
        if stream.write_all(said.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// A browser that is subscribed, and the key of the device that it is.
pub struct Browser {
    endpoint: String,
    secret: SecretKey,
    auth: [u8; 16],
    key: SigningKey,
}

impl Browser {
    /// One that `service` knows as `name`.
    pub fn new(service: &PushService, name: &str) -> Browser {
        let octets = |salt: &str| -> [u8; 32] {
            use sha2::Digest as _;
            sha2::Sha256::digest(format!("{salt} {name}")).into()
        };
        Browser {
            endpoint: format!("{}/push/{name}", service.origin()),
            secret: SecretKey::from_slice(&octets("subscription")).unwrap(),
            auth: octets("auth")[..16].try_into().unwrap(),
            key: SigningKey::from_slice(&octets("device")).unwrap(),
        }
    }

    /// What `radmfa device add --address` takes.
    pub fn address(&self) -> String {
        let key = URL_SAFE_NO_PAD.encode(self.secret.public_key().to_sec1_bytes());
        format!("{} {key} {}", self.endpoint, URL_SAFE_NO_PAD.encode(self.auth))
    }

    /// The device's public key.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.verifying_key().to_sec1_bytes())
    }

    /// The device's signature over these lines.
    pub fn sign(&self, lines: &[&str]) -> String {
        let signature: Signature = self.key.sign(lines.join("\n").as_bytes());
        URL_SAFE_NO_PAD.encode(signature.to_bytes())
    }

    /// A request to `/device/api/questions`.
    pub fn asks(&self, user: &str, device: &str, time: u64) -> Value {
        let time = time.to_string();
        let signature = self.sign(&["radmfa questions", user, device, &time]);
        serde_json::json!({ "user": user, "device": device, "time": time, "signature": signature })
    }

    /// A request to `/device/api/answer`.
    pub fn answers(&self, (user, device): (&str, &str), id: &str, verdict: &str, number: &str) -> Value {
        let time = seconds_now().to_string();
        let signature = self.sign(&["radmfa answer", user, device, id, verdict, number, &time]);
        serde_json::json!({
            "user": user, "device": device, "id": id, "verdict": verdict, "number": number, "time": time,
            "signature": signature,
        })
    }

    /// What is in a message, opened as RFC 8291 says.
    pub fn open(&self, body: &[u8]) -> Value {
        let (salt, rest) = body.split_first_chunk::<16>().unwrap();
        let (_record, rest) = rest.split_first_chunk::<4>().unwrap();
        let (length, rest) = rest.split_first().unwrap();
        let (theirs, sealed) = rest.split_at(usize::from(*length));
        let shared = self.secret.diffie_hellman(&PublicKey::from_sec1_bytes(theirs).unwrap());
        let own = self.secret.public_key().to_sec1_bytes();
        let info = [b"WebPush: info\0".as_slice(), &own, theirs].concat();
        let (mut input, mut key, mut nonce) = ([0; 32], [0; 16], [0; 12]);
        let first = Hkdf::<Sha256>::new(Some(&self.auth), shared.raw_secret_bytes());
        first.expand(&info, &mut input).unwrap();
        let second = Hkdf::<Sha256>::new(Some(salt), &input);
        second.expand(b"Content-Encoding: aes128gcm\0", &mut key).unwrap();
        second.expand(b"Content-Encoding: nonce\0", &mut nonce).unwrap();
        let cipher = Aes128Gcm::new_from_slice(&key).unwrap();
        let padded = cipher.decrypt(&Nonce::from(nonce), sealed).unwrap();
        let plain = padded.strip_suffix(&[2]).expect("the last record ends with 2");
        serde_json::from_slice(plain).unwrap()
    }
}
