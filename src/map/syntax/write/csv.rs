//! CSV: a row for each object of the list, a column for each field of the mapping.

use super::{Written, text};
use crate::map::convert::Trouble;
use crate::map::syntax::Syntax;

pub(super) fn write(body: &Written, columns: &[String], syntax: &Syntax) -> Result<Vec<u8>, Trouble> {
    let rows = match body {
        Written::List(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut writer = csv::WriterBuilder::new()
        .delimiter(syntax.delimiter.unwrap_or(b','))
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let wrong = |error: csv::Error| Trouble::new("internal", error.to_string());
    if syntax.header {
        writer.write_record(columns).map_err(wrong)?;
    }
    for row in rows {
        let Written::Object(fields) = row else {
            return Err(Trouble::new("bad_value", "a row of the CSV is no object")
                .help("write [body] with `each`, and the columns below"));
        };
        let mut cells = Vec::with_capacity(columns.len());
        for column in columns {
            let cell = match fields.iter().find(|(name, _)| name == column) {
                None => String::new(),
                Some((_, Written::Value(value))) if !value.is_array() && !value.is_object() => {
                    text(value).unwrap_or_default()
                }
                Some(_) => {
                    return Err(Trouble::new(
                        "bad_value",
                        format!("the column `{column}` is no single value"),
                    )
                    .help("a CSV has one value a cell: join them"));
                }
            };
            cells.push(cell);
        }
        writer.write_record(&cells).map_err(wrong)?;
    }
    writer.into_inner().map_err(|error| Trouble::new("internal", error.to_string()))
}
