//! What came back.

use super::ledger::{Ledger, name_of};
use super::project::Draft;
use crate::canonical::Body;
use crate::canonical::order::ReturnState;

/// Fills in the returns and the units that came back. Shipments must be known.
pub(super) fn project(draft: &mut Draft<'_>, ledger: &Ledger<'_>) {
    let told = ledger.newest(
        |body| if let Body::Returned(told) = body { Some(told) } else { None },
        |fact| name_of(fact, &[&fact.header.rma, &fact.header.r#ref]),
    );
    let mut back = vec![0_u64; draft.order.lines.len()];
    for ((account, name), (_, returned)) in told {
        if ["received", "closed"].contains(&returned.status.0.as_str()) {
            for part in &returned.lines {
                for (index, units) in draft.share(part, &back) {
                    back[index] = back[index].saturating_add(units);
                }
            }
        }
        draft.order.returns.push(ReturnState {
            account,
            r#ref: name,
            status: returned.status.0.clone(),
            lines: returned.lines.clone(),
            reason: returned.reason.clone(),
            restock: returned.restock,
        });
    }
    for (index, units) in back.into_iter().enumerate() {
        let line = &draft.order.lines[index];
        if units > line.shipped {
            let message = format!(
                "{units} of `{}` came back, but only {} are known to have left",
                line.sku.as_deref().unwrap_or(&line.r#ref),
                line.shipped
            );
            draft.problem(format!("over_returned:{}", draft.order.id), message);
        }
        let line = &mut draft.order.lines[index];
        line.returned = units.min(line.shipped);
    }
}
