#!/usr/bin/env bash
# Installs what is missing to build, test and demonstrate Nestling. Says one line per thing it does,
# nothing when there is nothing to do. Usage: ci/setup.sh [demo|test]   (default: test, which needs more)
set -euo pipefail
. "$(dirname "$0")/env.sh"

level=${1:-test}
case $level in demo | test) ;; *) die "usage: ci/setup.sh [demo|test]" ;; esac

has_libclang() { has_libclang_library && has_clang_headers; }
has_libclang_library() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        [ -f "$LIBCLANG_PATH" ] || compgen -G "$LIBCLANG_PATH/libclang[.-][0-9sd]*" >/dev/null
        return
    fi
    # libclang.so or libclang-14.so; libclang-cpp.so is another library.
    compgen -G '/usr/lib/llvm*/lib/libclang[.-][0-9s]*' >/dev/null && return 0
    compgen -G '/usr/lib*/libclang[.-][0-9s]*' >/dev/null && return 0
    compgen -G '/usr/lib/*-linux-*/libclang[.-][0-9s]*' >/dev/null && return 0
    compgen -G '/opt/homebrew/opt/llvm/lib/libclang.*' >/dev/null && return 0
    compgen -G '/Library/Developer/CommandLineTools/usr/lib/libclang.*' >/dev/null
}
# Its own stddef.h and the like, which a package of the library alone does not bring.
has_clang_headers() {
    have clang && [ -f "$(clang -print-resource-dir 2>/dev/null)/include/stddef.h" ] && return 0
    compgen -G '/usr/lib*/llvm*/lib*/clang/*/include/stddef.h' >/dev/null && return 0
    compgen -G '/usr/lib*/clang/*/include/stddef.h' >/dev/null && return 0
    compgen -G '/opt/homebrew/opt/llvm/lib/clang/*/include/stddef.h' >/dev/null && return 0
    compgen -G '/Library/Developer/CommandLineTools/usr/lib/clang/*/include/stddef.h' >/dev/null
}
has_pip() { have python3 && python3 -c 'import importlib.util as u, sys; sys.exit(u.find_spec("pip") is None)'; }
# Run, not looked for: rustup puts a stand-in for each into PATH, also where the toolchain has none.
has_lint() { use_rust && cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1; }

# The things to install, by our own names; each package manager spells them its way below.
missing=()
want() { missing+=("$1"); }
find_missing() {
    missing=()
    have git || want git
    have cmake || want cmake
    { have cc && have c++; } || want compiler
    has_libclang || want libclang
    have pkg-config || want pkg-config
    has_pip || want pip
    have ccache || want ccache
    if [ "$level" = test ]; then
        [ "$(uname)" = Darwin ] || have valgrind || want valgrind
        have nm || want compiler
    fi
    use_rust || want rust
    if [ "$level" = test ] && ! has_lint; then want rust-lint; fi
}

# Runs a command as root, without ever asking for a password.
root_can() { [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

log=$LOGS/setup.log
# quietly WHAT COMMAND...: one line on the terminal, the rest in the log, whose end is shown on failure.
quietly() {
    local what=$1
    shift
    say "setup: $what"
    mkdir -p "$LOGS"
    if ! "$@" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "setup: that failed; the whole output is in $log" >&2
        return 1
    fi
}

# Debian's name of the newest packaged Rust that is new enough: backported for browsers as "-web", or plain.
apt_rust() {
    local suffix version
    for suffix in -web ''; do
        version=$(apt-cache policy "rustc$suffix" 2>/dev/null | awk '/Candidate:/ {print $2}')
        if [ -n "$version" ] && [ "$version" != "(none)" ] && version_at_least "$version" "$MSRV"; then
            printf '%s' "${suffix:-plain}"
            return 0
        fi
    done
    return 1
}

apt_packages() {
    local rust
    case $1 in
        git) say git ca-certificates ;;
        compiler) say gcc g++ libc6-dev make binutils ;;
        libclang) say libclang-dev ;;
        pip) say python3 python3-pip ca-certificates ;;
        rust)
            # Without a packaged one, rustup is fetched.
            rust=$(apt_rust) || { have curl || say curl ca-certificates; return 0; }
            if [ "$rust" = -web ]; then say rustc-web cargo-web; else say rustc cargo; fi
            ;;
        rust-lint)
            # With rustup's toolchain the two are components of that toolchain (install_rustup).
            if has_rustup; then return 0; fi
            rust=$(apt_rust) || return 0
            if [ "$rust" = -web ]; then say rustfmt-web rust-web-clippy; else say rustfmt rust-clippy; fi
            ;;
        *) say "$1" ;;
    esac
}
dnf_packages() {
    case $1 in
        compiler) say gcc gcc-c++ make binutils ;;
        libclang) say clang-devel ;;
        pip) say python3 python3-pip ;;
        pkg-config) say pkgconf-pkg-config ;;
        rust) say rust cargo ;;
        rust-lint) has_rustup || say rustfmt clippy ;;
        *) say "$1" ;;
    esac
}
brew_packages() {
    case $1 in
        compiler) ;; # Apple's command line tools: see the list printed at the end.
        libclang) say llvm ;;
        pip) say python3 ;;
        pkg-config) say pkgconf ;;
        rust) say rust ;;
        rust-lint) ;; # Part of brew's rust, or a rustup component.
        *) say "$1" ;;
    esac
}

