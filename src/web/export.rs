//! What is unmapped, as rows of a list to fill in.

use crate::ports::CauseRow;

/// The kinds of exceptions that a list solves.
pub const KINDS: [&str; 2] = ["unknown_sku", "unknown_word"];

/// Rows to fill in, with a line of column names: for SKUs as the list of a flow has them (`account,theirs,ours,each`), for
/// words with the mapping and the field that met them. Most waited for first.
///
/// # Errors
/// When a row cannot be written.
pub fn csv(kind: &str, causes: &[CauseRow]) -> Result<String, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let head: &[&str] = match kind {
        "unknown_sku" => &["account", "theirs", "ours", "each"],
        _ => &["mapping", "field", "theirs", "ours"],
    };
    out.write_record(head)?;
    for row in causes.iter().filter(|row| row.kind == kind) {
        if kind == "unknown_sku" {
            let named = row.cause.strip_prefix("sku:").and_then(|rest| rest.split_once(':'));
            if let Some((account, theirs)) = named {
                out.write_record([account, theirs, "", "1"])?;
            }
        } else {
            let mut parts = row.cause.splitn(4, ':').skip(1);
            if let (Some(mapping), Some(field), Some(word)) = (parts.next(), parts.next(), parts.next()) {
                out.write_record([mapping, field, word, ""])?;
            }
        }
    }
    let bytes = out.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_columns_of_the_list_that_they_go_into() {
        let row = |kind: &str, cause: &str| CauseRow {
            cause: cause.to_owned(),
            kind: kind.to_owned(),
            count: 3,
            message: String::new(),
            help: None,
            since: jiff::Timestamp::UNIX_EPOCH,
        };
        let causes = [
            row("unknown_sku", "sku:shop:A,1:x"),
            row("unknown_sku", "sku_missing:shop:Mug"),
            row("unknown_word", "unknown_word:shopify/order:cancel_reason:charge:back"),
            row("missing", "missing:shopify/order:placed.total"),
        ];
        assert_eq!(csv("unknown_sku", &causes).unwrap(), "account,theirs,ours,each\nshop,\"A,1:x\",,1\n");
        assert_eq!(
            csv("unknown_word", &causes).unwrap(),
            "mapping,field,theirs,ours\nshopify/order,cancel_reason,charge:back,\n"
        );
    }
}
