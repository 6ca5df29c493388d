//! The shell: sockets, clients, duplicates, the driver of logins.
//!
//! A [`Server`] is a few worker threads, each with a current-thread runtime, listening sockets shared by `SO_REUSEPORT` and
//! upstream sockets of its own. They share the table of logins ([`node`]), of duplicates ([`duplicates`]), the clients
//! ([`clients`]) and the store. The whole way of a datagram stands in `pipeline.rs`. Everything that decides lives left
//! of here; this module has the clocks, the randomness and the sockets ([`system`], `socket.rs`).
//!
//! Invariants: nothing blocks a worker; every table is bounded; a panic ends one login; a reload is taken whole or not
//! at all.

pub mod affinity;
mod alarms;
pub mod answers;
mod aside;
pub mod auditor;
pub mod clients;
pub mod control;
mod drives;
mod driving;
pub mod drops;
pub mod duplicates;
pub mod floods;
pub mod front;
mod herald;
pub mod hindrance;
mod intents;
pub mod journal;
mod kept;
mod leads;
pub mod line;
mod lost;
pub mod manners;
pub mod node;
mod notices;
mod outbox;
pub mod passkeys;
pub mod past;
pub mod peers;
pub mod people;
pub mod phones;
pub mod pipeline;
pub mod posture;
pub mod profile;
pub mod pulse;
mod push_key;
mod receipts;
pub mod sends;
pub mod settings;
mod sharing;
#[cfg(test)]
mod simulation;
pub mod sink;
mod slot;
mod socket;
pub mod syslog;
pub mod system;
pub mod tracer;
mod worker;
mod wrong_passwords;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::{Clock, random};
use crate::delivery::actions::Actions;
use crate::delivery::web_push::vapid::Vapid;
use crate::delivery::{self, Channels};
use crate::dictionary::Dictionary;
use crate::engine::delivery::Arrival;
use crate::primary;
use crate::store::admin::Admin;
use crate::store::{Logins, StoreFault};
use affinity::Mint;
use alarms::{Budget, Sprays};
use answers::Answers;
use auditor::{Audit, Auditor, Bell};
use clients::Ratchet;
use control::Control;
use drops::Drops;
use duplicates::Duplicates;
use floods::Floods;
use front::Front;
use journal::Journal;
use node::Node;
use peers::{Replays, Witnesses};
use pulse::Pulse;
use pulse::counts::Counts;
use receipts::Receipts;
use settings::{Affinity, Settings};
use system::{EntropyFault, SystemEntropy};
use tracer::Tracer;
use worker::{Command, Live, Opener, Shared, Worker};

/// How long what is in flight may take once the server was told to stop.
pub const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What a server is made of besides its settings.
pub struct Parts {
    /// The primary authentications.
    pub primaries: Vec<primary::settings::Settings>,
    /// Which attributes of a primary's answers are encrypted: the dictionaries' word.
    pub kinds: primary::Kinds,
    /// How codes are sent.
    pub delivery: delivery::settings::Settings,
    /// What attributes are called, for whoever traces.
    pub dictionary: Arc<Dictionary>,
    /// Users, tokens and the trail.
    pub store: Arc<dyn Logins>,
    /// The key that State attributes are made under; 32 octets that only this store's servers know.
    pub state_key: Secret,
    /// Further such keys, whose States are taken but not made: those from before a rekey.
    pub other_state_keys: Vec<Secret>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Where the lines of logins go.
    pub journal: Journal,
    /// What becomes of the trail.
    pub audit: Audit,
    /// A hold on the store to look after the trail with.
    pub admin: Box<dyn Admin>,
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    primaries: Arc<primary::Shared>,
    kinds: primary::Kinds,
    workers: Vec<Running>,
    stop: watch::Sender<bool>,
    addresses: Vec<SocketAddr>,
    auditor: Auditor,
    lent: Lent,
    /// Ends with the server.
    _control: Option<Control>,
}

