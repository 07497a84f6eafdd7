//! The reference of the mapping language, made of what the compiler knows: `docs/mapping-reference.md`. `tests/guide.rs` fails when
//! that file is stale, and a test below when the compiler reads a key that is not described here.

use std::fmt::Write as _;

use super::amount::SYMBOLS;
use super::compile::SOURCES;
use super::eval::{BUDGET, MAX_ERRORS};
use super::inbound::MAX_FACTS;
use super::node::MAX_DEPTH;
use super::program::WEIGHTS;
use super::syntax::{MAX_BYTES, SyntaxKind};
use super::time::LETTERS;
use crate::canonical::fact::{Header, KINDS};
use crate::canonical::schema::{Field, Ty};

/// A name and what it means.
type Row = (&'static str, &'static str);

/// `[mapping]` of an `.in.toml`.
pub(super) const MAPPING: &[Row] = &[
    (
        "records",
        "path, or list of paths or `{ path, when }`, of which the first that exists gives the records",
    ),
    ("currency_from", "path or paths of the currency of all money, from the record"),
    ("currency", "currency code of all money that has none by a path"),
    ("unit", "`\"major\"` or `\"minor\"`: what bare whole amounts count"),
    ("decimal", "`\",\"` or `\".\"`: the sign before decimals in texts"),
    ("exponents", "decimal places of minor units that differ from ISO 4217: `{ ISK = 2 }`"),
    ("zone", "time zone of times that have none"),
    ("zones", "what the partner's words for zones mean: `{ EST = \"-05:00\" }`"),
    ("empty", "further texts that count as absent"),
    ("reject", "condition: the record is an error dressed as a payload"),
    ("reason", "path or paths where a rejected record says why"),
    ("format", "how the payload is written"),
    ("encoding", "`utf-8`, `utf-16`, `iso-8859-1` or `windows-1252`, where the payload does not say"),
    ("delimiter", "CSV: the sign between cells; otherwise the first line shows it"),
    ("header", "CSV: whether the first row names the columns (default true)"),
    ("columns", "CSV without a header: the names of the columns"),
    ("prefixes", "XML: whether names keep their prefix (default false)"),
    ("counts", "X12, EDIFACT: whether counts and control numbers of trailers must fit (default true)"),
    ("doc", "a remark"),
];

/// `[mapping]` of an `.out.toml`.
pub(super) const MAPPING_OUT: &[Row] = &[
    ("empty", "texts of our document that count as absent"),
    ("exponents", "decimal places of minor units that differ from ISO 4217"),
    ("zone", "time zone in which times are written"),
    ("format", "how the body is written"),
    ("delimiter", "CSV: the sign between cells (default comma)"),
    ("header", "CSV: whether a row of names comes first (default true)"),
    ("doc", "a remark"),
];

/// Words that steer a fact, a nested record or a list.
pub(super) const TABLES: &[Row] = &[
    ("is", "fact: its kind"),
    ("when", "condition on which the table counts"),
    ("each", "fact, list: path of the rows; `\"$group\"` for the rows of the group around"),
    ("where", "condition on a row"),
    ("where_also", "a further one, for overlays"),
    ("sort", "path to sort rows by; `-` before it sorts down"),
    ("group", "paths: rows that are the same there become one"),
    ("use", "a fragment, whose fields are added"),
    ("from", "nested record: path or paths where it starts, the first that is there"),
    ("part", "list of several rules: the name of one, for overlays"),
    ("required", "nested record, list: without it there is no fact"),
    ("currency_from", "as in `[mapping]`, from the row"),
    ("unit", "as in `[mapping]`"),
    ("decimal", "as in `[mapping]`"),
    ("zone", "as in `[mapping]`"),
    ("key", "reserved"),
    ("unset", "overlay: takes the fact, the field or the part out"),
    ("doc", "a remark"),
];

