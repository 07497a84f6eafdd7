//! Work on the database: connections from the pool, transactions, time limits, and what happens while it is away.
//!
//! While the database is away nothing waits for it: work is refused at once, so that intake can answer 503, and one task
//! tries for ever, with growing pauses, to reach it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool, PoolError};
use futures::future::{OptionFuture, join, join_all, join3};
use tokio::sync::Notify;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};
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

const BEGIN: &str = "BEGIN";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

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

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none: each statement by itself.
    Single,
    /// It begins with the first statements.
    Fresh,
    /// It has begun.
    Open,
}

/// A connection at work, inside a transaction or outside, and what has been counted there.
///
/// The beginning goes out with the first statements, and the end with the last ones, so that neither takes a way of its own.
/// One that is given up in the midst takes its connection with it.
pub(super) struct Tx {
    /// None once it has ended.
    client: Option<Object>,
    state: Mutex<State>,
    counts: Mutex<Vec<Counted>>,
    last: Mutex<Batch>,
}

impl Tx {
    /// A transaction.
    pub(super) fn begin(client: Object) -> Self {
        Self::new(client, State::Fresh)
    }

    /// Outside of a transaction.
    pub(super) fn read(client: Object) -> Self {
        Self::new(client, State::Single)
    }

    fn new(client: Object, state: State) -> Self {
        let state = Mutex::new(state);
        Self { client: Some(client), state, counts: Mutex::default(), last: Mutex::default() }
    }

    fn client(&self) -> Result<&Object, Fault> {
        self.client.as_ref().ok_or_else(|| Fault::Away("the transaction has ended".to_owned()))
    }

    /// Whether it is to begin now.
    fn opens(&self) -> bool {
        let mut state = lock(&self.state);
        let fresh = *state == State::Fresh;
        if fresh {
            *state = State::Open;
        }
        fresh
    }

    /// Counts `n` more (or fewer) of something.
    pub(super) fn tally(&self, area: &'static str, a: &str, b: &'static str, n: i64) {
        let mut counts = lock(&self.counts);
        match counts.iter_mut().find(|(in_area, of_a, of_b, _)| *in_area == area && of_a == a && *of_b == b) {
            Some((.., sum)) => *sum += n,
            None => counts.push((area, a.to_owned(), b, n)),
        }
    }

    /// Runs a statement; gives its rows.
    pub(super) async fn rows(&self, sql: &'static str, values: Vec<Param>) -> Result<Vec<Row>, Fault> {
        let mut batch = Batch::default();
        batch.add(sql, values);
        Ok(self.send(batch).await?.pop().unwrap_or_default())
    }

    /// The first row of a statement, if any.
    pub(super) async fn first(&self, sql: &'static str, values: Vec<Param>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Runs a statement that changes rows; gives how many.
    pub(super) async fn run(&self, sql: &'static str, values: Vec<Param>) -> Result<u64, Fault> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(as_sql).collect();
        let begin = OptionFuture::from(self.opens().then(|| client.batch_execute(BEGIN)));
        let (opened, done) = join(begin, client.execute(&statement, &values)).await;
        opened.transpose()?;
        Ok(done?)
    }

    /// Sends all statements before it waits for the first answer; gives the rows of each.
    pub(super) async fn send(&self, batch: Batch) -> Result<Vec<Vec<Row>>, Fault> {
        let client = self.client()?;
        let statements = prepare(client, &batch).await?;
        let mut answers = Vec::with_capacity(statements.len());
        // Only so many: futures beyond that are not begun in their order.
        for (statements, asked) in statements.chunks(IN_ORDER).zip(batch.list.chunks(IN_ORDER)) {
            let begin = OptionFuture::from(self.opens().then(|| client.batch_execute(BEGIN)));
            let (opened, answered) = join(begin, join_all(queries(client, statements, asked))).await;
            opened.transpose()?;
            // The first failure in their order is the cause of those behind it.
            for answer in answered {
                answers.push(answer?);
            }
        }
        Ok(answers)
    }

    /// Adds statements whose answers nobody waits for: they go out with the end of the transaction.
    pub(super) fn at_last(&self, batch: Batch) {
        lock(&self.last).list.extend(batch.list);
    }

    /// Sends the last statements, what was counted, and the end of the transaction.
    pub(super) async fn commit(mut self) -> Result<(), Fault> {
        let mut last = std::mem::take(&mut *lock(&self.last));
        count(&mut last, std::mem::take(&mut *lock(&self.counts)));
        // What does not fit into one go goes out before.
        let mut before = last.list;
        let last = Batch { list: before.split_off(before.len().saturating_sub(IN_ORDER)) };
        if !before.is_empty() {
            self.send(Batch { list: before }).await?;
        }
        if last.list.is_empty() && *lock(&self.state) != State::Open {
            return Ok(());
        }
        let client = self.client()?;
        let statements = prepare(client, &last).await?;
        let begin = OptionFuture::from(self.opens().then(|| client.batch_execute(BEGIN)));
        let asked = join_all(queries(client, &statements, &last.list));
        let (opened, answered, ended) = join3(begin, asked, client.batch_execute(COMMIT)).await;
        if ended.is_ok() {
            // Also after a failure: the end has then undone everything.
            *lock(&self.state) = State::Single;
        }
        opened.transpose()?;
        for answer in answered {
            answer?;
        }
        drop(self.client.take());
        Ok(ended?)
    }

    /// Undoes what was done.
    pub(super) async fn undo(self) {
        if *lock(&self.state) == State::Open
            && let Ok(client) = self.client()
            && client.batch_execute(ROLLBACK).await.is_ok()
        {
            *lock(&self.state) = State::Single;
        }
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let open = *lock(&self.state) == State::Open;
        if let Some(client) = self.client.take().filter(|_| open) {
            // Nobody knows what stands there: the server undoes it when it notices that the connection is gone.
            drop(Object::take(client));
        }
    }
}

async fn prepare(client: &Object, batch: &Batch) -> Result<Vec<Statement>, Fault> {
    let mut statements = Vec::with_capacity(batch.list.len());
    for (sql, _) in &batch.list {
        statements.push(client.prepare_cached(sql).await?);
    }
    Ok(statements)
}

/// Queries that go out in their order as soon as the first of them is awaited.
fn queries<'a>(
    client: &'a Object,
    statements: &'a [Statement],
    asked: &'a [(&'static str, Vec<Param>)],
) -> impl Iterator<Item = impl Future<Output = Result<Vec<Row>, Error>> + 'a> + 'a {
    statements.iter().zip(asked).map(move |(statement, (_, values))| async move {
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(as_sql).collect();
        client.query(statement, &values).await
    })
}

