//! An account: its part in the flows, how its lane goes, its limits, when the partner last answered.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::canonical::{AccountId, ClientId};
use crate::config::model::{Account, Config};
use crate::config::world::World;
use crate::ports::{ExceptionQuery, LANES, LaneState, Store};
use crate::web::error::ApiError;

/// One account.
#[derive(Debug, Serialize)]
pub struct AccountView {
    /// Its name in `config.toml`.
    pub id: AccountId,
    /// The connector.
    pub connector: String,
    /// The merchants whose messages it may carry.
    pub clients: Vec<ClientId>,
    /// Its parts in the flows: `storefront of acme`.
    pub parts: Vec<String>,
    /// Whether it is used at all.
    pub enabled: bool,
    /// Where the partner sends its webhooks; absent when the connector takes none.
    pub webhook: Option<String>,
    /// How its lane goes; absent until the lane first ran.
    pub lane: Option<LaneState>,
    /// What was counted: `bad_signature`, …
    pub counted: BTreeMap<String, u64>,
    /// Open exceptions that concern it.
    pub exceptions: u64,
}

impl AccountView {
    /// The word for its state: the lane's, or `off`, or `new`.
    pub fn word(&self) -> &str {
        match &self.lane {
            _ if !self.enabled => "off",
            Some(lane) if lane.failures > 0 && matches!(lane.state.as_str(), "" | "idle" | "busy") => {
                "failing"
            }
            Some(lane) if !lane.state.is_empty() => &lane.state,
            Some(_) => "idle",
            None => "new",
        }
    }
    /// Webhooks whose signature did not verify.
    pub fn bad_signatures(&self) -> u64 {
        self.counted.get("bad_signature").copied().unwrap_or_default()
    }
}

/// All accounts of the config, by name.
///
/// # Errors
/// When the store cannot be read.
pub async fn all(store: &dyn Store, world: &World) -> Result<Vec<AccountView>, ApiError> {
    let config = &world.config;
    let mut lanes: BTreeMap<String, LaneState> = BTreeMap::new();
    for (name, value) in store.all(LANES).await? {
        if let Ok(lane) = serde_json::from_value(value) {
            lanes.insert(name, lane);
        }
    }
    let mut counted: BTreeMap<AccountId, BTreeMap<String, u64>> = BTreeMap::new();
    for (account, what, number) in store.counted().await? {
        counted.entry(account).or_default().insert(what, number);
    }
    let mut views = Vec::with_capacity(config.accounts.len());
    for (id, account) in &config.accounts {
        let query = ExceptionQuery { account: Some(id.0.clone()), ..ExceptionQuery::default() };
        let causes = store.causes(&query).await?;
        views.push(AccountView {
            id: id.clone(),
            connector: account.connector.clone(),
            clients: config.clients_of(id).into_iter().cloned().collect(),
            parts: parts(config, id),
            enabled: account.enabled,
            webhook: webhook(world, account),
            lane: lanes.remove(id.as_str()),
            counted: counted.remove(id).unwrap_or_default(),
            exceptions: causes.iter().map(|cause| cause.count).sum(),
        });
    }
    Ok(views)
}

fn webhook(world: &World, account: &Account) -> Option<String> {
    let connector = world.registry.get(&account.connector)?;
    connector.manifest.webhook.as_ref()?;
    Some(format!("{}/hooks/{}", world.config.server.public_url, account.id))
}

fn parts(config: &Config, id: &AccountId) -> Vec<String> {
    let mut parts = Vec::new();
    for flow in config.flows.values() {
        let plays = [
            ("storefront", flow.storefronts.contains(id)),
            ("warehouse", flow.warehouses.contains(id)),
            ("tracking", flow.tracking.as_ref() == Some(id)),
            ("labels", flow.labels.as_ref() == Some(id)),
            ("gateway", flow.gateway.as_ref() == Some(id)),
        ];
        for (part, yes) in plays {
            if yes {
                parts.push(format!("{part} of {}", flow.name));
            }
        }
    }
    parts
}
