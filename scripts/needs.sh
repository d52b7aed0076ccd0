# Sourced by scripts/demo and scripts/test: checks for Python 3.11 with venv and for other programs.
# As root on Debian or Ubuntu it installs what is missing; otherwise it names the package and stops.

python=${PYTHON:-python3}

heading() { printf '\n== %s\n' "$*"; }

# show COMMAND ARGS...: print a command as it would be typed, then run it
show() {
  printf '\n$'
  printf ' %q' "$@" | sed 's/\\=/=/g'
  printf '\n'
  "$@"
}

# need PACKAGE COMMAND ARGS...: if the command fails, install the Debian package, or name it and stop
need() {
  local package=$1
  shift
  if "$@" >/dev/null 2>&1; then
    return
  fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    [ -n "${updated:-}" ] || show apt-get update -qq
    updated=yes
    DEBIAN_FRONTEND=noninteractive show apt-get install -y -qq --no-install-recommends "$package"
  else
    printf '%s is required; install it (Debian package: %s).\n' "${1/#sh/$package}" "$package" >&2
    exit 1
  fi
}

need_python() {
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    printf 'Python 3.11 or newer is required. To choose an interpreter, run: PYTHON=python3.12 %s\n' "$0" >&2
    exit 1
  fi
  # Debian packages ensurepip separately
  need python3-venv "$python" -c 'import ensurepip, venv'
}
