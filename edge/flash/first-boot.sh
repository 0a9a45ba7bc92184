#!/bin/sh
# Installs fmd from the boot partition of a card that `fmd flash` prepared.
#
#   first-boot.sh enable [now]   enable a service that runs this script until it succeeds once, from the next boot or now
#   first-boot.sh                install; the service runs this
#
# The board's green LED shows the progress: a heartbeat during the installation, fast and even after a failure (it tries
# again every half minute), as usual after success. The log is in fmd/first-boot.log on the boot partition.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# Tests use other folders.
etc=${FMD_ETC:-/etc}
sys=${FMD_SYS:-/sys}
run=${FMD_RUN:-/run}
share=${FMD_SHARE:-/usr/share/fmd}
unit=fmd-first-boot.service

led() {
    for name in ACT led0; do # called led0 up to kernel 5.10, ACT since
        trigger=$sys/class/leds/$name/trigger
        [ -w "$trigger" ] || continue
        # Remember the original trigger, which the kernel marks with brackets. Only once: a second try would find ours.
        [ -e "$run/fmd-first-boot.led" ] || sed 's/.*\[\(.*\)\].*/\1/' "$trigger" >"$run/fmd-first-boot.led"
        case $1 in
        working) echo heartbeat >"$trigger" ;;
        failed)
            echo timer >"$trigger"
            echo 100 >"$sys/class/leds/$name/delay_on" || true
            echo 100 >"$sys/class/leds/$name/delay_off" || true
            ;;
        finished) cat "$run/fmd-first-boot.led" >"$trigger" ;;
        esac
    done
}

hand_over() {
    install -D -m 0644 "$here/$unit" "$etc/systemd/system/$unit"
    systemctl enable "$unit"
    if [ "${1:-}" = now ]; then
        systemctl daemon-reload
        systemctl start --no-block "$unit"
    fi
}

# List only files of the last preparation of this card; an older package may be there as well.
listed() { sed -n 's|^[0-9a-f]*  \('"$1"'\)$|\1|p' SHA256SUMS; }

install_package() {
    for file in $(listed '[^/]*\.deb'); do set -- "$@" "./$file"; done
    # confold keeps the settings that were copied before the package.
    apt-get install -y -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 "$@"
}

# Raspberry Pi OS Lite lacks picamera2. Its recommended packages belong to a desktop, so leave them out.
install_picamera2() {
    python3 -c 'import picamera2' 2>/dev/null && return
    set -- install -y --no-install-recommends -o DPkg::Lock::Timeout=300 python3-picamera2
    apt-get "$@" || { apt-get update && apt-get "$@"; } ||
        echo "no picamera2: USB cameras will work, one on the ribbon cable will not"
}

# The page has a user of its own, which the package makes. Nobody can sign in before the password is there.
start_page() {
    [ -n "$(listed 'page/.*')" ] || return 0
    for file in $(listed 'page/.*'); do
        install -m 0600 "$file" "$etc/fmd/"
        chgrp fmd-page "$etc/fmd/${file#page/}" && chmod 0640 "$etc/fmd/${file#page/}"
    done
    systemctl enable --now fmd-page.service || echo "the web page does not start: journalctl -u fmd-page"
}

install_fmd() {
    cd "$here"
    sha256sum --check --quiet SHA256SUMS
    # Settings come first, because the package starts the service with the settings that it finds.
    install -d "$etc/fmd"
    for file in $(listed 'etc/.*'); do install -m 0644 "$file" "$etc/fmd/"; done
    # The package proves the settings as the user fmd, so its group must be there before.
    getent group fmd >/dev/null || groupadd --system fmd
    for file in $(listed 'secret/.*'); do
        install -m 0600 "$file" "$etc/fmd/"
        chgrp fmd "$etc/fmd/${file#secret/}" && chmod 0640 "$etc/fmd/${file#secret/}"
    done
    export DEBIAN_FRONTEND=noninteractive
    # A power cut may have interrupted the previous try.
    dpkg --configure -a || true
    install_picamera2
    # A new image may lack apt's lists. Without a network, install without recommended packages.
    install_package || { apt-get update && install_package; } || install_package --no-install-recommends
    for name in network sensor; do
        [ -n "$(listed "$name")" ] || continue
        install -D -m 0644 "$share/fmd-$name.conf" "$etc/systemd/system/fmd.service.d/$name.conf"
    done
    systemctl daemon-reload
    systemctl enable fmd.service
    start_page
    # Returns when fmd watches, or fails.
    systemctl restart fmd.service
}

# Anyone who reads the card later must not find them: overwrite them before they are deleted, as FAT keeps what was there.
wipe_secrets() {
    for file in "$here"/secret/* "$here"/page/*; do
        [ -f "$file" ] || continue
        shred --iterations=1 --zero "$file" || true
        rm -f "$file"
    done
    rm -rf "$here/secret" "$here/page"
    sync
}

main() {
    log=$run/fmd-first-boot.log
    led working
    # In a separate shell, because `set -e` has no effect within an `if`.
    # A power cut after the installation leaves the list of the installed files.
    if cmp -s "$here/SHA256SUMS" "$here/installed" || sh "$0" install >"$log" 2>&1; then
        cat "$log" || true
        cp "$here/SHA256SUMS" "$here/installed"
        wipe_secrets
        systemctl disable "$unit"
        rm -rf "$etc/systemd/system/$unit" "$here"/*.deb
        echo "fmd is installed and watching" >>"$log"
        cp "$log" "$here/first-boot.log"
        led finished
    else
        cat "$log"
        echo "not installed yet; trying again in half a minute" >>"$log"
        cp "$log" "$here/first-boot.log" || true
        led failed
        exit 1
    fi
}

case ${1:-main} in
enable) hand_over "${2:-}" ;;
install) install_fmd ;;
main) main ;;
*)
    echo "usage: $0 [enable [now]]" >&2
    exit 2
    ;;
esac
