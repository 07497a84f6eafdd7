//! Whose fact it is: the names that find its entity, and the names to link once it is found.

use crate::canonical::fact::Header;
use crate::canonical::{AccountId, Body, ClientId, EntityId, ExternalRef};
use crate::config::model::Config;

/// Where a fact belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The entity, where the fact itself tells it: it creates the order, is about stock, or names our own id.
    pub direct: Option<EntityId>,
    /// Names of which any that is linked tells the entity. All that are linked must agree, else links contradict.
    pub candidates: Vec<ExternalRef>,
    /// The order that this fact creates if it does not exist yet (`order.placed` of a storefront).
    pub creates: Option<EntityId>,
    /// Names to link to the entity once it is known.
    pub links: Vec<ExternalRef>,
}

/// Where the fact belongs that `account` told for `client` (known from the account or its links; without it, only what
/// the account alone names can be found).
#[must_use]
pub fn subject(
    account: &AccountId,
    header: &Header,
    config: &Config,
    client: Option<&ClientId>,
    body: &Body,
) -> Subject {
    let _ = (account, header, config, client, body);
    Subject::default()
}
