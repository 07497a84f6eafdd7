//! One call to the partner: lease, token, credentials, attempt time-out, verdict, and what the answer teaches.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::breaker::Change;
use super::lease::NoLease;
use super::limiter::{Over, Share, Taken};
use super::message;
use super::shared::{Shared, View, lock};
use super::status::{count_call, word};
use crate::connector::classify::{Outcome, Verdict, classify};
use crate::connector::limits::{Learned, learn};
use crate::connector::manifest::{Auth, ErrorClass, Read, Test};
use crate::connector::page::{self, PageState};
use crate::connector::request::{self, Fill};
use crate::ports::{HttpRequest, HttpResponse};

/// A call to make.
pub struct Call<'a> {
    /// Its name: `order.create`, `poll.orders`, `read.fulfilments`.
    pub operation: &'a str,
    /// What it is about, for the breaker: the entity, the poll.
    pub subject: &'a str,
    /// The request, without credentials.
    pub request: HttpRequest,
    /// What must hold on the answer.
    pub ok: &'a [(String, Test)],
    /// What fills the credentials.
    pub fill: &'a Fill,
}

/// What the partner said.
#[derive(Debug)]
pub struct Said {
    /// What that means.
    pub verdict: Verdict,
    /// The answer, if there was one.
    pub response: Option<HttpResponse>,
}

/// Why nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// Another node has the account now.
    #[error("another node has the account's lease")]
    Lease,
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Store(String),
    /// There is no access token.
    #[error("{0}")]
    Token(String),
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(String),
    /// The limit does not allow for it now.
    #[error("the limit is used up until {0}")]
    Limit(Timestamp),
}

impl From<NoLease> for Unsent {
    fn from(no: NoLease) -> Self {
        match no {
            NoLease::Theirs => Self::Lease,
            NoLease::Store(error) => Self::Store(error.to_string()),
        }
    }
}

/// Why there are no items.
#[derive(Debug)]
pub enum NoItems {
    /// Nothing was sent.
    Unsent(Unsent),
    /// The partner did not give them.
    Verdict(Verdict),
}

impl Shared {
    /// Makes a call for which `taken` was taken from the limits, under the lease of `epoch`.
    ///
    /// # Errors
    /// When nothing was sent.
    pub async fn call(&self, view: &View, epoch: i64, call: Call<'_>, taken: Taken) -> Result<Said, Unsent> {
        let share = taken.share();
        let mut taken = taken;
        let mut again = matches!(view.manifest().auth, Auth::OAuth2 { .. });
        loop {
            let access = match self.ready(view, epoch, call.subject).await {
                Ok(access) => access,
                Err(unsent) => {
                    lock(&self.limiter).cancel(taken, self.now());
                    return Err(unsent);
                }
            };
            let fill = Fill { token: access, ..call.fill.clone() };
            let request = request::authorise(view.manifest(), call.request.clone(), &fill);
            let sent = self.now();
            let answer = match message::message(&self.account, &request) {
                Some(message) => message::publish(self.deps.bus.as_ref(), message).await,
                None => self.deps.http.send(request, view.delivery().attempt_timeout).await,
            };
            let now = self.now();
            let verdict = classify(view.manifest(), call.operation, call.ok, &answer);
            let response = answer.ok();
            self.learn(&verdict, response.as_ref(), taken, now);
            self.tell(call.operation, &verdict, response.as_ref(), sent, now);
            if again && verdict.class == Outcome::Failed(ErrorClass::RefreshToken) {
                // Once with a new token: the old one may just have run out.
                again = false;
                self.refuse_token(fill.token.as_ref()).await;
                taken = lock(&self.limiter).force(call.operation, share, now);
                continue;
            }
            self.judge(call.subject, &verdict, response.as_ref(), sent, now);
            return Ok(Said { verdict, response });
        }
    }

