//! Units of work, many in one transaction: first everything is locked and read that they depend on, in four statements
//! that go out together; then it is decided in memory which of them are refused; then what the others write goes out in
//! one go, a statement a table.
//!
//! Units of one transaction must not touch the same things ([`touched`]).

mod decide;
mod known;
mod written;

use std::collections::BTreeSet;

use self::known::Known;
use self::written::Written;
use super::codec::Fault;
use super::link::{Batch, Tx};
use super::{intake, waiting};
use crate::canonical::{AccountId, ExternalRef};
use crate::io::store::form::message_of;
use crate::ports::{Committed, Hint, NewMessage, Unit};

#[cfg(test)]
pub(super) use self::{known::STATEMENTS as KNOWN_STATEMENTS, written::STATEMENTS};

/// What has become due because of a unit.
#[derive(Default)]
struct Due {
    shards: BTreeSet<u16>,
    accounts: BTreeSet<AccountId>,
}

impl Due {
    fn hints(self) -> Vec<Hint> {
        let inbound = self.shards.into_iter().map(|shard| Hint::Inbound { shard });
        inbound.chain(self.accounts.into_iter().map(|account| Hint::Outbound { account })).collect()
    }
}

/// The name that an intent goes by at partners.
fn our_name(write: &crate::ports::EntityWrite, intent: &crate::canonical::Intent) -> ExternalRef {
    ExternalRef::of_client(&write.client, "our", &intent.id.to_string())
}

/// Everything that a unit reads or writes and that another one could.
pub(super) fn touched(unit: &Unit) -> Vec<String> {
    let mut out = Vec::new();
    let name = |name: &ExternalRef| format!("n{}\0{}\0{}", name.scope, name.kind, name.id);
    out.extend(unit.messages.iter().map(|(id, _)| format!("m{}", id.0)));
    out.extend(unit.resolve_messages.iter().map(|id| format!("m{}", id.0)));
    out.extend(unit.resolve_causes.iter().map(|cause| format!("c{cause}")));
    for exception in &unit.exceptions {
        out.extend(exception.message_id.map(|id| format!("m{}", id.0)));
        out.extend(exception.entity.iter().map(|entity| format!("e{entity}")));
        if exception.message_id.is_none() && exception.entity.is_none() {
            out.push(format!("c{}", exception.cause));
        }
    }
    for waiting in &unit.waiting {
        out.push(format!("f{}", waiting.fact.id));
        out.extend(waiting.refs.iter().map(name));
    }
    for write in &unit.entities {
        out.push(format!("e{}", write.id));
        out.extend(write.refs.iter().map(name));
        out.extend(write.timers.iter().map(|timer| format!("e{}", timer.entity)));
        out.extend(
            write.exceptions.iter().flatten().filter_map(|one| one.message_id).map(|id| format!("m{}", id.0)),
        );
    }
    out
}

/// Does units that touch nothing in common, each wholly or not at all.
pub(super) async fn commit(tx: &Tx, units: &[&Unit]) -> Result<Vec<Committed>, Fault> {
    let mut known = Known::read(tx, units).await?;
    let mut outcomes: Vec<Result<Due, Committed>> = Vec::with_capacity(units.len());
    let mut written = Written::default();
    for unit in units {
        outcomes.push(match decide::refusal(unit, &known) {
            Some(refusal) => Err(refusal),
            None => Ok(written.gather(tx, unit, &mut known)?),
        });
    }

    let mut batch = Batch::default();
    let linked = std::mem::take(&mut written.linked);
    let checks = written.send(&mut batch)?;
    let look = (!linked.is_empty())
        .then(|| waiting::look(&mut batch, &linked.iter().map(|link| &link.name).collect::<Vec<_>>()));
    let answers = tx.send(batch).await?;
    for (answer, expected) in checks {
        // Another transaction has written such a thing first: all is read and decided anew.
        if answers.get(answer).map(Vec::len) != Some(expected) {
            return Err(Fault::Overtaken);
        }
    }

    // What waited for names that have an owner now, and mail: messages to ourselves.
    let mut mail: Vec<NewMessage> = Vec::new();
    if let Some(rows) = look.and_then(|look| answers.get(look)) {
        let woken = waiting::woken(rows)?;
        for one in &woken {
            let Some(link) = linked.get(one.name) else { return Err(Fault::Overtaken) };
            let message = message_of(&one.fact, &link.owner, None, link.at)?;
            if let Some(Ok(due)) = outcomes.get_mut(link.unit) {
                due.shards.insert(message.shard);
            }
            mail.push(message);
        }
        if let Some(first) = woken.first().and_then(|one| linked.get(one.name)) {
            let mut batch = Batch::default();
            waiting::end(&mut batch, &woken, first.at);
            tx.at_last(batch);
        }
    }
    for (unit, outcome) in units.iter().zip(&outcomes) {
        if outcome.is_ok() {
            mail.extend(unit.mail.iter().cloned());
        }
    }
    intake::tell(tx, &mail.iter().collect::<Vec<_>>()).await?;
    Ok(outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok(due) => Committed::Done { hints: due.hints() },
            Err(refusal) => refusal,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::gather::waves;
    use super::*;
    use crate::canonical::MessageId;
    use crate::ports::MessageState;

    #[test]
    fn units_of_one_wave_have_nothing_in_common() {
        let unit = |ids: &[i64]| Unit {
            messages: ids.iter().map(|id| (MessageId(*id), MessageState::Done)).collect(),
            ..Unit::default()
        };
        let units = [unit(&[1]), unit(&[2]), unit(&[1, 3]), unit(&[3]), unit(&[4])];
        assert_eq!(waves(units.iter().map(touched)), [vec![0, 1, 4], vec![2], vec![3]]);
    }
}
