//! `map new`: from sample payloads a first mapping that compiles and runs, with a word wherever a person must decide.

mod look;

use std::fmt::Write as _;

use crate::canonical::fact::{FactKind, Header};
use crate::canonical::schema::{Field, Ty};
use crate::config::sources::Sources;

use self::look::{Spot, find, fits};
use super::node::Node;
use super::update::{bare, quoted};
use super::{Context, Inbound, explain};

/// How often rules that do not fit the samples are taken out before it is given up.
const ROUNDS: usize = 40;
/// Unread parts of the samples that are listed.
const UNREAD: usize = 40;

/// A proposed mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The file.
    pub text: String,
    /// The kind of fact that it makes.
    pub kind: &'static str,
    /// What a person must decide, in words.
    pub decide: Vec<String>,
}

/// A rule under way.
#[derive(Debug, Clone)]
struct Draft {
    /// The table below the fact: empty, `lines`, `ship_to`.
    table: &'static str,
    field: String,
    rule: String,
    /// What a person must look at.
    doubt: Option<String>,
    /// Why it was taken out.
    out: Option<String>,
}

/// Proposes `mappings/<connector>/<topic>.in.toml` for payloads: what they are called, and their bytes.
///
/// # Errors
/// In words, when the payloads are none that can be looked at.
pub fn propose(connector: &str, topic: &str, samples: &[(String, Vec<u8>)]) -> Result<Proposal, String> {
    let format = format_of(samples)?;
    let reader = reader(format)?;
    let mut nodes = Vec::new();
    for (name, bytes) in samples {
        nodes.push(reader.read(bytes).map_err(|error| format!("{name}: {error}"))?);
    }
    let kind = kind_of(topic);
    let mut best: Option<(i64, String, Vec<Node<'_>>)> = None;
    for (path, records) in nodes.first().map(look::records).unwrap_or_default() {
        let Some(first) = records.first() else { continue };
        let score = score(first, kind.kind.0) - depth(&path);
        if best.as_ref().is_none_or(|(known, _, _)| score > *known) {
            best = Some((score, path, records.into_owned()));
        }
    }
    let Some((_, records, mut found)) = best else {
        return Err("there is no object in the payload".to_owned());
    };
    for node in nodes.iter().skip(1) {
        let same = look::records(node).into_iter().find(|(path, _)| *path == records);
        found.extend(same.map(|(_, found)| found.into_owned()).unwrap_or_default());
    }
    let mut sketch = Sketch::of(kind.kind.0, kind.fields, &records, &found, format);
    sketch.settle(connector, topic, &nodes)
}

/// How the payloads are written.
fn format_of(samples: &[(String, Vec<u8>)]) -> Result<Option<&'static str>, String> {
    let Some((name, bytes)) = samples.first() else { return Err("there is no payload".to_owned()) };
    let first = bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace() && *byte < 0x80);
    match first {
        Some(b'{' | b'[') => Ok(None),
        Some(b'<') => Ok(Some("xml")),
        _ if name.to_lowercase().ends_with(".csv") => Ok(Some("csv")),
        _ => Err(format!(
            "{name} is neither JSON nor XML nor a .csv file: see docs/mappings.md for other formats"
        )),
    }
}

/// A mapping that makes nothing and reads the format.
fn reader(format: Option<&str>) -> Result<Inbound, String> {
    let mut sources = Sources::default();
    let format = format.map(|format| format!("[mapping]\nformat = {}\n", quoted(format))).unwrap_or_default();
    sources
        .insert("mappings/new/new.in.toml", format!("{format}[nothing]\nwhen = {{ any_key = \"any\" }}\n"));
    let compiled = Inbound::compile(&sources, "new", "new", &[]);
    compiled.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn depth(path: &str) -> i64 {
    i64::try_from(path.matches('.').count()).unwrap_or_default()
}

/// The kind of fact of which a topic tells.
fn kind_of(topic: &str) -> &'static crate::canonical::fact::KindInfo {
    let topic = topic.to_lowercase();
    let words: [(&[&str], &str); 9] = [
        (&["cancel"], "order.cancelled"),
        (&["refund"], "payment.refunded"),
        (&["return", "rma"], "return.updated"),
        (&["order", "purchase", "sale"], "order.placed"),
        (&["inventory", "stock", "level"], "inventory.level"),
        (&["track", "scan", "event"], "tracking.event"),
        (&["label"], "label.bought"),
        (&["ship", "fulfil", "fulfill", "deliver"], "fulfilment.shipped"),
        (&["pay", "capture", "charge", "transaction"], "payment.captured"),
    ];
    let name = words.iter().find(|(words, _)| words.iter().any(|word| topic.contains(word)));
    let name = name.map_or("order.placed", |(_, name)| name);
    FactKind::parse(name).unwrap_or(&crate::canonical::fact::KINDS[0])
}

