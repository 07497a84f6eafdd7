//! Several nodes, each with its own files: what one of them puts into force, the others take over.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use crossdock::app::{self, Prepared};
use crossdock::cli::files;
use crossdock::generation::follow::Seen;
use crossdock::generation::{Change, Generations, Outcome};
use serde_json::json;

use crate::workshop::{ORDER, SKUS, Workshop};

const MAPPING: &str = "mappings/shop/order.in.toml";

/// A node beside the daemon, with its own files in `folder`, on the daemon's store.
fn node(shop: &Workshop, folder: &Path) -> Generations {
    let loaded = files::load(&folder.join("config.toml"));
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    let Prepared { world, sources, config, .. } = Prepared::of(loaded).unwrap();
    let world = Arc::new(ArcSwap::from_pointee(world));
    Generations::new(shop.running.store.clone(), app::clock(), world, config, sources)
}

fn generation(node: &Generations) -> String {
    node.world().config.generation.clone()
}

fn change(path: &str, text: &str) -> Change {
    let mut change = Change { by: Some("maria".to_owned()), ..Change::default() };
    change.files.insert(path.to_owned(), Some(text.to_owned()));
    change
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_puts_into_force_the_others_take_over() {
    let shop = Workshop::open().await;
    let folder = shop.copy();
    let (other, mut seen) = (node(&shop, folder.path()), Seen::default());
    other.begin().await.unwrap();
    let first = generation(&other);
    assert_eq!(generation(&shop.running.generations), first);
    assert_eq!(other.follow(&mut seen).await.unwrap(), None, "nothing has changed");

    // Two changes, one after the other, before the other node looks.
    let better = ORDER.replace("[lookup.terms.rows]\n", "[lookup.terms.rows]\nnet30 = \"unpaid\"\n");
    let longer = format!("{SKUS}shop,CUP,CUP,1\n");
    for one in [change(MAPPING, &better), change("lists/skus.csv", &longer)] {
        let (status, answer) = shop.call("POST", "/api/v1/generations", &json!(one)).await;
        assert_eq!((status, &answer["outcome"]), (200, &json!("activated")), "{answer}");
    }
    let taken = other.follow(&mut seen).await.unwrap().unwrap();
    assert_eq!(
        (taken.outcome, taken.changed),
        (Outcome::Activated, vec!["lists/skus.csv".into(), MAPPING.into()])
    );
    assert_eq!(generation(&other), generation(&shop.running.generations));
    assert_ne!(generation(&other), first);
    assert_eq!(
        std::fs::read_to_string(folder.path().join(MAPPING)).unwrap(),
        better,
        "it holds after a restart"
    );
    assert_eq!(other.follow(&mut seen).await.unwrap(), None);

    // The daemon follows by itself, and nothing goes back and forth.
    let again = better.replace("net30", "net60");
    assert_eq!(other.propose(change(MAPPING, &again)).await.unwrap().outcome, Outcome::Activated);
    shop.until("the daemon has it", async |shop| generation(&shop.running.generations) == generation(&other))
        .await;
    assert_eq!(std::fs::read_to_string(shop.file(MAPPING)).unwrap(), again);
    assert_eq!(other.follow(&mut seen).await.unwrap(), None);
    shop.order("1", "net60", "CUP").await;
    shop.until("it works", async |shop| shop.orders_sent() == 1).await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_take_a_change_breaks_nobody_and_takes_it_later() {
    let shop = Workshop::open().await;
    let folder = shop.copy();
    let own = |path: &str| folder.path().join(path);
    // Its config is its own, and so is an overlay, which needs a table of the mapping.
    let config = format!("{}# the second node\n", std::fs::read_to_string(shop.file("config.toml")).unwrap());
    std::fs::write(own("config.toml"), &config).unwrap();
    let overlay = own("mappings/clients/acme/shop/order.toml");
    std::fs::create_dir_all(overlay.parent().unwrap()).unwrap();
    let text =
        "[overlay]\nof = \"shop/order\"\n[fact.placed]\nnote = { path = \"pays\", lookup = \"terms\" }\n";
    std::fs::write(&overlay, text).unwrap();
    let (other, mut seen) = (node(&shop, folder.path()), Seen::default());
    other.begin().await.unwrap();
    assert_eq!(other.follow(&mut seen).await.unwrap(), None);
    let before = generation(&other);

    // The daemon's config was another: a change of it is no business of this node.
    let theirs = std::fs::read_to_string(shop.file("config.toml")).unwrap();
    let theirs = theirs.replace("push    = false", "push    = true");
    let answer = shop.running.generations.propose(change("config.toml", &theirs)).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Activated, "{:?}", answer.problems);
    assert_eq!(other.follow(&mut seen).await.unwrap(), None);
    assert_eq!(std::fs::read_to_string(own("config.toml")).unwrap(), config);

    // The mapping loses the table: here that cannot be, so what was in force stays, and people see why.
    let plain = ORDER.replace("{ path = \"pays\", lookup = \"terms\" }", "{ const = \"unpaid\" }");
    let plain = plain.replace("[lookup.terms.rows]\nlater = \"unpaid\"\n", "");
    let answer = shop.running.generations.propose(change(MAPPING, &plain)).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Activated, "{:?}", answer.problems);
    let refused = other.follow(&mut seen).await.unwrap().unwrap();
    assert_eq!((refused.outcome, &refused.generation), (Outcome::Refused, &before));
    assert_eq!(std::fs::read_to_string(own(MAPPING)).unwrap(), ORDER);
    assert_eq!(shop.causes().await.iter().filter(|(kind, ..)| kind == "reload_refused").count(), 1);
    assert_eq!(other.follow(&mut seen).await.unwrap(), None, "tried once");
    shop.order("1", "whatever", "TEA").await;
    shop.until("the daemon goes on with its own", async |shop| shop.orders_sent() == 1).await;

    // Once its own files allow it, it takes the change.
    std::fs::remove_file(&overlay).unwrap();
    assert_eq!(other.reload("files").await.unwrap().outcome, Outcome::Activated);
    let taken = other.follow(&mut seen).await.unwrap().unwrap();
    assert_eq!((taken.outcome, taken.changed), (Outcome::Activated, vec![MAPPING.to_owned()]));
    assert_eq!(std::fs::read_to_string(own(MAPPING)).unwrap(), plain);
    assert!(shop.causes().await.is_empty());
    shop.running.stop().await;
}
