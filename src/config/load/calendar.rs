//! `[account.NAME.calendar]`: when a warehouse works.

use std::collections::BTreeMap;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use super::Scope;
use crate::canonical::When;
use crate::config::calendar::Calendar;
use crate::connector::manifest::Manifest;
use crate::diagnostic::Diagnostic;
use crate::tables::{Table, Value};

const HOLIDAYS: &str =
    "expected [\"2026-12-25\"], { 2026-12-25 = \"Christmas\" }, or a CSV with the columns date,name";

/// A zone by its name, or by an offset such as `+08:00`.
fn zone_named(text: &str) -> Option<TimeZone> {
    let offset = || format!("2000-01-01T00:00:00{text}").parse::<When>().ok();
    TimeZone::get(text).ok().or_else(|| offset().map(|at| at.offset().to_time_zone()))
}

impl Scope<'_> {
    /// The calendar in `value`; `zone` is the account's.
    pub(super) fn calendar(
        &self,
        value: &Value<'_>,
        zone: Option<&str>,
        manifest: Option<&Manifest>,
    ) -> Option<Calendar> {
        let table = value.table()?;
        if let Some(manifest) = manifest.filter(|one| !one.serves.iter().any(|word| word == "warehouse")) {
            value.wrong(
                format!("`{}` is no warehouse", manifest.name),
                "only warehouses have a calendar: take it out",
            );
        }
        let zone = table.get("zone").map_or_else(
            || zone.and_then(zone_named),
            |value| super::account::zone(&value).and_then(|text| zone_named(&text)),
        );
        if zone.is_none() && table.get("zone").is_none() {
            table.wrong(
                format!("[{}] does not say on which clock", table.path()),
                "add zone = \"Europe/Berlin\", here or in the account",
            );
        }
        let days = days(&table);
        let cut_off = table.need("cut_off", "a time of day such as \"14:00\"");
        let close = table.need("close", "a time of day such as \"18:00\"");
        let handling_days = table.whole("handling_days", 0, 60).unwrap_or(0);
        let holidays = table.get("holidays").map(|value| self.holidays(&value)).unwrap_or_default();
        table.finish();
        let (after, at) = (cut_off.as_ref().and_then(time), close.as_ref().and_then(time));
        if let (Some(value), Some(after), Some(at)) = (&cut_off, after, at)
            && after > at
        {
            value.wrong(
                format!("{} is after the close at {}", after.strftime("%H:%M"), at.strftime("%H:%M")),
                "expected a time before `close`: what is released later counts for the next working day",
            );
        }
        Some(Calendar {
            zone: zone?,
            days: days?,
            cut_off: after?,
            close: at?,
            handling_days: u32::try_from(handling_days).unwrap_or(0),
            holidays,
        })
    }

    fn holidays(&self, value: &Value<'_>) -> BTreeMap<Date, String> {
        if value.is_table() {
            let all = value.table().map(|table| table.all()).unwrap_or_default();
            let named = all.iter().filter_map(|(day, name)| {
                let found = day.text.parse().ok();
                if found.is_none() {
                    name.wrong(format!("`{}` is no date", day.text), HOLIDAYS);
                }
                Some((found?, name.text()?.to_owned()))
            });
            return named.collect();
        }
        if value.is_list() {
            let days = value.items().unwrap_or_default();
            return days.iter().filter_map(|day| Some((date(day)?, String::new()))).collect();
        }
        let Some(file) = value.text() else { return BTreeMap::new() };
        let Some(text) = self.sources.get(file) else {
            value.wrong(format!("there is no file `{file}`"), HOLIDAYS);
            return BTreeMap::new();
        };
        let mut all = BTreeMap::new();
        let rows = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut start = text.len() - rows.len();
        for (row, line) in rows.split_inclusive('\n').enumerate() {
            let (day, name) = line.split_once([',', ';']).unwrap_or((line, ""));
            let plain = |text: &str| text.trim().trim_matches('"').trim().to_owned();
            let (day, name) = (plain(day), plain(name));
            match day.parse() {
                Ok(day) => {
                    all.insert(day, name);
                }
                // The head, and blank rows.
                Err(_) if row == 0 && day.eq_ignore_ascii_case("date") || day.is_empty() => {}
                Err(_) => {
                    let message = format!("row {}: `{day}` is no date", row + 1);
                    let found = Diagnostic::error(file, text, start..start, message);
                    value.report(
                        found.help("expected a date such as 2026-12-25, and the day's name beside it"),
                    );
                }
            }
            start += line.len();
        }
        all
    }
}

fn days(table: &Table<'_>) -> Option<[bool; 7]> {
    let Some(value) = table.get("days") else { return Some([true, true, true, true, true, false, false]) };
    if !value.is_list() {
        value.expected("a list of days: [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]");
        return None;
    }
    let items = value.items()?;
    if items.is_empty() {
        value.wrong("it is closed all week", "expected the days on which it works: [\"mon\", \"tue\"]");
        return None;
    }
    let mut days = [false; 7];
    for item in &items {
        let word = item.word(&Calendar::DAYS)?;
        for (day, _) in days.iter_mut().zip(Calendar::DAYS).filter(|(_, known)| *known == word) {
            *day = true;
        }
    }
    Some(days)
}

fn time(value: &Value<'_>) -> Option<Time> {
    let text = value.scalar()?;
    let found = text.parse().ok();
    if found.is_none() {
        value.wrong(format!("`{text}` is no time of day"), "expected hours and minutes: \"14:00\"");
    }
    found
}

fn date(value: &Value<'_>) -> Option<Date> {
    let text = value.scalar()?;
    let found = text.parse().ok();
    if found.is_none() {
        value.wrong(format!("`{text}` is no date"), "expected year, month and day: \"2026-12-25\"");
    }
    found
}