/// What channels are lent that outlives a reload.
#[derive(Clone)]
struct Lent {
    bell: Arc<Bell>,
    entropy: primary::Randomness,
    vapid: Option<Vapid>,
    actions: Arc<Actions>,
}

impl Lent {
    /// A key for pushes is made where there is a portal, which alone could tell a browser of it.
    fn new(
        portal: bool,
        admin: &mut dyn Admin,
        state_key: &Secret,
        others: &[Secret],
    ) -> Result<Lent, Fault> {
        let mut entropy = SystemEntropy::new()?;
        let vapid = if portal { Some(push_key::load(admin, state_key, others, &mut entropy)?) } else { None };
        let actions = Arc::new(Actions::new(random(&mut entropy)));
        Ok(Lent { bell: Arc::default(), entropy: Arc::new(Mutex::new(entropy)), vapid, actions })
    }
}

struct Running {
    thread: JoinHandle<()>,
    commands: tokio::sync::mpsc::UnboundedSender<Command>,
}

/// Why a server cannot start, or cannot take new settings.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {fault}\n  hint: {}", bind_hint(fault))]
    Bind {
        /// Which one.
        address: SocketAddr,
        /// What the system says.
        fault: io::Error,
    },
    /// The control socket that the configuration insists on cannot be opened.
    #[error("cannot open the control socket {}: {fault}\n  hint: {CONTROL_HINT}", path.display())]
    Control {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        fault: io::Error,
    },
    /// A primary authentication cannot be opened.
    #[error(transparent)]
    Primary(#[from] primary::Fault),
    /// A channel cannot be opened.
    #[error("{}\n  hint: {}", .0.what, .0.hint)]
    Delivery(#[from] delivery::Fault),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The trail cannot be read.
    #[error("{0}\n  hint: radmfa audit verify")]
    Trail(String),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFault),
    /// A thread or its runtime cannot be made, or has died.
    #[error("cannot run a worker thread: {0}\n  hint: look at the limits of processes and memory")]
    Thread(io::Error),
}

const CONTROL_HINT: &str = "another server may have it, the path may be too long (107 octets) or not writable: [control] path = … or \"off\"";

fn bind_hint(fault: &io::Error) -> &'static str {
    match fault.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has it (another radmfa, FreeRADIUS?): stop that, or listen elsewhere, as in --listen \
             127.0.0.1:18120"
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)",
        _ => "look at the address and the machine's network",
    }
}

