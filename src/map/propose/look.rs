//! What the parts of a payload look like: names, times, money, addresses, lists of lines.

use std::borrow::Cow;

use crate::canonical::schema::Ty;

use super::super::node::Node;

/// How deep below the record a field is looked for.
const DEPTH: usize = 3;

/// A value below a record, with its path.
#[derive(Debug, Clone)]
pub(super) struct Spot<'n> {
    /// As a mapping writes it, from the record.
    pub path: String,
    /// The last key, in small letters without signs.
    pub name: String,
    /// All keys so.
    pub full: String,
    pub depth: usize,
    pub node: &'n Node<'n>,
}

/// A name in small letters, without anything but letters and digits.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The path of a key below `around`.
pub(super) fn below(around: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let bare = bare && !key.starts_with('-');
    match (around, bare) {
        ("", true) => key.to_owned(),
        ("", false) => format!("['{key}']"),
        (around, true) => format!("{around}.{key}"),
        (around, false) => format!("{around}['{key}']"),
    }
}

/// All values below `node`, through objects and not through lists.
pub(super) fn spots<'n>(node: &'n Node<'n>) -> Vec<Spot<'n>> {
    let mut found = Vec::new();
    collect(node, "", "", 0, &mut found);
    found
}

fn collect<'n>(node: &'n Node<'n>, path: &str, full: &str, depth: usize, found: &mut Vec<Spot<'n>>) {
    let Node::Map(entries) = node else { return };
    for (key, value) in entries.iter().filter(|(key, _)| !key.contains('\'')) {
        let (path, name) = (below(path, key), plain(key));
        let full = format!("{full}{name}");
        found.push(Spot { path: path.clone(), name, full: full.clone(), depth, node: value });
        if depth + 1 < DEPTH {
            collect(value, &path, &full, depth + 1, found);
        }
    }
}

/// The spot whose name comes first among `names` and whose value fits; of several the one nearest to the record.
pub(super) fn find<'s, 'n>(
    spots: &'s [Spot<'n>],
    names: &[&str],
    fits: impl Fn(&Node<'_>) -> bool,
) -> Option<&'s Spot<'n>> {
    let rank = |spot: &Spot<'_>| {
        names.iter().position(|name| spot.name == *name || (spot.depth > 0 && spot.full == *name))
    };
    let ranked = spots.iter().filter_map(|spot| Some((rank(spot)?, spot)));
    let fitting = ranked.filter(|(_, spot)| !spot.node.is_absent() && fits(spot.node));
    fitting.min_by_key(|(rank, spot)| (spot.depth, *rank)).map(|(_, spot)| spot)
}

/// Whether a value can be one of the type.
pub(super) fn fits(node: &Node<'_>, ty: Ty) -> bool {
    let text = node.text();
    let text = text.as_deref().map(str::trim);
    match ty {
        Ty::Money => is_money(node),
        Ty::Time => text.is_some_and(|text| time(text).is_some()),
        Ty::Quantity | Ty::Integer => text.is_some_and(|text| {
            text.parse::<rust_decimal::Decimal>().is_ok_and(|number| number.fract().is_zero())
        }),
        Ty::Decimal | Ty::Weight => text.is_some_and(|text| text.parse::<rust_decimal::Decimal>().is_ok()),
        Ty::Country => {
            text.is_some_and(|text| matches!(text.len(), 2 | 3) && text.chars().all(char::is_alphabetic))
        }
        Ty::Currency => text.is_some_and(|text| crate::canonical::Currency::parse(text).is_ok()),
        Ty::Bool => matches!(node, Node::Bool(_)),
        Ty::List(_) => node.items().is_some_and(|items| items.iter().all(|item| item.text().is_some())),
        _ => text.is_some_and(|text| !text.is_empty() && text.len() < 2000),
    }
}

fn is_money(node: &Node<'_>) -> bool {
    if let Node::Map(_) = node {
        return ["amount", "value"].iter().any(|key| node.get(key).is_some_and(is_number));
    }
    is_number(node) || node.text().is_some_and(|text| text.trim().parse::<crate::canonical::Money>().is_ok())
}

fn is_number(node: &Node<'_>) -> bool {
    node.text().is_some_and(|text| text.trim().parse::<rust_decimal::Decimal>().is_ok())
}

