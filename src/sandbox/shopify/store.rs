//! What happens in the store: orders are placed, paid, edited, cancelled, refunded.

use serde::Serialize;

use super::{
    Fulfilment, Line, Place, StoreDispute, StoreOrder, StoreRefund, StoreReturn, Transaction, payload,
};
use crate::sandbox::spec::{AddressSpec, OrderSpec, Payment};
use crate::sandbox::stripe;
use crate::sandbox::world::World;

/// How a placed order is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// The store's id.
    pub id: u64,
    /// What people read: `#1001`.
    pub name: String,
    /// The payment intent at the gateway.
    pub payment: Option<String>,
}

/// First and last name, street, town, state and its code, postal code.
type Person =
    (&'static str, &'static str, &'static str, &'static str, (&'static str, &'static str), &'static str);

const PEOPLE: [Person; 5] = [
    ("Ada", "Lovelace", "12 Analytical Row", "Brooklyn", ("New York", "NY"), "11201"),
    ("Grace", "O'Hopper", "99 Compiler Ave, Apt 4", "Arlington", ("Virginia", "VA"), "22201"),
    ("José", "Núñez", "7 Calle Ocho", "Miami", ("Florida", "FL"), "33130"),
    ("Mary", "Shelley", "1818 Lake Road", "Portland", ("Oregon", "OR"), "97201"),
    ("Søren", "Ångström", "5 Fjord St", "Duluth", ("Minnesota", "MN"), "55802"),
];

impl World {
    /// Somebody buys something.
    pub fn place_order(&mut self, spec: OrderSpec) -> Placed {
        let count = u64::try_from(self.shop.orders.len()).unwrap_or(0);
        let number = 1001 + count;
        // Every fourth id is above 2^53 and odd, so that no float can hold it.
        let id = if count % 4 == 3 {
            9_007_199_254_740_993 + 2 * count
        } else {
            6_200_000_000_000 + 1024 * count + self.dice.below(1000)
        };
        let currency = spec.currency.clone().unwrap_or_else(|| "USD".to_owned());
        let lines: Vec<Line> = spec
            .lines
            .iter()
            .map(|line| {
                let quantity = i64::try_from(line.quantity).unwrap_or(i64::MAX);
                self.store_line(
                    &line.sku,
                    quantity,
                    if count % 4 == 3 { 9_107_199_254_740_993 } else { 15_000_000_000_000 },
                )
            })
            .collect();
        let person = PEOPLE[usize::try_from(self.dice.below(5)).unwrap_or(0)];
        let place = (spec.address != AddressSpec::None).then(|| Place {
            first: person.0.to_owned(),
            last: person.1.to_owned(),
            street: (spec.address != AddressSpec::NoStreet).then(|| person.2.to_owned()),
            city: (spec.address != AddressSpec::NoCity).then(|| person.3.to_owned()),
            province: person.4,
            zip: person.5,
            phone: "+15550100",
        });
        let shipping = spec.shipping.unwrap_or(499);
        let order = StoreOrder {
            id,
            number,
            created: self.now,
            updated: self.now,
            cancelled: None,
            currency: currency.clone(),
            lines,
            shipping,
            method: spec.ship_method.clone().unwrap_or_else(|| "Standard".to_owned()),
            place,
            email: format!("buyer{number}@example.com"),
            tags: spec.tags.clone(),
            note: spec.note.clone(),
            financial: "pending",
            payment: None,
            transactions: Vec::new(),
            fulfilments: Vec::new(),
            refunds: Vec::new(),
            returns: Vec::new(),
            edited: false,
            spec,
        };
        let total = order.total(false);
        let (payment, pays) = (order.spec.payment, total > 0);
        self.shop.orders.push(order);
        let index = self.shop.orders.len() - 1;
        if pays {
            let intent = stripe::open(self, total, &currency, id, &format!("#{number}"));
            self.shop.orders[index].payment = Some(intent);
            match payment {
                Payment::Authorised => self.settle_payment(index, false),
                Payment::Paid => self.settle_payment(index, true),
                Payment::Pending => {}
            }
        }
        payload::tell_order(self, index, "orders/create");
        if self.shop.orders[index].financial == "paid" {
            payload::tell_order(self, index, "orders/paid");
        }
        let payment = self.shop.orders[index].payment.clone();
        Placed { id, name: format!("#{number}"), payment }
    }

    fn store_line(&mut self, sku: &str, quantity: i64, base: u64) -> Line {
        let id = self.shop.id(base);
        let item = self.shop.items.iter().find(|item| item.sku == sku);
        Line {
            id,
            sku: sku.to_owned(),
            title: item.map_or_else(|| format!("Item {sku}"), |item| item.title.clone()),
            price: item.map_or(999, |item| item.price),
            grams: item.map_or(100, |item| item.grams),
            variant: item.map_or(id, |item| item.id + 40_000_000_000),
            quantity,
            current: quantity,
            fulfilled: 0,
        }
    }

    /// Money is promised (or taken at once).
    fn settle_payment(&mut self, index: usize, taken: bool) {
        let Some(intent) = self.shop.orders[index].payment.clone() else { return };
        let id = self.shop.id(7_000_000_000_000);
        let at = self.now;
        let order = &mut self.shop.orders[index];
        let amount = order.total(true);
        order.financial = if taken { "paid" } else { "authorized" };
        order.transactions.push(Transaction {
            id,
            kind: if taken { "sale" } else { "authorization" },
            amount,
            at,
            parent: None,
        });
        stripe::price(self, &intent, amount);
        if taken {
            stripe::take(self, &intent);
        } else {
            stripe::authorise(self, &intent);
        }
    }

    /// A pending order is paid: the money is authorised at the gateway, and the store tells.
    ///
    /// # Errors
    /// When there is no such order, or it is not pending.
    pub fn pay_order(&mut self, id: u64) -> Result<(), String> {
        let index = self.open_order(id)?;
        if self.shop.orders[index].financial != "pending" {
            return Err(format!("order {id} is {}", self.shop.orders[index].financial));
        }
        self.settle_payment(index, false);
        self.touch(index);
        payload::tell_order(self, index, "orders/updated");
        Ok(())
    }

    /// The buyer cancels: the store tells; what the warehouse does with it is not the store's business.
    ///
    /// # Errors
    /// When there is no such order, or it is cancelled already.
    pub fn cancel_order(&mut self, id: u64) -> Result<(), String> {
        let index = self.open_order(id)?;
        self.cancel_in_store(index, "customer");
        Ok(())
    }

    pub(super) fn cancel_in_store(&mut self, index: usize, reason: &'static str) {
        let now = self.now;
        self.shop.orders[index].cancelled = Some((now, reason));
        self.touch(index);
        payload::tell_order(self, index, "orders/cancelled");
        payload::tell_order(self, index, "orders/updated");
    }

    /// The merchant changes an order: how many units of a SKU it has now. A SKU that it had not is added.
    ///
    /// # Errors
    /// When there is no such order, it is cancelled, or more was sent than is wanted.
    pub fn edit_order(&mut self, id: u64, changes: &[(String, u64)]) -> Result<(), String> {
        let index = self.open_order(id)?;
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (sku, wanted) in changes {
            let wanted = i64::try_from(*wanted).map_err(|_| "too many units".to_owned())?;
            let found = self.shop.orders[index].lines.iter().position(|line| line.sku == *sku);
            if let Some(at) = found {
                let line = &mut self.shop.orders[index].lines[at];
                if wanted < line.fulfilled {
                    return Err(format!("{} of {sku} were sent", line.fulfilled));
                }
                let delta = wanted - line.current;
                line.current = wanted;
                // An addition grows the ordered quantity, a removal only the current one.
                line.quantity = line.quantity.max(wanted);
                match delta {
                    0 => {}
                    1.. => added.push((line.id, delta)),
                    _ => removed.push((line.id, -delta)),
                }
            } else if wanted > 0 {
                let line = self.store_line(sku, wanted, 15_500_000_000_000);
                added.push((line.id, wanted));
                self.shop.orders[index].lines.push(line);
            }
        }
        self.shop.orders[index].edited = true;
        self.touch(index);
        payload::tell_edit(self, index, &added, &removed);
        payload::tell_order(self, index, "orders/updated");
        Ok(())
    }

    /// The merchant gives money back, in minor units, and says for which units.
    ///
    /// # Errors
    /// When there is no such order, or more than its total is given back.
    pub fn refund_order(&mut self, id: u64, amount: i64, units: &[(String, u64)]) -> Result<(), String> {
        let index = self.shop.find(id).ok_or_else(|| format!("there is no order {id}"))?;
        let order = &self.shop.orders[index];
        if amount <= 0 || order.refunded() + amount > order.total(false) {
            return Err(format!("{amount} cannot be refunded on order {id}"));
        }
        let mut lines = Vec::new();
        for (sku, quantity) in units {
            let line = order
                .lines
                .iter()
                .find(|line| line.sku == *sku)
                .ok_or_else(|| format!("order {id} has no {sku}"))?;
            lines.push((line.id, i64::try_from(*quantity).unwrap_or(0)));
        }
        let parent = order.transactions.first().map(|transaction| transaction.id);
        let (refund, transaction) = (self.shop.id(890_000_000_000), self.shop.id(7_000_000_000_000));
        let now = self.now;
        let order = &mut self.shop.orders[index];
        order.refunds.push(StoreRefund {
            id: refund,
            created: now,
            note: Some("Arrived damaged".to_owned()),
            amount,
            lines,
        });
        order.transactions.push(Transaction { id: transaction, kind: "refund", amount, at: now, parent });
        order.financial =
            if order.refunded() == order.total(false) { "refunded" } else { "partially_refunded" };
        self.touch(index);
        payload::tell_refund(self, index);
        payload::tell_order(self, index, "orders/updated");
        Ok(())
    }

    /// A buyer disputes the charge of an order at the gateway; the name of the dispute.
    ///
    /// # Errors
    /// When there is no such order, or nothing was paid.
    pub fn dispute_order(&mut self, id: u64) -> Result<String, String> {
        let index = self.shop.find(id).ok_or_else(|| format!("there is no order {id}"))?;
        let intent = self.shop.orders[index].payment.clone().ok_or_else(|| "nothing was paid".to_owned())?;
        stripe::dispute(self, &intent, "product_not_received").ok_or_else(|| "nothing was paid".to_owned())
    }

    /// A buyer wants to send units back; the return's id.
    ///
    /// # Errors
    /// When there is no such order, or it has no such line.
    pub fn ask_return(&mut self, id: u64, units: &[(String, u64)]) -> Result<u64, String> {
        let index = self.shop.find(id).ok_or_else(|| format!("there is no order {id}"))?;
        let mut lines = Vec::new();
        for (sku, quantity) in units {
            let line = self.shop.orders[index].lines.iter().find(|line| line.sku == *sku);
            let line = line.ok_or_else(|| format!("order {id} has no {sku}"))?;
            lines.push((line.id, i64::try_from(*quantity).unwrap_or(0)));
        }
        let given = self.shop.id(945_000_000);
        let created = self.now;
        self.shop.orders[index].returns.push(StoreReturn { id: given, created, status: "REQUESTED", lines });
        self.touch(index);
        payload::tell_return(self, index, given, "returns/request");
        Ok(given)
    }

    /// The merchant moves a return on: `OPEN`, `DECLINED`, `CANCELED`, `CLOSED`.
    ///
    /// # Errors
    /// When there is no such return, or no such status.
    pub fn move_return(&mut self, id: u64, status: &str) -> Result<(), String> {
        let (status, topic) = match status {
            "OPEN" => ("OPEN", "returns/approve"),
            "DECLINED" => ("DECLINED", "returns/decline"),
            "CANCELED" => ("CANCELED", "returns/cancel"),
            "CLOSED" => ("CLOSED", "returns/close"),
            other => return Err(format!("a return is never {other}")),
        };
        let found =
            self.shop.orders.iter_mut().enumerate().find_map(|(index, order)| {
                order.returns.iter_mut().find(|it| it.id == id).map(|it| (index, it))
            });
        let (index, it) = found.ok_or_else(|| format!("there is no return {id}"))?;
        it.status = status;
        self.touch(index);
        payload::tell_return(self, index, id, topic);
        Ok(())
    }

    /// A buyer disputes a charge on Shopify Payments; the dispute's id.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn dispute_in_store(&mut self, order: u64) -> Result<u64, String> {
        self.shop.find(order).ok_or_else(|| format!("there is no order {order}"))?;
        let id = self.shop.id(8_100_000_000);
        let initiated = self.now;
        self.shop.disputes.push(StoreDispute { id, order, initiated, status: "NEEDS_RESPONSE" });
        payload::tell_dispute(self, id, "disputes/create");
        Ok(id)
    }

    /// A dispute ends.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn end_dispute(&mut self, id: u64, won: bool) -> Result<(), String> {
        let found = self.shop.disputes.iter_mut().find(|it| it.id == id);
        found.ok_or_else(|| format!("there is no dispute {id}"))?.status = if won { "WON" } else { "LOST" };
        payload::tell_dispute(self, id, "disputes/update");
        Ok(())
    }

    fn open_order(&self, id: u64) -> Result<usize, String> {
        let index = self.shop.find(id).ok_or_else(|| format!("there is no order {id}"))?;
        if self.shop.orders[index].cancelled.is_some() {
            return Err(format!("order {id} is cancelled"));
        }
        Ok(index)
    }

    pub(super) fn touch(&mut self, index: usize) {
        self.shop.orders[index].updated = self.now;
    }

    /// The store records that something was sent.
    pub(super) fn record_fulfilment(
        &mut self,
        index: usize,
        lines: Vec<(u64, i64)>,
        tracking: (Option<String>, Vec<String>, Vec<String>),
    ) -> u64 {
        let id = self.shop.id(4_500_000_000_000);
        let now = self.now;
        let order = &mut self.shop.orders[index];
        for (line, quantity) in &lines {
            if let Some(line) = order.lines.iter_mut().find(|own| own.id == *line) {
                line.fulfilled += quantity;
            }
        }
        let (company, numbers, urls) = tracking;
        order.fulfilments.push(Fulfilment { id, created: now, updated: now, company, numbers, urls, lines });
        let whole = order.lines.iter().all(|line| line.fulfilled >= line.current);
        self.touch(index);
        payload::tell_fulfilment(self, index, id, "fulfillments/create");
        payload::tell_order(
            self,
            index,
            if whole { "orders/fulfilled" } else { "orders/partially_fulfilled" },
        );
        payload::tell_order(self, index, "orders/updated");
        id
    }
}