impl Server {
    /// Binds, opens and serves. When this returns, the first datagram is answered.
    pub fn start(settings: &Settings, parts: Parts) -> Result<Server, Fault> {
        let addresses = settings
            .listen
            .iter()
            .map(|address| socket::probe(*address).map_err(|fault| Fault::Bind { address: *address, fault }))
            .collect::<Result<Vec<_>, _>>()?;
        let Parts {
            primaries,
            kinds,
            delivery,
            dictionary,
            store,
            state_key,
            other_state_keys,
            clock,
            journal,
            audit,
            mut admin,
        } = parts;
        crate::engine::words::prepare();
        let upstreams = primary::Shared::new();
        wrong_passwords::remember(&mut *admin, settings, &primaries, &upstreams, &*clock)
            .map_err(|fault| Fault::Trail(fault.to_string()))?;
        let tracer = Tracer::new(dictionary, Arc::clone(&clock));
        let control = open_control(settings, &tracer, &clock)?;
        let lent = Lent::new(delivery.portal.is_some(), &mut *admin, &state_key, &other_state_keys)?;
        let receipts = Receipts {
            server: settings.server_name.clone(),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            tracer: Arc::clone(&tracer),
        };
        let shared = Arc::new(Shared {
            live: ArcSwap::from_pointee(Live::new(settings, channels(&delivery, receipts, &lent)?)),
            node: Node::new(mint(settings, &state_key, &other_state_keys), settings.limits.logins),
            duplicates: Duplicates::new(settings.limits.duplicates, settings.limits.reply_kept),
            ratchet: Ratchet::new(store.raised()?),
            drops: Drops::default(),
            floods: Floods::default(),
            replays: Replays::default(),
            witnesses: Witnesses::default(),
            sprays: Sprays::default(),
            budget: Budget::default(),
            store,
            clock,
            journal,
            tracer,
            counts: Counts::new(names(settings)),
            listening: AtomicUsize::new(0),
            delayed: AtomicUsize::new(0),
            vapid: lent.vapid.clone(),
            actions: Arc::clone(&lent.actions),
            lost: lost::Lost::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let name = settings.server_name.clone();
        let auditor = Auditor::start(admin, audit, name, Arc::clone(&shared), Arc::clone(&lent.bell))
            .map_err(Fault::Thread)?;
        let mut server = Server {
            shared,
            primaries: upstreams,
            kinds,
            workers: Vec::new(),
            stop,
            addresses,
            auditor,
            lent,
            _control: control,
        };
        for number in 0..settings.workers.max(1) {
            server.workers.push(server.spawn(number, &primaries, stopped.clone())?);
        }
        Ok(server)
    }

    /// The addresses that are listened on, ports that the system chose filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The way from phones' answers to their logins; `None` where no worker runs.
    #[must_use]
    pub fn answers(&self) -> Option<Answers> {
        let first = self.workers.first()?;
        Some(Answers::new(Arc::clone(&self.shared), first.commands.clone()))
    }

    /// The way in for pages; `None` where no worker runs.
    #[must_use]
    pub fn front(&self) -> Option<Front> {
        Some(Front::new(self.workers.first()?.commands.clone()))
    }

    /// How it stands, for whoever watches it.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let sockets = self.addresses.len() * self.workers.len();
        Pulse::new(Arc::clone(&self.shared), Arc::clone(&self.primaries), sockets)
    }

    /// Logins under way, those that wait for a code included.
    pub fn logins(&self) -> usize {
        self.shared.node.logins()
    }

    /// Takes new clients, peers and primaries for new logins, or keeps what runs when anything is wrong. Logins under way
    /// keep the policy that they began with. Of `settings`, only clients, affinity and peers are taken in.
    pub fn reload(
        &self,
        settings: &Settings,
        primaries: &[primary::settings::Settings],
        delivery: &delivery::settings::Settings,
    ) -> Result<(), Fault> {
        let raised = self.shared.store.raised()?;
        let receipts = Receipts {
            server: settings.server_name.clone(),
            store: Arc::clone(&self.shared.store),
            clock: Arc::clone(&self.shared.clock),
            tracer: Arc::clone(&self.shared.tracer),
        };
        let live = Arc::new(Live::new(settings, channels(delivery, receipts, &self.lent)?));
        let mut opened = Vec::new();
        for worker in &self.workers {
            let (tell, told) = mpsc::channel();
            let command = Command::Open { primaries: primaries.into(), live: Arc::clone(&live), tell };
            worker.commands.send(command).map_err(|_| gone())?;
            opened.push(told);
        }
        // Every worker opens the new ones beside the old; only when all could does any of them change over.
        for told in opened {
            told.recv().map_err(|_| gone())??;
        }
        for worker in &self.workers {
            worker.commands.send(Command::ChangeOver).map_err(|_| gone())?;
        }
        self.shared.ratchet.replace(raised);
        self.shared.counts.configure(names(settings));
        let before = self.shared.live.load();
        live.channels.go_on_from(&before.channels);
        for gateway in live.clients.all() {
            if let Some(known) = before.clients.named(&gateway.name) {
                gateway.manner.resume(&known.manner.habit());
            }
        }
        self.shared.live.store(live);
        Ok(())
    }

    /// Takes no more datagrams, finishes what is in flight within [`STOP_WITHIN`], and ends. Parked logins end with it;
    /// their number is answered.
    pub fn stop(self) -> usize {
        self.stop.send_replace(true);
        for worker in self.workers {
            if worker.thread.join().is_err() {
                tracing::error!("a worker thread ended in a panic");
            }
        }
        self.auditor.stop();
        self.shared.node.held()
    }

    fn spawn(
        &self,
        number: usize,
        primaries: &[primary::settings::Settings],
        stopped: watch::Receiver<bool>,
    ) -> Result<Running, Fault> {
        let (tell, told) = mpsc::channel();
        let (commands, orders) = tokio::sync::mpsc::unbounded_channel();
        let start = Start {
            shared: Arc::clone(&self.shared),
            upstreams: Arc::clone(&self.primaries),
            kinds: Arc::clone(&self.kinds),
            primaries: primaries.into(),
            addresses: self.addresses.clone().into(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(fault) => return drop(tell.send(Err(Fault::Thread(fault)))),
                };
                runtime.block_on(async {
                    match start.worker() {
                        Ok(worker) => {
                            // Nobody listens any more only if another worker could not start.
                            drop(tell.send(Ok(())));
                            Arc::new(worker).serve(number == 0, stopped, orders).await;
                        }
                        Err(fault) => drop(tell.send(Err(fault))),
                    }
                });
            })
            .map_err(Fault::Thread)?;
        told.recv().map_err(|_| gone())??;
        Ok(Running { thread, commands })
    }
}

