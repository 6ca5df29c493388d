//! `type = "smtp"`: a mail server that takes mails on (RFC 5321), over TLS.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::time::timeout;

use super::order::{Handed, Order, Refusal};
use super::template::Slot;
use super::{Fault, trust};
use crate::base::secret::Secret;

/// A mail server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is kept private.
    pub security: Security,
    /// The name to log in with.
    pub username: Option<String>,
    /// The password to log in with.
    pub password: Option<Secret>,
    /// The certification authorities to be trusted instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
}

/// `tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS begins with the command STARTTLS, and nothing is sent without (RFC 3207).
    StartTls,
    /// TLS from the first octet (RFC 8314).
    Tls,
    /// None: to this machine alone.
    None,
}

impl Security {
    /// The usual port.
    pub fn port(self) -> u16 {
        match self {
            Security::StartTls => 587,
            Security::Tls => 465,
            Security::None => 25,
        }
    }
}

/// A mail server, ready to be asked. Each mail has a connection of its own.
pub(super) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    settings: Settings,
    within: Duration,
}

impl Smtp {
    pub(super) fn open(settings: Settings, within: Duration) -> Result<Smtp, Fault> {
        trust::install();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .timeout(Some(within));
        if settings.security != Security::None {
            let parameters = parameters(&settings)?;
            builder = builder.tls(match settings.security {
                Security::Tls => Tls::Wrapper(parameters),
                Security::StartTls | Security::None => Tls::Required(parameters),
            });
        }
        if let Some(password) = &settings.password {
            let password = String::from_utf8_lossy(password.expose()).into_owned();
            builder = builder
                .credentials(Credentials::new(settings.username.clone().unwrap_or_default(), password));
        }
        // Before the channel's time is up, so that there is time to say more of it.
        Ok(Smtp { transport: builder.build(), settings, within: within * 9 / 10 })
    }

    pub(super) async fn send(&self, order: &Order<'_>) -> Result<Handed, Refusal> {
        let message = letter(order)?;
        let response = timeout(self.within, self.transport.send(message))
            .await
            .map_err(|_| self.silent())?
            .map_err(|fault| self.refusal(&fault, Some(order)))?;
        let lines: Vec<&str> = response.message().collect();
        let said = lines.join(" ");
        let reference = said
            .split_once("queued as ")
            .and_then(|(_, after)| after.split_whitespace().next())
            .filter(|id| id.len() <= 64 && id.bytes().all(|octet| octet.is_ascii_graphic()));
        let answer = order.scrub(&format!("{} {said}", response.code()), &self.secrets());
        Ok(Handed { reference: reference.map(Into::into), answer })
    }

    /// Whether a session can be opened, logged in.
    pub(super) async fn probe(&self) -> Result<String, Refusal> {
        let Settings { host, port, .. } = &self.settings;
        match timeout(self.within, self.transport.test_connection()).await.map_err(|_| self.silent())? {
            Ok(true) => Ok(format!("{host}:{port} takes a session")),
            Ok(false) => Err(Refusal(format!("{host}:{port} ends the session"))),
            Err(fault) => Err(self.refusal(&fault, None)),
        }
    }

    /// The client waits for a farewell after a handshake that failed, which some servers never say.
    fn silent(&self) -> Refusal {
        let Settings { host, port, security, .. } = &self.settings;
        let tls = match security {
            Security::StartTls | Security::Tls => "; does ca-file, or the system, vouch for its certificate?",
            Security::None => "",
        };
        Refusal(format!("{host}:{port} did not answer in time{tls}"))
    }

    fn secrets(&self) -> Vec<&[u8]> {
        self.settings.password.iter().map(Secret::expose).collect()
    }

    fn refusal(&self, fault: &lettre::transport::smtp::Error, order: Option<&Order<'_>>) -> Refusal {
        let Settings { host, port, .. } = &self.settings;
        if fault.is_timeout() {
            return Refusal(format!("{host}:{port} did not answer in time"));
        }
        let mut words = fault.to_string();
        let mut next = std::error::Error::source(fault);
        while let Some(cause) = next {
            let cause_words = cause.to_string();
            if !words.contains(&cause_words) {
                words = format!("{words}: {cause_words}");
            }
            next = cause.source();
        }
        let shown = order
            .map_or_else(|| super::order::one_line(&words), |order| order.scrub(&words, &self.secrets()));
        Refusal(format!("{host}:{port}: {shown}"))
    }
}

/// The mail.
fn letter(order: &Order<'_>) -> Result<Message, Refusal> {
    let from: Mailbox = order.from.parse().map_err(|_| Refusal("from is no mail address".into()))?;
    let to =
        order.to.plain().parse().map_err(|_| Refusal("the address is none that mail is sent to".into()))?;
    let domain = from.email.domain().to_owned();
    let id = format!("<{}@{domain}>", order.value(Slot::Id));
    Message::builder()
        .from(from)
        .to(Mailbox::new(None, to))
        .subject(order.rendered.subject.clone())
        .message_id(Some(id))
        .date_now()
        // RFC 3834: no holiday note comes back, and no list takes it on.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".into(),
        ))
        .header(ContentType::TEXT_PLAIN)
        .body(order.rendered.text.as_str().to_owned())
        .map_err(|_| Refusal("no mail can be made of this text".into()))
}

fn parameters(settings: &Settings) -> Result<TlsParameters, Fault> {
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(path) = &settings.ca_file {
        let authority = Certificate::from_pem(&trust::authorities(path)?)
            .map_err(|_| Fault::new(format!("ca-file {}: cannot be read", path.display()), ""))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authority);
    }
    builder.build_rustls().map_err(|fault| {
        let hint = "install the system's certification authorities (ca-certificates), or name them: ca-file";
        Fault::new(format!("TLS cannot be set up: {fault}"), hint)
    })
}
