# What scripts/demo and scripts/test both begin with: Python 3.11 with venv, and Debian's packages where one is missing.
# Sourced by them; as root on Debian or Ubuntu it installs what is missing, otherwise it says what is.

python=${PYTHON:-python3}

heading() { printf '\n== %s\n' "$*"; }

# show COMMAND WORDS...: print a command as it would be typed, then run it
show() {
  printf '\n$'
  printf ' %q' "$@" | sed 's/\\=/=/g'
  printf '\n'
  "$@"
}

# need PACKAGE COMMAND WORDS...: when the command fails, install the Debian package, or say that it is needed
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
    printf '%s is needed (the Debian package that holds it: %s).\n' "$1" "$package" >&2
    exit 1
  fi
}

need_python() {
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    printf 'Python 3.11 or newer is needed; PYTHON=python3.12 %s chooses another one.\n' "$0" >&2
    exit 1
  fi
  # ensurepip is what Debian leaves out of its Python
  need python3-venv "$python" -c 'import ensurepip, venv'
}