/// What a worker's thread takes along.
struct Start {
    shared: Arc<Shared>,
    upstreams: Arc<primary::Shared>,
    kinds: primary::Kinds,
    primaries: Box<[primary::settings::Settings]>,
    addresses: Box<[SocketAddr]>,
}

impl Start {
    fn worker(self) -> Result<Worker, Fault> {
        let entropy = Arc::new(Mutex::new(SystemEntropy::new()?));
        let opener = Opener { upstreams: self.upstreams, kinds: self.kinds };
        Worker::new(self.shared, &self.addresses, opener, &self.primaries, entropy)
    }
}

/// Opens the channels; what providers say later of a message goes to `receipts`.
fn channels(
    settings: &delivery::settings::Settings,
    receipts: Receipts,
    lent: &Lent,
) -> Result<Arc<Channels>, Fault> {
    let clock = Arc::clone(&receipts.clock);
    let arrived = move |arrival: Arrival| receipts.take(&arrival);
    let bell = Arc::clone(&lent.bell);
    let means = delivery::Means {
        clock,
        arrived: Arc::new(arrived),
        gone: Arc::new(move |gone| bell.take_back(gone)),
        entropy: Arc::clone(&lent.entropy),
        vapid: lent.vapid.clone(),
        actions: Arc::clone(&lent.actions),
    };
    Ok(Arc::new(Channels::open(settings, means)?))
}

fn mint(settings: &Settings, key: &Secret, others: &[Secret]) -> Mint {
    let mint = Mint::new(&settings.server_name, key).also_taking(others);
    match settings.affinity {
        Affinity::Shared => mint.sharing(key, others),
        Affinity::Deny | Affinity::Relay => mint,
    }
}

/// What logins come from: gateways and pages.
fn names(settings: &Settings) -> impl Iterator<Item = Label> {
    settings.clients.iter().chain(&settings.fronts).map(|client| client.name.clone())
}

/// The control socket. One that nobody insists on may be missing: logins matter more.
fn open_control(
    settings: &Settings,
    tracer: &Arc<Tracer>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Control>, Fault> {
    let Some(settings::Control { path, insisted }) = &settings.control else { return Ok(None) };
    match Control::open(path, settings.server_name.clone(), Arc::clone(tracer), Arc::clone(clock)) {
        Ok(control) => Ok(Some(control)),
        Err(fault) if *insisted => Err(Fault::Control { path: path.clone(), fault }),
        Err(fault) => {
            tracing::warn!(path = %path.display(), %fault, hint = CONTROL_HINT,
                "there is no control socket, so nobody can trace this server");
            Ok(None)
        }
    }
}

fn gone() -> Fault {
    Fault::Thread(io::Error::other("it has ended"))
}
