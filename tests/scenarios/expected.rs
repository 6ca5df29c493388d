//! Lines that expect something: a reply, a row of the trail, a question to the primary.

use radmfa::engine::record::{LoginId, Row};
use radmfa::wire::{Code, DropReason, number};

use super::super::phones;
use super::super::words::{Word, attributes, value};
use super::declared::filling;
use super::{Outcome, Run, audit_line, describe, option, parse};

impl Run {
    pub(super) fn expect(&mut self, rest: &[Word]) -> Outcome {
        if rest[0].is("nothing") {
            return self.nothing_unread();
        }
        if rest[0].is("dropped") {
            let reason = self.world().drops.pop_front().map(DropReason::code);
            let expected = rest[1].text();
            return if reason == Some(&expected) { Ok(()) } else { Err(format!("dropped: {reason:?}")) };
        }
        let reply = self.world().replies.pop_front().ok_or("there is no reply")?;
        if let Some(label) = option(rest, "to") {
            let request = self.request(&label)?;
            if reply.to != request {
                return Err(format!("the reply answers request {}, not {request}", reply.to));
            }
        }
        let said = self.said.insert(reply.to, reply.datagram.clone());
        let mut attributes = attributes(rest)?;
        let text = rest.get(1).filter(|word| word.quoted && word.key.is_none());
        let described =
            format!("{} {:?}", reply.code, reply.attributes.iter().map(describe).collect::<Vec<_>>());
        let fail = || Err(format!("the reply is {described}"));
        let rightly = match rest[0].text().as_str() {
            "again" => said == Some(reply.datagram),
            "accept" => {
                // All of the primary's attributes, and nothing else.
                let fill = option(rest, "fill").map_or(Ok(0), |fill| parse(&fill))?;
                attributes.extend(filling(fill));
                let got: Vec<_> = reply
                    .attributes
                    .iter()
                    .filter(|(number, _)| *number != number::PROXY_STATE)
                    .cloned()
                    .collect();
                reply.code == Code::ACCESS_ACCEPT && got == attributes
            }
            "reject" => {
                let right_text = match text {
                    Some(text) => {
                        phones::leads(&text.value, reply.first(number::REPLY_MESSAGE), &mut self.lead)
                    }
                    None if attributes.is_empty() => {
                        let (of, language) = (option(rest, "of"), option(rest, "in"));
                        self.refers_to_a_row(&reply.text(), of.as_deref(), language.as_deref())?
                    }
                    None => attributes.iter().all(|attribute| reply.attributes.contains(attribute)),
                };
                let only =
                    |(number, _): &(u8, _)| matches!(*number, number::REPLY_MESSAGE | number::PROXY_STATE);
                let no_more = !attributes.is_empty() || reply.attributes.iter().all(only);
                reply.code == Code::ACCESS_REJECT && right_text && no_more
            }
            "bare-reject" => reply.code == Code::ACCESS_REJECT && reply.attributes.is_empty(),
            "challenge" => {
                let state = reply.first(number::STATE).unwrap_or_default().to_vec();
                let new = !self.states.values().any(|known| *known == state);
                if let Some(label) = option(rest, "as") {
                    self.states.insert(label, state);
                } else if option(rest, "same").is_some_and(|label| self.states.get(&label) != Some(&state)) {
                    return fail();
                }
                if !new && option(rest, "same").is_none() {
                    return Err("the State was used before".to_owned());
                }
                let said = reply.first(number::REPLY_MESSAGE);
                let right_text = text.is_none_or(|text| {
                    phones::matches(&text.value, said, &mut self.shown)
                        || phones::leads(&text.value, said, &mut self.lead)
                });
                let has_all = attributes.iter().all(|attribute| reply.attributes.contains(attribute));
                reply.code == Code::ACCESS_CHALLENGE && right_text && has_all
            }
            other => return Err(format!("`{other}` is no reply")),
        };
        if rightly { Ok(()) } else { fail() }
    }

    /// Every refusal shows the same line, with the number of a login that ended, for the reason `of` where one is named.
    fn refers_to_a_row(
        &mut self,
        text: &str,
        of: Option<&str>,
        language: Option<&str>,
    ) -> Result<bool, String> {
        let before = match language {
            None => "Login refused. Reference ",
            Some("hu") => "A belépést elutasítottuk. Hivatkozás: ",
            Some(other) => return Err(format!("no refusal is known in `{other}`")),
        };
        let number = text.strip_prefix(before).and_then(|rest| rest.strip_suffix('.'));
        let login = number.and_then(LoginId::parse);
        let is_it = |row: &Row| Some(row.login) == login && of.is_none_or(|of| row.reason.code() == of);
        Ok(self.world().ended.iter().any(|(row, _)| is_it(row)))
    }

    pub(super) fn audit(&mut self, rest: &[Word]) -> Outcome {
        let trail = self.trail();
        let Some(row) = trail.get(self.audited) else {
            return Err("there is no such row".to_owned());
        };
        self.audited += 1;
        let expected: Vec<_> = rest.iter().map(Word::text).collect();
        let found = audit_line(row);
        if found == expected.join(" ") { Ok(()) } else { Err(format!("the row is: {found}")) }
    }

    pub(super) fn primary(&mut self, rest: &[Word]) -> Outcome {
        let place = self.asked;
        self.asked += 1;
        let world = self.world();
        if rest[0].is("nothing-more") {
            return if world.primary_asked.len() == place { Ok(()) } else { Err("it was asked".to_owned()) };
        }
        let (user, password, state) =
            world.primary_asked.get(place).cloned().ok_or("the primary was not asked so often")?;
        let expected_state =
            rest.iter().find(|word| word.key.as_deref() == Some("state")).map(value).transpose()?;
        let right = user == rest[0].text() && password == rest[1].value && state == expected_state;
        if right { Ok(()) } else { Err(format!("it was asked about {user} with State {state:?}")) }
    }
}
