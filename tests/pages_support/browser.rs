//! A browser without scripts: it keeps cookies, and sends forms as they stand in the pages.

use crate::support::caller::{self, Caller, FORM, fields};
use crate::support::http::Answer;

/// A page where people log in, and where its form goes.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    pub page: &'static str,
    pub form: &'static str,
}

/// A user's own page.
pub const ME: Door = Door { page: "/me", form: "/me/login" };
/// The admins' front page.
pub const ADMINS: Door = Door { page: "/", form: "/login" };

#[derive(Clone, Debug)]
pub struct Browser {
    pub caller: Caller,
    /// What it says of where a form was sent from; most tests leave it out, as old browsers do.
    pub origin: Option<String>,
}

impl Browser {
    /// One at 127.0.0.1.
    pub fn new(host: &str) -> Browser {
        Browser::of(Caller::new(1, host))
    }

    pub fn of(caller: Caller) -> Browser {
        Browser { caller, origin: None }
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.caller.visit("GET", path, &[], "")
    }

    /// Sends a form with the token that stands on `page`.
    pub fn post(&mut self, page: &Answer, path: &str, pairs: &[(&str, &str)]) -> Answer {
        self.post_with(&token(page), path, pairs, &[])
    }

    /// The same with a token, and headers, of the test's choice.
    pub fn post_with(
        &mut self,
        token: &str,
        path: &str,
        pairs: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = fields(&[&[("form-token", token)], pairs].concat());
        let origin = self.origin.clone();
        let origin = origin.as_deref().map(|origin| ("Origin", origin));
        let headers: Vec<(&str, &str)> =
            [FORM].into_iter().chain(origin).chain(headers.iter().copied()).collect();
        self.caller.visit("POST", path, &headers, &body)
    }

    /// Takes the seat that an invitation gives.
    pub fn accept(&mut self, path: &str) {
        let page = self.get(path);
        assert_eq!(page.status, 200, "{}", page.body);
        let begun = self.post(&page, path, &[]);
        assert_eq!((begun.status, begun.location()), (303, Some("/setup")));
    }

    /// Says name and password at `door`; what is asked then, or that nothing is.
    pub fn knock(&mut self, door: Door, user: &str, password: &str) -> Answer {
        let page = self.get(door.page);
        self.post(&page, door.form, &[("user", user), ("password", password)])
    }

    /// Answers what [`Browser::knock`] was asked.
    pub fn answer(&mut self, door: Door, asked: &Answer, user: &str, code: &str) -> Answer {
        let state = hidden(asked, "state");
        self.post(asked, door.form, &[("user", user), ("state", &state), ("code", code)])
    }

    /// Logs in at /me, in a [`House`](super::House); what is shown then.
    pub fn log_in(&mut self, user: &str, code: &str) -> Answer {
        let asked = self.knock(ME, user, super::house::PASSWORD);
        assert_eq!(asked.status, 200, "{}", asked.body);
        self.answer(ME, &asked, user, code)
    }
}

/// The value of a hidden field, of the first form that has it.
pub fn hidden(page: &Answer, name: &str) -> String {
    caller::hidden(&page.body, name).unwrap_or_else(|| panic!("no {name} in {page:?}"))
}

/// What proves that a form was sent from this page.
pub fn token(page: &Answer) -> String {
    hidden(page, "form-token")
}

/// The secret that the page shows in letters.
pub fn seed(page: &Answer) -> String {
    let letters = page.body.split("id=\"letters\">").nth(1).unwrap().split('<').next().unwrap();
    letters.replace(' ', "")
}

pub fn recovery_codes(page: &Answer) -> Vec<String> {
    let list = page.body.split("class=\"codes\">").nth(1).map(|rest| rest.split("</ul>").next().unwrap());
    let items = list.unwrap_or_default().split("<code>").skip(1);
    items.map(|item| item.split('<').next().unwrap().to_owned()).collect()
}
