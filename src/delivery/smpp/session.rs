//! The task of a session: connect, bind, submit, answer, enquire; and again after a while when it broke.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::pdu::{self, Incoming, command, frame, status};
use super::receipts::Receipts;
use super::{Bind, Job, Settings, State};
use crate::base::name::Label;
use crate::engine::delivery::Arrival;

/// How long is waited before the first new try; doubled up to [`BACK_OFF_MAX`].
const BACK_OFF: Duration = Duration::from_secs(1);
/// The longest wait between two tries.
const BACK_OFF_MAX: Duration = Duration::from_mins(1);
/// How many PDUs may wait to be looked at.
const INCOMING: usize = 64;

/// A session, to be run.
pub(in crate::delivery) struct Session {
    name: Label,
    settings: Settings,
    timeout: Duration,
    jobs: mpsc::Receiver<Job>,
    state: watch::Sender<State>,
    arrived: Arc<dyn Fn(Arrival) + Send + Sync>,
    receipts: Receipts,
}

/// A job whose answer is awaited.
struct Pending {
    tell: oneshot::Sender<Result<String, u32>>,
    awaited: Option<Box<super::Awaited>>,
}

/// Why a session ended.
enum End {
    /// Nobody needs it any more.
    Closing,
    /// It broke.
    Broken(String),
}

impl Session {
    pub(super) fn new(
        name: Label,
        settings: Settings,
        timeout: Duration,
        jobs: mpsc::Receiver<Job>,
        state: watch::Sender<State>,
        arrived: Arc<dyn Fn(Arrival) + Send + Sync>,
    ) -> Session {
        Session { name, settings, timeout, jobs, state, arrived, receipts: Receipts::default() }
    }

