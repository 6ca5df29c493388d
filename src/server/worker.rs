//! A worker: one thread, one current-thread runtime, sockets of its own; what all workers share stands in [`Shared`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::alarms::{Budget, Sprays};
use super::answers::Brought;
use super::clients::{Clients, Gateway, Ratchet};
use super::drives::Drives;
use super::drops::Drops;
use super::duplicates::Duplicates;
use super::floods::Floods;
use super::front::Knocking;
use super::journal::Journal;
use super::lost::Lost;
use super::node::{Node, Origin};
use super::outbox::Outbox;
use super::peers::{Peers, Relays, Replays, Witnesses};
use super::people::People;
use super::pulse::counts::Counts;
use super::socket::{Letter, Listening};
use super::system::SystemEntropy;
use super::tracer::Tracer;
use super::{Fault, STOP_WITHIN, settings as server};
use crate::base::name::Label;
use crate::base::system::Clock;
use crate::base::time::Tick;
use crate::delivery::Channels;
use crate::delivery::actions::Actions;
use crate::delivery::web_push::vapid::Vapid;
use crate::engine::policy::Lockout;
use crate::engine::record::{CommitAnswer, Record, Row};
use crate::engine::step::Env;
use crate::primary::settings::Settings;
use crate::primary::{self, Exchange, Means, Primaries, Randomness};
use crate::store::Logins;
use crate::wire::{DropReason, MAX_PACKET};

/// Datagrams taken from one socket before the others have their turn.
const DRAIN: usize = 64;
/// How often expired logins and old duplicates are looked for.
const SWEEP: Duration = Duration::from_millis(500);

/// What a reload replaces.
pub(super) struct Live {
    pub(super) clients: Clients,
    /// The doors of pages; no address is theirs.
    pub(super) fronts: Clients,
    pub(super) channels: Arc<Channels>,
    pub(super) peers: Peers,
    /// One for all clients.
    pub(super) lockout: Lockout,
    /// For whoever watches: what was said of the clients, and of those who log in.
    pub(super) said: Arc<[server::Client]>,
    pub(super) people: Arc<People>,
}

impl Live {
    pub(super) fn new(settings: &server::Settings, channels: Arc<Channels>) -> Live {
        let lockout = settings.clients.first().map(|client| client.policy.lockout).unwrap_or_default();
        Live {
            clients: Clients::new(&settings.clients),
            fronts: Clients::new(&settings.fronts),
            channels,
            peers: Peers::new(settings),
            lockout,
            said: settings.clients.clone().into(),
            people: Arc::clone(&settings.people),
        }
    }
}

/// What all workers share.
pub(super) struct Shared {
    pub(super) live: ArcSwap<Live>,
    pub(super) node: Node,
    pub(super) duplicates: Duplicates,
    pub(super) ratchet: Ratchet,
    pub(super) drops: Drops,
    pub(super) floods: Floods,
    pub(super) replays: Replays,
    pub(super) witnesses: Witnesses,
    pub(super) sprays: Sprays,
    pub(super) budget: Budget,
    pub(super) store: Arc<dyn Logins>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal: Journal,
    pub(super) tracer: Arc<Tracer>,
    pub(super) counts: Counts,
    /// Sockets that are listened on.
    pub(super) listening: AtomicUsize,
    /// Replies that wait for their time.
    pub(super) delayed: AtomicUsize,
    /// What pushes to browsers are signed with; `None` where none go out.
    pub(super) vapid: Option<Vapid>,
    /// What buttons in messages are worth.
    pub(super) actions: Arc<Actions>,
    /// Users who lost their last factor.
    pub(super) lost: Lost,
}

impl Shared {
    /// Says that new logins are refused, once a minute for each client's address.
    pub(super) fn turned_away(&self, client: &Label) {
        if self.tracer.is_on() {
            self.tracer.turned_away(client);
        }
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        self.drops.count(DropReason::Overload, nowhere, Some(client), self.clock.mono());
    }
}

/// One thread's share of the server.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    sockets: Vec<Listening>,
    /// Checks under way end with the primaries that they began with.
    primaries: ArcSwap<Primaries>,
    relays: ArcSwap<Relays>,
    opener: Opener,
    pub(super) drives: Drives,
    outbox: Outbox,
    /// Never contended: a worker is one thread.
    entropy: Arc<Mutex<SystemEntropy>>,
}

/// What a worker is told while it runs.
pub(super) enum Command {
    /// Open these primaries and ways to peers beside those in use, and say whether it could be done.
    Open { primaries: Box<[Settings]>, live: Arc<Live>, tell: mpsc::Sender<Result<(), Fault>> },
    /// Use what was opened last.
    ChangeOver,
    /// Take an answer from a phone to its login.
    Hear(Box<Brought>),
    /// Take somebody at a page to a login.
    Knock(Box<Knocking>),
}

/// Opens primaries for one worker.
pub(super) struct Opener {
    pub(super) upstreams: Arc<primary::Shared>,
    pub(super) kinds: primary::Kinds,
}

