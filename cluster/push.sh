#!/usr/bin/env bash
# Build the images that filled-in cluster files name, and push those that their registry does not have:
#   cluster/push.sh my-aws.yaml
set -euo pipefail
images=$(grep -hv '^ *#' "$@" | { grep -oE '[^ "/][^ "]*/raymm(-mlflow)?:[^ "/]+' || true; } | sort -u)
[ -n "$images" ] || { echo "No image of raymm is named in: $*" >&2; exit 1; }
cd "$(dirname "$0")/.."
for image in $images; do
    registry=${image%%/*}
    case $registry in
        *.amazonaws.com)
            region=$(cut -d. -f4 <<<"$registry")
            aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry"
            ;;
        *.pkg.dev) gcloud auth configure-docker "$registry" --quiet ;;
    esac
    if docker manifest inspect "$image" >/dev/null 2>&1; then
        echo "$image is there already. What has changed needs another tag."
        continue
    fi
    case $image in
        */raymm-mlflow:*) sources=(cluster/mlflow) ;;
        *) sources=(--file cluster/Dockerfile .) ;;
    esac
    docker build --platform linux/amd64 --tag "$image" "${sources[@]}"
    docker push "$image"
done
