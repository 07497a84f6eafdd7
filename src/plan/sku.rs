//! SKUs: a storefront's name of goods to ours, and ours to a warehouse's, with units a pack.

use crate::canonical::AccountId;
use crate::canonical::order::OrderLine;
use crate::config::model::Flow;

/// What a warehouse is told of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goods {
    /// Our SKU.
    pub(super) ours: String,
    /// Our units in one unit of the line.
    pub(super) each: u64,
    /// The warehouse's SKU.
    pub(super) theirs: String,
    /// Our units in one of the warehouse's.
    pub(super) pack: u64,
}

impl Goods {
    /// The warehouse's units for so many of the line's, if they come out whole.
    pub(super) fn units(&self, line: u64) -> Option<u64> {
        let ours = line.checked_mul(self.each)?;
        ours.is_multiple_of(self.pack.max(1)).then(|| ours / self.pack.max(1))
    }
}

/// Why goods have no name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoSku {
    /// The line names none: its title or reference.
    Missing(String),
    /// The table has no row for it.
    Unknown(String),
}

/// Our SKU for the storefront's, and our units in one of theirs. A name that the table gives as ours stands for itself.
pub(super) fn ours(flow: &Flow, storefront: &AccountId, theirs: &str) -> Option<(String, u64)> {
    let rows = &flow.skus.rows;
    if let Some((ours, each)) = rows.get(&(storefront.clone(), theirs.to_owned())) {
        return Some((ours.clone(), *each));
    }
    (rows.is_empty() || rows.values().any(|(ours, _)| ours == theirs)).then(|| (theirs.to_owned(), 1))
}

/// All names that `account` has for our SKU, with our units in one of theirs; its own name, if the table has no row.
pub(super) fn theirs(flow: &Flow, account: &AccountId, ours: &str) -> Vec<(String, u64)> {
    let mut names: Vec<(String, u64)> = flow
        .skus
        .rows
        .iter()
        .filter(|((owner, _), (name, _))| owner == account && name == ours)
        .map(|((_, theirs), (_, each))| (theirs.clone(), *each))
        .collect();
    if names.is_empty() {
        names.push((ours.to_owned(), 1));
    }
    names
}

/// What `warehouse` is told of the line. Of several names that fit, the largest pack that comes out whole.
pub(super) fn goods(
    flow: &Flow,
    storefront: &AccountId,
    warehouse: &AccountId,
    line: &OrderLine,
) -> Result<Goods, NoSku> {
    let Some(sku) = line.sku.as_deref().map(str::trim).filter(|sku| !sku.is_empty()) else {
        let name = line.title.clone().filter(|title| !title.trim().is_empty());
        return Err(NoSku::Missing(name.unwrap_or_else(|| line.r#ref.clone())));
    };
    let (ours, each) = ours(flow, storefront, sku).ok_or_else(|| NoSku::Unknown(sku.to_owned()))?;
    let mut names = theirs(flow, warehouse, &ours);
    names.sort_by(|one, two| (two.1, &one.0).cmp(&(one.1, &two.0)));
    let units = line.ordered.max(1).saturating_mul(each);
    let fits =
        names.iter().find(|(_, pack)| *pack > 0 && each.is_multiple_of(*pack) && units.is_multiple_of(*pack));
    let fallback = names.iter().min_by_key(|(_, pack)| *pack);
    let (theirs, pack) = fits.or(fallback).cloned().unwrap_or((ours.clone(), 1));
    Ok(Goods { ours, each, theirs, pack: pack.max(1) })
}