# Fills `packages` with what a package manager calls the missing things.
collect() {
    local thing
    packages=()
    for thing in "${missing[@]}"; do
        # shellcheck disable=SC2207
        packages+=($("$1" "$thing"))
    done
}

install_packages() {
    if have apt-get && root_can; then
        quietly "apt-get update" as_root apt-get -q update || true
        collect apt_packages
        [ ${#packages[@]} = 0 ] ||
            quietly "apt-get install ${packages[*]}" as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -q -y install --no-install-recommends "${packages[@]}" || true
    elif have dnf && root_can; then
        collect dnf_packages
        [ ${#packages[@]} = 0 ] ||
            quietly "dnf install ${packages[*]}" as_root dnf -q -y install "${packages[@]}" || true
    elif have brew; then
        collect brew_packages
        [ ${#packages[@]} = 0 ] || quietly "brew install ${packages[*]}" brew install -q "${packages[@]}" || true
    fi
}

# The rustup in PATH or where it installs itself, when its cargo is the one in use or none other is.
rustup_path() { command -v rustup || { local r=${CARGO_HOME:-$HOME/.cargo}/bin/rustup; [ -x "$r" ] && say "$r"; }; }
has_rustup() { rustup_path >/dev/null 2>&1; }

# Rust's own installer: for machines whose package manager has no Rust that is new enough.
install_rustup() {
    local rustup components=()
    [ "$level" = test ] && components=(-c rustfmt -c clippy)
    if rustup=$(rustup_path); then
        # The toolchain in use may be another one than stable, and new enough: then it lacks the components only.
        if use_rust && [ ${#components[@]} -gt 0 ] && ! has_lint; then
            quietly "rustup: add clippy and rustfmt" "$rustup" component add clippy rustfmt && has_lint && return 0
        fi
        quietly "rustup: install the stable toolchain" \
            "$rustup" toolchain install stable --profile minimal ${components[@]+"${components[@]}"} || return 1
        use_rust || quietly "rustup: make it the default" "$rustup" default stable
    elif have curl; then
        # shellcheck disable=SC2016
        quietly "install Rust with rustup" bash -c '
            set -euo pipefail
            script=$(mktemp)
            trap "rm -f $script" EXIT
            curl --proto "=https" --tlsv1.2 --connect-timeout 20 -sSf https://sh.rustup.rs -o "$script"
            sh "$script" -y --no-modify-path --profile minimal '"${components[*]}" || return 1
    else
        return 1
    fi
}

find_missing
[ ${#missing[@]} = 0 ] && exit 0
say "setup: missing: ${missing[*]}"
install_packages
find_missing
case " ${missing[*]-} " in
    *" rust "* | *" rust-lint "*) install_rustup || true ;;
esac
find_missing
# A compiler cache only saves time, and nothing that is built by default asks pkg-config.
needed=()
for thing in ${missing[@]+"${missing[@]}"}; do
    case $thing in
        ccache | pkg-config) say "setup: goes on without $thing, which could not be installed" ;;
        *) needed+=("$thing") ;;
    esac
done
missing=(${needed[@]+"${needed[@]}"})
[ ${#missing[@]} = 0 ] && exit 0

# What is left could not be installed: say what each thing is, in words that fit any system.
{
    say "error: these could not be installed here (no root, no package manager that has them, or no network):"
    for thing in "${missing[@]}"; do
        case $thing in
            compiler) say "  a C and a C++17 compiler with binutils (gcc and g++, or Xcode's command line tools)" ;;
            libclang) say "  libclang with its headers (Debian: libclang-dev; Fedora: clang-devel; brew: llvm)" ;;
            pip) say "  python3 with pip (Debian: python3-pip)" ;;
            rust) say "  Rust $MSRV or newer with cargo (rustup.rs, or Debian: rustc-web cargo-web)" ;;
            rust-lint) say "  clippy and rustfmt (rustup component add clippy rustfmt, or Debian: rust-web-clippy rustfmt-web)" ;;
            *) say "  $thing" ;;
        esac
    done
    say "install them and run the same command again"
} >&2
exit 1