/// Adds what writes down what was counted.
fn count(batch: &mut Batch, counts: Vec<Counted>) {
    let counts: Vec<Counted> = counts.into_iter().filter(|(.., n)| *n != 0).collect();
    if counts.is_empty() {
        return;
    }
    let column = |of: fn(&Counted) -> String| counts.iter().map(of).collect::<Vec<String>>();
    let numbers: Vec<i64> = counts.iter().map(|(.., n)| *n).collect();
    let names = (
        column(|(area, ..)| (*area).to_owned()),
        column(|(_, a, ..)| super::codec::key(a)),
        column(|(_, _, b, _)| (*b).to_owned()),
    );
    batch.add(TALLY, values![names.0, names.1, names.2, numbers]);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(in crate::io::store) fn as_sql(value: &Param) -> &(dyn ToSql + Sync) {
    value.as_ref()
}

/// Does a piece of work in a transaction of its own, again and again while others overtake it. The work is an expression
/// that gives a future of `Result<T, Fault>`, with the transaction under the name given.
///
/// It runs on the caller's task: only for tasks that do nothing else meanwhile. See [`transact`].
macro_rules! transact_here {
    ($link:expr, $tx:ident => $work:expr) => {{
        let link: &$crate::io::store::postgres::link::Link = &$link;
        let mut tries = 0;
        loop {
            link.check()?;
            let limit = link.limit();
            let done = tokio::time::timeout(limit, async {
                let $tx = $crate::io::store::postgres::link::Tx::begin(link.client().await?);
                match $work.await {
                    Ok(done) => $tx.commit().await.map(|()| done),
                    Err(fault) => {
                        $tx.undo().await;
                        Err::<_, $crate::io::store::postgres::codec::Fault>(fault)
                    }
                }
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
pub(super) use transact_here;

/// Like [`transact_here`], on a task of its own: what the work needs is moved there. Who calls may stop looking at this for a
/// while, as a lane does with its jobs while it waits for the store itself; the transaction would stand still with all its
/// locks and its connection, for which the others then wait.
macro_rules! transact {
    ($link:expr, $tx:ident => $work:expr) => {{
        let link = std::sync::Arc::clone(&$link);
        $crate::io::store::postgres::link::apart(async move {
            $crate::io::store::postgres::link::transact_here!(*link, $tx => $work)
        })
        .await
    }};
}
pub(super) use transact;

/// Reads, each statement by itself: an expression that gives a future of `Result<T, Fault>`, with the connection under
/// the name given. On the caller's task, as [`transact_here`].
macro_rules! read_here {
    ($link:expr, $tx:ident => $work:expr) => {{
        let link: &$crate::io::store::postgres::link::Link = &$link;
        link.check()?;
        let limit = link.limit();
        let done = tokio::time::timeout(limit, async {
            let $tx = $crate::io::store::postgres::link::Tx::read(link.client().await?);
            $work.await
        })
        .await
        .unwrap_or_else(|_| Err($crate::io::store::postgres::link::too_late(limit)));
        done.map_err(|fault| link.failed(fault))
    }};
}
pub(super) use read_here;

/// Like [`read_here`], on a task of its own, as [`transact`].
macro_rules! read {
    ($link:expr, $tx:ident => $work:expr) => {{
        let link = std::sync::Arc::clone(&$link);
        $crate::io::store::postgres::link::apart(async move {
            $crate::io::store::postgres::link::read_here!(*link, $tx => $work)
        })
        .await
    }};
}
pub(super) use read;

/// Runs work on a task of its own, to its end whatever becomes of the caller.
pub(super) async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("a fault: {error}"))))
}

/// A moment of rest before work is done again, so that those who collide do not collide again.
pub(super) async fn pause(tries: u32) {
    let most = 2_u64 << tries.min(6);
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..=most))).await;
}
