#!/usr/bin/env bash
# Start MLflow's server. Passwords come from the environment, never from a command line that `ps` shows.
#   DATABASE         postgresql+psycopg2://user:password@host/mlflow (SQLAlchemy 2.1 takes another driver
#                    if none is named): runs, and in tables of their own the accounts
#   ARTIFACTS        s3://bucket/folder
#   MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD, MLFLOW_FLASK_SERVER_SECRET_KEY
set -euo pipefail
: "${DATABASE:?}" "${ARTIFACTS:?}" "${MLFLOW_FLASK_SERVER_SECRET_KEY:?}"
accounts=${AUTH_DATABASE:-$DATABASE} template=$(<"$(dirname "$0")/basic_auth.ini") here='${AUTH_DATABASE}'
config=$(mktemp)
trap 'rm -f "$config"' EXIT
# Bash's own replacement: that of `sed` would be on a command line. Such a file has its percent signs doubled.
printf '%s\n' "${template%%"$here"*}${accounts//\%/%%}${template#*"$here"}" >"$config"
export MLFLOW_AUTH_CONFIG_PATH=$config MLFLOW_BACKEND_STORE_URI=$DATABASE
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
mlflow server --app-name basic-auth --host "${HOST:-0.0.0.0}" --port "${PORT:-5000}" \
    --workers "${WORKERS:-2}" --serve-artifacts --artifacts-destination "$ARTIFACTS" \
    --default-artifact-root mlflow-artifacts:/ ${ALLOWED_HOSTS:+--allowed-hosts "$ALLOWED_HOSTS"} &
server=$!
# A container's first process is sent the signal that ends it, and bash passes none on by itself.
trap 'kill -TERM "$server"' TERM INT
status=0
while kill -0 "$server" 2>/dev/null; do # a signal ends `wait` before the server has ended
    wait "$server" && status=0 || status=$?
done
exit "$status"
