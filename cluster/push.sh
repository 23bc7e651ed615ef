#!/usr/bin/env bash
# Build the image that a filled-in cluster file names, and push it to its registry:
#   cluster/push.sh my-aws.yaml
set -euo pipefail
image=$(sed -n 's/^ *image: *\([^ #]*\).*/\1/p' "$1")
registry=${image%%/*}
case $registry in
    *.amazonaws.com)
        region=$(cut -d. -f4 <<<"$registry")
        aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry"
        ;;
    *.pkg.dev) gcloud auth configure-docker "$registry" --quiet ;;
esac
cd "$(dirname "$0")/.."
docker build --file cluster/Dockerfile --tag "$image" .
docker push "$image"
