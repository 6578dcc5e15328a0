# shellcheck shell=bash
# Sourced: Debian's packages of a Rust compiler, unpacked in the cache beside whatever is installed.

# debian_rustc VERSION [ARCHITECTURE]: prints the path of a rustc of this version ("1.85", or empty for the newest one)
# that compiles for a Debian architecture (this machine's where it is not given); fails where there is none.
debian_rustc() {
    local wanted=$1 arch=${2:-} own package version='' std folder wrapper libraries
    have apt-get && have dpkg || return 1
    own=$(dpkg --print-architecture)
    arch=${arch:-$own}
    folder=$CACHE/tools/rustc-${wanted:-newest}-$arch
    wrapper=$folder/rustc
    if [ ! -x "$wrapper" ]; then
        rm -rf "$folder" && mkdir -p "$folder"/{root,lists/partial,cache/archives/partial}
        # Another architecture's packages are looked up in lists of our own: the system's stay as they are.
        local apt=(apt-get -q)
        if [ "$arch" != "$own" ]; then
            apt+=(-o "APT::Architectures::=$own" -o "APT::Architectures::=$arch" -o Debug::NoLocking=1
                -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache")
            "${apt[@]}" update >&2 || return 1
        fi
        for package in rustc-web rustc; do
            version=$(apt-cache madison "$package" 2>/dev/null | awk -v v="${wanted:+$wanted.}" 'index($3, v) == 1 {print $3; exit}')
            [ -n "$version" ] && break
        done
        [ -n "$version" ] || return 1
        std=libstd-rust${package#rustc}-dev
        (
            cd "$folder" || exit 1
            "${apt[@]}" download "$package=$version" "$std:$arch=$version"
            # The run-time libraries: rustc's own and LLVM's, as the packages name them.
            local runtime llvm
            runtime=$(dpkg -f "$std"_*.deb Depends | grep -oE 'libstd-rust-[a-z0-9.-]+' | head -n 1)
            "${apt[@]}" download "$runtime:$own=$version"
            llvm=$(dpkg -f "$runtime"_*_"$own".deb Depends | grep -oE 'libllvm[0-9.]+' | head -n 1)
            [ -z "$llvm" ] || "${apt[@]}" download "$llvm:$own"
            for deb in *.deb; do dpkg -x "$deb" root; done
            rm -rf ./*.deb lists cache
        ) >&2 || return 1
        libraries=$(dirname "$(find "$folder/root" -name 'librustc_driver-*.so' | head -n 1)")
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s --sysroot %s "$@"\n' \
            "$libraries" "$folder/root/usr/bin/rustc" "$folder/root/usr" >"$wrapper"
        chmod +x "$wrapper"
    fi
    "$wrapper" --version >&2 || { rm -rf "$folder"; return 1; }
    printf '%s' "$wrapper"
}