impl Opener {
    fn open(
        &self,
        primaries: &[Settings],
        peers: &Peers,
        shared: &Shared,
        entropy: &Randomness,
    ) -> Result<(Primaries, Relays), Fault> {
        let relays = Relays::open(peers, Arc::clone(&self.kinds), |name, address, secret| {
            Exchange::open(name, address, secret, Arc::clone(&shared.clock), Arc::clone(entropy))
        });
        let means = Means {
            shared: Arc::clone(&self.upstreams),
            logins: Arc::clone(&shared.store),
            clock: Arc::clone(&shared.clock),
            entropy: Arc::clone(entropy),
            kinds: Arc::clone(&self.kinds),
            mark: Some(*shared.node.mint().mark()),
        };
        Ok((Primaries::open(primaries, means)?, relays))
    }
}

impl Worker {
    /// To be called inside the worker's runtime.
    pub(super) fn new(
        shared: Arc<Shared>,
        listen: &[SocketAddr],
        opener: Opener,
        primaries: &[Settings],
        entropy: Arc<Mutex<SystemEntropy>>,
    ) -> Result<Worker, Fault> {
        let bind = |address: &SocketAddr| {
            Listening::bind(*address).map_err(|fault| Fault::Bind { address: *address, fault })
        };
        let sockets = listen.iter().map(bind).collect::<Result<_, _>>()?;
        let (primaries, relays) =
            opener.open(primaries, &shared.live.load().peers, &shared, &lent(&entropy))?;
        Ok(Worker {
            shared,
            sockets,
            primaries: ArcSwap::from_pointee(primaries),
            relays: ArcSwap::from_pointee(relays),
            opener,
            drives: Drives::default(),
            outbox: Outbox::default(),
            entropy,
        })
    }

    /// Serves until `stop` says otherwise, then finishes what is in flight. The first worker also sweeps the shared tables.
    pub(super) async fn serve(
        self: Arc<Self>,
        sweeps: bool,
        mut stop: watch::Receiver<bool>,
        orders: UnboundedReceiver<Command>,
    ) {
        let driving = Arc::clone(&self);
        // It goes on while the server stops: what is in flight is finished.
        tokio::spawn(async move { driving.drives.run().await });
        tokio::spawn(Arc::clone(&self).send_off());
        let mut tasks = tokio::task::JoinSet::new();
        for place in 0..self.sockets.len() {
            tasks.spawn(Arc::clone(&self).listen(place));
        }
        tasks.spawn(Arc::clone(&self).obey(orders));
        if sweeps {
            tasks.spawn(Arc::clone(&self).sweep());
        }
        // An error means that whoever could say stop is gone, which says it too.
        let _stopped = stop.wait_for(|stop| *stop).await;
        tasks.shutdown().await;
        let deadline = self.shared.clock.mono() + STOP_WITHIN;
        while self.in_flight() && self.shared.clock.mono() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.send_waiting(&mut Vec::new());
        if sweeps {
            for row in self.shared.floods.flush(&*self.shared.clock) {
                record_flood(Arc::clone(&self.shared), row).await;
            }
        }
    }

    /// Whether any login is being worked on, or any reply waits for its time.
    fn in_flight(&self) -> bool {
        self.shared.delayed.load(Ordering::Relaxed) > 0 || self.shared.node.busy() > 0
    }

    async fn obey(self: Arc<Self>, mut orders: UnboundedReceiver<Command>) {
        let mut opened = None;
        while let Some(order) = orders.recv().await {
            match order {
                Command::Open { primaries, live, tell } => {
                    let result = self
                        .opener
                        .open(&primaries, &live.peers, &self.shared, &lent(&self.entropy))
                        .map(|new| opened = Some(new));
                    // Whoever asked may have given up; what was opened is then never used.
                    drop(tell.send(result));
                }
                Command::Hear(brought) => self.take_answer(*brought),
                Command::Knock(knocking) => self.take_knock(*knocking),
                Command::ChangeOver => {
                    if let Some((primaries, relays)) = opened.take() {
                        self.primaries.store(Arc::new(primaries));
                        self.relays.store(Arc::new(relays));
                    }
                }
            }
        }
    }

