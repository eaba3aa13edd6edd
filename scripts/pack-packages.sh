#!/bin/sh
# Packs what is published, from a build of its own, and tells the checksums: two runs on one commit tell the same.
# usage: scripts/pack-packages.sh FOLDER
set -eu
cd "$(dirname "$0")/.."
folder=$1
PATH="$PWD/node_modules/.bin:$PATH"

rm -rf packages/*/dist
tsc -b
mkdir -p "$folder"
for package in packages/*/; do
  if grep -q '"private": true' "$package/package.json"; then continue; fi
  pnpm --dir "$package" pack --pack-destination "$folder" >/dev/null
done
cd "$folder"
sha256sum -- *.tgz
