#!/bin/bash
# build.sh WORK: make WORK/target/suite.jar, the XSF's interop suite with the integration tests of Smack, and WORK/plays,
# Prosody's plays. All are fetched at the revisions below, and none is ours.
# env: SUITE, SMACK, PROSODY: git repositories to take them from; without them their public homes
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"; WORK=$(cd "$1" && pwd)

take() { # REPOSITORY REVISION FOLDER PATH...: a folder with these paths of a revision, once
  local from=$1 revision=$2 folder=$WORK/$3; shift 3
  [ "$(cat "$folder/.revision" 2>/dev/null)" != "$revision" ] || return 0
  rm -rf "$folder"; mkdir -p "$folder"
  if [ ! -d "$from" ]; then
    git init -q --bare "$folder.git"
    git --git-dir "$folder.git" fetch -q --depth 1 "$from" "$revision"
    from=$folder.git
  fi
  git -C "$from" archive "$revision" "$@" | tar -x -C "$folder"
  rm -rf "$folder.git"; echo "$revision" > "$folder/.revision"
}

take "${SUITE:-https://github.com/XMPP-Interop-Testing/smack-sint-server-extensions}" \
  0fb0c176cbce7d614edc99b7f5bf41f32af50845 suite src
# 4.5.0-beta9, which this revision of the suite asks for
take "${SMACK:-https://github.com/igniterealtime/Smack}" c5147b0f48e7d2687281e6055382ff2bf4151c5c smack \
  smack-integration-test/src/main smack-websocket smack-websocket-java11 smack-websocket-okhttp smack-resolver-dnsjava \
  smack-resolver-minidns smack-openpgp smack-omemo smack-omemo-signal
take "${PROSODY:-https://github.com/bjc/prosody}" b439ad72f1323a43c22f5fb89e48611fd9c68adb prosody spec/scansion
ln -sfn prosody/spec/scansion "$WORK/plays"

# Left out by the suite's own build: they prove the client alone.
for name in chatstate commands filetransfer geolocation iqversion mood ping softwareinfo usertune; do
  rm -rf "$WORK/smack/smack-integration-test/src/main/java/org/jivesoftware/smackx/$name"
done
[ "$WORK/target/suite.jar" -nt "$HERE/pom.xml" ] && [ "$WORK/target/suite.jar" -nt "$HERE/java/Suite.java" ] &&
  [ "$WORK/target/suite.jar" -nt "$WORK/suite/.revision" ] && [ "$WORK/target/suite.jar" -nt "$WORK/smack/.revision" ] ||
  mvn -B -q -f "$HERE/pom.xml" -Dwork="$WORK" package
