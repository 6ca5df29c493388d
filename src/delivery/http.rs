//! `type = "http"`: a request to a provider, and what its answer means.
//!
//! Invariants: no redirect is followed (the message would go to whoever is named there); of an answer at most 64 KiB are
//! read; nothing that is logged names the URL's query, a code or a secret.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Method, Proxy, Response, Url, redirect, retry};
use zeroize::Zeroizing;

use super::answer::{Condition, Pointer, reference};
use super::order::{Handed, Order, Refusal, one_line};
use super::template::{Escape, Slot, Template};
use super::{Fault, trust};
use crate::base::secret::Secret;

/// How much of an answer is read, in octets.
const ANSWER_MAX: usize = 64 * 1024;

/// How a provider is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `GET`, `POST`, `PUT`.
    pub method: Verb,
    /// Where to; scheme, host and port hold no place.
    pub url: Template,
    /// Beside those made here: name and value.
    pub headers: Vec<(String, Secret)>,
    /// What is sent.
    pub body: Option<Template>,
    /// How what is filled into it is escaped.
    pub body_type: BodyType,
    /// The name at the provider.
    pub username: Option<String>,
    /// The password at the provider.
    pub password: Option<Secret>,
    /// A key, instead of name and password.
    pub token: Option<Secret>,
    /// What stands before the token in the header Authorization; empty: nothing.
    pub token_scheme: String,
    /// Statuses that mean sent.
    pub ok_status: Vec<(u16, u16)>,
    /// What must hold of the answer's body as well.
    pub ok_body: Vec<Condition>,
    /// Where in a JSON answer the provider's name of the message stands.
    pub reference: Option<Pointer>,
    /// The certification authorities to be trusted instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// A proxy to go through.
    pub proxy: Option<String>,
}

/// The request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
}

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyType {
    /// `text/plain`
    Raw,
    /// `application/x-www-form-urlencoded`
    Form,
    /// `application/json`
    Json,
    /// `application/xml`
    Xml,
}

impl BodyType {
    fn escape(self) -> Escape {
        match self {
            BodyType::Raw => Escape::Raw,
            BodyType::Form => Escape::Percent,
            BodyType::Json => Escape::Json,
            BodyType::Xml => Escape::Xml,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            BodyType::Raw => "text/plain; charset=utf-8",
            BodyType::Form => "application/x-www-form-urlencoded",
            BodyType::Json => "application/json",
            BodyType::Xml => "application/xml; charset=utf-8",
        }
    }
}

/// Why a template is no URL that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Neither `http://` nor `https://`, or no host.
    #[error("takes a URL that begins with https:// or http:// and a host")]
    NoUrl,
    /// A place before the path.
    #[error("scheme, host and port hold no {{word}}")]
    OpenHost,
}

/// The URL of `template` as far as it is fixed. What is filled in stands behind scheme, host and port, so that no address
/// can send the message elsewhere.
pub fn fixed_url(template: &Template) -> Result<Url, UrlFault> {
    let head = template.head();
    let rest =
        ["https://", "http://"].iter().find_map(|scheme| head.strip_prefix(scheme)).ok_or(UrlFault::NoUrl)?;
    if rest.starts_with('/') {
        return Err(UrlFault::NoUrl);
    }
    if !rest.contains(['/', '?']) && head.len() < template.written().len() {
        return Err(UrlFault::OpenHost);
    }
    let url = Url::parse(head).map_err(|_| UrlFault::NoUrl)?;
    if url.host_str().is_none_or(str::is_empty) || !url.username().is_empty() || url.password().is_some() {
        return Err(UrlFault::NoUrl);
    }
    Ok(url)
}

