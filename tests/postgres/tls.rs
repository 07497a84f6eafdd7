//! TLS to the database: under an authority of our own, under another's, and for another name.

use std::process::Command;

use crossdock::io::store::postgres::{Options, PostgresStore};
use crossdock::ports::{Store, StoreError};

use crate::authority::{Authority, Certificate, text};
use crate::server::Server;

async fn server(certificate: &Certificate) -> Server {
    // The server reads its key alone; as root we start it as another user.
    let key = text(&certificate.key);
    if std::fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t") {
        assert!(Command::new("chown").args(["postgres", key]).status().unwrap().success());
    }
    assert!(Command::new("chmod").args(["600", key]).status().unwrap().success());
    let certificate = text(&certificate.certificate);
    Server::start(&format!("fsync=off\nssl=on\nssl_cert_file='{certificate}'\nssl_key_file='{key}'")).await
}

fn refused(opened: Result<std::sync::Arc<PostgresStore>, StoreError>) -> String {
    match opened {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("it is not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_believed_under_its_authority_alone() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = server(&ours.sign("here", "DNS:localhost,IP:127.0.0.1")).await;
    let url = server.database().await;
    let options = |url: &str, authority: &Authority| Options {
        ca: Some(authority.text().into_bytes()),
        ..Options::new(url.into())
    };
    // With an authority, TLS is required on this machine too.
    for url in [url.clone(), format!("{url}?sslmode=verify-full"), url.replace("127.0.0.1", "localhost")] {
        let store = PostgresStore::open(options(&url, &ours)).await.unwrap();
        assert!(store.counts().await.is_ok());
        let client = server.connect("postgres").await.unwrap();
        let plain = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a ON a.pid = s.pid \
            WHERE a.application_name LIKE 'crossdock %' AND s.ssl = $1";
        let count = async |ssl: bool| client.query_one(plain, &[&ssl]).await.unwrap().get::<_, i64>(0);
        assert!(count(true).await > 0);
        assert_eq!(count(false).await, 0, "a connection without TLS");
        store.close().await.unwrap();
        while count(true).await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    let why = refused(PostgresStore::open(options(&url, &theirs)).await);
    assert!(why.contains("certificate"), "{why}");
    let why = refused(PostgresStore::open(Options::new(format!("{url}?sslmode=require").into())).await);
    assert!(why.contains("certificate"), "the system knows no such authority: {why}");
    drop(server);

    let server = self::server(&ours.sign("elsewhere", "DNS:db.example.com")).await;
    let url = server.database().await;
    let why = refused(PostgresStore::open(options(&url, &ours)).await);
    assert!(why.contains("certificate"), "another's name: {why}");
}