/// Whether an amount is written with decimal places.
pub(super) fn has_places(node: &Node<'_>) -> bool {
    let text = match node {
        Node::Map(_) => node.get("amount").or(node.get("value")).and_then(Node::text),
        _ => node.text(),
    };
    text.is_some_and(|text| text.contains('.'))
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clock {
    /// The format to name, where the usual one does not do.
    pub format: Option<&'static str>,
    /// Whether it tells its offset.
    pub offset: bool,
    /// Whether day and month may have changed places.
    pub doubtful: bool,
}

/// How the text would be a time, if it is one.
pub(super) fn time(text: &str) -> Option<Clock> {
    let made = |format, offset, doubtful| Some(Clock { format, offset, doubtful });
    let digits = text.chars().all(|c| c.is_ascii_digit());
    if digits {
        return match text.len() {
            10 if text.starts_with('1') => made(Some("unix"), true, false),
            13 if text.starts_with('1') => made(Some("unix_ms"), true, false),
            _ => None,
        };
    }
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    if shape.starts_with("9999-99-99") {
        if shape == "9999-99-99" {
            return made(None, false, false);
        }
        let tail = shape.get(10..).unwrap_or_default();
        let offset = tail.ends_with('Z') || tail.contains('+') || tail.contains('-');
        return (tail.starts_with(['T', ' ']) && tail.len() >= 6)
            .then(|| made(None, offset, false))
            .flatten();
    }
    match shape.as_str() {
        "99/99/9999 99:99:99" => made(Some("DD/MM/YYYY HH:mm:ss"), false, true),
        "99/99/9999 99:99" => made(Some("DD/MM/YYYY HH:mm"), false, true),
        "99/99/9999" => made(Some("DD/MM/YYYY"), false, true),
        "99.99.9999 99:99:99" => made(Some("DD.MM.YYYY HH:mm:ss"), false, false),
        "99.99.9999" => made(Some("DD.MM.YYYY"), false, false),
        _ => {
            let day = ["Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ", "Sun, "];
            if day.iter().any(|day| text.starts_with(day)) {
                made(Some("rfc2822"), true, false)
            } else {
                None
            }
        }
    }
}

/// Names of the parts of an address, ours to theirs.
pub(super) const ADDRESS: [(&str, &[&str]); 8] = [
    ("company", &["company", "companyname", "organization", "organisation", "businessname"]),
    ("city", &["city", "locality", "town", "cityname"]),
    (
        "region",
        &[
            "provincecode",
            "statecode",
            "regioncode",
            "statecd",
            "province",
            "state",
            "stateorregion",
            "region",
            "administrativedistrictlevel1",
            "stateprovince",
        ],
    ),
    ("postal_code", &["zip", "postcode", "postalcode", "zipcode", "postalzip", "pincode", "zippostalcode"]),
    (
        "country",
        &[
            "countrycode",
            "countryid",
            "countryiso2",
            "countrycodeiso2",
            "countryabbreviation",
            "country",
            "countryiso",
            "idcountry",
        ],
    ),
    ("phone", &["phone", "phonenumber", "telephone", "mobile", "contactphone", "phonemobile"]),
    ("email", &["email", "emailaddress", "contactemail"]),
    ("name", &["name", "fullname", "recipientname", "recipient", "contactname", "addressee", "attention"]),
];
/// Names of the lines of a street.
pub(super) const STREET: [&str; 12] = [
    "address1",
    "addressline1",
    "line1",
    "street1",
    "street",
    "streetaddress1",
    "streetline1",
    "address2",
    "addressline2",
    "line2",
    "street2",
    "streetaddress2",
];

/// Whether an object is a postal address.
pub(super) fn is_address(node: &Node<'_>) -> bool {
    let Node::Map(entries) = node else { return false };
    let names: Vec<String> = entries.iter().map(|(key, _)| plain(key)).collect();
    let has = |known: &[&str]| names.iter().any(|name| known.contains(&name.as_str()));
    let places = [ADDRESS[1].1, ADDRESS[3].1, ADDRESS[4].1, &STREET[..]];
    places.iter().filter(|known| has(known)).count() >= 3
}

/// Names of quantities in a line of an order.
pub(super) const QUANTITY: [&str; 12] = [
    "quantity",
    "qty",
    "qtyordered",
    "quantityordered",
    "orderedquantity",
    "productquantity",
    "units",
    "orderqty",
    "amountordered",
    "quantityamount",
    "orderlinequantity",
    "count",
];
/// Names of the lists of lines.
const LINES: [&str; 15] = [
    "lineitems",
    "lines",
    "orderlines",
    "orderitems",
    "items",
    "orderrows",
    "products",
    "saleorderitems",
    "orderline",
    "orderitem",
    "itemlist",
    "lineitem",
    "cartitems",
    "entries",
    "details",
];

/// A list of objects below the record.
#[derive(Debug, Clone)]
pub(super) struct Rows<'n> {
    pub path: String,
    pub items: Vec<&'n Node<'n>>,
}

