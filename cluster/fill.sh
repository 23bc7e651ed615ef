#!/usr/bin/env bash
# Print a cluster file with the outputs of a CloudFormation stack in the place of its ${...}:
#   cluster/fill.sh raymm cluster/aws.yaml > my-aws.yaml
# ${Source} becomes the commit that is checked out, with the time if it has been changed: a tag for images.
set -euo pipefail
stack=$1 text=$(cat "$2") now=$(date -u +%Y%m%d%H%M%S)
outputs=$(aws cloudformation describe-stacks --stack-name "$stack" \
    --query 'Stacks[0].Outputs[].[OutputKey,OutputValue]' --output text)
while read -r key value; do
    text=${text//"\${$key}"/$value}
done <<<"$outputs"
root=$(dirname "$0")/..
commit=$(git -C "$root" describe --always --exclude='*' --abbrev=12 --dirty="-$now" 2>/dev/null || echo "$now")
text=${text//'${Source}'/$commit}
# Comments may speak of ${...}; a setting must not have one left.
if left=$(grep -v '^ *#' <<<"$text" | grep -o '\${[A-Za-z]*}' | sort -u); then
    echo "The stack $stack has no output for: $left" >&2
    exit 1
fi
printf '%s\n' "$text"
