#!/bin/sh
# One run for cron: never two at a time, a log, a message on failure, and the exit code of the run.
set -u
cd "$(dirname "$0")/../.." || exit 2

mkdir -p outputs
date >> outputs/cron.log
flock --nonblock --conflict-exit-code 75 outputs/cron.lock \
  .venv/bin/python -m {{ cookiecutter.package_name }} run --env prod >> outputs/cron.log 2>&1
code=$?

case $code in
  0) exit 0 ;;
  75) reason='the run before it is not finished' ;;
  *) reason="exit code $code" ;;
esac
tail -n 20 outputs/cron.log | sh deploy/notify.sh "{{ cookiecutter.package_name | distribution_name }} failed on $(uname -n): $reason"
exit $code