/// How much a record looks like one of the kind.
fn score(record: &Node<'_>, kind: &str) -> i64 {
    let spots = look::spots(record);
    let near: Vec<Spot<'_>> = spots.iter().filter(|spot| spot.depth == 0).cloned().collect();
    let mut score = 0;
    for (field, names) in NAMES {
        let Some(field) = FactKind::parse(kind).and_then(|info| info.field(field)) else { continue };
        if find(&near, names, |node| fits(node, field.ty)).is_some() {
            score += 2;
        }
    }
    if kind == "order.placed" {
        score += if look::lines(&near).is_some() { 6 } else { 0 };
        score += if near.iter().any(|spot| look::is_address(spot.node)) { 2 } else { 0 };
    }
    score
}

/// What partners call our fields.
const NAMES: [(&str, &[&str]); 46] = [
    (
        "order",
        &[
            "orderid",
            "id",
            "entityid",
            "purchaseorderid",
            "amazonorderid",
            "orderuuid",
            "orderref",
            "code",
            "saleorderid",
            "uuid",
            "orderno",
            "ordernumber",
            "incrementid",
            "reference",
            "number",
        ],
    ),
    (
        "number",
        &[
            "ordernumber",
            "ordername",
            "incrementid",
            "displayid",
            "displayordercode",
            "displaynumber",
            "customerorderid",
            "ordernum",
            "orderno",
            "name",
            "number",
            "reference",
            "referencenumber",
        ],
    ),
    ("shipment", &["shipmentid", "fulfillmentid", "id"]),
    (
        "tracking",
        &[
            "trackingnumber",
            "trackingcode",
            "trackingid",
            "trackno",
            "tracknumber",
            "awb",
            "waybill",
            "number",
        ],
    ),
    ("rma", &["rmanumber", "rma", "returnid", "id"]),
    ("payment", &["paymentid", "paymentintent", "charge", "chargeid"]),
    ("ref", &["eventid", "refundid", "transactionid", "captureid", "id"]),
    (
        "at",
        &[
            "createdat",
            "datecreatedgmt",
            "datecreated",
            "created",
            "orderdate",
            "purchasedate",
            "placedat",
            "orderplaceddate",
            "createddate",
            "datecreate",
            "dateadd",
            "createdtime",
            "creationdate",
            "displayorderdatetime",
            "occurredat",
            "eventdate",
            "eventtime",
            "datetime",
            "timestamp",
            "shippedat",
            "shipdate",
            "date",
        ],
    ),
    (
        "version",
        &[
            "updatedat",
            "datemodifiedgmt",
            "datemodified",
            "lastupdatedate",
            "modifieddate",
            "modifydate",
            "dateupd",
            "updated",
            "version",
        ],
    ),
    (
        "channel",
        &["sourcename", "channel", "ordersource", "createdvia", "source", "saleschannel", "marketplaceid"],
    ),
    (
        "email",
        &[
            "email",
            "customeremail",
            "customeremailid",
            "contactemail",
            "buyeremail",
            "billingemail",
            "useremail",
            "notificationemail",
        ],
    ),
    ("phone", &["phone", "customerphone", "phonenumber", "contactphone", "mobile", "notificationmobile"]),
    (
        "total",
        &[
            "totalprice",
            "grandtotal",
            "ordertotal",
            "totalamount",
            "totalinctax",
            "totalpaidtaxincl",
            "totalpaid",
            "totalmoney",
            "total",
            "totalgross",
            "amounttotal",
            "orderamount",
            "amount",
        ],
    ),
    (
        "subtotal",
        &["subtotalprice", "subtotal", "subtotalinctax", "itemtotal", "totalproductswt", "totalproducts"],
    ),
    ("tax", &["totaltax", "taxamount", "totaltaxmoney", "tax", "taxtotal"]),
    (
        "discount",
        &[
            "totaldiscounts",
            "discounttotal",
            "discountamount",
            "totaldiscountmoney",
            "totaldiscountstaxincl",
            "totaldiscount",
        ],
    ),
    ("currency", &["currency", "currencycode", "ordercurrencycode"]),
    (
        "ship_method",
        &[
            "shippingmethod",
            "shippingmethodname",
            "shippingdescription",
            "shipmethod",
            "requestedshippingservice",
            "servicecode",
            "shippingservice",
            "shippingmethodtitle",
            "shipservicelevel",
        ],
    ),
    (
        "note",
        &[
            "note",
            "customernote",
            "customermessage",
            "comments",
            "comment",
            "notes",
            "remarks",
            "customernotes",
        ],
    ),
    ("gift_note", &["giftmessage", "giftnote"]),
    ("tags", &["tags", "labels"]),
    ("test", &["test", "istest", "testmode"]),
    ("reason", &["cancelreason", "reason", "reasoncode", "cancellationreason"]),
    ("amount", &["amount", "amountmoney", "refundamount", "total", "value", "amountrefunded"]),
    ("gateway", &["gateway", "paymentmethod", "method", "provider"]),
    (
        "carrier",
        &[
            "carrier",
            "carriercode",
            "carriername",
            "shippingprovider",
            "carrierid",
            "company",
            "trackingcompany",
        ],
    ),
    ("service", &["service", "servicecode", "servicename", "shipmethod", "servicelevel"]),
    (
        "location",
        &["locationid", "warehouseid", "warehouse", "location", "facilityid", "sourcecode", "facilitycode"],
    ),
    ("status", &["trackingstatus", "status", "statuscode", "state", "tag", "statuscategory"]),
    ("said", &["statusdescription", "statusdetail", "eventdescription", "substatus"]),
    ("description", &["description", "message", "statusdescription", "eventdescription"]),
    ("place", &["place", "locationname"]),
    ("expected", &["estdeliverydate", "expecteddelivery", "estimateddelivery", "eta"]),
    ("cost", &["cost", "rate", "shipmentcost", "price"]),
    ("url", &["labelurl", "url", "trackingurl", "publicurl"]),
    (
        "sku",
        &[
            "sku",
            "skuid",
            "itemsku",
            "merchantsku",
            "sellersku",
            "productsku",
            "itemnumber",
            "productcode",
            "partnumber",
            "productreference",
            "catalogobjectid",
            "variantid",
            "productid",
        ],
    ),
    ("item", &["inventoryitemid", "itemid", "productid", "variantid"]),
    (
        "on_hand",
        &[
            "onhand",
            "quantityonhand",
            "onhandquantity",
            "totalquantity",
            "totalonhand",
            "physicalquantity",
            "qty",
        ],
    ),
    (
        "available",
        &[
            "available",
            "availablequantity",
            "quantityavailable",
            "fulfillablequantity",
            "sellable",
            "quantity",
            "inventorylevel",
            "stockquantity",
        ],
    ),
    ("reserved", &["reserved", "allocated", "committed", "committedquantity"]),
    ("incoming", &["incoming", "inbound", "onorder", "inbounnd", "receiving"]),
    (
        "ship_to",
        &[
            "shippingaddress",
            "shipto",
            "deliveryaddress",
            "shippingaddresses",
            "destination",
            "recipient",
            "shippinginfo",
        ],
    ),
    ("bill_to", &["billingaddress", "billto", "billing", "invoiceaddress"]),
    ("terms", &["paymentterms"]),
    ("tracker", &["trackerid"]),
    ("warehouse_order", &["warehouseorderid"]),
];
/// What partners call the fields of a line.
const LINE: [(&str, &[&str]); 6] = [
    (
        "ref",
        &[
            "id",
            "lineid",
            "lineitemid",
            "orderitemid",
            "uid",
            "itemid",
            "linenumber",
            "orderlineid",
            "lineno",
            "code",
            "externalid",
            "rowid",
            "sku",
            "productid",
        ],
    ),
    (
        "sku",
        &[
            "sku",
            "itemsku",
            "merchantsku",
            "sellersku",
            "productsku",
            "itemnumber",
            "productcode",
            "variantsku",
            "productreference",
            "catalogobjectid",
            "itemtypeskucode",
            "referenceid",
            "productid",
        ],
    ),
    (
        "title",
        &["name", "title", "productname", "itemname", "producttitle", "description", "shortdescription"],
    ),
    ("quantity", &look::QUANTITY),
    (
        "unit_price",
        &[
            "unitprice",
            "price",
            "priceinctax",
            "pricetaxincl",
            "unitpricetaxincl",
            "baseprice",
            "basepricemoney",
            "itemprice",
            "unitamount",
            "sellingprice",
            "unitpricegross",
            "productprice",
        ],
    ),
    ("tax", &["totaltax", "taxamount", "totaltaxmoney", "taxtotal", "itemtax", "linetax"]),
];