/// Keys of a rule besides its source.
pub(super) const RULE: &[Row] = &[
    ("when", "condition on which the rule gives something"),
    ("by", "`join`: what stands between (default a blank)"),
    ("with", "`expr`: the names that it sees, each a rule"),
    ("each", "`sum`, `count`, `list`: a list of their own to go over"),
    ("where", "`sum`, `count`, `list`: condition on the rows, of `each` or of the group"),
    ("empty", "further texts that count as absent"),
    ("after", "`path`: of its values the one that follows the first of these words that is there"),
    ("split", "cuts the text at this separator"),
    ("take", "keeps one piece of `split`: 0 is the first, -1 the last"),
    ("lower", "in small letters"),
    ("upper", "in capital letters"),
    ("prefix", "puts a text before"),
    ("suffix", "puts a text after"),
    ("lookup", "translates words: a table's name, or `{ theirs = \"ours\" }`"),
    ("default", "what to give when there is nothing"),
    ("required", "without a value there is no fact"),
    ("abs", "drops the sign"),
    ("negate", "turns the sign"),
    ("currency_from", "money: path or paths of the currency"),
    ("currency", "money: a currency code"),
    ("unit", "money: `\"major\"` or `\"minor\"`; weights: the unit"),
    ("unit_from", "weights: path of the unit"),
    ("decimal", "the sign before decimals"),
    ("formats", "times: the forms to try, in order"),
    ("zone", "times: the zone of those that have none"),
    ("zone_from", "times: path of the zone"),
    ("doc", "a remark"),
];

const SOURCE_DOCS: [&str; 8] = [
    "the value at a path; a bare text is short for it",
    "the first of several rules that gives something",
    "the text, number, `true` or `false` itself",
    "several values as one text",
    "a list of texts",
    "the sum of numbers, exact",
    "how many rows (`true`) or values",
    "the result of an expression over `with`",
];

const CONDITIONS: &[Row] = &[
    ("{ a = \"x\" }", "is this text; numbers are compared as numbers, times as instants; `\"\"` is absent"),
    ("{ a = [\"x\", \"y\"] }", "is one of them"),
    ("{ a = { not = \"x\" } }", "is not; also when absent"),
    ("{ a = { exists = true } }", "is there"),
    ("{ a = { gt = 0, le = 9 } }", "`gt`, `ge`, `lt`, `le`: numbers or times"),
    ("{ a = { contains = \"x\" } }", "contains the text, in any letter case"),
    ("{ any = [{ … }, { … }] }", "one of them holds"),
    ("{ all = [{ … }, { … }] }", "all of them hold"),
];

const PATHS: &[Row] = &[
    ("a.b", "the key `b` of `a`"),
    ("a['b.c']", "a key that a step cannot write"),
    ("a[0]", "the first item; `[-1]` the last"),
    ("a[*]", "every item"),
    ("a[#]", "the item at the row's own number"),
    ("a[b='x']", "the items whose `b` is this text"),
    ("a[b=$record.c]", "the items whose `b` is what stands at another path, which starts with `$` or `^`"),
    ("a.*", "every value of an object"),
    ("a.**.b", "`b` of `a` and of every object in it"),
    ("$", "the whole message"),
    ("$record", "the record"),
    ("$asked", "what was asked, where the message is an answer: `$asked.id`"),
    ("$group", "as `each`: the rows of the present group"),
    ("^", "the row around; `^.^` the one around that"),
    (".", "the row itself"),
];

const TYPES: &[(Ty, &str, &str)] = &[
    (Ty::Text, "text", "numbers as they were written; an XML element gives its text"),
    (Ty::Integer, "integer", "`2`, `\"2.000\"`, `\"1,234\"` with `decimal = \".\"`"),
    (
        Ty::Quantity,
        "quantity",
        "a whole number that is not negative; `abs` drops a sign that only tells the direction",
    ),
    (
        Ty::Decimal,
        "decimal",
        "`12.50`, `1.5e2`, `1,234.56`, `1.234,56`, `1 234,56`, `1'234.50`, `(5)`, `5-`; exact, never a float",
    ),
    (
        Ty::Money,
        "money",
        "a number as above, with a code or sign in the text (`12.50 USD`, `€ 5`) or besides; or an object with `amount` or `value` and `currency`, `currency_code` or `currencyCode`",
    ),
    (
        Ty::Time,
        "time",
        "RFC 3339 with any digits, a blank for the `T`, ` UTC` at the end, `/Date(…)/`, an EDIFACT DTM, or one of `formats`",
    ),
    (Ty::Bool, "yes or no", "true, false, yes, no, y, n, 1, 0, on, off"),
    (Ty::Weight, "weight", "a number in `unit`, or with its units in the text: `2 lb 3 oz`; kept in grams"),
    (Ty::Country, "country", "ISO 3166 codes of two or three letters, or an English name"),
    (Ty::Currency, "currency", "an ISO 4217 code"),
];

