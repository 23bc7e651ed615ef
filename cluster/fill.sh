#!/usr/bin/env bash
# Print a cluster file with the outputs of a CloudFormation stack in the place of its ${...}:
#   cluster/fill.sh raymm cluster/aws.yaml > my-aws.yaml
# ${Source} becomes a tag for images, as tag.sh makes it.
set -euo pipefail
stack=$1 text=$(cat "$2")
outputs=$(aws cloudformation describe-stacks --stack-name "$stack" \
    --query 'Stacks[0].Outputs[].[OutputKey,OutputValue]' --output text)
while read -r key value; do
    text=${text//"\${$key}"/$value}
done <<<"$outputs"
text=${text//'${Source}'/$("$(dirname "$0")/tag.sh")}
# Comments may speak of ${...}; a setting must not have one left.
if left=$(grep -v '^ *#' <<<"$text" | grep -o '\${[A-Za-z]*}' | sort -u); then
    echo "The stack $stack has no output for: $left" >&2
    exit 1
fi
printf '%s\n' "$text"