/// A mapping under way.
struct Sketch {
    kind: &'static str,
    format: Option<&'static str>,
    records: String,
    currency: Option<String>,
    unit: Option<&'static str>,
    zone: bool,
    drafts: Vec<Draft>,
    /// For tables: `each`, `from`.
    heads: Vec<(&'static str, String, Option<String>)>,
    /// When the record tells of a cancellation: the path of when.
    cancelled: Option<String>,
    decide: Vec<String>,
}

impl Sketch {
    fn of(
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
            let told = format!("{} = {}", spot.path, quoted(&super::convert::short(&word)));
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

    /// Takes out what does not fit until the mapping compiles and runs over all samples.
    fn settle(&mut self, connector: &str, topic: &str, nodes: &[Node<'_>]) -> Result<Proposal, String> {
        let path = format!("mappings/{connector}/{topic}.in.toml");
        for _ in 0..ROUNDS {
            let text = self.text(&[]);
            let mut sources = Sources::default();
            sources.insert(path.clone(), text.clone());
            let inbound = match Inbound::compile(&sources, connector, topic, &[]) {
                Ok(inbound) => inbound,
                Err(problems) => {
                    let line = problems.first().map_or(0, |found| found.line);
                    let why = problems.first().map(|found| found.message.clone()).unwrap_or_default();
                    if self.drop_line(&text, line, &why) {
                        continue;
                    }
                    return Err(format!("no mapping was found: {why}"));
                }
            };
            let ctx = Context::default();
            let errors: Vec<_> = nodes.iter().flat_map(|node| inbound.run(node, &ctx).errors).collect();
            let Some(error) = errors.iter().find(|error| self.refuses(&error.cause)) else {
                let unread = unread(&inbound, nodes);
                let mut decide = self.decide.clone();
                let doubts = self.drafts.iter().filter(|draft| draft.out.is_none());
                decide.extend(doubts.filter_map(|d| Some(format!("{}: {}", d.field, d.doubt.as_ref()?))));
                return Ok(Proposal { text: self.text(&unread), kind: self.kind, decide });
            };
            let (cause, message) = (error.cause.clone(), error.message.clone());
            self.drop_cause(&cause, &message);
        }
        Err("no mapping was found that fits the samples".to_owned())
    }

    /// The draft that a cause is about: the one whose name it ends with, or has before the word.
    fn blamed(&self, cause: &str) -> Option<usize> {
        let rest = cause.splitn(3, ':').nth(2)?;
        let name = |draft: &Draft| {
            if draft.table.is_empty() {
                draft.field.clone()
            } else {
                format!("{}.{}", draft.table, draft.field)
            }
        };
        let fits = |draft: &Draft| {
            let name = name(draft);
            rest == format!("fact.{name}")
                || rest.split_once('.').is_some_and(|(_, field)| field == name)
                || rest == name
                || rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(':'))
        };
        self.drafts.iter().position(|draft| draft.out.is_none() && fits(draft))
    }

    fn refuses(&self, cause: &str) -> bool {
        self.blamed(cause).is_some() || cause.contains(":fact.lines") || cause.contains(".lines.")
    }

    fn drop_cause(&mut self, cause: &str, message: &str) {
        // The place is that of a draft, and means nothing to the reader.
        let why = message.splitn(5, ':').nth(4).unwrap_or(message).trim().to_owned();
        if let Some(at) = self.blamed(cause) {
            let draft = &mut self.drafts[at];
            match (draft.table, draft.field.as_str()) {
                ("lines", "quantity") if draft.rule.starts_with('"') => {
                    draft.rule = format!("{{ path = {}, default = 1 }}", draft.rule);
                    draft.doubt = Some("some lines of the samples have no quantity".to_owned());
                }
                ("lines", "ref" | "quantity") => self.drop_table("lines", &why),
                _ => draft.out = Some(why),
            }
        } else {
            self.drop_table("lines", &why);
        }
    }

    fn drop_table(&mut self, table: &str, why: &str) {
        self.heads.retain(|(name, _, _)| *name != table);
        self.drafts.retain(|draft| draft.table != table);
        self.decide.push(format!("{table}: {why}"));
    }

    fn drop_line(&mut self, text: &str, line: usize, why: &str) -> bool {
        let Some(line) = line.checked_sub(1).and_then(|line| text.lines().nth(line)) else { return false };
        let fits = |draft: &&mut Draft| {
            draft.out.is_none() && line.starts_with(&draft.field) && line.ends_with(&draft.rule)
        };
        match self.drafts.iter_mut().find(fits) {
            Some(draft) => {
                draft.out = Some(why.to_owned());
                true
            }
            None => false,
        }
    }

    fn text(&self, unread: &[explain::Unread]) -> String {
        let mut out = String::new();
        let _ = self.write(&mut out, unread);
        out
    }

    fn write(&self, out: &mut String, unread: &[explain::Unread]) -> std::fmt::Result {
        writeln!(
            out,
            "# A first proposal, made from sample payloads. Look through what says \"decide\", then add tests:"
        )?;
        writeln!(
            out,
            "# `crossdock map explain` shows what each rule gives, `crossdock map lint` what is doubtful."
        )?;
        for decide in &self.decide {
            writeln!(out, "# decide: {decide}")?;
        }
        writeln!(out, "\n[mapping]")?;
        if let Some(format) = self.format {
            writeln!(out, "format        = {}", quoted(format))?;
        }
        writeln!(out, "records       = [{}]", quoted(&self.records))?;
        match (&self.currency, self.unit) {
            (Some(path), _) => writeln!(out, "currency_from = {}", quoted(path))?,
            (None, Some(_)) => {
                writeln!(out, "# decide: no currency was found beside the amounts")?;
                writeln!(out, "currency      = \"USD\"")?;
            }
            (None, None) => {}
        }
        if let Some(unit) = self.unit {
            writeln!(out, "unit          = {}", quoted(unit))?;
        }
        if self.zone {
            writeln!(out, "# decide: some times have no offset; whose clock is it?")?;
            writeln!(out, "zone          = \"UTC\"")?;
        }
        let rule = self.kind.rsplit('.').next().unwrap_or("fact");
        writeln!(out, "\n[fact.{rule}]")?;
        writeln!(out, "is        = {}", quoted(self.kind))?;
        self.table(out, "")?;
        for (name, head, doubt) in &self.heads {
            writeln!(out, "\n[fact.{rule}.{name}]")?;
            if let Some(doubt) = doubt {
                writeln!(out, "# decide: {doubt}")?;
            }
            writeln!(out, "{head}")?;
            self.table(out, name)?;
        }
        if let Some(path) = &self.cancelled {
            let order = self.drafts.iter().find(|draft| draft.field == "order" && draft.out.is_none());
            if let Some(order) = order {
                let key = if path.contains(['.', '[']) { quoted(path) } else { bare(path) };
                writeln!(out, "\n[fact.cancelled]\nis        = \"order.cancelled\"")?;
                writeln!(out, "when      = {{ {key} = {{ exists = true }} }}\norder     = {}", order.rule)?;
            }
        }
        if !unread.is_empty() {
            writeln!(out, "\n# Not read yet ({}). To carry one along: extra.name = \"path\"", unread.len())?;
            for one in unread.iter().take(UNREAD) {
                writeln!(out, "#   {} ({})", one.path, one.example.replace(['\n', '\r'], " "))?;
            }
        }
        Ok(())
    }

    fn table(&self, out: &mut String, table: &str) -> std::fmt::Result {
        for draft in self.drafts.iter().filter(|draft| draft.table == table) {
            match (&draft.out, &draft.doubt) {
                (Some(why), _) => {
                    writeln!(out, "# decide: {why}")?;
                    writeln!(out, "# {} = {}", draft.field, draft.rule)?;
                    continue;
                }
                (None, Some(doubt)) => writeln!(out, "# decide: {doubt}")?,
                (None, None) => {}
            }
            writeln!(out, "{:<9} = {}", draft.field, draft.rule)?;
        }
        Ok(())
    }
}

/// What no rule reads in any of the samples, each path once.
fn unread(inbound: &Inbound, nodes: &[Node<'_>]) -> Vec<explain::Unread> {
    let mut all: Vec<explain::Unread> = Vec::new();
    for node in nodes {
        for one in explain::explain(inbound, node, &Context::default()).unread {
            if !all.iter().any(|known| known.path == one.path) {
                all.push(one);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(topic: &str, payload: &str) -> (Proposal, Vec<serde_json::Value>) {
        let samples = [("a.json".to_owned(), payload.as_bytes().to_vec())];
        let proposal = propose("shop", topic, &samples).unwrap();
        let mut sources = Sources::default();
        sources.insert(format!("mappings/shop/{topic}.in.toml"), proposal.text.clone());
        let inbound = Inbound::compile(&sources, "shop", topic, &[])
            .unwrap_or_else(|problems| panic!("{problems:?}\n{}", proposal.text));
        let mapped = inbound.run_bytes(payload.as_bytes(), &Context::default());
        assert_eq!(mapped.errors, [], "{}", proposal.text);
        (proposal, mapped.facts.iter().map(crate::map::MappedFact::to_json).collect())
    }

    #[test]
    fn an_order_is_found_in_its_envelope() {
        let (proposal, facts) = run(
            "order",
            r#"{"event":"created","data":{"order":{"orderId":9007199254740993,"orderNumber":"A-7","createdAt":"2025-01-02T03:04:05",
            "currency":"EUR","grandTotal":1250,"customer":{"email":"a@example.com"},"shipping_address":{"firstName":"Ada","lastName":"L",
            "address1":"Main 1","city":"X","zip":"1","countryCode":"DE"},"orderItems":[{"id":1,"sku":"T","qty":2,"unitPrice":625}],
            "weird key":{"x":1}}}}"#,
        );
        let fact = &facts[0];
        assert_eq!(fact["is"], "order.placed");
        assert_eq!(fact["order"], "9007199254740993");
        assert_eq!(fact["number"], "A-7");
        assert_eq!(fact["total"], "12.50 EUR");
        assert_eq!(fact["at"], "2025-01-02T03:04:05Z");
        assert_eq!(fact["ship_to"]["name"], "Ada L");
        assert_eq!(fact["ship_to"]["country"], "DE");
        assert_eq!(fact["lines"][0]["quantity"], 2);
        assert_eq!(fact["lines"][0]["unit_price"], "6.25 EUR");
        assert_eq!(fact["email"], "a@example.com");
        let text = &proposal.text;
        assert!(text.contains("records       = [\"data.order\"]"), "{text}");
        assert!(text.contains("# decide: unit: all amounts are whole numbers"), "{text}");
        assert!(text.contains("# decide: some times have no offset"), "{text}");
        assert!(text.contains("weird key.x (1)"), "{text}");
    }

    #[test]
    fn other_topics_give_other_facts() {
        let (_, facts) = run(
            "refund",
            r#"{"id":"re_1","amount":"5.00","currency":"USD","order_id":"7","created":1735787045}"#,
        );
        assert_eq!(facts[0]["is"], "payment.refunded");
        assert_eq!((&facts[0]["amount"], &facts[0]["order"]), (&"5.00 USD".into(), &"7".into()));
        let (proposal, facts) = run(
            "tracking",
            r#"{"tracking_number":"1Z","status":"DL","carrier":"UPS","event_date":"02/01/2025 03:04"}"#,
        );
        assert_eq!(facts[0]["tracking"], "1Z");
        assert!(proposal.text.contains("lookup = { DL = "), "{}", proposal.text);
        assert!(proposal.decide.iter().any(|decide| decide.contains("is the day or the month first?")));
        let (_, facts) =
            run("inventory", r#"[{"sku":"A","available":3,"location_id":7},{"sku":"B","available":0}]"#);
        assert_eq!((facts.len(), &facts[1]["sku"]), (2, &"B".into()));
    }

    #[test]
    fn what_does_not_fit_is_taken_out_and_told() {
        let (proposal, facts) = run(
            "order",
            r#"{"orders":[{"id":1,"created_at":"2025-01-02T03:04:05Z","total":"1.00","currency":"USD","lines":[{"id":1,"quantity":1,"price":"1.00"},{"id":2,"quantity":"many","price":"x"}]}]}"#,
        );
        assert_eq!(facts[0]["order"], "1");
        assert!(proposal.text.contains("# decide: "), "{}", proposal.text);
        assert!(propose("shop", "order", &[("x.bin".to_owned(), b"\x00\x01".to_vec())]).is_err());
    }

    #[test]
    fn names_are_in_the_form_in_which_they_are_compared() {
        for name in NAMES.iter().chain(&LINE).flat_map(|(_, names)| names.iter()) {
            assert_eq!(*name, look::plain(name));
        }
    }
}