/// What asks providers: it follows no redirect, asks nothing twice, and heeds no proxy but the one that it is told. `more` is done to it
/// besides.
pub(super) fn client(
    proxy: Option<&str>,
    ca_file: Option<&Path>,
    timeout: Duration,
    more: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, Fault> {
    trust::install();
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .user_agent(concat!("radmfa/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeout)
        .pool_idle_timeout(Duration::from_secs(30))
        .no_proxy();
    if let Some(proxy) = proxy {
        let proxy =
            Proxy::all(proxy).map_err(|_| Fault::new("proxy: takes a URL", "such as http://proxy:3128"))?;
        builder = builder.proxy(proxy);
    }
    if let Some(path) = ca_file {
        builder = builder.tls_certs_only(authorities(path)?);
    }
    more(builder).build().map_err(|fault| {
        let hint = "install the system's certification authorities (ca-certificates), or name them: ca-file";
        Fault::new(format!("TLS cannot be set up: {}", chain(&fault)), hint)
    })
}

/// One provider, ready to be asked.
pub(super) struct Http {
    settings: Settings,
    client: Client,
    fixed: Url,
    timeout: Duration,
}

impl fmt::Debug for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Http").field("host", &self.fixed.host_str()).finish_non_exhaustive()
    }
}

impl Http {
    pub(super) fn open(settings: Settings, timeout: Duration) -> Result<Http, Fault> {
        let fixed = fixed_url(&settings.url).map_err(|fault| Fault::new(format!("url: {fault}"), ""))?;
        // Nothing of the system's is needed for plain HTTP, and a machine may have none.
        let plain = settings.ca_file.is_none() && fixed.scheme() == "http";
        let client = client(settings.proxy.as_deref(), settings.ca_file.as_deref(), timeout, |builder| {
            let builder = builder.pool_max_idle_per_host(4);
            if plain { builder.tls_certs_only([]) } else { builder }
        })?;
        Ok(Http { settings, client, fixed, timeout })
    }

    /// One that takes whatever [`Http::send_with`] puts into its POST.
    pub(super) fn post_to(
        url: Template,
        ca_file: Option<PathBuf>,
        proxy: Option<String>,
        timeout: Duration,
    ) -> Result<Http, Fault> {
        let settings = Settings {
            method: Verb::Post,
            url,
            headers: Vec::new(),
            body: None,
            body_type: BodyType::Json,
            username: None,
            password: None,
            token: None,
            token_scheme: String::new(),
            ok_status: vec![(200, 299)],
            ok_body: Vec::new(),
            reference: None,
            ca_file,
            proxy,
        };
        Http::open(settings, timeout)
    }

    pub(super) async fn send(&self, order: &Order<'_>) -> Result<Handed, Refusal> {
        self.send_with(order, &[], |request| request).await
    }

    /// Sends what `fill` makes of the request; `more` are secrets that no answer may repeat.
    pub(super) async fn send_with(
        &self,
        order: &Order<'_>,
        more: &[&[u8]],
        fill: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<Handed, Refusal> {
        let mut secrets = self.secrets();
        secrets.extend_from_slice(more);
        let hide = |text: &str| order.scrub(text, &secrets);
        let request = fill(self.request(order)?);
        let response = request.send().await.map_err(|fault| self.unreachable(&fault))?;
        let status = response.status().as_u16();
        let body = read(response).await?;
        let shown = hide(&body);
        if !self.settings.ok_status.iter().any(|(least, most)| (*least..=*most).contains(&status)) {
            let redirected = if (300..400).contains(&status) { " (redirects are not followed)" } else { "" };
            return Err(Refusal(format!("the provider answered {status}{redirected}: {shown}")));
        }
        if !self.settings.ok_body.iter().all(|condition| condition.holds(&body)) {
            return Err(Refusal(format!("the provider answered {status}, but not what means sent: {shown}")));
        }
        let reference = self.settings.reference.as_ref().and_then(|pointer| reference(pointer, &body));
        let reference = reference.map(|reference| hide(&reference).into());
        Ok(Handed { reference, answer: format!("{status}: {shown}") })
    }

    /// Whether a connection can be made: a request for the server's options, any answer to which will do.
    pub(super) async fn probe(&self) -> Result<String, Refusal> {
        let mut url = self.fixed.clone();
        url.set_path("/");
        url.set_query(None);
        let request = self.client.request(Method::OPTIONS, url).timeout(self.timeout);
        let response = request.send().await.map_err(|fault| self.unreachable(&fault))?;
        Ok(format!("{} answers (whether it takes messages, only a message shows)", place(response.url())))
    }

    fn request(&self, order: &Order<'_>) -> Result<reqwest::RequestBuilder, Refusal> {
        let settings = &self.settings;
        let url = settings.url.fill(Escape::Percent, |slot| self.value(slot, order));
        let url = Url::parse(&url).map_err(|_| Refusal("the URL cannot be made of this address".into()))?;
        if url.origin() != self.fixed.origin() {
            return Err(Refusal("the URL would lead to another host".into()));
        }
        let method = match settings.method {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
        };
        let mut request = self.client.request(method, url).timeout(self.timeout);
        let mut own_type = false;
        for (name, value) in &settings.headers {
            let (name, value) = header(name, value)?;
            own_type |= name == CONTENT_TYPE;
            request = request.header(name, value);
        }
        if let Some(authorization) = self.authorization()? {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(body) = &settings.body {
            if !own_type {
                request = request.header(CONTENT_TYPE, settings.body_type.content_type());
            }
            let body = body.fill(settings.body_type.escape(), |slot| self.value(slot, order));
            request = request.body(body.as_bytes().to_vec());
        }
        Ok(request)
    }

    fn value<'a>(&'a self, slot: Slot, order: &'a Order<'_>) -> Cow<'a, str> {
        let secret = |secret: &'a Option<Secret>| {
            secret.as_ref().map_or(Cow::Borrowed(""), |secret| String::from_utf8_lossy(secret.expose()))
        };
        match slot {
            Slot::Username => self.settings.username.as_deref().unwrap_or_default().into(),
            Slot::Password => secret(&self.settings.password),
            Slot::Token => secret(&self.settings.token),
            slot => order.value(slot),
        }
    }

    /// The header, unless name, password or token go where a place is for them.
    fn authorization(&self) -> Result<Option<HeaderValue>, Refusal> {
        let Settings { username, password, token, token_scheme, url, body, .. } = &self.settings;
        let placed = |slot| url.has(slot) || body.as_ref().is_some_and(|body| body.has(slot));
        let text = if let (Some(token), false) = (token, placed(Slot::Token)) {
            let token = String::from_utf8_lossy(token.expose());
            let gap = if token_scheme.is_empty() { "" } else { " " };
            Zeroizing::new(format!("{token_scheme}{gap}{token}"))
        } else if let (Some(password), false) = (password, placed(Slot::Password)) {
            let pair = [username.as_deref().unwrap_or_default().as_bytes(), b":", password.expose()].concat();
            let pair = Zeroizing::new(pair);
            let coded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(&*pair));
            Zeroizing::new(format!("Basic {}", coded.as_str()))
        } else {
            return Ok(None);
        };
        let mut value = HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| Refusal("the token or password holds characters that no header can".into()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn secrets(&self) -> Vec<&[u8]> {
        let Settings { password, token, headers, .. } = &self.settings;
        let own = password.iter().chain(token).chain(headers.iter().map(|(_, value)| value));
        own.map(Secret::expose).collect()
    }

    fn unreachable(&self, fault: &reqwest::Error) -> Refusal {
        let place = place(&self.fixed);
        if fault.is_timeout() {
            return Refusal(format!("{place} did not answer in time"));
        }
        // Only the causes: the error itself names the URL, and that may hold a password and the text.
        let causes = causes(fault);
        Refusal(format!(
            "{place} cannot be asked{}{}",
            if causes.is_empty() { "" } else { ": " },
            one_line(&causes)
        ))
    }
}

/// A header that an admin configured, checked.
pub fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), Refusal> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Refusal(format!("{name} is no header's name")))?;
    let mut value = HeaderValue::from_bytes(value.expose())
        .map_err(|_| Refusal(format!("the value of {name} holds characters that no header can")))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Scheme, host and port, which hold no secret.
