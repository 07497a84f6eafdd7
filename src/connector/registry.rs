//! All connectors that loaded, with their compiled mappings and what clients and accounts change in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::manifest::Manifest;
use super::read;
use crate::canonical::{AccountId, ClientId};
use crate::config::sources::Sources;
use crate::diagnostic::Diagnostic;
use crate::map::{Inbound, Outbound};

/// A connector: its manifest and its compiled mappings.
#[derive(Debug, Clone)]
pub struct Connector {
    /// What the partner's API is like.
    pub manifest: Manifest,
    /// Mappings of what it says, by name.
    pub inbound: BTreeMap<String, Arc<Inbound>>,
    /// Mappings of what we say, by name.
    pub outbound: BTreeMap<String, Arc<Outbound>>,
}

/// The connectors that loaded. One whose manifest is broken is not among them, and a broken mapping is not in its
/// connector.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    connectors: BTreeMap<String, Arc<Connector>>,
    inbound: BTreeMap<Variant, Arc<Inbound>>,
    outbound: BTreeMap<Variant, Arc<Outbound>>,
}

/// A mapping as one client, one account, or one client at one account has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Variant {
    connector: String,
    mapping: String,
    client: Option<String>,
    account: Option<String>,
}

impl Variant {
    fn overlays(&self) -> Vec<String> {
        let Self { connector, mapping, .. } = self;
        let clients =
            self.client.iter().map(|name| format!("mappings/clients/{name}/{connector}/{mapping}.toml"));
        let accounts =
            self.account.iter().map(|name| format!("mappings/accounts/{name}/{connector}/{mapping}.toml"));
        clients.chain(accounts).collect()
    }
}

impl Registry {
    /// The connector called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Connector>> {
        self.connectors.get(name)
    }

    /// The names of all connectors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.connectors.keys().map(String::as_str)
    }

    /// The connectors, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Connector>> {
        self.connectors.values()
    }

    /// The versions of each mapping (`shopify/order`), with those that overlays make of it.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut add = |connector: &str, mapping: &str, whose: String, version: &str| {
            all.entry(format!("{connector}/{mapping}")).or_default().insert(whose + version);
        };
        for (name, connector) in &self.connectors {
            for (mapping, inbound) in &connector.inbound {
                add(name, mapping, "in ".to_owned(), inbound.version());
            }
            for (mapping, outbound) in &connector.outbound {
                add(name, mapping, "out ".to_owned(), outbound.version());
            }
        }
        let whose = |variant: &Variant| format!("{:?} {:?} ", variant.client, variant.account);
        for (variant, inbound) in &self.inbound {
            add(&variant.connector, &variant.mapping, whose(variant), inbound.version());
        }
        for (variant, outbound) in &self.outbound {
            add(&variant.connector, &variant.mapping, whose(variant), outbound.version());
        }
        all
    }

    /// The mapping of what `account` says, with the overlays of `client` and then of the account over it.
    #[must_use]
    pub fn inbound_for(
        &self,
        connector: &str,
        mapping: &str,
        client: Option<&ClientId>,
        account: &AccountId,
    ) -> Option<Arc<Inbound>> {
        let variant = find(&self.inbound, connector, mapping, client, account);
        variant.or_else(|| self.get(connector)?.inbound.get(mapping)).cloned()
    }

    /// The mapping of what we say to `account`, with the overlays of `client` and then of the account over it.
    #[must_use]
    pub fn outbound_for(
        &self,
        connector: &str,
        mapping: &str,
        client: Option<&ClientId>,
        account: &AccountId,
    ) -> Option<Arc<Outbound>> {
        let variant = find(&self.outbound, connector, mapping, client, account);
        variant.or_else(|| self.get(connector)?.outbound.get(mapping)).cloned()
    }
}

/// The variant that is nearest to this client at this account.
fn find<'r, M>(
    variants: &'r BTreeMap<Variant, M>,
    connector: &str,
    mapping: &str,
    client: Option<&ClientId>,
    account: &AccountId,
) -> Option<&'r M> {
    if variants.is_empty() {
        return None;
    }
    let client = client.map(|client| client.0.clone());
    let account = Some(account.0.clone());
    [(client.clone(), account.clone()), (None, account), (client, None)].into_iter().find_map(
        |(client, account)| {
            let (connector, mapping) = (connector.to_owned(), mapping.to_owned());
            variants.get(&Variant { connector, mapping, client, account })
        },
    )
}

/// Reads all manifests and compiles all mappings, and reports every problem.
#[must_use]
pub fn load(sources: &Sources) -> (Registry, Vec<Diagnostic>) {
    let mut registry = Registry::default();
    let mut problems = Vec::new();
    for name in connector_names(sources) {
        let (manifest, found) = read::manifest(sources, &name);
        problems.extend(found);
        let (inbound, found) = mappings(sources, &name, ".in.toml", Inbound::compile);
        problems.extend(found);
        problems.extend(inbound.values().flat_map(|mapping| mapping.warnings().iter().cloned()));
        let (outbound, found) = mappings(sources, &name, ".out.toml", Outbound::compile);
        problems.extend(found);
        if let Some(manifest) = manifest {
            let connector = Connector { manifest, inbound: shared(inbound), outbound: shared(outbound) };
            registry.connectors.insert(name, Arc::new(connector));
        }
    }
    overlays(sources, &mut registry, &mut problems);
    let mut seen = BTreeSet::new();
    problems.retain(|found| seen.insert(found.to_string()));
    (registry, problems)
}

