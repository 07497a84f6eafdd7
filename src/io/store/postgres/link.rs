//! Work on the database: connections from the pool, transactions, time limits, and what happens while it is away.
//!
//! While the database is away nothing waits for it: work is refused at once, so that intake can answer 503, and one task
//! tries for ever, with growing pauses, to reach it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{GenericClient as _, Object, Pool, PoolError, Transaction};
use futures::future::try_join_all;
use tokio::sync::Notify;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use tokio_util::sync::CancellationToken;

use super::codec::{Fault, Param, statements, values, words};
use crate::ports::StoreError;

/// How often work that another transaction overtook is done again.
pub(super) const TRIES: u32 = 12;
/// Longest pause between two tries to reach the database again.
const PAUSE: Duration = Duration::from_secs(2);

/// Statements that are sent before the first answer is awaited.
const IN_ORDER: usize = 30;

statements! {
    TALLY = "INSERT INTO tally (area, a, b, n) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[])";
    ALIVE = "SELECT 1";
}

/// The pool, and whether there is a database behind it.
pub(super) struct Link {
    pool: Pool,
    place: String,
    limit: Duration,
    /// Why there is none, since when.
    lost: Mutex<Option<(String, Instant)>>,
    down: AtomicBool,
    look: Notify,
    stop: CancellationToken,
}

impl Link {
    pub(super) fn new(pool: Pool, place: String, limit: Duration) -> Arc<Self> {
        let link = Arc::new(Self {
            pool,
            place,
            limit,
            lost: Mutex::default(),
            down: AtomicBool::new(false),
            look: Notify::new(),
            stop: CancellationToken::new(),
        });
        tokio::spawn(keep(link.clone()));
        link
    }

    /// Whether work is refused at once.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.stop.is_cancelled() {
            return Err(closed());
        }
        if self.down.load(Ordering::Acquire) {
            let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            let why = lost.as_ref().map_or("it is away", |(why, _)| why.as_str());
            return Err(StoreError::Unavailable(format!("{}: {why}", self.place)));
        }
        Ok(())
    }

    /// A connection.
    pub(super) async fn client(&self) -> Result<Object, Fault> {
        // New ones are refused for a moment when the server has no room; one in use here may become free.
        for _ in 0..10 {
            match self.pool.get().await {
                Ok(client) => return Ok(client),
                Err(error) => {
                    let fault = of_pool(error);
                    let full = matches!(&fault, Fault::Sql(error)
                        if error.code() == Some(&tokio_postgres::error::SqlState::TOO_MANY_CONNECTIONS));
                    if !full || self.pool.status().size == 0 {
                        return Err(fault);
                    }
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
            }
        }
        Err(Fault::Away(
            "the server takes no more connections, and those that there are stay busy".to_owned(),
        ))
    }

    /// How long one transaction may take: the server's own limit is the shorter one.
    pub(super) fn limit(&self) -> Duration {
        self.limit + Duration::from_millis(500)
    }

    /// What the caller is told, after the consequences.
    pub(super) fn failed(&self, fault: Fault) -> StoreError {
        if self.stop.is_cancelled() {
            return closed();
        }
        if fault.away() {
            self.lose(fault.to_string());
        }
        match StoreError::from(fault) {
            StoreError::Unavailable(why) => StoreError::Unavailable(format!("{}: {why}", self.place)),
            other => other,
        }
    }

    fn lose(&self, why: String) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_none() {
            tracing::error!(
                database = self.place,
                why,
                "the database is away; webhooks get 503 until it is back"
            );
            *lost = Some((why, Instant::now()));
            self.down.store(true, Ordering::Release);
        }
        drop(lost);
        // Connections that hang are no use to anybody.
        drop(self.pool.retain(|_, _| false));
        self.look.notify_one();
    }

    fn found(&self) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, since)) = lost.take() {
            let seconds = since.elapsed().as_secs_f64();
            tracing::info!(database = self.place, seconds, "the database is back");
        }
        self.down.store(false, Ordering::Release);
    }

    /// No more work.
    pub(super) fn close(&self) {
        self.stop.cancel();
        self.pool.close();
    }
}

