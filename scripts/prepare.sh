# Sourced by scripts/quickstart and scripts/test: Debian packages, progress lines, the build.
# shellcheck shell=bash disable=SC2034

packages_to_build=(
    meson ninja-build ccache pkg-config g++ libfuse3-dev fuse3 librados-dev libradospp-dev librocksdb-dev
    libspdlog-dev libfmt-dev libgtest-dev libtomlplusplus-dev libcli11-dev nlohmann-json3-dev go-md2man
)
packages_to_show=(fio git acl attr psmisc)
packages_to_test=(
    ceph-mon ceph-mgr ceph-osd ceph-mds ceph-common ceph-fuse clang-14 libclang-rt-14-dev rsync sqlite3 shellcheck
    jq stress-ng dbench iproute2 python3 curl bash-completion spin tcc
)

# Several files a compilation: headers take most of the time.  Who changes code builds without: each file stands alone.
together="-Dunity=on -Dunity_size=8"
release="-Dbuildtype=debugoptimized -Dtests=disabled $together"

begun_at=$(date +%s)
say() { printf '[%4ds] %s\n' $(($(date +%s) - begun_at)) "$*"; }
die() { echo "${0##*/}: $*" >&2; exit 1; }

# Installs those that are missing, quietly; a log tells why if it fails.
install_packages() {  # PACKAGE...
    local missing=() package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get > /dev/null || die "needs these Debian packages: ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo > /dev/null || die "run as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${#missing[@]} packages: ${missing[*]}"
    local log
    log=$(mktemp /tmp/meshfs-apt.XXXXXX)
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update > "$log" 2>&1 ||
        ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install \
            "${missing[@]}" >> "$log" 2>&1; then
        tail -n 20 "$log" >&2
        die "apt-get failed; all it said is in $log"
    fi
    rm -f "$log"
}

# Configures DIR if it is not, and builds all of it or the targets given.
build() {  # DIR "MESON OPTIONS" [TARGET...]
    local dir=$1 options=$2 log
    shift 2
    log=$dir/meshfs-build.log; mkdir -p "$dir"
    if [ ! -e "$dir/build.ninja" ]; then
        say "configuring $dir"
        # Words, not one: options have no blanks.
        # shellcheck disable=SC2086
        meson setup "$dir" $options > "$log" 2>&1 || { tail -n 30 "$log" >&2; die "meson failed; see $log"; }
    fi
    say "building $dir (what changed)"
    # A line every twenty seconds or so: compiling takes minutes at first.
    ninja -C "$dir" "$@" > "$log" 2>&1 &
    local ninja=$! last=''
    while kill -0 "$ninja" 2>/dev/null; do
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            sleep 2
            kill -0 "$ninja" 2>/dev/null || break
        done
        local at
        at=$(grep -o '^\[[0-9]*/[0-9]*\]' "$log" | tail -n 1) || true
        [ -z "$at" ] || [ "$at" = "$last" ] || say "  $at"
        last=$at
    done
    wait "$ninja" || { grep -E 'error|FAILED' "$log" | head -n 30 >&2; die "the build failed; see $log"; }
}
