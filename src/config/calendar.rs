//! When a warehouse works: `[account.NAME.calendar]`.

use std::collections::BTreeMap;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The days on which a warehouse sends goods, and until when of such a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The zone of its clock.
    pub zone: TimeZone,
    /// The days of the week on which it works, from Monday. Default Monday to Friday. At least one.
    pub days: [bool; 7],
    /// What is released later than this counts for the next working day.
    pub cut_off: Time,
    /// When goods of that day have left. Not before `cut_off`.
    pub close: Time,
    /// Further working days that it may take. Default 0: goods leave on the day itself.
    pub handling_days: u32,
    /// Days on which it does not work, with their names.
    pub holidays: BTreeMap<Date, String>,
}

impl Calendar {
    /// The words for the days of the week, from Monday.
    pub const DAYS: [&'static str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    /// Whether it works on this day.
    #[must_use]
    pub fn works(&self, day: Date) -> bool {
        self.works_on(day.weekday()) && !self.holidays.contains_key(&day)
    }

    fn works_on(&self, day: Weekday) -> bool {
        usize::try_from(day.to_monday_zero_offset()).ok().and_then(|at| self.days.get(at)) == Some(&true)
    }

    /// When goods should have left that were released at `released`: at the close of the working day for which that counts,
    /// or so many working days later. `None` only beyond the end of all calendars.
    #[must_use]
    pub fn ship_by(&self, released: Timestamp) -> Option<Zoned> {
        let local = released.to_zoned(self.zone.clone());
        let mut day = local.date();
        if local.time() > self.cut_off {
            day = day.tomorrow().ok()?;
        }
        let mut more = self.handling_days;
        loop {
            if self.works(day) {
                if more == 0 {
                    break;
                }
                more -= 1;
            }
            day = day.tomorrow().ok()?;
        }
        // A time that the clock leaves out or shows twice on that day: the earlier one.
        self.zone.to_ambiguous_zoned(day.to_datetime(self.close)).earlier().ok()
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use proptest::prelude::*;

    use super::*;

    fn berlin() -> Calendar {
        Calendar {
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            days: [true, true, true, true, true, false, false],
            cut_off: "14:00".parse().unwrap(),
            close: "18:00".parse().unwrap(),
            handling_days: 0,
            holidays: BTreeMap::from([("2026-12-25".parse().unwrap(), "Christmas".to_owned())]),
        }
    }

    fn ship_by(calendar: &Calendar, local: &str) -> String {
        let released = local.parse::<Zoned>().unwrap().timestamp();
        calendar.ship_by(released).unwrap().strftime("%a %Y-%m-%d %H:%M %:z").to_string()
    }

    #[test]
    fn the_cut_off_decides_for_which_working_day_an_order_counts() {
        let zone = "[Europe/Berlin]";
        for (released, leaves) in [
            // A Tuesday: before and at the cut-off, after it, in the night before.
            ("2026-11-24T13:59:59", "Tue 2026-11-24 18:00 +01:00"),
            ("2026-11-24T14:00:00", "Tue 2026-11-24 18:00 +01:00"),
            ("2026-11-24T14:00:01", "Wed 2026-11-25 18:00 +01:00"),
            ("2026-11-24T02:00:00", "Tue 2026-11-24 18:00 +01:00"),
            // Over the week-end, and over Christmas and the week-end after it.
            ("2026-11-27T14:30:00", "Mon 2026-11-30 18:00 +01:00"),
            ("2026-11-28T09:00:00", "Mon 2026-11-30 18:00 +01:00"),
            ("2026-12-24T15:00:00", "Mon 2026-12-28 18:00 +01:00"),
            // The clock changes in the night to Sunday; the warehouse's close stays where it is.
            ("2026-03-27T15:00:00", "Mon 2026-03-30 18:00 +02:00"),
            ("2026-10-23T15:00:00", "Mon 2026-10-26 18:00 +01:00"),
        ] {
            assert_eq!(ship_by(&berlin(), &format!("{released}{zone}")), leaves, "{released}");
        }
        let slow = Calendar { handling_days: 2, ..berlin() };
        assert_eq!(ship_by(&slow, "2026-11-26T10:00:00[Europe/Berlin]"), "Mon 2026-11-30 18:00 +01:00");
        assert_eq!(ship_by(&slow, "2026-12-23T10:00:00[Europe/Berlin]"), "Mon 2026-12-28 18:00 +01:00");
        // On the clock of the warehouse, wherever the order comes from.
        assert_eq!(ship_by(&berlin(), "2026-11-23T23:30:00-05:00[-05:00]"), "Tue 2026-11-24 18:00 +01:00");
        // Half past two is left out on the day of the change.
        let night = Calendar {
            days: [true; 7],
            cut_off: "01:00".parse().unwrap(),
            close: "02:30".parse().unwrap(),
            ..berlin()
        };
        assert_eq!(ship_by(&night, "2026-03-29T00:30:00[Europe/Berlin]"), "Sun 2026-03-29 01:30 +01:00");
    }

    prop_compose! {
        fn calendars()(
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC"]),
            days in prop::array::uniform7(any::<bool>()).prop_filter("it works on some day", |days| days.contains(&true)),
            times in (0_i8..24, 0_i8..60, 0_i8..24, 0_i8..60),
            handling_days in 0_u32..4,
            holidays in prop::collection::btree_set(0_i64..800, 0..60),
        ) -> Calendar {
            let (one, two) = (Time::constant(times.0, times.1, 0, 0), Time::constant(times.2, times.3, 0, 0));
            let first = Date::constant(2025, 1, 1);
            Calendar {
                zone: TimeZone::get(zone).unwrap(),
                days,
                cut_off: one.min(two),
                close: one.max(two),
                handling_days,
                holidays: holidays.into_iter().map(|day| (first + day.days(), String::new())).collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn goods_leave_on_a_working_day_after_their_release(calendar in calendars(), released in 1_735_700_000_i64..1_800_000_000) {
            let released = Timestamp::from_second(released).unwrap();
            let leaves = calendar.ship_by(released).unwrap();
            prop_assert!(calendar.works(leaves.date()), "{leaves}");
            prop_assert!(leaves.time() <= calendar.close, "{leaves}");
            // No working day between is passed over but those that it may take.
            let local = released.to_zoned(calendar.zone.clone());
            prop_assert!(leaves.date() >= local.date());
            let mut day = local.date();
            let mut passed = 0_u32;
            while day < leaves.date() {
                passed += u32::from(calendar.works(day));
                day = day.tomorrow().unwrap();
            }
            let missed = calendar.works(local.date()) && local.time() > calendar.cut_off;
            prop_assert_eq!(passed, calendar.handling_days + u32::from(missed));
        }

        #[test]
        fn what_is_released_later_leaves_no_earlier(calendar in calendars(), released in 1_735_700_000_i64..1_800_000_000, later in 0_i64..1_000_000) {
            let leaves = |second| calendar.ship_by(Timestamp::from_second(second).unwrap()).unwrap().timestamp();
            prop_assert!(leaves(released) <= leaves(released + later));
        }
    }
}
