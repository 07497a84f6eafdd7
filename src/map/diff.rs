//! `map diff`: what a changed mapping makes of recorded messages, against what the present one makes of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::convert::short;
use super::node::Node;
use super::{Context, Inbound, Mapped, MappedFact};
use crate::canonical::{AccountId, ClientId};
use crate::config::model::{Account, Config};
use crate::connector::Registry;

/// Orders that a report shows one by one; the others are counted.
pub const SHOWN: usize = 200;

/// One difference between what the two mappings say of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The fact: the mapping's rule; empty for an exception of the message as a whole.
    pub fact: String,
    /// The field: `lines[1].sku`; empty when the whole fact comes or goes.
    pub field: String,
    /// With the present mapping.
    pub before: Option<Value>,
    /// With the changed one.
    pub after: Option<Value>,
}

impl Change {
    /// The fact and the field without the numbers of rows: what is counted together.
    #[must_use]
    pub fn what(&self) -> String {
        let mut name = String::new();
        let mut inside = false;
        for letter in self.field.chars() {
            match letter {
                '[' => {
                    inside = true;
                    name.push_str("[*]");
                }
                ']' => inside = false,
                letter if !inside => name.push(letter),
                _ => {}
            }
        }
        match (self.fact.as_str(), name.as_str()) {
            (fact, "") => fact.to_owned(),
            ("", field) => field.to_owned(),
            (fact, field) => format!("{fact}.{field}"),
        }
    }
}

/// What differs in one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageDiff {
    /// The message's number.
    pub message: i64,
    /// What differs.
    pub changes: Vec<Change>,
}

/// What differs for one order, or whatever else the facts are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectDiff {
    /// The account that spoke.
    pub account: String,
    /// What its facts are about: `order 5512`, `tracking 1Z…`, or `message 17` where no fact is made.
    pub subject: String,
    /// Its messages, in the order in which they were given.
    pub messages: Vec<MessageDiff>,
}

/// What a changed mapping would do to recorded messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Messages that both mappings were run over.
    pub messages: u64,
    /// Of which so many say something else.
    pub different: u64,
    /// Messages that make exceptions with the present mapping.
    pub exceptions_before: u64,
    /// And with the changed one.
    pub exceptions_after: u64,
    /// How often each field differs: `placed.lines[*].sku`.
    pub fields: BTreeMap<String, u64>,
    /// Subjects that differ, the first [`SHOWN`] of them.
    pub subjects: Vec<SubjectDiff>,
    /// Further ones that differ.
    pub more: u64,
    /// Whether there were more messages than are looked at.
    pub stopped: bool,
}

impl Report {
    /// Whether any message would say something else.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.different > 0
    }

    /// Runs both mappings over a message of `account` and notes what differs. `None` is a mapping that is not there.
    pub fn add(
        &mut self,
        account: &str,
        message: i64,
        body: &[u8],
        (before, after): (Option<&Inbound>, Option<&Inbound>),
        ctx: &Context,
    ) {
        self.messages += 1;
        let run = |mapping: Option<&Inbound>| mapping.map(|one| one.run_bytes(body, ctx)).unwrap_or_default();
        let (before, after) = (run(before), run(after));
        self.exceptions_before += u64::from(!before.errors.is_empty());
        self.exceptions_after += u64::from(!after.errors.is_empty());
        let changes = changes(&before, &after);
        if changes.is_empty() {
            return;
        }
        self.different += 1;
        for change in &changes {
            *self.fields.entry(change.what()).or_default() += 1;
        }
        let fact = after.facts.first().or(before.facts.first());
        let subject = fact.and_then(subject).unwrap_or_else(|| format!("message {message}"));
        let found = MessageDiff { message, changes };
        let known = self.subjects.iter().position(|one| one.account == account && one.subject == subject);
        match known {
            Some(at) => self.subjects[at].messages.push(found),
            None if self.subjects.len() < SHOWN => {
                let account = account.to_owned();
                self.subjects.push(SubjectDiff { account, subject, messages: vec![found] });
            }
            None => self.more += 1,
        }
    }
}

/// Two generations of mappings, as the accounts of one config have them.
#[derive(Clone, Copy)]
pub struct Sides<'s> {
    /// The present mappings.
    pub before: &'s Registry,
    /// The changed ones.
    pub after: &'s Registry,
    /// The accounts.
    pub config: &'s Config,
}

/// A mapping that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// The connector.
    pub connector: String,
    /// The mapping.
    pub mapping: String,
    /// The accounts for which it differs.
    pub accounts: Vec<AccountId>,
}

