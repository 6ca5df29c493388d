//! Who there is: users, the tokens they hold, and the codes that these show.

use radmfa::base::name::{GroupName, UserName};
use radmfa::base::secret::Secret;
use radmfa::base::system::Clock;
use radmfa::factor::oath::{self, Drift, Moving, Parameters};
use radmfa::store::admin::{Admin, NewToken, TokenFields, UserFields};

use super::{Token, World, name};

impl World {
    pub fn add_user(&mut self, user: &str) {
        self.add_member(user, &[], (None, None));
    }

    /// A user in `groups`, with a phone and a mail address.
    pub fn add_member(&mut self, user: &str, groups: &[String], contact: (Option<String>, Option<String>)) {
        let groups: Vec<_> =
            groups.iter().map(|group| GroupName::canonical(group.as_bytes()).unwrap()).collect();
        let groups = (!groups.is_empty()).then(|| groups.into());
        let (phone, mail) = contact;
        let fields = UserFields { groups, phone, mail, ..UserFields::default() };
        self.store.add_user(&name(user), &fields).unwrap();
    }

    pub fn add_token(&mut self, user: &str, serial: &str, seed: Secret, parameters: Parameters) {
        self.add_special_token(user, serial, seed, parameters, 0, TokenFields::default());
    }

    /// A counter token that begins at `counter`, or one of which more is known.
    pub fn add_special_token(
        &mut self,
        user: &str,
        serial: &str,
        seed: Secret,
        parameters: Parameters,
        counter: u64,
        fields: TokenFields,
    ) {
        let token = Token { user: name(user), serial: serial.into(), seed, parameters };
        let new =
            NewToken::new(token.serial.clone(), Some(token.user.clone()), token.seed.clone(), parameters);
        self.store.add_token(&NewToken { counter, fields, ..new }).unwrap();
        self.tokens.push(token);
    }

    /// The code that the token `serial`, or else the first token of `user`, shows `offset` steps from now; of a counter
    /// token, the code of the counter `offset`.
    pub fn code(&self, user: &str, serial: Option<&str>, offset: i64) -> Option<String> {
        let user = UserName::canonical(user.as_bytes()).ok();
        let mine = |token: &&Token| match serial {
            Some(serial) => *token.serial == *serial,
            None => Some(&token.user) == user.as_ref(),
        };
        let token = self.tokens.iter().find(mine)?;
        let step = token.parameters.step_at(self.time.unix().secs()).checked_add_signed(offset)?;
        Some(oath::code(token.seed.expose(), &token.parameters, step).to_string())
    }

    /// Six digits that no token shows near now.
    pub fn wrong_code(&self) -> String {
        let near = |guess: &String| {
            self.tokens.iter().any(|token| {
                let steps = match token.parameters.moving {
                    Moving::Time { .. } => {
                        let (now, drift) = (self.time.unix().secs(), Drift::default());
                        let near = oath::window(&token.parameters, now, drift, oath::WINDOW_MAX);
                        near.start().saturating_sub(10)..=near.end() + 10
                    }
                    // Further ahead it would be as wrong to the user, if not to the trail.
                    Moving::Counter => 0..=100,
                };
                oath::find_step(token.seed.expose(), &token.parameters, steps, guess.parse().unwrap())
                    .is_some()
            })
        };
        (0..1_000_000).map(|number| format!("{number:06}")).find(|guess| !near(guess)).unwrap()
    }
}
