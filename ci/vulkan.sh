#!/usr/bin/env bash
# Prepares a build with the Vulkan back end and prints the environment it needs, as lines for `eval`.
# Installs the shader compiler, the loader and a software device (lavapipe); takes newer Vulkan headers beside the
# installed ones where the system's are too old for the engine (it needs vk::LayerSettingEXT, Vulkan 1.3.270).
set -euo pipefail
. "$(dirname "$0")/env.sh"
needed=270
prefix=$CACHE/tools/vulkan-headers

header_version() { sed -n 's/^#define VK_HEADER_VERSION \([0-9]*\)$/\1/p' "$1/vulkan/vulkan_core.h" 2>/dev/null; }
minor() { sed -n 's/^#define VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION(0, 1, \([0-9]*\),.*/\1/p' "$1/vulkan/vulkan_core.h" 2>/dev/null; }
new_enough() {
    local version minor
    version=$(header_version "$1")
    minor=$(minor "$1")
    [ -n "$version" ] && { [ "$minor" -gt 3 ] || [ "$version" -ge $needed ]; } && [ -d "$1/spirv" ]
}

if ! have glslc || ! compgen -G '/usr/lib/*/libvulkan.so' >/dev/null || ! compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null; then
    { have apt-get && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; } ||
        die "install glslc, the Vulkan loader's development files, spirv-headers and a Vulkan driver, then run this again"
    root=()
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    say "setup: apt-get install glslc libvulkan-dev spirv-headers mesa-vulkan-drivers" >&2
    mkdir -p "$LOGS"
    {
        "${root[@]}" apt-get -q update
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \
            glslc libvulkan-dev spirv-headers mesa-vulkan-drivers
    } >"$LOGS/vulkan.log" 2>&1 || { tail -n 20 "$LOGS/vulkan.log" >&2; die "apt-get failed: see $LOGS/vulkan.log"; }
fi

# Headers only, of Debian's next release, from whatever mirror this machine's apt already uses.
fetch_headers() {
    local work
    work=$(mktemp -d)
    mkdir -p "$work"/{lists/partial,cache/archives/partial,parts} "$prefix.new"
    cat /etc/apt/sources.list /etc/apt/sources.list.d/debian.* 2>/dev/null |
        sed 's/bookworm/trixie/g' >"$work/all"
    # Both spellings of a source list are in use; apt tells them apart by the file's ending.
    if grep -q '^URIs:' "$work/all"; then mv "$work/all" "$work/parts/trixie.sources"; else mv "$work/all" "$work/parts/trixie.list"; fi
    local options=(-q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/parts" -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache")
    (
        cd "$work"
        apt-get "${options[@]}" update
        apt-get "${options[@]}" download libvulkan-dev spirv-headers
        for deb in *.deb; do dpkg -x "$deb" "$prefix.new"; done
    )
    # The library must stay the installed one.
    rm -rf "$prefix" "$prefix.new/usr/lib" "$work"
    mv "$prefix.new" "$prefix"
}

if ! new_enough /usr/include; then
    if ! new_enough "$prefix/usr/include"; then
        say "setup: newer Vulkan headers into $prefix" >&2
        mkdir -p "$LOGS"
        rm -rf "$prefix.new"
        fetch_headers >>"$LOGS/vulkan.log" 2>&1 || { tail -n 20 "$LOGS/vulkan.log" >&2; die "no newer Vulkan headers: see $LOGS/vulkan.log"; }
        new_enough "$prefix/usr/include" || die "the Vulkan headers fetched are too old: see $LOGS/vulkan.log"
    fi
    printf 'export CMAKE_PREFIX_PATH=%q\n' "$prefix/usr"
fi
# A software device counts as a CPU and is hidden by the engine unless it is named.
printf 'export GGML_VK_VISIBLE_DEVICES=%q\n' "${GGML_VK_VISIBLE_DEVICES:-0}"
