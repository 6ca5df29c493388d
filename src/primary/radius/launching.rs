//! Questions on their way out: what one turn of the worker launches, the source ports, the sending itself.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use tokio::net::UdpSocket;

use super::{Flying, PORTS_MAX, Question, Radius, Server, Unsent, listen, send_on};
use crate::base::system::random;
use crate::base::time::Tick;
use crate::primary::flight::{Flight, Lane, Port, Sending, Task, Ticket, connect, send};
use crate::primary::retransmit::Schedule;
use crate::primary::watch::Seen;
use crate::udp::{TOGETHER_MAX, Together};
use crate::wire::RequestBuilder;

impl Radius {
    /// Sends a question, together with the others of this turn; `None` where nothing can be sent to that server.
    pub(super) fn launch(&self, question: &Question<'_>, now: Tick) -> Option<Ticket> {
        let mut flying = self.flying();
        let flying = &mut *flying;
        let (place, identifier) = match flying.free_identifier(question.server, now) {
            Some(found) => found,
            None => self.open_lane(flying, question.server, now)?,
        };
        let lane = flying.lanes.get_mut(place)?.as_mut()?;
        let builder = RequestBuilder {
            code: question.code,
            attributes: question.attributes,
            proxy_state: question.proxy_state,
            secret: &self.secret,
        };
        let mut entropy = self.entropy();
        let request = builder.build(identifier, random(&mut *entropy), &mut *entropy);
        drop(entropy);
        let Ok(request) = request else {
            lane.give_back(identifier);
            return None;
        };
        let length = request.bytes.len();
        let flight = Flight {
            request,
            purpose: question.purpose,
            schedule: Schedule::start(now, question.give_up),
            began: now,
            move_on: question.move_on,
            give_up: question.give_up,
            answered: false,
            finished: false,
            counted: false,
            news: None,
            waker: None,
            watcher: question.watcher.clone(),
        };
        lane.launch(flight);
        flying.unsent.push(Unsent { lane: place, length, identifier });
        match flying.unsent.len() {
            1 => self.bell.notify_one(),
            TOGETHER_MAX => self.flush(flying, now),
            _ => {}
        }
        flying.busy += 1;
        flying.last_launch = now;
        if self.asleep.load(Relaxed) {
            self.asleep.store(false, Relaxed);
            self.call.notify_one();
        }
        Some(Ticket { lane: place, identifier })
    }

    /// Sends what was launched.
    pub(super) fn flush(&self, flying: &mut Flying, now: Tick) {
        let Flying { lanes, unsent, .. } = flying;
        // Of those that ended meanwhile nothing is sent, nor twice of what a sweep has sent.
        unsent.retain(|Unsent { lane, identifier, .. }| {
            let flight =
                lanes.get_mut(*lane).and_then(Option::as_mut).and_then(|lane| lane.flight(*identifier));
            flight.is_some_and(|flight| flight.schedule.tries() == 0)
        });
        unsent.sort_unstable_by_key(|flight| (flight.lane, flight.length, flight.identifier));
        unsent.dedup_by_key(|flight| (flight.lane, flight.identifier));
        for alike in unsent.chunk_by(|one, next| (one.lane, one.length) == (next.lane, next.length)) {
            for some in alike.chunks(TOGETHER_MAX) {
                let Some(lane) = some.first().and_then(|first| lanes.get_mut(first.lane)?.as_mut()) else {
                    continue;
                };
                let gone = lane.send_together(some.iter().map(|flight| flight.identifier));
                let (server, socket) = (lane.server, Arc::clone(&lane.port.socket));
                for Unsent { identifier, .. } in some {
                    let Some(flight) = lane.flight(*identifier) else { continue };
                    let [jitter] = random(&mut *self.entropy());
                    if gone {
                        flight.schedule.sent(now, jitter);
                    } else {
                        self.transmit(server, &socket, flight, jitter, now);
                    }
                    lane.changed(*identifier);
                }
            }
        }
        unsent.clear();
    }

    /// Opens one more source port, unless there are enough.
    fn open_lane(&self, flying: &mut Flying, server: usize, now: Tick) -> Option<(usize, u8)> {
        let of_server = |lane: &&Lane| lane.server == server;
        if flying.lanes.iter().flatten().filter(of_server).count() >= PORTS_MAX {
            self.complain(server, now, &"as many requests are in flight to it as can be");
            return None;
        }
        let address = self.servers.get(server)?.address;
        let socket = match connect(self.source, address) {
            Ok(socket) => Arc::new(socket),
            Err(fault) => {
                self.complain(server, now, &fault);
                return None;
            }
        };
        flying.sender.get_or_insert_with(|| {
            Task(tokio::spawn(send_on(Weak::clone(&self.me), Arc::clone(&self.bell))))
        });
        let place = flying.lanes.iter().position(Option::is_none).unwrap_or(flying.lanes.len());
        flying.serial += 1;
        let serial = flying.serial;
        let listener = tokio::spawn(listen(Weak::clone(&self.me), Arc::clone(&socket), place, serial));
        let mut lane = Lane::new(
            server,
            serial,
            Port { socket, together: Together::default(), _listener: Task(listener) },
            now,
        );
        let identifier = lane.identifier(now)?;
        match flying.lanes.get_mut(place) {
            Some(free) => *free = Some(lane),
            None => flying.lanes.push(Some(lane)),
        }
        Some((place, identifier))
    }

    /// Sends a flight's packet, as it is. Where the socket is full, the flight stays due.
    pub(super) fn transmit(
        &self,
        server: usize,
        socket: &UdpSocket,
        flight: &mut Flight,
        jitter: u8,
        now: Tick,
    ) {
        match send(socket, &flight.request.bytes) {
            Sending::Gone => {
                flight.schedule.sent(now, jitter);
                if let (Some(watcher), Some(Server { address, .. })) =
                    (&flight.watcher, self.servers.get(server))
                {
                    let (packet, tries) = (&flight.request.bytes[..], flight.schedule.tries());
                    watcher.seen(&Seen::Sent { server: *address, packet, tries });
                }
            }
            Sending::Full => {}
            // Lost, as any datagram may be.
            Sending::Failed(fault) => {
                flight.schedule.sent(now, jitter);
                self.complain(server, now, &fault);
            }
        }
    }
}
