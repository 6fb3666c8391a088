//! What stops the start, each problem in words, and all of them at once.

use insta::assert_snapshot;
use matchpurse_ingress::{Application, check_sources};
use matchpurse_settings::Settings;

use crate::harness::SOURCES;
use crate::publisher::TestPublisher;

async fn refused(text: &str) -> String {
    let settings = Settings::parse_str(text).unwrap();
    let error = Application::build(&settings, std::sync::Arc::new(TestPublisher::new())).await.err().unwrap();
    assert_eq!(check_sources(&settings).unwrap_err().to_string(), error.to_string());
    let named = |text: String, (place, adapter): (usize, &&dyn matchpurse_providers::Provider)| {
        text.replace(adapter.id(), &format!("provider{place}"))
    };
    matchpurse_providers::all().iter().enumerate().fold(error.to_string(), named)
}

#[tokio::test]
async fn a_source_that_could_not_verify_stops_the_start() {
    let text = SOURCES
        .replacen("provider = \"", "provider = \"x", 1)
        .replace("secrets = [\"Bearer 8f6a2c0b5d1e4f7a9c3b\"]", "secrets = []")
        .replace("options.issuer", "options.isuer")
        .replace("secrets = [\"the wall's\"]", "secrets = [\"one\"]\nkeys.postbak = [\"two\"]");
    assert_snapshot!(refused(&text).await, @r#"
    `sources.arena`: no option `isuer`; it has: issuer, audience, azp, any_client, public_key_url, public_key, on_inconsistent, api_url, token_url, client_id, pull_url
    `sources.duel.provider`: no adapter is called "xprovider2"; there are provider0, provider1, provider2, provider3; did you mean `provider2`?
    `sources.servers`: no secret is configured, so nothing could be verified: set `secrets`
    `sources.wall.keys`: no role "postbak"; there are `postback` and `api`
    "#);
}

#[tokio::test]
async fn no_source_at_all_stops_the_start() {
    let without = SOURCES.split("# Signs the body; two").next().unwrap();
    assert_snapshot!(refused(without).await, @"`sources`: none is configured, so nothing could be received; add a table [sources.NAME]");
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("\nlisten = \"{}\"", taken.local_addr().unwrap());
    let text = SOURCES.replacen("\nlisten = \"127.0.0.1:0\"", &listen, 1);
    let settings = Settings::parse_str(&text).unwrap();
    let error = Application::build(&settings, std::sync::Arc::new(TestPublisher::new())).await.err().unwrap();
    assert!(error.to_string().ends_with("the value of `ingress.listen`"), "{error}");
}

#[tokio::test]
async fn a_body_that_would_never_fit_into_memory_stops_the_start() {
    let (duel, _) = SOURCES.split_once("# A token that names the caller.").unwrap();
    let text = duel.replace("[ingress]", "[ingress]\nbody_memory_max_bytes = 4095");
    assert_snapshot!(refused(&text).await, @"`sources.duel.max_body_bytes`: a body of 4096 bytes would never fit into the 4095 bytes of all bodies, the value of `ingress.body_memory_max_bytes`");
}
