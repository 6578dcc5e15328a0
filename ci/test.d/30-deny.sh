# shellcheck shell=bash
# Every dependency has a licence that deny.toml allows, and comes from the crate registry.
# On failure: read the licence it names; replace the crate, or allow it in deny.toml with the reason
set -euo pipefail
. ci/env.sh

# Built once per version and kept in the cache; unoptimised, as a build is long and a check short.
version=0.18.3
tools=$CACHE/tools/cargo-deny-$version
if ! "$tools/bin/cargo-deny" --version >/dev/null 2>&1; then
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$CACHE/tools/build" cargo-deny@$version
    rm -rf "$CACHE/tools/build"
fi
# The advisories check needs a database from the network, which no test here uses.
"$tools/bin/cargo-deny" --locked --all-features check --hide-inclusion-graph licenses bans sources