const FORMATS: &[Row] = &[
    ("rfc3339", "`2015-06-29T08:46:27-04:00`; the default"),
    ("rfc2822", "`Mon, 29 Jun 2015 08:46:27 -0400`"),
    ("unix", "seconds since 1970, with or without decimals"),
    ("unix_ms", "milliseconds"),
    ("unix_us", "microseconds"),
];

const LETTER_DOCS: [&str; 24] = [
    "year",
    "name of the month",
    "name of the day",
    "short name of the month",
    "short name of the day",
    "nanoseconds",
    "microseconds",
    "milliseconds",
    "offset without colon",
    "year of two digits",
    "month",
    "day",
    "hour to 23",
    "hour to 12",
    "minute",
    "second",
    "offset with colon",
    "month, short",
    "day, short",
    "hour to 23, short",
    "hour to 12, short",
    "AM or PM",
    "am or pm",
    "seconds since 1970",
];

const AS_DOCS: &[Row] = &[
    ("text", "a text"),
    ("integer", "a JSON integer"),
    ("number", "a JSON number of the same value; of money its amount"),
    ("decimal", "a decimal as text; of money its amount"),
    ("boolean", "`true` or `false`"),
    ("minor", "of money: whole minor units"),
    ("major", "of money: the amount as text"),
    ("amount", "the same as `major`"),
    ("currency", "of money: the currency"),
    ("rfc3339", "a time"),
    ("rfc2822", "a time"),
    ("unix", "a time, in seconds"),
    ("unix_ms", "a time, in milliseconds"),
    ("unix_us", "a time, in microseconds"),
    ("alpha3", "a country in three letters"),
    (
        "region",
        "a region's code where its country is known (`California` is `CA`; US, CA, AU, and `DE-BY` of any country), else its text",
    ),
    ("phone", "a telephone number as E.164 where that is certain (`+4930123456`), else its text"),
    ("control", "nine digits derived from the text, the same for the same text: control numbers"),
    ("first_name", "a full name without its last word"),
    ("last_name", "the last word of a full name"),
];

/// Functions of expressions; each is tried by a test.
pub(super) const FUNCTIONS: &[Row] = &[
    ("number(\"12.5\")", "the number, or `()`"),
    ("text(5)", "the text"),
    ("trim(\" a \")", "without blanks around"),
    ("upper(\"a\")", "in capital letters"),
    ("lower(\"A\")", "in small letters"),
    ("replaced(\"a-b\", \"-\", \"\")", "with every occurrence replaced"),
    ("half_up(2.345, 2)", "rounded, halves away from zero"),
    ("half_even(2.345, 2)", "rounded, halves to the even digit"),
    ("\"a,b\".split(\",\")", "a list of pieces"),
    ("\"abc\".sub_string(1, 2)", "a part: from, how many"),
    ("\"abc\".contains(\"b\")", "whether it contains"),
    ("\"abc\".starts_with(\"a\")", "whether it begins so"),
    ("\"abc\".ends_with(\"c\")", "whether it ends so"),
    ("\"abc\".len()", "how many signs"),
    ("\"abc\".index_of(\"c\")", "where it is, or -1"),
    ("[1, 2].len()", "how many items"),
    ("(2.5).floor()", "rounded down"),
    ("(2.5).ceiling()", "rounded up"),
    ("(-2).abs()", "without its sign"),
    ("if 1 > 0 { \"a\" } else { \"b\" }", "a choice"),
];

/// `[lookup.NAME]`.
pub(super) const LOOKUP: &[Row] = &[
    ("rows", "the words: `theirs = \"ours\"`; they beat the file"),
    ("file", "a CSV, such as `lists/gateways.csv`"),
    ("key", "its column of their words (default the first)"),
    ("value", "its column of ours (default the second)"),
    ("missing", "a word that no row has: `\"report\"` (default), `\"keep\"`, `\"drop\"`"),
];

