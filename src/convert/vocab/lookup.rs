//! Short ways into JSON that may hold anything.

use serde_json::Value as Json;

pub(super) fn text(value: Option<&Json>) -> Option<&str> {
    value.and_then(Json::as_str)
}

pub(super) fn flag(value: Option<&Json>) -> Option<bool> {
    value.and_then(Json::as_bool)
}

pub(super) fn list(value: Option<&Json>) -> &[Json] {
    value.and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// The text of a special token: plain, or with its properties.
pub(super) fn content(value: Option<&Json>) -> Option<&str> {
    text(value).or_else(|| text(value?.get("content")))
}
