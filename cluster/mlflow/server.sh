#!/usr/bin/env bash
# Start MLflow's server. Passwords come from the environment, never from a command line that `ps` shows.
#   DATABASE         postgresql+psycopg2://user:password@host/mlflow (SQLAlchemy 2.1 takes another driver
#                    if none is named): runs, and in tables of their own the accounts
#   ARTIFACTS        s3://bucket/folder
#   MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD, MLFLOW_FLASK_SERVER_SECRET_KEY
set -euo pipefail
: "${DATABASE:?}" "${ARTIFACTS:?}" "${MLFLOW_FLASK_SERVER_SECRET_KEY:?}"
config=$(mktemp)
trap 'rm -f "$config"' EXIT
sed "s|\${AUTH_DATABASE}|${AUTH_DATABASE:-$DATABASE}|" "$(dirname "$0")/basic_auth.ini" >"$config"
export MLFLOW_AUTH_CONFIG_PATH=$config MLFLOW_BACKEND_STORE_URI=$DATABASE
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
mlflow server --app-name basic-auth --host "${HOST:-0.0.0.0}" --port "${PORT:-5000}" \
    --workers "${WORKERS:-2}" --serve-artifacts --artifacts-destination "$ARTIFACTS" \
    --default-artifact-root mlflow-artifacts:/ ${ALLOWED_HOSTS:+--allowed-hosts "$ALLOWED_HOSTS"}
