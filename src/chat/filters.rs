//! Filters and tests in which Jinja2 differs from the engine's own.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::json::tojson;
use super::method::replace;
use super::python::{self, MAX_DEPTH, MAX_ITEMS, MAX_TEXT, is_space};

/// Replaces the engine's filters and tests by those that behave as Jinja2's.
pub(super) fn add(env: &mut Environment<'_>) {
    env.add_filter("tojson", tojson);
    env.add_filter("string", |value: &Value| python::str(value));
    env.add_filter("trim", trim);
    env.add_filter("int", int);
    env.add_filter("float", float);
    env.add_filter("join", join);
    env.add_filter("list", list);
    env.add_filter("replace", |text: &Value, old: &str, new: &Value| {
        replace(&python::str(text)?, old, &python::str(new)?, None)
    });

    env.add_test("sequence", |value: &Value| {
        !matches!(
            value.kind(),
            ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Plain
        )
    });
    env.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    env.add_test("number", |value: &Value| {
        matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
    });
    env.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
}

fn trim(value: &Value, chars: Option<&str>) -> Result<String, Error> {
    let text = python::str(value)?;
    let strip = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    Ok(text.trim_matches(strip).to_owned())
}

/// `int(value)`, and `default` where that is not a number.
fn int(value: &Value, default: Option<Value>, base: Option<u32>) -> Value {
    let number = match value.as_str() {
        Some(text) => {
            let text = text.trim_matches(is_space);
            let base = base.filter(|base| (2..=36).contains(base)).unwrap_or(10);
            let parsed = i128::from_str_radix(text, base).ok();
            parsed.or_else(|| text.parse::<f64>().ok().filter(|x| x.is_finite()).map(|x| x as i128))
        }
        None if value.kind() == ValueKind::Bool => Some(i128::from(value.is_true())),
        None if value.is_integer() => return value.clone(),
        None => f64::try_from(value.clone()).ok().filter(|x| x.is_finite()).map(|x| x as i128),
    };
    match number {
        Some(number) => i64::try_from(number).map_or_else(|_| Value::from(number), Value::from),
        None => default.unwrap_or_else(|| Value::from(0)),
    }
}

/// `float(value)`, and `default` where that is not a number.
fn float(value: &Value, default: Option<Value>) -> Value {
    let number = match value.as_str() {
        Some(text) => text.trim_matches(is_space).parse().ok(),
        None if value.kind() == ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        None => f64::try_from(value.clone()).ok(),
    };
    number.map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from)
}

fn join(list: &Value, glue: Option<&Value>, options: Kwargs) -> Result<String, Error> {
    let glue = match glue {
        Some(glue) => python::str(glue)?,
        None => options.get::<Option<String>>("d")?.unwrap_or_default(),
    };
    let attribute = options.get::<Option<&str>>("attribute")?;
    options.assert_all_used()?;
    let mut out = String::new();
    for (i, item) in list.try_iter()?.take(MAX_ITEMS).enumerate() {
        if i > 0 {
            out.push_str(&glue);
        }
        let item = match attribute {
            Some(name) => item.get_attr(name)?,
            None => item,
        };
        out.push_str(&python::str(&item)?);
        check_size(out.len())?;
    }
    Ok(out)
}

fn list(value: &Value) -> Result<Value, Error> {
    items(value).map(Value::from)
}

/// What `{% generation %}` becomes (see `source`): the text between two marks, if spans are wanted.
pub(super) fn generation(marks: Option<(char, char)>, body: &str) -> String {
    match marks {
        Some((start, end)) => format!("{start}{body}{end}"),
        None => body.to_owned(),
    }
}

/// What every assigned value passes through (see `source`): a lazy sequence becomes a list, as in Python, and what
/// grows without bound is stopped.
pub(super) fn assigned(value: Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        check_size(text.len())?;
    }
    if value.kind() == ValueKind::Iterable { list(&value) } else { Ok(value) }
}

/// As [`assigned`], for what is stored in a namespace, which is the only thing that can make a cycle or a value
/// nested without bound.
pub(super) fn stored(value: Value) -> Result<Value, Error> {
    let value = assigned(value)?;
    check_nesting(&value, 0, &mut 0)?;
    Ok(value)
}

fn check_nesting(value: &Value, depth: usize, seen: &mut usize) -> Result<(), Error> {
    let Some(object) = value.as_object() else { return Ok(()) };
    *seen += 1;
    if *seen > MAX_ITEMS {
        return Err(invalid("a value has too many parts"));
    }
    if object.type_name().ends_with("Namespace") {
        return Err(invalid("a namespace cannot be stored in a namespace"));
    }
    if depth >= MAX_DEPTH {
        return Err(invalid("a value is nested too deeply"));
    }
    match value.kind() {
        ValueKind::Seq => {
            for item in value.try_iter()? {
                check_nesting(&item, depth + 1, seen)?;
            }
        }
        ValueKind::Map => {
            for key in value.try_iter()? {
                check_nesting(&value.get_item(&key)?, depth + 1, seen)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn items(value: &Value) -> Result<Vec<Value>, Error> {
    let items: Vec<Value> = value.try_iter()?.take(MAX_ITEMS + 1).collect();
    if items.len() > MAX_ITEMS { Err(invalid("a list is too long")) } else { Ok(items) }
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_TEXT { Err(invalid("a text is too large")) } else { Ok(()) }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// `raise_exception(message)`: how a template refuses a conversation.
pub(super) fn raise_exception(message: Rest<Value>) -> Result<Value, Error> {
    let text = message.first().map(python::str).transpose()?.unwrap_or_default();
    Err(Error::new(ErrorKind::InvalidOperation, format!("{REFUSED}{text}")))
}

/// What the message of [`raise_exception`] begins with.
pub(super) const REFUSED: &str = "the template refused the conversation: ";