/// Looks for the database while it is away.
async fn keep(link: Arc<Link>) {
    loop {
        tokio::select! {
            () = link.stop.cancelled() => return,
            () = link.look.notified() => {}
        }
        let mut pause = Duration::from_millis(50);
        while link.down.load(Ordering::Acquire) {
            let look = async {
                let client = link.pool.get().await.map_err(of_pool)?;
                client.simple_query(ALIVE).await?;
                Ok::<(), Fault>(())
            };
            match tokio::time::timeout(link.limit, look).await {
                Ok(Ok(())) => link.found(),
                Ok(Err(fault)) => tracing::debug!(%fault, "still away"),
                Err(_) => drop(link.pool.retain(|_, _| false)),
            }
            if link.down.load(Ordering::Acquire) {
                let jitter = rand::random_range(0.7..1.3);
                tokio::select! {
                    () = link.stop.cancelled() => return,
                    () = tokio::time::sleep(pause.mul_f64(jitter)) => {}
                }
                pause = (pause * 2).min(PAUSE);
            }
        }
    }
}

fn of_pool(error: PoolError) -> Fault {
    match error {
        PoolError::Backend(error) if error.code().is_some() => Fault::Sql(error),
        PoolError::Backend(error) => Fault::Away(words(&error)),
        PoolError::Timeout(_) => Fault::Away("no connection became free, or came about, in time".to_owned()),
        other => Fault::Away(other.to_string()),
    }
}

/// The answer to everything after the end.
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// The answer when the time is over.
pub(super) fn too_late(limit: Duration) -> Fault {
    Fault::Away(format!("no answer within {limit:?}"))
}

// -------------------------------------------------------------------------------------------------------- transaction

/// Statements that go to the database in one go, in this order.
#[derive(Default)]
pub(super) struct Batch {
    list: Vec<(&'static str, Vec<Param>)>,
}

impl Batch {
    /// Adds a statement; gives the number of its answer.
    pub(super) fn add(&mut self, sql: &'static str, values: Vec<Param>) -> usize {
        self.list.push((sql, values));
        self.list.len() - 1
    }
}

/// A name under which things are counted, area and two words, and how many more.
type Counted = (&'static str, String, &'static str, i64);

/// A connection at work, inside a transaction or outside, and what has been counted there.
pub(super) struct Tx<'a> {
    inner: Inner<'a>,
    counts: Mutex<Vec<Counted>>,
}

