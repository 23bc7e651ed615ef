#!/usr/bin/env bash
# Open a way to a cluster's dashboard and jobs, on a port of this machine, and come back when it is open:
#   cluster/connect.sh my-aws.yaml
# It stays open in the background. PORT=8266 before the command takes another port.
set -euo pipefail
port=${PORT:-8265}
address=http://127.0.0.1:$port
answers() { curl --silent --fail --noproxy '*' --max-time 5 --output /dev/null "$address/api/version"; }
if answers; then
    echo "Something answers at $address already: an earlier connection, or a Ray of this machine. End it, or give another PORT." >&2
    exit 1
fi
log=$(mktemp)
# Its input is not a terminal's: ssh would stop as soon as it is in the background. In a group of its own
# (-m), as ssh, which it starts, has to end with it.
set -m
ray dashboard --port "$port" "$1" </dev/null >"$log" 2>&1 &
tunnel=$!
until answers; do
    if ! kill -0 "$tunnel" 2>/dev/null; then
        cat "$log" >&2
        echo "$1: no way to its dashboard. Is it up (ray up $1)?" >&2
        exit 1
    fi
    sleep 1
done
echo "$address leads to the cluster until: kill -- -$tunnel"
