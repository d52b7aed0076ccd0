#!/bin/sh
# Send a message, with standard input below it, to a webhook that takes {"text": ...}, such as Slack's or Mattermost's.
#   tail -n 20 run.log | sh deploy/notify.sh "the nightly run failed"
# ALERT_WEBHOOK is its address, set in the environment or in .env: a secret, which appears in no log and in no list of
# processes. Without it, the message goes to standard error.
set -eu
cd "$(dirname "$0")/.."

if [ -z "${ALERT_WEBHOOK:-}" ] && [ -f .env ]; then
  ALERT_WEBHOOK=$(sed -n "s/^ALERT_WEBHOOK=[\"']*\([^\"']*\).*/\1/p" .env)
fi
text=$(printf '%s\n' "$1"; cat)
if [ -z "${ALERT_WEBHOOK:-}" ]; then
  printf '%s\n' "$text" >&2
  exit 0
fi
python=$(command -v python3 || echo .venv/bin/python)
printf '%s' "$text" |
  "$python" -c 'import json, sys; print(json.dumps({"text": sys.stdin.buffer.read().decode(errors="replace")}))' |
  curl --config /dev/fd/3 --silent --show-error --fail --max-time 20 --output /dev/null \
    --header 'Content-Type: application/json' --data @- 3<<URL
url = "$ALERT_WEBHOOK"
URL
