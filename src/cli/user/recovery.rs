//! `radmfa user recovery`: codes to be kept on paper, each good once in place of a token's code.

use crate::base::name::UserName;
use crate::base::system::{Entropy, random};
use crate::cli::channel;
use crate::cli::failure::Failure;
use crate::cli::output::{note, say};
use crate::cli::store::{Missing, entropy, machine, open, said};
use crate::cli::value::user_name;
use crate::config::flags::StoreFlags;
use crate::config::{self, Effective};
use crate::engine::delivery::{Delivery, DeliveryId, Kind, Message, Notice, Sent};
use crate::engine::record::LoginId;
use crate::factor::recovery::{RecoveryCode, SET};
use crate::store::admin::UserDetails;
use crate::store::user_act::UserAct;

/// Give a user ten recovery codes, each good once; earlier ones work no more
///
/// Where the configuration has a channel for mails and the user an address, the user is told that there are new ones.
#[derive(Debug, clap::Args)]
pub(crate) struct Recovery {
    /// The user
    #[arg(value_parser = user_name)]
    name: UserName,
    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    store: StoreFlags,
}

impl Recovery {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut random = entropy()?;
        let codes: Vec<_> = (0..SET).map(|_| RecoveryCode::generate(&mut random)).collect();
        let act = UserAct::Recovery { codes: &codes, why: self.reason.as_deref() };
        // Read before the store is opened, which may give root up.
        let post = Post::read(&self.store)?;
        let mut admin = open(&self.store, Missing::Refuse)?;
        admin.act_for(&self.name, &act).map_err(Failure::from)?;
        note(format!("recovery codes of {}, each good once; they are shown this once:", self.name));
        for code in &codes {
            say(code)?;
        }
        let user = admin.user(&self.name).map_err(Failure::from)?;
        match post.tell(&user, random_id(&mut random)) {
            Ok(()) => note(format!("{} was told by mail", self.name)),
            // The codes are good whether or not anybody hears of it.
            Err(why) => note(format!("note: {} was not told by mail: {why}", self.name)),
        }
        Ok(())
    }
}

fn random_id(entropy: &mut dyn Entropy) -> LoginId {
    LoginId::from_round(random(entropy))
}

/// What mails go out by; `None` where the configuration has no way for them.
struct Post(Option<Effective>);

impl Post {
    fn read(flags: &StoreFlags) -> anyhow::Result<Post> {
        if !said(flags)?.people.ways.contains(&Kind::Email) {
            return Ok(Post(None));
        }
        match config::load(&flags.server(), &machine()) {
            Ok((effective, _)) => Ok(Post(Some(effective))),
            Err(_) => Err(Failure::usage("the configuration that the user's mail would be sent by is wrong")
                .hint("radmfa check says what; nothing was changed")
                .into()),
        }
    }

    /// Tells the user that there are new codes.
    fn tell(&self, user: &UserDetails, login: LoginId) -> Result<(), String> {
        let Some(effective) = &self.0 else {
            return Err("there is no channel for mails; tell them yourself".to_owned());
        };
        let Some(mail) = user.fields.mail.as_deref() else {
            return Err("no address is known (radmfa user set --mail)".to_owned());
        };
        let channels = channel::open(effective).map_err(|fault| fault.to_string())?;
        let delivery = Delivery {
            id: DeliveryId(0),
            kind: Kind::Email,
            to: mail.into(),
            message: Message::Told(Notice::RecoveryIssued),
            attempt: 0,
            user: user.name.clone(),
            first: user.fields.first_name.as_deref().map(Into::into),
            client: effective.server.server_name.clone(),
            app: None,
            login,
            language: user.fields.language.as_deref().map(Into::into),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let sent = runtime.map_err(|fault| fault.to_string())?.block_on(channels.send(delivery));
        match sent {
            Sent::Accepted { .. } => Ok(()),
            Sent::Failed => Err("no channel took the mail; tell them yourself".to_owned()),
        }
    }
}
