//! What follows from facts for other entities, within the unit in which it follows: an order asks the stock, the stock
//! answers. What would be five messages to stock and five back for an order of five SKUs (each stored, read, and worked
//! on in a unit of its own) is worked out in memory, and one commit writes what it comes to: the same facts, states,
//! reservations and intents.
//!
//! Nothing depends on it: what is not delivered here goes out as a message to ourselves. Entities are written under the
//! versions that were read, as always; that only one batch works on a client's stock at a time ([`super::turns`]) is there
//! to lose no races, not to be safe.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::assemble::{Batch, Draft, root};
use super::entity::Mail;
use crate::canonical::{Body, ClientId, EntityId, EntityKind, FactId};
use crate::ports::{Reserved, StoreError};

/// How often mail goes round. An order's question is answered in the second round; what is still under way after the last
/// goes out as messages.
const ROUNDS: usize = 4;

/// The clients to whose stock there is mail.
pub(super) fn asked(drafts: &[Draft]) -> BTreeSet<ClientId> {
    let entities = drafts.iter().flat_map(|draft| draft.entities.values());
    let mails = entities.filter_map(|(_, folded)| folded.as_ref()).flat_map(|folded| &folded.mails);
    mails.filter(|mail| mail.to.kind() == EntityKind::Stock).map(|mail| mail.client.clone()).collect()
}

/// Delivers mail to stock and to entities of the batch, again and again. `None` when one of them cannot be worked on:
/// then nothing was done that matters, and the mail is to go out as messages.
pub(super) async fn follow(
    batch: &mut Batch<'_>,
    drafts: Vec<Draft>,
) -> Result<Option<Vec<Draft>>, StoreError> {
    let mut drafts: Vec<Option<Draft>> = drafts.into_iter().map(Some).collect();
    let mut home: HashMap<EntityId, usize> = HashMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        home.extend(draft.iter().flat_map(|draft| draft.entities.keys().cloned()).map(|id| (id, index)));
    }
    let mut parent: Vec<usize> = (0..drafts.len()).collect();
    let mut delivered: HashSet<(EntityId, FactId)> = HashSet::new();
    for _ in 0..ROUNDS {
        let post = collect(&mut drafts, &home, &mut delivered);
        if post.is_empty() {
            break;
        }
        open(batch, &post).await?;
        for (to, mails) in &post {
            let about = mails.iter().map(|(from, _)| *from).chain(home.get(to).copied());
            let about: BTreeSet<usize> = about.map(|index| root(&mut parent, index)).collect();
            home.insert(to.clone(), unite(&mut drafts, &mut parent, about));
        }
        for (to, mails) in post {
            let at = home.get(&to).map(|index| root(&mut parent, *index));
            let Some(draft) = at.and_then(|at| drafts.get_mut(at)?.as_mut()) else { continue };
            let (told, folded) = draft.entities.entry(to.clone()).or_default();
            if let Some(write) = folded.take().and_then(|folded| folded.write) {
                told.facts = write.facts;
            }
            for (_, mail) in mails {
                told.client.get_or_insert(mail.client);
                told.hear(mail.fact);
            }
            let now = batch.fold(&to, told, false).await?;
            if now.as_ref().is_none_or(|now| now.broken.is_some()) {
                return Ok(None);
            }
            *folded = now;
        }
    }
    let mut drafts: Vec<Draft> = drafts.into_iter().flatten().collect();
    for (id, (told, folded)) in drafts.iter_mut().flat_map(|draft| &mut draft.entities) {
        let asked = folded.as_ref().is_some_and(|folded| folded.write.is_none() && folded.broken.is_none());
        if asked && id.kind() == EntityKind::Order {
            // Nothing was answered that it did not know.
            *folded = batch.fold(id, told, false).await?;
        }
        if let Some(folded) = folded {
            folded.mails.retain(|mail| !delivered.contains(&(mail.to.clone(), mail.fact.id)));
        }
    }
    Ok(Some(drafts))
}

/// Takes the mail that can be delivered here, by addressee; with the draft that it comes from.
fn collect(
    drafts: &mut [Option<Draft>],
    home: &HashMap<EntityId, usize>,
    delivered: &mut HashSet<(EntityId, FactId)>,
) -> BTreeMap<EntityId, Vec<(usize, Mail)>> {
    let mut post: BTreeMap<EntityId, Vec<(usize, Mail)>> = BTreeMap::new();
    for (index, draft) in drafts.iter_mut().enumerate() {
        let entities = draft.iter_mut().flat_map(|draft| draft.entities.values_mut());
        for folded in entities.filter_map(|(_, folded)| folded.as_mut()) {
            for mail in std::mem::take(&mut folded.mails) {
                if mail.to.kind() != EntityKind::Stock && !home.contains_key(&mail.to) {
                    folded.mails.push(mail);
                } else if delivered.insert((mail.to.clone(), mail.fact.id)) {
                    post.entry(mail.to.clone()).or_default().push((index, mail));
                }
            }
        }
    }
    post
}

/// Reads what is needed of the addressees.
async fn open(
    batch: &mut Batch<'_>,
    post: &BTreeMap<EntityId, Vec<(usize, Mail)>>,
) -> Result<(), StoreError> {
    batch.load(post.keys().cloned()).await?;
    let mut wanted = Vec::new();
    for (to, mails) in post.iter().filter(|(to, _)| to.kind() == EntityKind::Stock) {
        if batch.has_all(to) {
            continue;
        }
        let asks = mails.iter().filter_map(|(_, mail)| match &mail.fact.body {
            Body::StockAsk(ask) => Some(EntityId(ask.by.clone())),
            _ => None,
        });
        // Nothing is reserved for an order that was not there before, either.
        let orders: BTreeSet<EntityId> = asks.filter(|order| batch.exists(order)).collect();
        // Nothing is reserved of what nobody has heard of.
        let orders = batch.exists(to).then(|| orders.into_iter().collect());
        wanted.push(Reserved { stock: to.clone(), orders });
    }
    batch.reserve(wanted).await
}

/// Makes one draft of several; gives where it is.
fn unite(drafts: &mut [Option<Draft>], parent: &mut [usize], of: BTreeSet<usize>) -> usize {
    let mut of = of.into_iter();
    let into = of.next().unwrap_or_default();
    for other in of {
        parent[other] = into;
        if let Some(other) = drafts[other].take()
            && let Some(draft) = &mut drafts[into]
        {
            draft.join(other);
        }
    }
    into
}