pub(super) fn place(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// The answer's body, if it is not too long.
pub(super) async fn read(mut response: Response) -> Result<Zeroizing<String>, Refusal> {
    let mut body = Zeroizing::new(Vec::new());
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return Err(Refusal(format!("the provider's answer is longer than {ANSWER_MAX} octets")));
            }
            Ok(None) => return Ok(Zeroizing::new(String::from_utf8_lossy(&body).into_owned())),
            Err(fault) => {
                let what = if fault.is_timeout() { "did not come in time" } else { "broke off" };
                return Err(Refusal(format!("the provider's answer {what}")));
            }
        }
    }
}

pub(super) fn authorities(path: &Path) -> Result<Vec<Certificate>, Fault> {
    Certificate::from_pem_bundle(&trust::authorities(path)?)
        .map_err(|_| Fault::new(format!("ca-file {}: cannot be read", path.display()), ""))
}

/// What caused `fault`, from the outermost cause in.
pub(super) fn causes(fault: &dyn std::error::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = fault.source();
    while let Some(cause) = next {
        words.push(cause.to_string());
        next = cause.source();
    }
    words.join(": ")
}

pub(super) fn chain(fault: &dyn std::error::Error) -> String {
    let causes = causes(fault);
    if causes.is_empty() { fault.to_string() } else { causes }
}
