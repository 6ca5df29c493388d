//! Whoever sends requests to pages: from an address of the test's choice, with cookies where a browser would have them, every octet of
//! a request the test's own. And what a page is made of, read without a browser.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::http::Answer;

pub const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
pub const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Somebody at 127.0.0.N.
#[derive(Clone, Debug)]
pub struct Caller {
    pub address: [u8; 4],
    pub host: String,
    pub cookies: BTreeMap<String, String>,
}

impl Caller {
    pub fn new(last: u8, host: &str) -> Caller {
        Caller { address: [127, 0, 0, last], host: host.to_owned(), cookies: BTreeMap::new() }
    }

    /// Sends a request as it stands; `None` where the other side hangs up without an answer.
    pub fn raw(&self, request: &[u8]) -> Option<Answer> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((self.address, 0)).into()).unwrap();
        socket.connect(&self.host.parse::<SocketAddr>().unwrap().into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        // The other side may have answered, and hung up, before all was written or read.
        let _cut = stream.write_all(request);
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
    }

    /// The request that [`Caller::try_send`] sends.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.extend(["Host: ", &self.host, "\r\n"]);
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept")) {
            request.push_str("Accept: text/html,*/*;q=0.8\r\n");
        }
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request.extend(["Cookie: ", &cookies.join("; "), "\r\n"]);
        }
        for (name, value) in headers {
            request.extend([*name, ": ", *value, "\r\n"]);
        }
        format!("{request}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    pub fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
        self.raw(self.request(method, path, headers, body).as_bytes())
    }

    /// The same where there has to be an answer. Keeps no cookie.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let answer = self.try_send(method, path, headers, body);
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// The same, and keeps the cookies that are set; one without a value is taken back.
    pub fn visit(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let answer = self.send(method, path, headers, body);
        for (name, value) in answer.head.lines().filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("set-cookie") {
                let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
                if value.is_empty() {
                    self.cookies.remove(name);
                } else {
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        answer
    }
}

/// Percent-encoded, for a query or a form.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|octet| match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(octet).to_string()
            }
            _ => format!("%{octet:02X}"),
        })
        .collect()
}

/// A query or a form.
pub fn fields(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

/// An element's start, as our pages are written: attributes in double quotes or bare.
#[derive(Clone, Debug)]
pub struct Tag {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Tag {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

/// Every start of an element, in order, and `/form` where one ends.
pub fn tags(html: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let Some(end) = end_of(rest) else { break };
        let inner = &rest[..end];
        rest = &rest[end..];
        if inner.starts_with('!') || (inner.starts_with('/') && inner != "/form") {
            continue;
        }
        let (name, mut text) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
        let mut attributes = Vec::new();
        loop {
            text = text.trim_start();
            if text.is_empty() {
                break;
            }
            let stop = text.find(|mark: char| mark == '=' || mark.is_whitespace()).unwrap_or(text.len());
            let (attribute, after) = text.split_at(stop);
            assert!(!after.starts_with('=') || after.starts_with("=\""), "a value without quotes: {inner}");
            let quoted = after.strip_prefix("=\"").map(|quoted| quoted.split_once('"').unwrap());
            let (value, after) = quoted.unwrap_or(("", after));
            attributes.push((attribute.to_ascii_lowercase(), unescaped(value)));
            text = after;
        }
        found.push(Tag { name: name.to_ascii_lowercase(), attributes });
    }
    found
}

/// Where a tag ends: a `>` in a quoted value is none.
fn end_of(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, mark)| {
        quoted ^= mark == '"';
        (mark == '>' && !quoted).then_some(at)
    })
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// A form of a page: method, where it goes (empty: where the page is), its hidden fields, and the names of all.
#[derive(Clone, Debug, Default)]
pub struct PageForm {
    pub method: String,
    pub action: String,
    pub hidden: Vec<(String, String)>,
    pub names: Vec<String>,
}

pub fn forms(html: &str) -> Vec<PageForm> {
    let mut found: Vec<PageForm> = Vec::new();
    let mut open = false;
    for tag in tags(html) {
        let text = |name: &str| tag.attribute(name).unwrap_or_default().to_owned();
        if tag.is("form") {
            let (method, action) = (text("method").to_ascii_lowercase(), text("action"));
            found.push(PageForm { method, action, ..PageForm::default() });
        }
        open = if tag.is("form") { true } else { open && !tag.is("/form") };
        let field = ["input", "select", "textarea", "button"].contains(&tag.name.as_str());
        let Some(form) = found.last_mut().filter(|_| open && field) else { continue };
        let Some(name) = tag.attribute("name") else { continue };
        form.names.push(name.to_owned());
        if tag.attribute("type") == Some("hidden") {
            form.hidden.push((name.to_owned(), text("value")));
        }
    }
    found
}

/// The value of a hidden field, of the first form that has it.
pub fn hidden(html: &str, name: &str) -> Option<String> {
    let forms = forms(html);
    let mut fields = forms.iter().flat_map(|form| &form.hidden);
    fields.find(|(known, _)| known == name).map(|(_, value)| value.clone())
}
