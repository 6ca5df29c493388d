//! The loop: starts logins as fast as they end (closed loop) or at a rate (open loop), and walks each to its end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use radmfa::base::secret::Secret;
use radmfa::base::system::{Fixed, random};
use radmfa::wire::{
    AttributeId, AttributeList, Code, HideKind, RequestBuilder, SharedSecret, UpstreamRequest, number,
};

use super::flights::{Flights, Reply};
use super::report::Report;
use super::users::{self, User, Users};

/// The longest nap: a plan that is told to stop notices it within this.
const NAP: Duration = Duration::from_millis(20);

/// How far a login goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Password, challenge, code, Accept.
    Login,
    /// Password, Accept: for a user without a token, or a server without a second factor.
    Password,
    /// Password, challenge, and no more: leaves logins waiting.
    Park,
}

/// What to send, and where.
pub struct Plan<'a> {
    pub server: SocketAddr,
    pub secret: &'a str,
    pub users: &'a Users,
    /// Position in the users' order of the first login.
    pub first: usize,
    pub logins: usize,
    /// Every user's password.
    pub password: &'a str,
    pub mode: Mode,
    /// Logins under way at most.
    pub concurrency: usize,
    /// Logins started a second; as fast as they end without it.
    pub rate: Option<f64>,
    /// Sockets, each with a port and 256 identifiers of its own. Both steps of a login leave from any of them, as
    /// from a gateway that changes its port.
    pub sockets: usize,
    /// Which code is sent, in steps from the present one. A server that looks one step to either side lets a user
    /// in three times within a step: with -1, 0 and 1, in this order.
    pub shift: i64,
}

/// A login under way: its number, and whether its code was sent.
#[derive(Clone, Copy)]
struct Login {
    number: usize,
    code_sent: bool,
}

struct Runner<'a> {
    plan: &'a Plan<'a>,
    secret: SharedSecret,
    entropy: Fixed,
    flights: Flights<Login>,
    started: usize,
    report: Report,
}

/// Sends what `plan` says until all logins have ended, or until `stop` is set and those under way have.
pub fn run(plan: &Plan<'_>, stop: &AtomicBool) -> std::io::Result<Report> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)?;
    let mut runner = Runner {
        plan,
        secret: SharedSecret::new(Secret::from(plan.secret)),
        entropy: users::entropy(u64::from_le_bytes(seed)),
        flights: Flights::new(plan.server, plan.sockets)?,
        started: 0,
        report: Report::new(),
    };
    let (begin, cpu) = (Instant::now(), thread_cpu());
    while !runner.is_over(stop.load(Ordering::Relaxed)) {
        let now = Instant::now();
        let next = runner.start_logins(begin, now, stop.load(Ordering::Relaxed));
        let Runner { flights, report, .. } = &mut runner;
        flights.retransmit(now, |_| report.lost += 1);
        flights.wait(next.min(now + NAP));
        while let Some(reply) = runner.flights.next_reply(&runner.secret) {
            runner.go_on(&reply);
        }
    }
    let Runner { mut report, flights, .. } = runner;
    report.elapsed = begin.elapsed();
    report.own_cpu = thread_cpu().saturating_sub(cpu);
    report.retransmits = flights.retransmits;
    report.strays = flights.strays;
    Ok(report)
}

impl Runner<'_> {
    fn is_over(&self, stopped: bool) -> bool {
        self.flights.count() == 0 && (stopped || self.started == self.plan.logins)
    }

    /// Starts every login whose time has come, and says when the next one's comes.
    fn start_logins(&mut self, begin: Instant, now: Instant, stopped: bool) -> Instant {
        while !stopped
            && self.started < self.plan.logins
            && self.flights.count() < self.plan.concurrency
            && self.flights.has_room()
        {
            if let Some(rate) = self.plan.rate {
                let due = begin + Duration::from_secs_f64(self.started as f64 / rate);
                if due > now {
                    return due;
                }
            }
            let login = Login { number: self.started, code_sent: false };
            self.started += 1;
            self.send(login, self.plan.password, None);
        }
        now + NAP
    }

    fn go_on(&mut self, reply: &Reply<Login>) {
        let Login { number, code_sent } = reply.what;
        let step = if code_sent { &mut self.report.code } else { &mut self.report.password };
        step.add(reply.took);
        match (reply.code, self.plan.mode, code_sent) {
            (Code::ACCESS_REJECT, ..) => self.report.rejects += 1,
            (Code::ACCESS_CHALLENGE, Mode::Park, _) => self.report.parked += 1,
            (Code::ACCESS_CHALLENGE, Mode::Login, false) => {
                let code = self.user(number).code(self.plan.shift);
                self.send(Login { number, code_sent: true }, &code, reply.state.as_deref());
            }
            (Code::ACCESS_ACCEPT, Mode::Login, true) | (Code::ACCESS_ACCEPT, Mode::Password, false) => {
                self.report.accepts += 1;
            }
            _ => self.report.unexpected += 1,
        }
    }

    fn user(&self, number: usize) -> User<'_> {
        self.plan.users.nth(self.plan.first + number)
    }

    fn send(&mut self, login: Login, entry: &str, state: Option<&[u8]>) {
        let name = self.user(login.number).name;
        let attributes = request(name, entry, state, login.number);
        let Runner { secret, entropy, flights, .. } = self;
        flights.send(login, |identifier| sign(&attributes, secret, identifier, entropy));
    }
}

/// What a VPN gateway sends: ten attributes or so.
fn request(name: &str, entry: &str, state: Option<&[u8]>, number: usize) -> AttributeList {
    let fits = "the users' file holds names and the command line a password that fit into an attribute";
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, name).expect(fits);
    let password = AttributeId::Standard(number::USER_PASSWORD);
    attributes.push_held(password, HideKind::UserPassword, &Secret::from(entry)).expect(fits);
    let port = number as u32;
    let station = format!("198.51.{}.{}", port >> 8 & 0xff, port & 0xff);
    let fixed = "it is short";
    attributes.push_u32(number::NAS_IP_ADDRESS, 0x7f00_0001).expect(fixed);
    attributes.push_u32(number::NAS_PORT, port).expect(fixed);
    attributes.push_u32(number::SERVICE_TYPE, 8).expect(fixed);
    attributes.push_text(number::CALLED_STATION_ID, "203.0.113.1").expect(fixed);
    attributes.push_text(number::CALLING_STATION_ID, &station).expect(fixed);
    attributes.push_text(number::NAS_IDENTIFIER, "load").expect(fixed);
    if let Some(state) = state {
        attributes.push(number::STATE, state).expect("it came in an attribute");
    }
    attributes
}

fn sign(
    attributes: &AttributeList,
    secret: &SharedSecret,
    identifier: u8,
    entropy: &mut Fixed,
) -> UpstreamRequest {
    let builder = RequestBuilder { code: Code::ACCESS_REQUEST, attributes, proxy_state: None, secret };
    builder.build(identifier, random(entropy), entropy).expect("ten attributes fit into a packet")
}

fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}
