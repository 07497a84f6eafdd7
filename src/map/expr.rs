//! Expressions: Rhai without floats, loops, functions of one's own, files or `eval`; decimals are exact, and steps and
//! sizes are bounded.

use std::fmt;
use std::sync::LazyLock;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicMathPackage, BasicStringPackage, LogicPackage,
    MoreStringPackage, Package,
};
use rhai::{AST, Array, Dynamic, Engine, EvalAltResult, ImmutableString, Position, Scope};
use rust_decimal::{Decimal, RoundingStrategy};

use super::condition::number;

/// A value in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Absent,
    Bool(bool),
    Number(Decimal),
    Text(String),
    List(Vec<Value>),
}

#[derive(Clone)]
pub(super) struct Expr {
    ast: AST,
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expr")
    }
}

/// What is wrong with an expression, and where in its text (line and column from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExprError {
    pub message: String,
    pub line: usize,
    pub column: usize,
}

static ENGINE: LazyLock<Engine> = LazyLock::new(engine);

fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    engine
        .set_strict_variables(true)
        .set_allow_looping(false)
        // What is registered below for whole numbers goes before what is built in.
        .set_fast_operators(false)
        .set_allow_anonymous_fn(false)
        .set_max_functions(0)
        .set_max_call_levels(8)
        .set_max_operations(20_000)
        .set_max_expr_depths(32, 16)
        .set_max_variables(64)
        .set_max_string_size(64 * 1024)
        .set_max_array_size(1024)
        .set_max_map_size(64);
    for symbol in ["eval", "import", "export", "print", "debug", "Fn", "call", "curry", "/="] {
        engine.disable_symbol(symbol);
    }
    engine
        .register_fn("trim", |text: ImmutableString| text.trim().to_owned())
        .register_fn("upper", |text: ImmutableString| text.to_uppercase())
        .register_fn("lower", |text: ImmutableString| text.to_lowercase())
        .register_fn("replaced", |text: ImmutableString, from: ImmutableString, to: ImmutableString| {
            text.replace(from.as_str(), &to)
        })
        .register_fn("text", |value: Dynamic| plain(&value))
        .register_fn("number", |value: Dynamic| {
            number(&plain(&value)).map_or(Dynamic::UNIT, Dynamic::from_decimal)
        })
        // 10 / 4 is 2.5, as on paper.
        .register_fn("/", |a: i64, b: i64| quotient(a, b))
        .register_fn("half_up", |value: i64, _places: i64| value)
        .register_fn("half_even", |value: i64, _places: i64| value)
        .register_fn("half_up", |value: Decimal, places: i64| {
            let places = u32::try_from(places).unwrap_or_default().min(28);
            value.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero)
        })
        .register_fn("half_even", |value: Decimal, places: i64| {
            let places = u32::try_from(places).unwrap_or_default().min(28);
            value.round_dp_with_strategy(places, RoundingStrategy::MidpointNearestEven)
        });
    engine
}

fn quotient(a: i64, b: i64) -> Result<Decimal, Box<EvalAltResult>> {
    let quotient = Decimal::from(a).checked_div(Decimal::from(b));
    quotient.ok_or_else(|| format!("Division by zero: {a} / {b}").into())
}

fn plain(value: &Dynamic) -> String {
    if value.is_unit() { String::new() } else { value.to_string() }
}

impl Expr {
    /// Compiles `text`, which may name `variables`.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, ExprError> {
        let mut scope = Scope::new();
        for name in variables {
            scope.push_dynamic(*name, Dynamic::UNIT);
        }
        let ast = ENGINE
            .compile_with_scope(&scope, text)
            .map_err(|error| at(error.err_type().to_string(), error.position()))?;
        Ok(Self { ast })
    }

    /// The value of the expression with these variables.
    pub fn eval(&self, variables: &[(&str, Value)]) -> Result<Value, ExprError> {
        let mut scope = Scope::new();
        for (name, value) in variables {
            scope.push_dynamic(*name, dynamic(value));
        }
        let result = ENGINE.eval_ast_with_scope::<Dynamic>(&mut scope, &self.ast).map_err(|error| {
            let place = error.position();
            let mut error = *error;
            error.clear_position();
            at(error.to_string(), place)
        })?;
        value(&result, 0).map_err(|message| ExprError { message, line: 1, column: 1 })
    }
}

fn at(message: String, place: Position) -> ExprError {
    ExprError { message, line: place.line().unwrap_or(1), column: place.position().unwrap_or(1) }
}