    /// The items of `read`: all its pages, at most `most`. The first page's share of the limits is `taken`; later ones
    /// are charged without asking. The flag tells that there was more.
    ///
    /// # Errors
    /// When a page was not had.
    pub async fn items(
        &self,
        view: &View,
        epoch: i64,
        read: &Read,
        fill: &Fill,
        (subject, taken, most): (&str, Taken, usize),
    ) -> Result<(Vec<bytes::Bytes>, bool), NoItems> {
        let operation = format!("read.{}", read.name);
        let mut all = Vec::new();
        let mut state = PageState { page: page::first(read) };
        let mut taken = Some(taken);
        for _ in 0..most.max(1) {
            let fill = fill.clone().with("page", state.page.clone().unwrap_or_default());
            let prepared = request::build_read(view.manifest(), read, &fill);
            let request = match prepared {
                Ok(prepared) => prepared.request,
                Err(error) => {
                    if let Some(taken) = taken {
                        lock(&self.limiter).cancel(taken, self.now());
                    }
                    return Err(NoItems::Unsent(Unsent::Request(error.to_string())));
                }
            };
            let share = taken
                .take()
                .unwrap_or_else(|| lock(&self.limiter).force(&operation, Share::Ordinary, self.now()));
            let call = Call { operation: &operation, subject, request, ok: &[], fill: &fill };
            let said = self.call(view, epoch, call, share).await.map_err(NoItems::Unsent)?;
            let response = match (said.verdict.class, said.response) {
                (Outcome::Done, Some(response)) => response,
                // There is nothing of that name: an answer too.
                (Outcome::Failed(ErrorClass::Rejected), Some(response)) if response.status == 404 => {
                    return Ok((all, false));
                }
                _ => return Err(NoItems::Verdict(said.verdict)),
            };
            let found = page::read(read, &response, &state).map_err(|error| {
                NoItems::Verdict(Verdict {
                    class: Outcome::Failed(ErrorClass::Rejected),
                    message: error.to_string(),
                    retry_after: None,
                })
            })?;
            all.extend(found.items);
            match found.next {
                Some(next) => state.page = Some(next),
                None => return Ok((all, false)),
            }
        }
        Ok((all, true))
    }

    /// Lease and token for a call that is made now.
    async fn ready(
        &self,
        view: &View,
        epoch: i64,
        subject: &str,
    ) -> Result<Option<secrecy::SecretString>, Unsent> {
        self.cover(view, epoch).await?;
        let asked = self.now();
        let token = match self.token(view).await {
            Ok(token) => token,
            Err(message) => {
                warn!(account = %self.account, %message, "the account cannot be used");
                let now = self.now();
                lock(&self.status).last_error = Some(message.clone());
                let change = lock(&self.breaker).failed(subject, asked, now);
                self.changed(change, &message);
                return Err(Unsent::Token(message));
            }
        };
        // Getting a token took time: the lease must still outlive the call.
        self.cover(view, epoch).await?;
        Ok(token)
    }

    fn learn(&self, verdict: &Verdict, response: Option<&HttpResponse>, taken: Taken, now: Timestamp) {
        let limited = match verdict.class {
            Outcome::Failed(ErrorClass::RateLimited) => Over::Limit(verdict.retry_after),
            _ => Over::No,
        };
        let read = |limit: &_| response.map_or_else(Learned::default, |response| learn(limit, response));
        lock(&self.limiter).finish(taken, limited, &read, now);
    }

    fn tell(
        &self,
        operation: &str,
        verdict: &Verdict,
        response: Option<&HttpResponse>,
        sent: Timestamp,
        now: Timestamp,
    ) {
        let took = Duration::try_from(now.duration_since(sent)).unwrap_or_default();
        let millis = took.as_millis();
        let outcome = word(verdict);
        count_call(self.account.as_str(), operation, outcome, took);
        let mut status = lock(&self.status);
        if response.is_some() {
            status.last_contact = Some(now);
        }
        if verdict.is_done() {
            status.last_success = Some(now);
            debug!(account = %self.account, operation, outcome, millis, "called the partner");
        } else {
            // Partners quote what they were sent: their words go to the history, not to the log.
            status.last_error = Some(format!("{operation}: {}", verdict.message));
            let http = response.map(|response| response.status);
            info!(account = %self.account, operation, outcome, millis, http, "a call did not go well");
        }
    }

    /// What the answer says of the account as such.
    fn judge(
        &self,
        subject: &str,
        verdict: &Verdict,
        response: Option<&HttpResponse>,
        sent: Timestamp,
        now: Timestamp,
    ) {
        let broken = response.is_none_or(|response| response.status >= 500 || response.status == 408);
        let change = {
            let mut breaker = lock(&self.breaker);
            match verdict.class {
                Outcome::Failed(ErrorClass::RateLimited) => breaker.limited(sent, now),
                Outcome::Failed(ErrorClass::Config | ErrorClass::RefreshToken) => {
                    breaker.failed(subject, sent, now)
                }
                Outcome::Failed(ErrorClass::Retry | ErrorClass::Unknown) if broken => {
                    breaker.failed(subject, sent, now)
                }
                _ => breaker.went_well(),
            }
        };
        self.changed(change, &verdict.message);
        if change == Change::None && lock(&self.breaker).failures() == 0 {
            lock(&self.status).down = None;
        }
    }

    /// Notes that the lane pauses or goes on; the lane tells people.
    fn changed(&self, change: Change, message: &str) {
        match change {
            Change::None => {}
            Change::Paused => {
                warn!(account = %self.account, "the account is out of order: its lane pauses");
                lock(&self.status).down = Some(message.to_owned());
            }
            Change::Recovered => {
                info!(account = %self.account, "the account works again");
                lock(&self.status).down = None;
            }
        }
    }
}
