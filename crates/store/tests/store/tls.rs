//! A PostgreSQL that shows a certificate: who is believed, and that nothing goes to anybody else.

use anyhow::Result;
use matchpurse_local_servers::{Postgres, PostgresOptions, ServerTls};
use matchpurse_store::{Store, StoreOptions, chain};
use matchpurse_testkit::Authority;
use tokio_postgres::NoTls;

/// Connects, and asks the server by a connection of its own (`admin`) whether the other one is encrypted.
async fn reached(admin: &str, url: String) -> Result<(), String> {
    let (admin, connection) =
        tokio_postgres::connect(admin, NoTls).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let options = StoreOptions::new(url.into(), "asks over TLS");
    let store = Store::connect(&options).await.map_err(|error| chain(&error))?;
    let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                WHERE application_name = 'asks over TLS'";
    let encrypted = admin.query_one(sql, &[]).await.map_err(|error| error.to_string())?.get(0);
    drop(store);
    // The next question is about the next connection only.
    let gone = "SELECT FROM pg_stat_activity WHERE application_name = 'asks over TLS'";
    while !admin.query(gone, &[]).await.map_err(|error| error.to_string())?.is_empty() {
        tokio::task::yield_now().await;
    }
    if encrypted { Ok(()) } else { Err("in plain text".to_owned()) }
}

#[tokio::test]
async fn a_server_is_believed_whom_our_authority_vouches_for_by_its_name() -> Result<()> {
    let (ours, other) = (Authority::new()?, Authority::new()?);
    let identity = ours.vouch_for(&["localhost"])?;
    let tls = Some(ServerTls { certificate: identity.certificate, key: identity.key });
    let data_dir = ours.folder().join("postgres");
    let postgres = Postgres::start(PostgresOptions { data_dir, tls, ..PostgresOptions::default() }).await?;

    let admin = postgres.url();
    let (ours, other) = (ours.certificate(), other.certificate());
    let url =
        |host: &str, query: String| format!("postgres://postgres@{host}:{}/postgres{query}", postgres.port());
    let ca = |mode: &str, file: &std::path::Path| format!("?sslmode={mode}&sslrootcert={}", file.display());

    assert_eq!(reached(&admin, url("localhost", ca("verify-full", &ours))).await, Ok(()));
    assert_eq!(reached(&admin, url("localhost", format!("?sslrootcert={}", ours.display()))).await, Ok(()));
    // By another name than the certificate's.
    let wrong_name = reached(&admin, url("127.0.0.1", ca("verify-full", &ours))).await.unwrap_err();
    assert!(wrong_name.contains("not valid for name"), "{wrong_name}");
    for mode in ["verify-ca", "require"] {
        assert_eq!(reached(&admin, url("127.0.0.1", ca(mode, &ours))).await, Ok(()), "{mode}");
        let wrong_authority = reached(&admin, url("localhost", ca(mode, &other))).await.unwrap_err();
        assert!(wrong_authority.contains("UnknownIssuer"), "{mode}: {wrong_authority}");
    }
    let wrong_authority = reached(&admin, url("localhost", ca("verify-full", &other))).await.unwrap_err();
    assert!(wrong_authority.contains("UnknownIssuer"), "{wrong_authority}");
    assert_eq!(
        reached(&admin, url("localhost", "?sslmode=disable".to_owned())).await.unwrap_err(),
        "in plain text"
    );
    postgres.stop().await?;
    Ok(())
}

/// What must be protected is never sent in plain text, because the server will not have TLS.
#[tokio::test]
async fn a_server_without_tls_is_none() -> Result<()> {
    let ours = Authority::new()?;
    let postgres = Postgres::start_temporary().await?;
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", postgres.url(), ours.certificate().display());
    let refused = reached(&postgres.url(), url).await.unwrap_err();
    assert!(refused.contains("server does not support TLS"), "{refused}");
    postgres.stop().await?;
    Ok(())
}
