//! An order edited up and back down: the store keeps its total at the peak, the buyer pays what it comes to at last.

use std::time::Duration;

use crossdock::ports::Clock as _;
use crossdock::sandbox::{LineSpec, OrderSpec, Payment};

use crate::stage::Stage;
use crate::town;

fn edited(payment: Payment, seed: u64) {
    let mut stage = Stage::new(town::shared(), town::partners(seed, town::settings()), seed, Vec::new(), 0);
    stage.run(Duration::from_millis(10), &mut |_| false);
    let line = LineSpec { sku: "TEA-01".to_owned(), quantity: 2 };
    let spec = OrderSpec { lines: vec![line], payment, ..OrderSpec::default() };
    let id = stage.partners.lock().unwrap().place_order(spec).id;
    for quantity in [5, 2] {
        let mut partners = stage.partners.lock().unwrap();
        partners.advance(stage.clock.now());
        partners.edit_order(id, &[("TEA-01".to_owned(), quantity)]).unwrap();
        drop(partners);
        stage.clock.pass(Duration::from_secs(2));
    }
    if payment == Payment::Pending {
        let mut partners = stage.partners.lock().unwrap();
        partners.advance(stage.clock.now());
        partners.pay_order(id).unwrap();
    }
    let done = stage.run(Duration::from_mins(30), &mut |stage| {
        stage.partners.lock().unwrap().ledger().check().is_empty()
    });
    let ledger = stage.partners.lock().unwrap().ledger();
    assert!(done, "{payment:?}: {:?}", ledger.check());
    let gateway = ledger.orders[0].gateway.as_ref().unwrap();
    assert_eq!(gateway.captures, [ledger.orders[0].total], "{payment:?}");
}

#[test]
fn an_order_edited_up_and_back_down_is_sent_and_captured_for_what_it_comes_to() {
    edited(Payment::Pending, 5);
    edited(Payment::Authorised, 6);
}