    async fn listen(self: Arc<Self>, place: usize) {
        let Some(socket) = self.sockets.get(place) else { return };
        let _listens = Listens::begin(&self.shared.listening);
        let mut buffer = [0_u8; MAX_PACKET + 1];
        loop {
            if let Err(fault) = socket.readable().await {
                tracing::error!(%fault, "a listening socket failed");
                return;
            }
            if self.drain(socket, &mut buffer) {
                // The others have their turn; what is left here is still readable.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes what has come, [`DRAIN`] datagrams at most; true if there may be more.
    fn drain(self: &Arc<Self>, socket: &Listening, buffer: &mut [u8]) -> bool {
        for _ in 0..DRAIN {
            match socket.try_receive(buffer) {
                Ok((length, source, local)) => {
                    // One octet beyond the limit tells a longer datagram from one that just fits.
                    let datagram = buffer.get(..length.min(MAX_PACKET)).unwrap_or_default();
                    self.receive(datagram, source, local);
                }
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return false,
                Err(fault) => {
                    tracing::warn!(%fault, "a datagram could not be received");
                    return true;
                }
            }
        }
        true
    }

    async fn sweep(self: Arc<Self>) {
        let mut ticking = tokio::time::interval(SWEEP);
        ticking.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticking.tick().await;
            self.expire();
            let now = self.shared.clock.mono();
            self.shared.duplicates.sweep(now);
            for row in self.shared.floods.sweep(&*self.shared.clock) {
                tokio::spawn(record_flood(Arc::clone(&self.shared), row));
            }
        }
    }

    pub(super) fn primaries(&self) -> Arc<Primaries> {
        self.primaries.load_full()
    }

    pub(super) fn relays(&self) -> Arc<Relays> {
        self.relays.load_full()
    }

    /// Lends the clocks and the randomness for one step.
    pub(super) fn with_env<T>(&self, go: impl FnOnce(&mut Env<'_>) -> T) -> T {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = &self.shared.clock;
        go(&mut Env { mono: clock.mono(), unix: clock.unix(), entropy: &mut *entropy })
    }

    /// Sends a reply, when its time has come. `now` is this moment, or one just before it.
    pub(super) fn reply(self: &Arc<Self>, to: Origin, datagram: Arc<[u8]>, not_before: Tick, now: Tick) {
        let wait = not_before.since(now);
        if wait.is_zero() {
            self.send_remembered(datagram, to, now);
            return;
        }
        let worker = Arc::clone(self);
        self.shared.delayed.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            worker.send_remembered(datagram, to, worker.shared.clock.mono());
            worker.shared.delayed.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn send_remembered(&self, datagram: Arc<[u8]>, to: Origin, now: Tick) {
        self.shared.duplicates.answered(to.key, &to.authenticator, &datagram, now);
        self.send(datagram, to);
    }

    /// Has a datagram sent from the address that was asked, together with the others of this turn.
    pub(super) fn send(&self, datagram: Arc<[u8]>, to: Origin) {
        self.outbox.push(Letter { datagram, local: to.key.local, target: to.key.source });
    }

    /// Sends what was decided, turn by turn.
    async fn send_off(self: Arc<Self>) {
        let mut letters = Vec::new();
        loop {
            self.outbox.filled().await;
            self.send_waiting(&mut letters);
        }
    }

    /// Sends what waits; `letters` is room for it. One that the kernel will not take is lost like any other datagram: the
    /// gateway asks again, and gets it from the table of duplicates.
    fn send_waiting(&self, letters: &mut Vec<Letter>) {
        self.outbox.swap(letters);
        // Whose reply of one turn is the first to leave does not matter; those that are alike leave together.
        letters.sort_unstable_by_key(|letter| (letter.local, letter.target, letter.datagram.len()));
        for together in letters.chunk_by(|one, next| one.local == next.local) {
            let Some(local) = together.first().map(|letter| letter.local) else { continue };
            let Some(socket) = self.sockets.iter().find(|socket| socket.serves(local)) else { continue };
            socket.send_all(together, |letter, fault| {
                tracing::warn!(%fault, target = %letter.target, "a reply could not be sent");
            });
        }
        letters.clear();
    }

    /// Stores that an address has shown a Message-Authenticator; if that fails, its next packet tries again.
    pub(super) fn store_raised(self: &Arc<Self>, gateway: &Gateway, address: IpAddr) {
        let raising = self.shared.store.raise(&gateway.name, address);
        let worker = Arc::clone(self);
        let client = gateway.name.clone();
        tokio::spawn(async move {
            if raising.get().await {
                tracing::info!(%client, %address, "Message-Authenticator seen: required of this address from now on");
            } else {
                tracing::error!(%client, %address, "the store could not remember that this address sends Message-Authenticator");
                worker.shared.ratchet.unraise(address);
            }
        });
    }
}

/// A socket that is listened on, until this is dropped.
struct Listens<'a>(&'a AtomicUsize);

impl Listens<'_> {
    fn begin(count: &AtomicUsize) -> Listens<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Listens(count)
    }
}

impl Drop for Listens<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Records a flood; what it stands for was answered long ago.
async fn record_flood(shared: Arc<Shared>, row: Row) {
    let (client, count) = (row.client.clone(), row.count);
    let record = Record { guards: Vec::new(), row: Arc::new(row) };
    if !matches!(shared.store.commit(record).get().await, CommitAnswer::Done(_)) {
        tracing::error!(%client, count, "a flood of refusals could not be recorded");
    }
}

fn lent(entropy: &Arc<Mutex<SystemEntropy>>) -> Randomness {
    Arc::<Mutex<SystemEntropy>>::clone(entropy)
}