    /// Runs until `closing` says so.
    pub(in crate::delivery) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        let mut wait = BACK_OFF;
        loop {
            let why = match self.connect().await {
                Ok((reader, writer, peer)) => {
                    tracing::info!("channel {}: bound", self.name);
                    wait = BACK_OFF;
                    self.state.send_replace(State::Bound(peer));
                    match self.serve(reader, writer, &mut closing).await {
                        End::Closing => return,
                        End::Broken(why) => why,
                    }
                }
                Err(why) => why,
            };
            tracing::warn!("channel {}: not bound: {why}; tried again in {} s", self.name, wait.as_secs());
            self.state.send_replace(State::Down(why));
            // Dropped, each says that the session broke off.
            while self.jobs.try_recv().is_ok() {}
            if timeout(wait, closing.wait_for(|closing| *closing)).await.is_ok() {
                return;
            }
            wait = (wait * 2).min(BACK_OFF_MAX);
        }
    }

    /// Connects and binds; the peer's name.
    async fn connect(&self) -> Result<(Reader, OwnedWriteHalf, String), String> {
        let Settings { host, port, username, password, system_type, bind, .. } = &self.settings;
        let late = |_| "no answer in time".to_owned();
        let stream = timeout(self.timeout, TcpStream::connect((host.as_str(), *port))).await.map_err(late)?;
        let stream = stream.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = Reader { half: reader, octets: Vec::new() };
        let request = match bind {
            Bind::Transmitter => command::BIND_TRANSMITTER,
            Bind::Transceiver => command::BIND_TRANSCEIVER,
        };
        let password = String::from_utf8_lossy(password.expose());
        let body = zeroize::Zeroizing::new(pdu::bind(username, &password, system_type));
        let framed = zeroize::Zeroizing::new(frame(request, 0, 1, &body));
        writer.write_all(&framed).await.map_err(|error| error.to_string())?;
        let answer = timeout(self.timeout, reader.next()).await.map_err(late)??;
        if answer.status != status::OK {
            return Err(format!("the bind was refused: {}", describe(answer.status)));
        }
        if answer.command != request | command::RESPONSE || answer.sequence != 1 {
            return Err("the bind was answered with something else".into());
        }
        Ok((reader, writer, answer.first_string()))
    }

    async fn serve(
        &mut self,
        reader: Reader,
        mut writer: OwnedWriteHalf,
        closing: &mut watch::Receiver<bool>,
    ) -> End {
        let (tell, mut incoming) = mpsc::channel(INCOMING);
        // Reading is a task of its own, since a read that is given up half-way loses what it has.
        let reading = tokio::spawn(reader.read_all(tell));
        let end = self.exchange(&mut incoming, &mut writer, closing).await;
        if matches!(end, End::Closing) {
            // Whether it is answered makes no difference.
            let _gone = writer.write_all(&frame(command::UNBIND, 0, u32::MAX >> 1, &[])).await;
        }
        reading.abort();
        end
    }

    async fn exchange(
        &mut self,
        incoming: &mut mpsc::Receiver<Result<Incoming, String>>,
        writer: &mut OwnedWriteHalf,
        closing: &mut watch::Receiver<bool>,
    ) -> End {
        let mut pending: HashMap<u32, Pending> = HashMap::new();
        let mut sequence = 1;
        let mut enquiry = interval(self.settings.enquire_link);
        enquiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        enquiry.reset();
        let mut unanswered = false;
        loop {
            let out = tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return End::Closing,
                came = incoming.recv() => match came {
                    Some(Ok(came)) => {
                        // Whatever it is: the peer is there.
                        unanswered = false;
                        match self.take(&came, &mut pending) {
                            Ok(answer) => answer,
                            Err(why) => return End::Broken(why),
                        }
                    }
                    Some(Err(why)) => return End::Broken(why),
                    None => return End::Broken("the connection was closed".into()),
                },
                job = self.jobs.recv(), if pending.len() < self.settings.window => match job {
                    Some(job) => {
                        sequence = next(sequence);
                        let framed = frame(command::SUBMIT_SM, 0, sequence, &job.submit.body());
                        pending.insert(sequence, Pending { tell: job.tell, awaited: job.awaited });
                        Some(framed)
                    }
                    None => return End::Closing,
                },
                _ = enquiry.tick() => {
                    if unanswered {
                        return End::Broken("it does not answer enquire_link".into());
                    }
                    unanswered = true;
                    // Those who stopped waiting leave their place in the window.
                    pending.retain(|_, pending| !pending.tell.is_closed());
                    sequence = next(sequence);
                    Some(frame(command::ENQUIRE_LINK, 0, sequence, &[]))
                }
            };
            if let Some(out) = out {
                match timeout(self.timeout, writer.write_all(&out)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return End::Broken(error.to_string()),
                    Err(_) => return End::Broken("it takes nothing more".into()),
                }
            }
        }
    }

    /// What is answered to a PDU, if anything is.
    fn take(
        &mut self,
        came: &Incoming,
        pending: &mut HashMap<u32, Pending>,
    ) -> Result<Option<Vec<u8>>, String> {
        const SUBMITTED: u32 = command::SUBMIT_SM | command::RESPONSE;
        const ENQUIRED: u32 = command::ENQUIRE_LINK | command::RESPONSE;
        let answer = |body: &[u8]| frame(came.command | command::RESPONSE, status::OK, came.sequence, body);
        match came.command {
            SUBMITTED | command::GENERIC_NACK => {
                // An answer to nothing, or one that comes twice, changes nothing.
                let Some(Pending { tell, awaited }) = pending.remove(&came.sequence) else { return Ok(None) };
                let said = if came.command == SUBMITTED && came.status == status::OK {
                    let id = came.first_string();
                    if let Some(awaited) = awaited {
                        self.receipts.await_one(&id, *awaited);
                    }
                    Ok(id)
                } else {
                    Err(came.status.max(1))
                };
                // Whoever asked may have given up.
                let _gone = tell.send(said);
                Ok(None)
            }
            command::DELIVER_SM => {
                self.receipt(came);
                Ok(Some(answer(&[0])))
            }
            command::ENQUIRE_LINK => Ok(Some(answer(&[]))),
            ENQUIRED => Ok(None),
            command::UNBIND => Err("the peer unbound".into()),
            unknown if unknown & command::RESPONSE == 0 => {
                Ok(Some(frame(command::GENERIC_NACK, status::INVALID_COMMAND, came.sequence, &[])))
            }
            _ => Ok(None),
        }
    }

    fn receipt(&mut self, came: &Incoming) {
        let Some(pdu::Receipt { message_id, state }) = came.receipt() else { return };
        let last = !matches!(state.as_str(), "ENROUTE" | "ACCEPTD");
        let Some(awaited) = self.receipts.find(&message_id, last) else { return };
        let arrived = state == "DELIVRD";
        (self.arrived)(Arrival {
            reference: message_id.into(),
            state: state.into(),
            arrived,
            last,
            ..awaited
        });
    }
}

/// What comes from the peer, in PDUs.
struct Reader {
    half: OwnedReadHalf,
    octets: Vec<u8>,
}

impl Reader {
    async fn next(&mut self) -> Result<Incoming, String> {
        loop {
            if let Some((incoming, length)) = Incoming::parse(&self.octets)? {
                self.octets.drain(..length);
                return Ok(incoming);
            }
            let mut buffer = [0; 2048];
            let count = self.half.read(&mut buffer).await.map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("the connection was closed".into());
            }
            self.octets.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }

    async fn read_all(mut self, tell: mpsc::Sender<Result<Incoming, String>>) {
        loop {
            let came = self.next().await;
            let broken = came.is_err();
            if tell.send(came).await.is_err() || broken {
                return;
            }
        }
    }
}

/// The sequence number after `sequence`: 1 to 0x7FFFFFFF (§5.1.4).
fn next(sequence: u32) -> u32 {
    if sequence >= 0x7FFF_FFFE { 1 } else { sequence + 1 }
}

/// A `command_status` in words.
pub(super) fn describe(code: u32) -> String {
    let words = match code {
        0x01 => "the message has a wrong length",
        0x04 => "not bound for this",
        0x05 => "bound already",
        0x08 => "an error of the centre's own",
        0x0A => "the sender is not allowed",
        0x0B => "the number is not known",
        0x0D => "the bind failed",
        0x0E => "the password is wrong",
        0x0F => "the system_id is wrong",
        status::QUEUE_FULL => "its queue is full",
        0x45 => "the submission failed",
        status::THROTTLED => "too many messages at once",
        _ => "status",
    };
    format!("{words} ({code:#010x})")
}
