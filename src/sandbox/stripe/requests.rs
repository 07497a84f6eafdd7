//! Stripe's requests. The second value of an outcome says whether the work began, so that its answer is kept under the
//! idempotency key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Capture, Intent, Refund, Status, emit, emit_charge, emit_intent, error, payload};
use crate::ports::HttpResponse;
use crate::sandbox::http::{self, Request};
use crate::sandbox::world::World;

type Outcome = (HttpResponse, bool);
type Form = BTreeMap<String, String>;

pub(super) fn run(world: &mut World, request: &Request<'_>) -> Outcome {
    let steps = request.steps("v1");
    let post = request.method == "POST";
    if !post && request.method != "GET" {
        return (unknown_url(request), false);
    }
    let form: Form = if post {
        let json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        if json && !request.body.is_empty() {
            let message =
                "Invalid request: the body must be form-encoded (application/x-www-form-urlencoded).";
            return (error(400, "invalid_request_error", None, None, message), false);
        }
        serde_urlencoded::from_bytes(request.body).unwrap_or_default()
    } else {
        request.query.iter().cloned().collect()
    };
    let gateway = &world.gateway;
    match (post, steps.as_slice()) {
        (true, ["payment_intents", id, "capture"]) => capture(world, id, &form),
        (true, ["payment_intents", id, "cancel"]) => cancel(world, id, &form),
        (true, ["refunds"]) => refund(world, &form),
        (false, ["payment_intents", id]) => {
            one(gateway.intent(id).map(payload::intent), "payment_intent", id)
        }
        (false, ["refunds", id]) => {
            one(gateway.refunds.iter().find(|it| it.id == *id).map(payload::refund), "refund", id)
        }
        (false, ["charges", id]) => {
            let charged = |it: &&Intent| it.charge == *id && it.status != Status::RequiresPaymentMethod;
            let found = gateway.intents.iter().find(charged);
            one(found.map(|it| payload::charge(it, gateway.refunded(&it.id))), "charge", id)
        }
        (false, ["disputes", id]) => {
            one(gateway.disputes.iter().find(|it| it.id == *id).map(payload::dispute), "dispute", id)
        }
        (false, ["events", id]) => {
            one(gateway.events.iter().find(|it| it["id"] == *id).cloned(), "event", id)
        }
        (false, ["payment_intents"]) => list(
            gateway.intents.iter().map(payload::intent).collect(),
            &form,
            "/v1/payment_intents",
            &["customer"],
        ),
        (false, ["refunds"]) => {
            let filters = ["charge", "payment_intent"];
            list(gateway.refunds.iter().map(payload::refund).collect(), &form, "/v1/refunds", &filters)
        }
        (false, ["disputes"]) => {
            let filters = ["charge", "payment_intent"];
            list(gateway.disputes.iter().map(payload::dispute).collect(), &form, "/v1/disputes", &filters)
        }
        (false, ["events"]) => list(gateway.events.clone(), &form, "/v1/events", &["type"]),
        _ => (unknown_url(request), false),
    }
}

fn unknown_url(request: &Request<'_>) -> HttpResponse {
    let message = format!(
        "Unrecognized request URL ({}: {}). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.",
        request.method, request.path
    );
    error(404, "invalid_request_error", None, None, &message)
}

fn missing(kind: &str, id: &str) -> HttpResponse {
    let param = if kind == "payment_intent" { "intent" } else { "id" };
    error(
        404,
        "invalid_request_error",
        Some("resource_missing"),
        Some(param),
        &format!("No such {kind}: '{id}'"),
    )
}

fn one(found: Option<Value>, kind: &str, id: &str) -> Outcome {
    (found.map_or_else(|| missing(kind, id), |object| http::json(200, &object)), true)
}

/// Refuses parameters that the real one does not know.
fn only(form: &Form, known: &[&str]) -> Result<(), Outcome> {
    for key in form.keys() {
        let name = key.split('[').next().unwrap_or(key);
        if !known.contains(&name) {
            let message = format!("Received unknown parameter: {key}");
            return Err((
                error(400, "invalid_request_error", Some("parameter_unknown"), Some(key), &message),
                false,
            ));
        }
    }
    Ok(())
}

fn integer(form: &Form, name: &str) -> Result<Option<i64>, Outcome> {
    let Some(text) = form.get(name) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(number) if number < 0 => {
            let message = "This value must be greater than or equal to 1.";
            Err((
                error(400, "invalid_request_error", Some("parameter_invalid_integer"), Some(name), message),
                false,
            ))
        }
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let message = format!("Invalid integer: {text}");
            Err((
                error(400, "invalid_request_error", Some("parameter_invalid_integer"), Some(name), &message),
                false,
            ))
        }
    }
}

