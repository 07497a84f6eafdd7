//! What every store must do. The suite takes a factory of places, so that each implementation runs all of it.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod delivery;
mod intake;
mod kill;
mod make;
mod people;
mod postgres;
mod restart;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "this test needs only a part")]
mod server;
mod speed;
mod waiting;
mod work;

use std::any::Any;
use std::sync::Arc;

use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::Store;

/// Where a store lives: opened again, it holds what it held.
pub struct Place {
    open: Box<dyn Fn() -> Arc<dyn Store>>,
    _keep: Box<dyn Any>,
}

impl Place {
    /// Opens the store.
    pub fn open(&self) -> Arc<dyn Store> {
        (self.open)()
    }
}

macro_rules! run {
    ($make:expr, $($module:ident: $($case:ident)+;)+) => {
        $($(
            println!("{}::{}", stringify!($module), stringify!($case));
            $module::$case($make()).await;
        )+)+
    };
}

async fn suite(make: impl Fn() -> Place) {
    run!(make,
        intake:
            duplicates_are_known_by_event_and_body
            recorded_messages_are_listed_newest_first
            a_page_and_its_cursor_go_together
            pending_messages_come_by_priority_then_age
            counters_count;
        work:
            a_unit_stores_all_of_it
            reservations_stand_beside_the_state
            versions_are_compared_and_swapped
            a_refused_unit_leaves_nothing_and_fails_no_other
            names_belong_to_one_entity
            settled_messages_are_worked_once
            facts_are_unique_and_may_be_superseded
            events_are_kept_until_published
            intents_change_only_while_pending
            planned_exceptions_are_whole;
        waiting:
            a_name_wakes_what_waits_for_it
            waiting_for_a_known_name_is_a_conflict
            a_unit_wakes_its_own_facts
            overdue_facts_become_exceptions_and_still_wait
            timers_fire_once_a_generation;
        delivery:
            leases_pass_on_with_a_new_epoch
            freezing_checks_version_state_and_lease
            an_old_owner_changes_nothing
            who_made_an_attempt_tells_its_outcome_after_its_lease
            what_was_in_flight_becomes_unknown
            the_oldest_of_an_entity_goes_first
            commands_of_a_class_go_before_later_classes
            only_the_newest_stock_level_goes
            stock_levels_told_long_ago_are_forgotten
            settling_answers_and_wakes
            an_answer_that_names_its_entity_wakes_it
            intents_that_were_never_sent_can_be_settled
            withdrawing_is_refused_once_told;
        people:
            retry_puts_messages_back
            retry_lets_refused_intents_go_again
            a_stuck_intent_waits_for_a_decision
            orders_are_listed_and_found
            exceptions_are_grouped_by_cause
            counts_follow
            personal_data_is_erased
            small_values_are_compared_and_swapped
            old_bodies_are_pruned;
        restart:
            everything_is_there_after_a_restart
            many_writers_lose_nothing
            a_closed_store_says_so;
    );
}

/// A folder in memory where the system has one: these tests end processes, not machines.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn sqlite(inline: bool) -> Place {
    let folder = folder();
    let path = folder.path().join("store.db");
    let open = move || -> Arc<dyn Store> {
        SqliteStore::open(&path, Options { inline, ..Options::default() }).unwrap()
    };
    Place { open: Box::new(open), _keep: Box::new(folder) }
}

fn in_memory(inline: bool) -> Place {
    let disk = lossy_vfs::Disk::new();
    let path = disk.path("store.db");
    let open = move || -> Arc<dyn Store> {
        let vfs = Some(lossy_vfs::NAME.to_owned());
        SqliteStore::open(&path, Options { inline, vfs, ..Options::default() }).unwrap()
    };
    Place { open: Box::new(open), _keep: Box::new(disk) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_on_a_disk_in_memory_conforms() {
    suite(|| in_memory(false)).await;
}

#[tokio::test]
async fn sqlite_on_a_disk_in_memory_and_the_callers_thread_conforms() {
    suite(|| in_memory(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    suite(|| sqlite(false)).await;
}

#[tokio::test]
async fn sqlite_on_the_callers_thread_conforms() {
    suite(|| sqlite(true)).await;
}

/// Erased is erased: not only out of reach, but gone from the file and its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_data_is_gone_from_the_file() {
    const NEEDLE: &[u8] = b"needle-9f8e7d@example.com";
    let folder = folder();
    let found = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .any(|bytes| bytes.windows(NEEDLE.len()).any(|window| window == NEEDLE))
    };
    for inline in [true, false] {
        let path = folder.path().join(format!("{inline}.db"));
        let store = SqliteStore::open(&path, Options { inline, ..Options::default() }).unwrap();
        let order = make::personal_order(&*store, std::str::from_utf8(NEEDLE).unwrap()).await;
        assert!(found(), "it is there to be found");
        store.erase_personal(&order).await.unwrap();
        assert!(!found(), "inline: {inline}");
        store.close().await.unwrap();
        assert!(!found(), "inline: {inline}");
    }
}
