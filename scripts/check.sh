#!/bin/sh
# Everything CI runs, in order, each under its name: `npm run check`. The first failure ends it.
# `npm run check -- --no-tests` leaves out the tests, for one who ran `npm test` just before.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"

tests=yes
for argument in "$@"; do
  case "$argument" in
    --no-tests) tests=no ;;
    *)
      echo "check: unknown argument $argument (known: --no-tests)" >&2
      exit 2
      ;;
  esac
done

step() {
  name=$1
  shift
  echo "== $name: $*"
  "$@"
}

step 'types of the packages' tsc -b
step 'types of the tests' tsc -p tsconfig.tests.json
step 'lint' oxlint --type-aware --deny-warnings
step 'format' oxfmt --check .
step 'dead code' knip
for package in packages/*/; do
  # A private package is never published: there is nothing to lint in what it would publish.
  if ! grep -q '"private": true' "$package/package.json"; then
    step 'packaging' publint --strict "$package"
    # No CommonJS is published: a program of that kind can import() these packages.
    step 'types as published' attw --pack "$package" --profile esm-only --quiet
  fi
done
# Fails on a public item without a description; the pages themselves are not kept in the tree.
step 'api reference' pnpm --filter @postern/docs run build
# What others import has every branch tested; its thresholds are in vitest.config.ts.
step 'tests of core, with every branch' vitest run --project core --coverage
if [ "$tests" = yes ]; then step 'tests' vitest run --project '!core'; fi
echo 'check: all passed'