fn metadata(form: &Form) -> BTreeMap<String, String> {
    form.iter()
        .filter_map(|(key, value)| {
            Some((key.strip_prefix("metadata[")?.strip_suffix(']')?.to_owned(), value.clone()))
        })
        .collect()
}

fn capture(world: &mut World, id: &str, form: &Form) -> Outcome {
    let known = [
        "amount_to_capture",
        "final_capture",
        "metadata",
        "expand",
        "application_fee_amount",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
    ];
    if let Err(refusal) = only(form, &known) {
        return refusal;
    }
    let wanted = match integer(form, "amount_to_capture") {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal,
    };
    let Some(intent) = world.gateway.intents.iter_mut().find(|intent| intent.id == id) else {
        return (missing("payment_intent", id), true);
    };
    if intent.status != Status::RequiresCapture {
        let why = match intent.status {
            Status::Succeeded => "it has already been captured".to_owned(),
            other => format!("it has a status of {}", other.word()),
        };
        let message = format!(
            "This PaymentIntent could not be captured because {why}. Only a PaymentIntent with one of the following statuses may be captured: requires_capture."
        );
        let mut answer =
            error(400, "invalid_request_error", Some("payment_intent_unexpected_state"), None, &message);
        attach(&mut answer, &payload::intent(intent));
        return (answer, true);
    }
    let amount = wanted.unwrap_or(intent.amount);
    if amount > intent.amount {
        let message = format!(
            "The remaining amount capturable for this PaymentIntent is {}, which is less than the requested capture amount ({amount}).",
            intent.amount
        );
        return (
            error(
                400,
                "invalid_request_error",
                Some("amount_too_large"),
                Some("amount_to_capture"),
                &message,
            ),
            true,
        );
    }
    if amount == 0 {
        let message = "This value must be greater than or equal to 1.";
        return (
            error(
                400,
                "invalid_request_error",
                Some("parameter_invalid_integer"),
                Some("amount_to_capture"),
                message,
            ),
            false,
        );
    }
    intent.captures.push(Capture { amount, by_request: true });
    intent.status = Status::Succeeded;
    intent.metadata.extend(metadata(form));
    let object = payload::intent(intent);
    emit_charge(world, id, "charge.captured");
    emit_intent(world, id, "payment_intent.succeeded");
    (http::json(200, &object), true)
}

fn attach(answer: &mut HttpResponse, intent: &Value) {
    if let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) {
        body["error"]["payment_intent"] = intent.clone();
        answer.body = body.to_string().into();
    }
}

fn cancel(world: &mut World, id: &str, form: &Form) -> Outcome {
    if let Err(refusal) = only(form, &["cancellation_reason", "expand"]) {
        return refusal;
    }
    let reason = form.get("cancellation_reason");
    let reasons = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
    if let Some(reason) = reason.filter(|reason| !reasons.contains(&reason.as_str())) {
        let message = format!(
            "Invalid cancellation_reason: must be one of duplicate, fraudulent, requested_by_customer, or abandoned (got {reason})"
        );
        return (error(400, "invalid_request_error", None, Some("cancellation_reason"), &message), false);
    }
    let now = world.now;
    let Some(intent) = world.gateway.intents.iter_mut().find(|intent| intent.id == id) else {
        return (missing("payment_intent", id), true);
    };
    if matches!(intent.status, Status::Succeeded | Status::Canceled) {
        let message = format!(
            "You cannot cancel this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of the following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action, processing.",
            intent.status.word()
        );
        let mut answer =
            error(400, "invalid_request_error", Some("payment_intent_unexpected_state"), None, &message);
        attach(&mut answer, &payload::intent(intent));
        return (answer, true);
    }
    intent.status = Status::Canceled;
    intent.cancelled = Some((now, reason.cloned()));
    let object = payload::intent(intent);
    emit_intent(world, id, "payment_intent.canceled");
    (http::json(200, &object), true)
}