fn dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Absent => Dynamic::UNIT,
        Value::Bool(yes) => Dynamic::from_bool(*yes),
        Value::Number(number) => Dynamic::from_decimal(*number),
        Value::Text(text) => Dynamic::from(text.clone()),
        Value::List(items) => Dynamic::from_array(items.iter().map(dynamic).collect()),
    }
}

fn value(result: &Dynamic, depth: usize) -> Result<Value, String> {
    if result.is_unit() {
        return Ok(Value::Absent);
    }
    if let Ok(yes) = result.as_bool() {
        return Ok(Value::Bool(yes));
    }
    if let Ok(number) = result.as_int() {
        return Ok(Value::Number(Decimal::from(number)));
    }
    if let Ok(number) = result.as_decimal() {
        return Ok(Value::Number(number));
    }
    if result.is_string() || result.is_char() {
        return Ok(Value::Text(result.to_string()));
    }
    if depth == 0
        && let Some(items) = result.read_lock::<Array>()
    {
        return items.iter().map(|item| value(item, 1)).collect::<Result<_, _>>().map(Value::List);
    }
    Err(format!(
        "the result is {}; expected a text, a number, true, false, a list of those, or ()",
        result.type_name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, variables: &[(&str, Value)]) -> Result<Value, ExprError> {
        let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
        Expr::compile(text, &names)?.eval(variables)
    }

    fn dec(text: &str) -> Value {
        Value::Number(text.parse().unwrap())
    }

    #[test]
    fn decimals_are_exact() {
        let vars = [("total", dec("598.94")), ("owed", dec("98.94"))];
        assert_eq!(run("total - owed", &vars), Ok(dec("500.00")));
        assert_eq!(run("0.1 + 0.2", &[]), Ok(dec("0.3")));
        assert_eq!(run("half_up(total * 0.19, 2)", &vars), Ok(dec("113.80")));
        assert_eq!(
            run("if owed > 0 { \"pending\" } else { \"paid\" }", &vars),
            Ok(Value::Text("pending".into()))
        );
        assert_eq!(run("total / 0", &vars).map_err(|e| e.message.contains("zero")), Err(true));
    }

    #[test]
    fn whole_numbers_divide_as_decimals_do() {
        let vars = [("n", dec("10"))];
        assert_eq!(run("10 / 4", &[]), Ok(dec("2.5")));
        assert_eq!(run("n / 4 + 1 / 4", &vars), Ok(dec("2.75")));
        assert_eq!(run("n * (1 / 8)", &vars), Ok(dec("1.250")));
        assert_eq!(run("half_up(10 / 3, 2)", &[]), Ok(dec("3.33")));
        assert_eq!(run("half_up(5, 2) + \"abc\".len() / 2", &[]), Ok(dec("6.5")));
        assert_eq!(run("[1, 2].len() + 7 % 4", &[]), Ok(dec("5")));
        assert!(run("let x = 6; x /= 4; x", &[]).is_err());
        assert!(run("1 / 0", &[]).unwrap_err().message.contains("zero"));
    }

    #[test]
    fn texts_and_absence() {
        let vars = [("name", Value::Text(" Ann ".into())), ("none", Value::Absent)];
        assert_eq!(run("trim(name) + \"!\"", &vars), Ok(Value::Text("Ann!".into())));
        assert_eq!(
            run("if none == () { name.upper().trim() } else { none }", &vars),
            Ok(Value::Text("ANN".into()))
        );
        assert_eq!(run("none", &vars), Ok(Value::Absent));
        assert_eq!(
            run("name.split(\"n\")", &vars).map(|v| matches!(v, Value::List(items) if items.len() == 3)),
            Ok(true)
        );
        assert_eq!(run("number(\"12.50\") * 2", &[]), Ok(dec("25.00")));
    }

    #[test]
    fn nothing_runs_on_or_reaches_out() {
        for bad in [
            "loop {}",
            "while true {}",
            "for i in 0..9 { i }",
            "fn f() { f() } f()",
            "eval(\"1\")",
            "import \"x\" as y",
            "print(1)",
            "unknown + 1",
            "1.5e3.x(",
            "let f = |x| x; 1",
        ] {
            assert!(run(bad, &[]).is_err(), "{bad}");
        }
        let error = run("total -\n  owned", &[("total", dec("1"))]).unwrap_err();
        assert_eq!((error.line, error.column), (2, 3), "{error:?}");
    }
}