enum Inner<'a> {
    Work(Transaction<'a>),
    Read(&'a Object),
}

impl Inner<'_> {
    async fn prepare(&self, sql: &str) -> Result<Statement, Fault> {
        Ok(match self {
            Self::Work(transaction) => transaction.prepare_cached(sql).await?,
            Self::Read(client) => client.prepare_cached(sql).await?,
        })
    }

    async fn query(&self, statement: &Statement, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        Ok(match self {
            Self::Work(transaction) => transaction.query(statement, values).await?,
            Self::Read(client) => client.query(statement, values).await?,
        })
    }

    async fn execute(&self, statement: &Statement, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Fault> {
        Ok(match self {
            Self::Work(transaction) => transaction.execute(statement, values).await?,
            Self::Read(client) => client.execute(statement, values).await?,
        })
    }
}

impl<'a> Tx<'a> {
    pub(super) async fn begin(client: &'a mut Object) -> Result<Self, Fault> {
        Ok(Self { inner: Inner::Work(client.transaction().await?), counts: Mutex::default() })
    }

    /// Outside of a transaction: each statement by itself.
    pub(super) fn read(client: &'a Object) -> Self {
        Self { inner: Inner::Read(client), counts: Mutex::default() }
    }

    /// Counts `n` more (or fewer) of something.
    pub(super) fn tally(&self, area: &'static str, a: &str, b: &'static str, n: i64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.iter_mut().find(|(in_area, of_a, of_b, _)| *in_area == area && of_a == a && *of_b == b) {
            Some((.., sum)) => *sum += n,
            None => counts.push((area, a.to_owned(), b, n)),
        }
    }

    /// Runs a statement; gives its rows.
    pub(super) async fn rows(&self, sql: &'static str, values: Vec<Param>) -> Result<Vec<Row>, Fault> {
        let statement = self.inner.prepare(sql).await?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(as_sql).collect();
        self.inner.query(&statement, &values).await
    }

    /// The first row of a statement, if any.
    pub(super) async fn first(&self, sql: &'static str, values: Vec<Param>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Runs a statement that changes rows; gives how many.
    pub(super) async fn run(&self, sql: &'static str, values: Vec<Param>) -> Result<u64, Fault> {
        let statement = self.inner.prepare(sql).await?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(as_sql).collect();
        self.inner.execute(&statement, &values).await
    }

    /// Sends all statements before it waits for the first answer; gives the rows of each.
    pub(super) async fn send(&self, batch: Batch) -> Result<Vec<Vec<Row>>, Fault> {
        let mut statements = Vec::with_capacity(batch.list.len());
        for (sql, _) in &batch.list {
            statements.push(self.inner.prepare(sql).await?);
        }
        let values: Vec<Vec<&(dyn ToSql + Sync)>> =
            batch.list.iter().map(|(_, values)| values.iter().map(as_sql).collect()).collect();
        let mut answers = Vec::with_capacity(statements.len());
        // Only so many: futures beyond that are not begun in their order.
        for (statements, values) in statements.chunks(IN_ORDER).zip(values.chunks(IN_ORDER)) {
            let asked =
                statements.iter().zip(values).map(|(statement, values)| self.inner.query(statement, values));
            answers.extend(try_join_all(asked).await?);
        }
        Ok(answers)
    }

    /// Writes what was counted, and ends the transaction.
    pub(super) async fn commit(self) -> Result<(), Fault> {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        let counts: Vec<Counted> = counts.into_iter().filter(|(.., n)| *n != 0).collect();
        if !counts.is_empty() {
            let column = |of: fn(&Counted) -> String| counts.iter().map(of).collect::<Vec<String>>();
            let numbers: Vec<i64> = counts.iter().map(|(.., n)| *n).collect();
            let names = (
                column(|(area, ..)| (*area).to_owned()),
                column(|(_, a, ..)| super::codec::key(a)),
                column(|(_, _, b, _)| (*b).to_owned()),
            );
            self.run(TALLY, values![names.0, names.1, names.2, numbers]).await?;
        }
        match self.inner {
            Inner::Work(transaction) => Ok(transaction.commit().await?),
            Inner::Read(_) => Ok(()),
        }
    }
}

pub(in crate::io::store) fn as_sql(value: &Param) -> &(dyn ToSql + Sync) {
    value.as_ref()
}

/// Does a piece of work in a transaction of its own, again and again while others overtake it. The work is an expression
/// that gives a future of `Result<T, Fault>`, with the transaction under the name given.
macro_rules! transact {
    ($link:expr, $tx:ident => $work:expr) => {{
        let link: &$crate::io::store::postgres::link::Link = &$link;
        let mut tries = 0;
        loop {
            link.check()?;
            let limit = link.limit();
            let done = tokio::time::timeout(limit, async {
                let mut client = link.client().await?;
                let $tx = $crate::io::store::postgres::link::Tx::begin(&mut client).await?;
                let done = $work.await?;
                $tx.commit().await?;
                Ok::<_, $crate::io::store::postgres::codec::Fault>(done)
            })
            .await
            .unwrap_or_else(|_| Err($crate::io::store::postgres::link::too_late(limit)));
            match done {
                Ok(done) => break Ok(done),
                Err(fault) if fault.again() && tries < $crate::io::store::postgres::link::TRIES => {
                    tries += 1;
                    $crate::io::store::postgres::link::pause(tries).await;
                }
                Err(fault) => break Err(link.failed(fault)),
            }
        }
    }};
}
pub(super) use transact;

/// Reads, each statement by itself: an expression that gives a future of `Result<T, Fault>`, with the connection under
/// the name given.
macro_rules! read {
    ($link:expr, $tx:ident => $work:expr) => {{
        let link: &$crate::io::store::postgres::link::Link = &$link;
        link.check()?;
        let limit = link.limit();
        let done = tokio::time::timeout(limit, async {
            let client = link.client().await?;
            let $tx = $crate::io::store::postgres::link::Tx::read(&client);
            $work.await
        })
        .await
        .unwrap_or_else(|_| Err($crate::io::store::postgres::link::too_late(limit)));
        done.map_err(|fault| link.failed(fault))
    }};
}
pub(super) use read;

/// A moment of rest before work is done again, so that those who collide do not collide again.
pub(super) async fn pause(tries: u32) {
    let most = 2_u64 << tries.min(6);
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..=most))).await;
}
