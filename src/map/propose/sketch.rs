//! A mapping under way: which field of the samples goes to which field of the fact.

use crate::canonical::fact::Header;
use crate::canonical::schema::{Field, Ty};
use crate::map::node::Node;
use crate::map::update::{bare, quoted};

use super::look::{self, Spot, find, fits};
use super::names::{LINE, NAMES};

/// A rule under way.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// The table below the fact: empty, `lines`, `ship_to`.
    pub(super) table: &'static str,
    pub(super) field: String,
    pub(super) rule: String,
    /// What a person must look at.
    pub(super) doubt: Option<String>,
    /// Why it was taken out.
    pub(super) out: Option<String>,
}

/// A mapping under way.
pub(super) struct Sketch {
    pub(super) kind: &'static str,
    pub(super) format: Option<&'static str>,
    pub(super) records: String,
    pub(super) currency: Option<String>,
    pub(super) unit: Option<&'static str>,
    pub(super) zone: bool,
    pub(super) drafts: Vec<Draft>,
    /// For tables: `each`, `from`.
    pub(super) heads: Vec<(&'static str, String, Option<String>)>,
    /// When the record tells of a cancellation: the path of when.
    pub(super) cancelled: Option<String>,
    pub(super) decide: Vec<String>,
}

impl Sketch {
    pub(super) fn of(
        kind: &'static str,
        fields: &'static [Field],
        records: &str,
        found: &[Node<'_>],
        format: Option<&'static str>,
    ) -> Self {
        let mut sketch = Self {
            kind,
            format,
            records: records.to_owned(),
            currency: None,
            unit: None,
            zone: false,
            drafts: Vec::new(),
            heads: Vec::new(),
            cancelled: None,
            decide: Vec::new(),
        };
        let all: Vec<Vec<Spot<'_>>> = found.iter().map(look::spots).collect();
        // What one sample lacks another may have.
        let spots: Vec<Spot<'_>> = all.into_iter().flatten().collect();
        // What stands in an address is the address's.
        let homes: Vec<String> = spots
            .iter()
            .filter(|spot| look::is_address(spot.node))
            .map(|spot| format!("{}.", spot.path))
            .collect();
        let outside = |spot: &&Spot<'_>| !homes.iter().any(|home| spot.path.starts_with(home));
        let outer: Vec<Spot<'_>> = spots.iter().filter(outside).cloned().collect();
        sketch.money(&spots);
        let known: Vec<Field> = Header::FIELDS.iter().chain(fields).copied().collect();
        for field in &known {
            sketch.field(field, &outer);
        }
        if known.iter().any(|field| field.name == "lines") {
            sketch.lines(&spots);
        }
        for name in ["ship_to", "bill_to"] {
            if known.iter().any(|field| field.name == name) {
                sketch.address(name, &spots);
            }
        }
        if kind == "order.placed" {
            let names =
                ["cancelledat", "canceledat", "datecancelled", "cancelleddate", "canceltime", "cancelledon"];
            let name = |spot: &&Spot<'_>| spot.depth == 0 && names.contains(&spot.name.as_str());
            sketch.cancelled = spots.iter().find(name).map(|spot| spot.path.clone());
        }
        sketch.statuses(&spots);
        if sketch.speaks_of("order") && !sketch.drafts.iter().any(|draft| draft.field == "order") {
            sketch.decide.push("order: no id of the order was found, and a fact needs one".to_owned());
        }
        sketch
    }

    /// The currency, and what a bare number means.
    fn money(&mut self, spots: &[Spot<'_>]) {
        let names =
            ["currency", "currencycode", "ordercurrencycode", "currencyid", "currencyisocode", "idcurrency"];
        let found = find(spots, &names, |node| fits(node, Ty::Currency));
        self.currency = found.map(|spot| spot.path.clone());
        let amounts: Vec<&Spot<'_>> = spots
            .iter()
            .filter(|spot| {
                let money = NAMES
                    .iter()
                    .filter(|(name, _)| matches!(*name, "total" | "subtotal" | "amount" | "cost"));
                money.into_iter().any(|(_, names)| names.contains(&spot.name.as_str()))
                    && fits(spot.node, Ty::Money)
            })
            .collect();
        if !amounts.is_empty() {
            let places = amounts.iter().any(|spot| look::has_places(spot.node));
            self.unit = Some(if places { "major" } else { "minor" });
            if !places {
                self.decide.push(
                    "unit: all amounts are whole numbers. Are they cents (\"minor\") or whole units (\"major\")?".to_owned(),
                );
            }
        }
    }

    fn field(&mut self, field: &Field, spots: &[Spot<'_>]) {
        let structured =
            matches!(field.ty, Ty::Record(_) | Ty::Extra) || matches!(field.ty, Ty::List(Ty::Record(_)));
        let Some((_, names)) = NAMES.iter().find(|(name, _)| *name == field.name).filter(|_| !structured)
        else {
            return;
        };
        let header = Header::FIELDS.iter().any(|known| known.name == field.name);
        if header && !self.speaks_of(field.name) {
            return;
        }
        let ty = if matches!(field.ty, Ty::Word(_)) { Ty::Text } else { field.ty };
        let Some(spot) =
            find(spots, names, |node| fits(node, ty) || (ty == Ty::List(&Ty::Text) && fits(node, Ty::Text)))
        else {
            if field.required
                && let Ty::Word(words) = field.ty
            {
                let doubt = format!("which of {}?", words.join(", "));
                let rule = format!("{{ const = {} }}", quoted(words.last().copied().unwrap_or_default()));
                self.push("", field.name, rule, Some(doubt));
            }
            return;
        };
        let path = quoted(&spot.path);
        let text = spot.node.text().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let (rule, doubt) = match field.ty {
            Ty::Time => self.time(&path, &text),
            Ty::List(_) if spot.node.items().is_none() => {
                (format!("{{ path = {path}, split = \",\" }}"), None)
            }
            Ty::Word(words) => {
                let word = words.last().copied().unwrap_or_default();
                let rows = format!("{{ {} = {} }}", bare(text.trim()), quoted(word));
                let doubt = format!("translate each of the partner's words into one of {}", words.join(", "));
                (format!("{{ path = {path}, lookup = {rows} }}"), Some(doubt))
            }
            _ => (path, None),
        };
        // An id and a number may be the same thing.
        if field.name == "number"
            && self.drafts.iter().any(|draft| draft.field == "order" && draft.rule == rule)
        {
            return;
        }
        self.push("", field.name, rule, doubt);
    }

    /// Which names a fact of this kind carries.
    fn speaks_of(&self, header: &str) -> bool {
        let names: &[&str] = match self.kind.split('.').next().unwrap_or_default() {
            "order" => &["order", "number", "at", "version"],
            "payment" | "refund" => &["order", "payment", "ref", "at"],
            "fulfilment" => &["order", "shipment", "at"],
            "tracking" | "label" => &["tracking", "tracker", "at", "ref"],
            "return" => &["order", "rma", "at"],
            _ => &["at"],
        };
        names.contains(&header)
    }

    fn time(&mut self, path: &str, text: &str) -> (String, Option<String>) {
        let Some(clock) = look::time(text) else { return (path.to_owned(), None) };
        if !clock.offset {
            self.zone = true;
        }
        let doubt = clock.doubtful.then(|| "is the day or the month first?".to_owned());
        match clock.format {
            Some(format) => (format!("{{ path = {path}, formats = [{}] }}", quoted(format)), doubt),
            None => (path.to_owned(), doubt),
        }
    }

    fn lines(&mut self, spots: &[Spot<'_>]) {
        let Some(rows) = look::lines(spots) else {
            self.decide.push("lines: no list of lines was found".to_owned());
            return;
        };
        let inner: Vec<Spot<'_>> = rows.items.iter().flat_map(|item| look::spots(item)).collect();
        let part = self.kind != "order.placed";
        self.heads.push(("lines", format!("each = {}", quoted(&rows.path)), None));
        for (name, names) in LINE {
            let name = match (part, name) {
                (true, "ref") => "line",
                (true, "title" | "unit_price" | "tax") => continue,
                (_, name) => name,
            };
            let ty = match name {
                "quantity" => Ty::Quantity,
                "unit_price" | "tax" => Ty::Money,
                _ => Ty::Text,
            };
            match find(&inner, names, |node| fits(node, ty)) {
                Some(spot) => self.push("lines", name, quoted(&spot.path), None),
                None if name == "quantity" => {
                    let doubt = "no quantity was found: is it one row for each unit?".to_owned();
                    self.push("lines", name, "{ const = 1 }".to_owned(), Some(doubt));
                }
                None if name == "ref" => {
                    let doubt =
                        "no id of a line was found: what tells two lines of an order apart?".to_owned();
                    self.push("lines", name, "{ const = \"1\" }".to_owned(), Some(doubt));
                }
                None => {}
            }
        }
    }

    fn address(&mut self, name: &'static str, spots: &[Spot<'_>]) {
        let words: &[&str] = if name == "ship_to" {
            &["ship", "deliver", "recipient", "destination"]
        } else {
            &["bill", "invoice"]
        };
        let addresses = || spots.iter().filter(|spot| look::is_address(spot.node));
        let named = |spot: &&Spot<'_>| {
            words.iter().any(|word| spot.full.contains(word)) && !spot.full.contains("shipfrom")
        };
        let mut doubt = None;
        let found = addresses().find(named).or_else(|| {
            let others = ["bill", "invoice", "shipfrom", "origin", "sender", "return", "store"];
            let other = |spot: &&Spot<'_>| !others.iter().any(|word| spot.full.contains(word));
            let only = addresses().find(other).filter(|_| name == "ship_to");
            doubt = only.map(|_| "is this where the goods go?".to_owned());
            only
        });
        let Some(found) = found else { return };
        self.heads.push((name, format!("from = {}", quoted(&found.path)), doubt));
        let inner = look::spots(found.node);
        let keys: Vec<&Spot<'_>> = inner.iter().filter(|spot| spot.node.text().is_some()).collect();
        let path = |names: &[&str]| {
            let first = names.iter().find_map(|name| keys.iter().find(|spot| spot.name == *name));
            first.map(|spot| spot.path.clone())
        };
        let given = path(&["firstname", "givenname", "fname"]);
        let family = path(&["lastname", "familyname", "surname", "lname"]);
        match (given, family) {
            (Some(given), Some(family)) => {
                self.push(
                    name,
                    "name",
                    format!("{{ join = [{}, {}] }}", quoted(&given), quoted(&family)),
                    None,
                );
            }
            _ => {
                if let Some(path) = path(look::ADDRESS[7].1) {
                    self.push(name, "name", quoted(&path), None);
                }
            }
        }
        let street: Vec<String> =
            look::STREET.iter().filter_map(|one| path(&[*one])).map(|path| quoted(&path)).collect();
        let lists =
            inner.iter().find(|spot| spot.name.contains("street") && fits(spot.node, Ty::List(&Ty::Text)));
        if let Some(list) = lists.filter(|_| street.is_empty()) {
            self.push(name, "street", quoted(&list.path), None);
        } else if !street.is_empty() {
            self.push(name, "street", format!("{{ list = [{}] }}", street.join(", ")), None);
        }
        for (field, names) in &look::ADDRESS[..7] {
            if let Some(path) = path(names) {
                self.push(name, field, quoted(&path), None);
            }
        }
    }

    /// Words of state that a person must look at.
    fn statuses(&mut self, spots: &[Spot<'_>]) {
        let state = |spot: &&Spot<'_>| {
            spot.depth == 0
                && (spot.name.ends_with("status") || spot.name == "state")
                && spot.node.text().is_some()
        };
        let mut seen: Vec<String> = Vec::new();
        for spot in spots.iter().filter(state) {
            let word = spot.node.text().map(std::borrow::Cow::into_owned).unwrap_or_default();
            let told = format!("{} = {}", spot.path, quoted(&crate::map::convert::short(&word)));
            if !seen.contains(&told) && !word.is_empty() {
                seen.push(told);
            }
        }
        if !seen.is_empty() && self.kind == "order.placed" {
            let words = seen.join(", ");
            self.decide.push(format!(
                "the samples say {words}: which words mean that it is cancelled, or paid? Give each such fact its `when`"
            ));
        }
    }

    fn push(&mut self, table: &'static str, field: &str, rule: String, doubt: Option<String>) {
        self.drafts.push(Draft { table, field: field.to_owned(), rule, doubt, out: None });
    }
}
