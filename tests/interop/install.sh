#!/usr/bin/env bash
# Installs the clients and servers that tests/interop drives, from the distribution: as root by apt, otherwise it says
# what is missing. Nothing is fetched when all of it is there.
set -euo pipefail

declare -A program=([prosody]=prosody [profanity]=profanity [tmux]=tmux [openssl]=openssl [go-sendxmpp]=go-sendxmpp [coturn]=turnserver)

missing=()
for package in "${!program[@]}"; do
  command -v "${program[$package]}" >/dev/null || missing+=("$package")
done
((${#missing[@]})) || exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "make interop needs: ${missing[*]}" >&2
  echo "Install them first, or run it as root on a Debian system." >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