/// The lists of objects, with their items; `{ "edges": [ … ] }` and the like are looked through.
pub(super) fn lists<'n>(spots: &[Spot<'n>]) -> Vec<(String, Rows<'n>)> {
    let mut found = Vec::new();
    for spot in spots {
        let Some(items) = spot.node.items() else { continue };
        let items: Vec<&Node<'_>> = items.iter().filter(|item| matches!(item, Node::Map(_))).collect();
        if !items.is_empty() {
            found.push((spot.full.clone(), Rows { path: spot.path.clone(), items }));
        }
    }
    found
}

/// The list that holds the lines of an order.
pub(super) fn lines<'n>(spots: &[Spot<'n>]) -> Option<Rows<'n>> {
    let lists = lists(spots);
    let counted = |rows: &Rows<'_>| {
        let inner: Vec<Spot<'_>> = rows.items.first().map(|item| self::spots(item)).unwrap_or_default();
        find(&inner, &QUANTITY, |node| fits(node, Ty::Quantity)).is_some()
    };
    let named = |full: &str| LINES.iter().position(|name| full == *name || full.ends_with(name));
    let mut ranked: Vec<(bool, usize, Rows<'n>)> = lists
        .into_iter()
        .filter_map(|(full, rows)| {
            let (counted, named) = (counted(&rows), named(&full));
            (counted || named.is_some()).then(|| (!counted, named.unwrap_or(LINES.len()), rows))
        })
        .collect();
    ranked.sort_by_key(|(uncounted, named, rows)| (*uncounted, *named, rows.path.len()));
    ranked.into_iter().next().map(|(_, _, rows)| rows)
}

/// The objects in which a record may stand, with their paths from the whole message.
pub(super) fn records<'n>(root: &'n Node<'n>) -> Vec<(String, Cow<'n, [Node<'n>]>)> {
    let mut found = Vec::new();
    enter(root, "$", 0, &mut found);
    found
}

fn enter<'n>(node: &'n Node<'n>, path: &str, depth: usize, found: &mut Vec<(String, Cow<'n, [Node<'n>]>)>) {
    match node {
        Node::List(items) => {
            let objects: Vec<Node<'n>> =
                items.iter().filter(|item| matches!(item, Node::Map(_))).cloned().collect();
            if let Some(Node::Map(entries)) = items.iter().find(|item| matches!(item, Node::Map(_))) {
                let path = format!("{path}[*]");
                found.push((path.clone(), Cow::Owned(objects)));
                if depth < 3 && entries.len() == 1 {
                    for (key, value) in entries {
                        enter(value, &below(&path, key), depth + 1, found);
                    }
                }
            }
        }
        Node::Map(entries) => {
            found.push((path.to_owned(), Cow::Borrowed(std::slice::from_ref(node))));
            if depth < 4 {
                for (key, value) in entries.iter().filter(|(key, _)| !key.contains('\'')) {
                    let around = if path == "$" { "" } else { path };
                    enter(value, &below(around, key), depth + 1, found);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_known_by_their_shape() {
        let told = |text: &str| time(text).map(|clock| (clock.format, clock.offset));
        assert_eq!(told("2025-01-02T03:04:05Z"), Some((None, true)));
        assert_eq!(told("2025-01-02 03:04:05"), Some((None, false)));
        assert_eq!(told("2025-01-02T03:04:05.123-05:00"), Some((None, true)));
        assert_eq!(told("1735787045"), Some((Some("unix"), true)));
        assert_eq!(told("1735787045000"), Some((Some("unix_ms"), true)));
        assert_eq!(told("02/01/2025 03:04"), Some((Some("DD/MM/YYYY HH:mm"), false)));
        assert_eq!(told("Thu, 02 Jan 2025 03:04:05 +0000"), Some((Some("rfc2822"), true)));
        for no in ["1001", "hello", "2025", "12345678901"] {
            assert_eq!(told(no), None, "{no}");
        }
    }

    #[test]
    fn names_are_found_nearest_to_the_record_first() {
        let node = Node::parse_json(br#"{"customer":{"id":1,"Order-Id":"7"},"id":"5","total":"x"}"#).unwrap();
        let spots = spots(&node);
        assert_eq!(find(&spots, &["orderid", "id"], |_| true).unwrap().path, "id");
        assert_eq!(find(&spots, &["orderid"], |_| true).unwrap().path, "customer.Order-Id");
        assert!(find(&spots, &["total"], |node| fits(node, Ty::Money)).is_none());
    }
}