fn refund(world: &mut World, form: &Form) -> Outcome {
    let known = [
        "amount",
        "charge",
        "payment_intent",
        "reason",
        "metadata",
        "expand",
        "instructions_email",
        "refund_application_fee",
        "reverse_transfer",
        "origin",
    ];
    if let Err(refusal) = only(form, &known) {
        return refusal;
    }
    let reason = form.get("reason");
    if let Some(reason) = reason
        .filter(|reason| !["duplicate", "fraudulent", "requested_by_customer"].contains(&reason.as_str()))
    {
        let message = format!(
            "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer (got {reason})"
        );
        return (error(400, "invalid_request_error", None, Some("reason"), &message), false);
    }
    let amount = match integer(form, "amount") {
        Ok(amount) => amount,
        Err(refusal) => return refusal,
    };
    let found = match (form.get("payment_intent"), form.get("charge")) {
        (Some(id), _) => world.gateway.intent(id).ok_or(("payment_intent", id)),
        (None, Some(id)) => {
            world.gateway.intents.iter().find(|intent| intent.charge == *id).ok_or(("charge", id))
        }
        (None, None) => {
            let message =
                "One of the following params should be provided for this request: payment_intent or charge.";
            return (error(400, "invalid_request_error", None, None, message), false);
        }
    };
    let intent = match found {
        Ok(intent) => intent.clone(),
        Err((kind, id)) => return (missing(kind, id), true),
    };
    let captured: i64 = intent.captures.iter().map(|capture| capture.amount).sum();
    let left = captured - world.gateway.refunded(&intent.id);
    if captured == 0 {
        let message =
            format!("This PaymentIntent ({}) does not have a successful charge to refund.", intent.id);
        return (
            error(400, "invalid_request_error", Some("payment_intent_unexpected_state"), None, &message),
            true,
        );
    }
    if left == 0 {
        let message = format!("Charge {} has already been refunded.", intent.charge);
        return (error(400, "invalid_request_error", Some("charge_already_refunded"), None, &message), true);
    }
    let amount = amount.unwrap_or(left);
    if amount > left {
        let message =
            format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
        return (error(400, "invalid_request_error", None, Some("amount"), &message), true);
    }
    let refund = Refund {
        id: world.gateway.id("re"),
        intent: intent.id.clone(),
        charge: intent.charge.clone(),
        amount,
        currency: intent.currency.clone(),
        reason: reason.cloned(),
        metadata: metadata(form),
        created: world.now,
    };
    let object = payload::refund(&refund);
    world.gateway.refunds.push(refund);
    emit(world, "refund.created", &object);
    emit_charge(world, &intent.id, "charge.refunded");
    (http::json(200, &object), true)
}

/// A list, newest first.
fn list(all: Vec<Value>, form: &Form, url: &str, filters: &[&str]) -> Outcome {
    let mut known =
        vec!["created", "limit", "starting_after", "ending_before", "expand", "types", "delivery_success"];
    known.extend(filters);
    if let Err(refusal) = only(form, &known) {
        return refusal;
    }
    let limit = match integer(form, "limit") {
        Ok(limit) => limit.unwrap_or(10),
        Err(refusal) => return refusal,
    };
    if !(1..=100).contains(&limit) {
        let message = "This value must be between 1 and 100.";
        return (
            error(400, "invalid_request_error", Some("parameter_invalid_integer"), Some("limit"), message),
            false,
        );
    }
    let limit = usize::try_from(limit).unwrap_or(10);
    let types: BTreeSet<&str> =
        form.iter().filter(|(key, _)| key.starts_with("types[")).map(|(_, value)| value.as_str()).collect();
    let fits = |item: &Value| {
        let created = item["created"].as_i64().unwrap_or(0);
        let bound =
            |name: &str| form.get(&format!("created[{name}]")).and_then(|text| text.parse::<i64>().ok());
        bound("gte").is_none_or(|bound| created >= bound)
            && bound("gt").is_none_or(|bound| created > bound)
            && bound("lte").is_none_or(|bound| created <= bound)
            && bound("lt").is_none_or(|bound| created < bound)
            && filters.iter().all(|name| {
                form.get(*name).is_none_or(|wanted| pattern(wanted, item[*name].as_str().unwrap_or("")))
            })
            && (types.is_empty() || types.contains(item["type"].as_str().unwrap_or("")))
    };
    let items: Vec<Value> = all.into_iter().rev().filter(fits).collect();
    let place = |name: &str| match form.get(name) {
        None => Ok(None),
        Some(id) => items.iter().position(|item| item["id"] == *id).map(Some).ok_or_else(|| {
            (
                error(
                    400,
                    "invalid_request_error",
                    Some("resource_missing"),
                    Some(name),
                    &format!("No such object: '{id}'"),
                ),
                false,
            )
        }),
    };
    let (after, before) = match (place("starting_after"), place("ending_before")) {
        (Ok(after), Ok(before)) => (after, before),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
    };
    let (from, to, more) = if let Some(before) = before {
        let from = before.saturating_sub(limit);
        (from, before, from > 0)
    } else {
        let from = after.map_or(0, |index| index + 1);
        let to = (from + limit).min(items.len());
        (from, to, to < items.len())
    };
    let body = json!({ "object": "list", "data": items.get(from..to).unwrap_or_default(), "has_more": more, "url": url });
    (http::json(200, &body), true)
}

fn pattern(wanted: &str, given: &str) -> bool {
    wanted.strip_suffix('*').map_or(wanted == given, |start| given.starts_with(start))
}