impl Sides<'_> {
    /// The inbound mappings that differ, for whom.
    #[must_use]
    pub fn affected(&self) -> Vec<Affected> {
        let mut found: BTreeMap<(String, String), Vec<AccountId>> = BTreeMap::new();
        for account in self.config.accounts.values() {
            let names = |registry: &Registry| -> Vec<String> {
                let connector = registry.get(&account.connector);
                connector.map(|one| one.inbound.keys().cloned().collect()).unwrap_or_default()
            };
            let mut all = names(self.before);
            all.extend(names(self.after));
            all.sort();
            all.dedup();
            let mut owners: Vec<Option<&ClientId>> = account.links.keys().map(Some).collect();
            owners.push(account.client.as_ref());
            for name in all {
                let version = |registry: &Registry, owner| {
                    let mapping = registry.inbound_for(&account.connector, &name, owner, &account.id);
                    mapping.map(|mapping| mapping.version().to_owned())
                };
                if owners.iter().any(|owner| version(self.before, *owner) != version(self.after, *owner)) {
                    let accounts = found.entry((account.connector.clone(), name.clone())).or_default();
                    accounts.push(account.id.clone());
                }
            }
        }
        let made = |((connector, mapping), accounts)| Affected { connector, mapping, accounts };
        found.into_iter().map(made).collect()
    }

    /// Runs both sides over a message that `mapping` reads; `asked` is what was asked where it is an answer.
    pub fn add(
        &self,
        report: &mut Report,
        (account, mapping): (&AccountId, &str),
        (message, body): (i64, &[u8]),
        asked: BTreeMap<String, String>,
    ) {
        let Some(account) = self.config.accounts.get(account) else { return };
        let one = |registry: &Registry, owner: Option<&ClientId>| {
            registry.inbound_for(&account.connector, mapping, owner, &account.id)
        };
        let any = one(self.before, None).or_else(|| one(self.after, None));
        let owner = any.and_then(|any| owner(account, &any.read(body).ok()?));
        let find = |registry: &Registry| one(registry, owner.as_ref());
        let (before, after) = (find(self.before), find(self.after));
        let exponents = self.after.get(&account.connector).or_else(|| self.before.get(&account.connector));
        let ctx = Context {
            account: Some(account.id.0.clone()),
            zone: account.zone.clone(),
            currency: account.currency.clone(),
            asked,
            exponents: exponents.map(|one| one.manifest.exponents.clone()).unwrap_or_default(),
        };
        report.add(account.id.as_str(), message, body, (before.as_deref(), after.as_deref()), &ctx);
    }
}

/// Whose message it is: the account's client, or the one whose link fits.
fn owner(account: &Account, node: &Node<'_>) -> Option<ClientId> {
    if account.client.is_some() || account.links.is_empty() {
        return account.client.clone();
    }
    let fits = |link: &BTreeMap<String, String>| {
        super::matches(node, link.iter().map(|(path, text)| (path.as_str(), text.as_str())))
    };
    account.links.iter().find(|(_, link)| fits(link)).map(|(client, _)| client.clone())
}

/// What a fact is about, in words.
fn subject(fact: &MappedFact) -> Option<String> {
    let fields = fact.to_json();
    let names = [
        ("number", "order"),
        ("order", "order"),
        ("our", "order"),
        ("store_order", "order"),
        ("warehouse_order", "order"),
        ("payment", "payment"),
        ("shipment", "shipment"),
        ("tracking", "parcel"),
        ("tracker", "tracker"),
        ("rma", "return"),
        ("sku", "SKU"),
        ("ref", "reference"),
    ];
    names.iter().find_map(|(name, what)| {
        let text = fields.get(*name)?.as_str()?;
        Some(format!("{what} {}", short(text)))
    })
}

/// What two runs over the same message say differently.
#[must_use]
pub fn changes(before: &Mapped, after: &Mapped) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut left: Vec<(Value, &MappedFact)> = after.facts.iter().map(|fact| (fact.to_json(), fact)).collect();
    for fact in &before.facts {
        let old = fact.to_json();
        // The same fact is the one of the same rule with the same names; else the next of that rule.
        let same = |names: &[&str]| {
            left.iter().position(|(new, other)| {
                other.rule == fact.rule && names.iter().all(|name| new.get(name) == old.get(name))
            })
        };
        match same(&["order", "ref", "payment", "shipment", "tracking", "tracker", "rma", "sku"])
            .or_else(|| same(&[]))
        {
            Some(at) => {
                let (new, _) = left.remove(at);
                values(&fact.rule, "", Some(&old), Some(&new), &mut changes);
            }
            None => changes.push(whole(fact, Some(old), None)),
        }
    }
    changes.extend(left.into_iter().map(|(new, fact)| whole(fact, None, Some(new))));
    errors(before, after, &mut changes);
    changes
}

