#!/usr/bin/env bash
# install.sh PROGRAM... : what tests/e2e needs of the distribution, as root by apt; otherwise it says what is missing.
set -euo pipefail

missing=()
for program in "$@"; do
  command -v "$program" >/dev/null || missing+=("$program")
done
((${#missing[@]})) || exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "make e2e needs: ${missing[*]}" >&2
  echo "Install them first, or run it as root on a Debian system." >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