/// `[[test]]`.
pub(super) const TEST: &[Row] = &[
    ("input", "the payload, a file beside the mapping"),
    ("body", "the payload itself"),
    ("expect", "the facts; of an outbound mapping the body, as a table or as text"),
    ("errors", "how the causes of the expected errors begin"),
    ("error", "outbound: how the cause of the expected error begins"),
    ("nothing", "the message means nothing"),
    ("others", "facts that are not named are no difference"),
    ("exact", "fields that are not named are a difference"),
    ("zone", "stands for the account's zone"),
    ("currency", "stands for the account's currency"),
    ("asked", "stands for what was asked: `{ id = \"7\" }`"),
    ("doc", "a remark"),
];

/// `[overlay]`.
pub(super) const OVERLAY: &[Row] = &[
    ("of", "the mapping: `shopify/order`"),
    ("was", "digests of the rules that it replaced, from `crossdock map remember`"),
    ("doc", "a remark"),
];

const CAUSES: &[Row] = &[
    ("missing", "a required field has no value"),
    ("unknown_word", "no row of the look-up table has the word, or it is none of ours"),
    ("bad_value", "the value does not fit the field's type"),
    ("ambiguous", "a bare number whose unit or decimals are not said"),
    ("no_zone", "a time without a zone"),
    ("no_currency", "an amount without a currency"),
    ("list", "a path goes through a list without brackets"),
    ("expr", "the expression failed"),
    ("no_fact", "no fact fires, and `[nothing]` does not say why"),
    ("rejected", "`reject` holds"),
    ("invalid", "a message or row of the payload cannot be used: counts do not fit, cells are amiss"),
    ("too_large", "the message takes more steps, or gives more facts, than one message may"),
];

fn table(out: &mut String, title: &str, head: &str, rows: impl IntoIterator<Item = (String, String)>) {
    // Writing to a text cannot fail.
    let _ = write!(out, "\n## {title}\n\n| {head} | |\n|---|---|\n");
    for (name, doc) in rows {
        let _ = writeln!(out, "| `{}` | {} |", name.replace('|', "\\|"), doc.replace('|', "\\|"));
    }
}

fn rows(rows: &[Row]) -> impl Iterator<Item = (String, String)> {
    rows.iter().map(|(name, doc)| ((*name).to_owned(), (*doc).to_owned()))
}

fn type_name(ty: Ty) -> String {
    match ty {
        Ty::Word(words) => format!("one of {}", words.join(", ")),
        Ty::Record(_) => "record".to_owned(),
        Ty::List(inner) => format!("list of {}", type_name(*inner)),
        Ty::Extra => "texts, carried along".to_owned(),
        ty => TYPES
            .iter()
            .find(|(known, ..)| *known == ty)
            .map_or_else(String::new, |(_, name, _)| (*name).to_owned()),
    }
}

fn fields(out: &mut String, fields: &[Field], around: &str) {
    for field in fields {
        let name = format!("{around}{}", field.name);
        let required = if field.required { " **required**" } else { "" };
        let _ = writeln!(out, "| `{name}` | {} | {}{required} |", type_name(field.ty), field.doc.trim());
        let inner: &[Field] = match field.ty {
            Ty::Record(inner) | Ty::List(&Ty::Record(inner)) => inner,
            _ => &[],
        };
        self::fields(out, inner, &format!("{name}."));
    }
}

