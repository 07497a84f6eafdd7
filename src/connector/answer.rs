//! What stands in an answer or a webhook: values by path or header, and tests on them.

use rust_decimal::Decimal;

use super::manifest::{Source, Test};
use crate::map::node::{Node, ParseError};
use crate::map::path::Path;
use crate::map::{Syntax, SyntaxKind};
use crate::ports::HttpResponse;

/// The body of an answer: XML where it begins with `<`, a form where its type says so, else JSON.
pub(super) fn body(response: &HttpResponse) -> Result<Node<'_>, ParseError> {
    let first =
        response.body.iter().find(|byte| !(byte.is_ascii_whitespace() || b"\xef\xbb\xbf".contains(byte)));
    let is_form = || {
        let kind = response.header("content-type").unwrap_or_default();
        kind.split(';').next().is_some_and(|kind| kind.trim() == SyntaxKind::Form.content_type())
    };
    let kind = match first {
        Some(b'<') => SyntaxKind::Xml,
        Some(b'{' | b'[') => SyntaxKind::Json,
        _ if is_form() => SyntaxKind::Form,
        _ => SyntaxKind::Json,
    };
    Syntax::of(kind).read(&response.body)
}

/// All texts at `path` of `node`; nothing for a path that cannot be read.
pub(super) fn texts(node: &Node<'_>, path: &str) -> Vec<String> {
    let Ok(path) = Path::parse(path) else { return Vec::new() };
    path.all(node).into_iter().filter_map(|found| found.text().map(std::borrow::Cow::into_owned)).collect()
}

/// The first text at `path` of `node` that is not blank.
pub(super) fn text(node: &Node<'_>, path: &str) -> Option<String> {
    texts(node, path).into_iter().find(|text| !text.trim().is_empty())
}

/// The value of `source`, of headers or body.
pub(super) fn value(
    source: &Source,
    headers: &[(String, String)],
    body: Option<&Node<'_>>,
) -> Option<String> {
    match source {
        Source::Header(name) => header(headers, name).map(|value| value.trim().to_owned()),
        Source::Path(path) => text(body?, path),
    }
    .filter(|value| !value.is_empty())
}

/// The first header called `name`, in any letter case.
pub(super) fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Whether `test` holds on what stands at `path` of `node`.
pub(super) fn holds(node: &Node<'_>, path: &str, test: &Test) -> bool {
    let Ok(path) = Path::parse(path) else { return false };
    let found = path.all(node);
    let number = |bound: i64, fits: fn(Decimal, Decimal) -> bool| {
        found
            .iter()
            .filter_map(|value| value.text()?.trim().parse::<Decimal>().ok())
            .any(|value| fits(value, Decimal::from(bound)))
    };
    let any_text =
        |fits: &dyn Fn(&str) -> bool| found.iter().any(|value| value.text().is_some_and(|text| fits(&text)));
    match test {
        Test::AnyOf(words) => any_text(&|text| words.iter().any(|word| word == text)),
        Test::Not(words) => !any_text(&|text| words.iter().any(|word| word == text)),
        Test::Exists(there) => found.iter().any(|value| !value.is_absent()) == *there,
        Test::Contains(part) => any_text(&|text| text.to_lowercase().contains(&part.to_lowercase())),
        Test::Ge(bound) => number(*bound, |value, bound| value >= bound),
        Test::Le(bound) => number(*bound, |value, bound| value <= bound),
    }
}