fn whole(fact: &MappedFact, before: Option<Value>, after: Option<Value>) -> Change {
    Change { fact: fact.rule.clone(), field: String::new(), before, after }
}

/// Exceptions that come and go, by their cause: the places in their words move with the file's lines.
fn errors(before: &Mapped, after: &Mapped, changes: &mut Vec<Change>) {
    let mut left: Vec<_> = after.errors.iter().collect();
    let said = |message: &str| Some(Value::String(message.to_owned()));
    let field = || "exception".to_owned();
    for error in &before.errors {
        match left.iter().position(|other| other.cause == error.cause) {
            Some(at) => {
                left.remove(at);
            }
            None => changes.push(Change {
                fact: String::new(),
                field: field(),
                before: said(&error.message),
                after: None,
            }),
        }
    }
    for error in left {
        let after = said(&error.message);
        changes.push(Change { fact: String::new(), field: field(), before: None, after });
    }
}

fn values(fact: &str, field: &str, before: Option<&Value>, after: Option<&Value>, out: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                let inner = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                values(fact, &inner, old.get(name), new.get(name), out);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for number in 0..old.len().max(new.len()) {
                values(fact, &format!("{field}[{number}]"), old.get(number), new.get(number), out);
            }
        }
        (before, after) => out.push(Change {
            fact: fact.to_owned(),
            field: field.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::Sources;

    fn compile(text: &str) -> Inbound {
        let mut sources = Sources::default();
        sources.insert("mappings/shop/order.in.toml", text);
        Inbound::compile(&sources, "shop", "order", &[]).unwrap()
    }

    const BEFORE: &str = "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\nnumber = \"name\"\nnote = \"note\"\n\
        total = { path = \"total\", currency = \"USD\" }\n\
        [fact.placed.lines]\neach = \"lines\"\nref = \"id\"\nsku = \"sku\"\nquantity = \"n\"\n";

    #[test]
    fn order_by_order_what_would_differ() {
        let before = compile(BEFORE);
        let after = compile(
            &BEFORE
                .replace("\"note\"\n", "\"remark\"\n")
                .replace("sku = \"sku\"", "sku = { path = \"sku\", upper = true }"),
        );
        let mut report = Report::default();
        let both = (Some(&before), Some(&after));
        let ctx = Context::default();
        let same = br#"{"id":1,"name":"A1","total":"1.00","lines":[{"id":1,"sku":"X","n":1}]}"#;
        let other =
            br#"{"id":2,"name":"A2","total":"1.00","note":"a","remark":"b","lines":[{"id":1,"sku":"X","n":1},{"id":2,"sku":"y","n":1}]}"#;
        report.add("shop", 1, same, both, &ctx);
        report.add("shop", 2, other, both, &ctx);
        report.add("shop", 3, other, both, &ctx);
        report.add("shop", 4, b"no json", both, &ctx);
        assert_eq!((report.messages, report.different, report.exceptions_after), (4, 2, 1));
        assert_eq!(report.fields["placed.note"], 2);
        assert_eq!(report.fields["placed.lines[*].sku"], 2);
        assert_eq!(report.subjects.len(), 1);
        let subject = &report.subjects[0];
        assert_eq!((subject.subject.as_str(), subject.messages.len()), ("order A2", 2));
        let change =
            subject.messages[0].changes.iter().find(|change| change.field == "lines[1].sku").unwrap();
        assert_eq!(
            (change.before.as_ref().unwrap(), change.after.as_ref().unwrap()),
            (&"y".into(), &"Y".into())
        );
    }

    #[test]
    fn facts_and_exceptions_come_and_go() {
        let before = compile(BEFORE);
        let strict = BEFORE.replace("note = \"note\"", "note = { path = \"note\", required = true }");
        let after = compile(&format!("{strict}[fact.closed]\nis = \"order.closed\"\norder = \"id\"\n"));
        let node = Node::parse_json(br#"{"id":1,"name":"A1","total":"1.00","lines":[]}"#).unwrap();
        let run = |mapping: &Inbound| mapping.run(&node, &Context::default());
        let found = changes(&run(&before), &run(&after));
        let told: Vec<(String, bool, bool)> = found
            .iter()
            .map(|change| (change.what(), change.before.is_some(), change.after.is_some()))
            .collect();
        assert_eq!(
            told,
            [
                ("placed".to_owned(), true, false),
                ("closed".to_owned(), false, true),
                ("exception".to_owned(), false, true)
            ]
        );
        // A moved line is no difference.
        let moved = compile(&format!("\n\n{strict}"));
        assert_eq!(changes(&run(&compile(&strict)), &run(&moved)), []);
    }
}
