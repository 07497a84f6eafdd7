//! Whether the polls of an account ask for more than their share of a limit: then they run late for ever, each in its
//! turn, and a person hears of it.

use std::time::Duration;

use metrics::gauge;
use tracing::warn;

use super::share::Asked;
use super::shared::{Shared, View, lock};
use crate::ingest::poll;

/// Thousandths of the share above which it is too much, and below which it is not any more.
const TOO_MUCH: u64 = 1000;
const ENOUGH: u64 = 900;

impl Shared {
    /// A poll that is to run each `every` came to its end.
    pub(crate) async fn polled(&self, view: &View, name: &str, every: Duration) {
        let on = poll::wanted(view);
        let asked = {
            let mut limiter = lock(&self.limiter);
            limiter.ran(&format!("poll.{name}"), every);
            limiter
                .asked(&|operation| operation.strip_prefix("poll.").is_some_and(|name| on.contains_key(name)))
        };
        for asked in asked {
            self.judge_asked(&asked).await;
        }
    }

    async fn judge_asked(&self, asked: &Asked) {
        let (account, limit) = (&self.account, &asked.limit);
        let whole = asked.whole();
        gauge!("crossdock_polls_asked_ratio", "account" => account.0.clone(), "limit" => limit.clone())
            .set(f64::from(u32::try_from(whole).unwrap_or(u32::MAX)) / 1000.0);
        let told = lock(&self.status).over.get(limit).copied();
        let over = match told {
            Some(true) => whole > ENOUGH,
            _ => whole > TOO_MUCH,
        };
        // What a former process told of is taken back once all polls are known to fit.
        if told == Some(over) || (!over && !asked.sure) {
            return;
        }
        let cause = format!("polls_over_share:{account}:{limit}");
        let (raise, resolve) = if over {
            let text = words(account.as_str(), asked);
            warn!(%account, limit, "{text}");
            let exception = self.exception("polls_over_share", cause, text);
            let help = format!(
                "they take turns and run late; commands are not touched. Give them longer intervals (`every` in [account.{account}.poll.…]) or turn off what is not needed (`enabled = false`)"
            );
            (vec![crate::canonical::Exception { help: Some(help), ..exception }], Vec::new())
        } else {
            (Vec::new(), vec![cause])
        };
        if self.announce(raise, resolve).await.is_ok() {
            lock(&self.status).over.insert(limit.clone(), over);
        }
    }
}

fn words(account: &str, asked: &Asked) -> String {
    let mut polls: Vec<(&String, &u64)> = asked.polls.iter().collect();
    polls.sort_by_key(|(_, part)| std::cmp::Reverse(**part));
    let each: Vec<String> = polls
        .into_iter()
        .map(|(operation, part)| {
            format!("{} {} %", operation.strip_prefix("poll.").unwrap_or(operation), part / 10)
        })
        .collect();
    format!(
        "the polls of {account} ask for {} % of their share of the limit `{}` (three tenths of it): {}",
        asked.whole() / 10,
        asked.limit,
        each.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn says_who_asks_for_how_much() {
        let polls = BTreeMap::from([("poll.events".to_owned(), 205), ("poll.orders".to_owned(), 1300)]);
        let asked = Asked { limit: "points".to_owned(), polls, sure: true };
        let text = "the polls of shop ask for 150 % of their share of the limit `points` (three tenths of it): orders 130 %, events 20 %";
        assert_eq!(words("shop", &asked), text);
    }
}