fn shared<M>(mappings: BTreeMap<String, M>) -> BTreeMap<String, Arc<M>> {
    mappings.into_iter().map(|(name, mapping)| (name, Arc::new(mapping))).collect()
}

/// The folders below `connectors/` that have a manifest.
fn connector_names(sources: &Sources) -> Vec<String> {
    let paths = sources.under("connectors/").map(|(path, _)| path);
    paths
        .filter_map(|path| path.strip_prefix("connectors/")?.strip_suffix("/connector.toml"))
        .filter(|name| !name.contains('/'))
        .map(str::to_owned)
        .collect()
}

type Compile<M> = fn(&Sources, &str, &str, &[String]) -> Result<M, Vec<Diagnostic>>;

fn mappings<M>(
    sources: &Sources,
    connector: &str,
    ending: &str,
    compile: Compile<M>,
) -> (BTreeMap<String, M>, Vec<Diagnostic>) {
    let folder = format!("mappings/{connector}/");
    let mut compiled = BTreeMap::new();
    let mut problems = Vec::new();
    for (path, _) in sources.under(&folder) {
        let name = path.strip_prefix(&folder).and_then(|rest| rest.strip_suffix(ending));
        if let Some(name) = name.filter(|name| !name.contains('/')) {
            match compile(sources, connector, name, &[]) {
                Ok(mapping) => {
                    compiled.insert(name.to_owned(), mapping);
                }
                Err(found) => problems.extend(found),
            }
        }
    }
    (compiled, problems)
}

/// Compiles every mapping with each overlay, and with each pair of a client's and an account's.
fn overlays(sources: &Sources, registry: &mut Registry, problems: &mut Vec<Diagnostic>) {
    let mut variants = BTreeSet::new();
    for (folder, of_client) in [("mappings/clients/", true), ("mappings/accounts/", false)] {
        for (path, _) in sources.under(folder) {
            let Some(rest) = path.strip_prefix(folder).and_then(|rest| rest.strip_suffix(".toml")) else {
                continue;
            };
            let steps: Vec<&str> = rest.split('/').collect();
            let [who, connector, mapping] = steps.as_slice() else {
                let what = if of_client { "<client>" } else { "<account>" };
                problems.push(
                    Diagnostic::whole(path, "an overlay lies in the wrong place")
                        .help(format!("expected {folder}{what}/<connector>/<mapping>.toml")),
                );
                continue;
            };
            let who = Some((*who).to_owned());
            variants.insert(Variant {
                connector: (*connector).to_owned(),
                mapping: (*mapping).to_owned(),
                client: who.clone().filter(|_| of_client),
                account: who.filter(|_| !of_client),
            });
        }
    }
    let mut pairs = Vec::new();
    for one in variants.iter().filter(|variant| variant.client.is_some()) {
        for other in variants.iter().filter(|variant| variant.account.is_some()) {
            if one.connector == other.connector && one.mapping == other.mapping {
                pairs.push(Variant { account: other.account.clone(), ..one.clone() });
            }
        }
    }
    variants.extend(pairs);
    for variant in variants {
        compile(sources, registry, problems, variant);
    }
}

fn compile(sources: &Sources, registry: &mut Registry, problems: &mut Vec<Diagnostic>, variant: Variant) {
    let Variant { connector, mapping, .. } = &variant;
    let overlays = variant.overlays();
    let exists =
        |ending: &str| sources.get(&format!("mappings/{connector}/{mapping}.{ending}.toml")).is_some();
    if exists("in") {
        match Inbound::compile(sources, connector, mapping, &overlays) {
            Ok(inbound) => {
                problems.extend(inbound.warnings().iter().cloned());
                registry.inbound.insert(variant, Arc::new(inbound));
            }
            Err(found) => problems.extend(found),
        }
    } else if exists("out") {
        match Outbound::compile(sources, connector, mapping, &overlays) {
            Ok(outbound) => {
                registry.outbound.insert(variant, Arc::new(outbound));
            }
            Err(found) => problems.extend(found),
        }
    } else {
        let folder = format!("mappings/{connector}/");
        let known: Vec<&str> = sources
            .under(&folder)
            .filter_map(|(path, _)| path.strip_prefix(&folder))
            .filter_map(|name| name.strip_suffix(".in.toml").or_else(|| name.strip_suffix(".out.toml")))
            .collect();
        let file = overlays.first().map_or("mappings/", String::as_str);
        let found =
            Diagnostic::whole(file, format!("there is no mapping `{mapping}` of `{connector}` to lie over"));
        problems.push(found.nearest(mapping, known));
    }
}