/// The reference as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut out =
        "# Reference of the mapping language\n\nMade from the code; [mappings.md](mappings.md) explains, \
                   [recipes.md](recipes.md) shows.\n"
            .to_owned();
    let formats = SyntaxKind::ALL.iter().map(|(name, kind)| {
        ((*name).to_owned(), format!("records at `{}`; sent as `{}`", kind.records(), kind.content_type()))
    });
    table(&mut out, "`[mapping]`, inbound", "key", rows(MAPPING));
    table(&mut out, "`[mapping]`, outbound", "key", rows(MAPPING_OUT));
    table(&mut out, "Formats", "format", formats);
    table(&mut out, "Facts, records and lists", "key", rows(TABLES));
    let sources = SOURCES.iter().zip(SOURCE_DOCS).map(|(name, doc)| ((*name).to_owned(), doc.to_owned()));
    table(&mut out, "Sources of a rule", "source", sources);
    table(&mut out, "What a rule does with it, in this order", "key", rows(RULE));
    table(&mut out, "Paths", "path", rows(PATHS));
    table(&mut out, "Conditions", "condition", rows(CONDITIONS));
    let types = TYPES.iter().map(|(_, name, doc)| ((*name).to_owned(), (*doc).to_owned()));
    table(&mut out, "Types", "type", types);
    table(&mut out, "Forms of times", "form", rows(FORMATS));
    let letters =
        LETTERS.iter().zip(LETTER_DOCS).map(|((letters, _), doc)| ((*letters).to_owned(), doc.to_owned()));
    table(&mut out, "Letters of patterns of times", "letters", letters);
    let weights = WEIGHTS.iter().map(|(names, grams)| (names.join("`, `"), format!("{grams} g")));
    table(&mut out, "Units of weight", "unit", weights);
    let signs = SYMBOLS.iter().map(|(sign, codes)| ((*sign).to_owned(), codes.join(", ")));
    table(&mut out, "Signs of currencies", "sign", signs);
    let _ = writeln!(out, "\nA sign of several currencies needs `currency_from` or `currency` besides.");
    table(&mut out, "`as`, outbound", "as", rows(AS_DOCS));
    let _ = writeln!(
        out,
        "\nFurther `weight` with `unit`, and any pattern of a time. `region` and `phone` look for `country` beside their path; `country_from` names another place."
    );
    table(&mut out, "Expressions", "such as", rows(FUNCTIONS));
    table(&mut out, "`[lookup.NAME]`", "key", rows(LOOKUP));
    table(&mut out, "`[[test]]`", "key", rows(TEST));
    table(&mut out, "`[overlay]`", "key", rows(OVERLAY));
    table(&mut out, "Causes of errors", "cause", rows(CAUSES));
    let _ = write!(
        out,
        "\n## Limits\n\n| what | at most |\n|---|---|\n| bytes of a payload | {MAX_BYTES} |\n| levels of a payload | {MAX_DEPTH} |\n\
         | steps of a message | {BUDGET} |\n| facts of a message | {MAX_FACTS} |\n| errors told of a message | {MAX_ERRORS} |\n"
    );
    let _ = write!(out, "\n## Fields of every fact\n\n| field | type | |\n|---|---|---|\n");
    fields(&mut out, Header::FIELDS, "");
    for info in KINDS.iter().filter(|info| !info.ours()) {
        let _ = write!(
            out,
            "\n## `{}`\n\n{}\n\n| field | type | |\n|---|---|---|\n",
            info.kind.0,
            info.doc.trim()
        );
        fields(&mut out, info.fields, "");
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::map::compile::{AS, CONTROL};
    use crate::map::condition::TESTS;

    fn names(rows: &[Row]) -> BTreeSet<&'static str> {
        rows.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn every_key_that_the_compiler_reads_is_described() {
        let _ = crate::map::tree::asked::take();
        crate::map::tests::compile_everything();
        let asked = crate::map::tree::asked::take();
        let of = |begins: &str| -> BTreeSet<&'static str> {
            let places = asked.iter().filter(|(place, _)| place.starts_with(begins));
            places.flat_map(|(_, names)| names.iter().copied()).collect()
        };
        let rule: BTreeSet<&str> = names(RULE).into_iter().chain(SOURCES).collect();
        assert_eq!(of("the rule of "), rule);
        let mapping: BTreeSet<&str> = names(MAPPING).union(&names(MAPPING_OUT)).copied().collect();
        assert_eq!(of("[mapping]"), mapping);
        assert_eq!(of("[lookup."), names(LOOKUP));
        assert_eq!(of("[[test]]"), names(TEST));
        assert_eq!(of("[overlay]"), names(OVERLAY));
        assert_eq!(names(TABLES), CONTROL.into_iter().collect());
        assert_eq!(names(AS_DOCS), AS.into_iter().collect());
        assert!(
            TESTS.iter().all(|test| {
                CONDITIONS.iter().any(|(name, doc)| name.contains(test) || doc.contains(test))
            })
        );
        assert!(FORMATS.iter().all(|(name, _)| crate::map::time::Format::parse(name).is_ok()));
    }

    #[test]
    fn every_function_of_the_reference_works() {
        for (text, _) in FUNCTIONS {
            let found = crate::map::expr::Expr::compile(text, &[]).and_then(|expr| expr.eval(&[]));
            assert!(found.is_ok(), "{text}: {found:?}");
        }
    }
}
