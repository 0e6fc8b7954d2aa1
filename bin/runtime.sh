# Sourced by bin/up, bin/down, bin/test and bin/boxyard from the root of the checkout.

# Installs npm when the machine has none, and the packages of package-lock.json when they are missing or stale.
# Node 24 itself is one of these packages, so that any Node that can run npm is enough.
ensure_runtime() {
  local want have
  want=$(sha256sum package-lock.json | cut -d' ' -f1)
  have=$(cat node_modules/.boxyard-lock 2>/dev/null || true)
  [ "$want" = "$have" ] && return 0
  exec 9>.npm-install.lock && flock 9
  [ "$want" = "$(cat node_modules/.boxyard-lock 2>/dev/null || true)" ] && return 0
  if ! command -v npm >/dev/null; then
    echo "installing npm …" >&2
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nodejs npm; } >&2
  fi
  echo "installing Node 24 and packages …" >&2
  # Not "npm ci": it refuses a lock file without the packages of other platforms, which not every registry's mirror has.
  npm install --no-save --no-audit --no-fund --loglevel=error >&2
  echo "$want" >node_modules/.boxyard-lock
  exec 9>&-
}
