#!/usr/bin/env bash
# Make what a sweep on Kubernetes needs, of your names:
#   cluster/kuberay/prepare.sh REGISTRY BUCKET [ROLE | KEYS]
#
# - my-kuberay.yaml and my-rayjob.yaml, in the current folder: the manifests with your names in them.
# - The images that they name, pushed to REGISTRY: 123456789012.dkr.ecr.us-east-1.amazonaws.com, say, or
#   us-central1-docker.pkg.dev/PROJECT/raymm. With the latter the machines are Google's: L4 for A10G.
# - In kubectl's current namespace the secrets, unless they are there: the database's password, one account
#   for MLflow's server and the driver, and KEYS.
#
# ROLE is one of AWS (arn:aws:iam::...) that the service accounts raymm-head and raymm may take, and that may
# read and write BUCKET. Without, pods must be able to use the bucket anyhow (as with EKS Pod Identity), or by
# KEYS: a file of lines AWS_ACCESS_KEY_ID=..., AWS_SECRET_ACCESS_KEY=..., and for a store that is not Amazon's
# its address twice, AWS_ENDPOINT_URL=... and MLFLOW_S3_ENDPOINT_URL=...; for Google's, which is
# https://storage.googleapis.com, AWS_REQUEST_CHECKSUM_CALCULATION=when_required, too.
set -euo pipefail
registry=${1:?REGISTRY is missing} bucket=${2:?BUCKET is missing} access=${3:-}
folder=$(dirname "$0")
source=$("$folder/../tag.sh")
role=ROLE
case $access in
    arn:*) role=$access ;;
    ?*) [ -f "$access" ] || { echo "$access is neither a role (arn:...) nor a file with keys" >&2; exit 1; } ;;
esac

fill() { # FILE...: their text, with names in it
    local text
    text=$(for file in "$@"; do echo ---; cat "$file"; done)
    text=${text//REGISTRY/"$registry"} text=${text//BUCKET/"$bucket"} text=${text//SOURCE/"$source"}
    text=${text//ROLE/"$role"}
    case $registry in
        *.pkg.dev/*) text=$(sed -e 's/A10G/L4/g; s/a10g/l4/g; s/memory: 1000Gi/memory: 600Gi/g' \
            -e 's|node.kubernetes.io/instance-type: g5.*|cloud.google.com/gke-accelerator: nvidia-l4|' \
            -e 's|node.kubernetes.io/instance-type: p4d.*|cloud.google.com/gke-accelerator: nvidia-tesla-a100|' \
            <<<"$text") ;;
    esac
    grep -v 'role-arn: ROLE' <<<"$text"
}

secret() { # NAME: make it of the lines that are read, unless it is there
    kubectl get secret "$1" >/dev/null 2>&1 || kubectl create secret generic "$1" --from-env-file=/dev/stdin
}

random() { openssl rand -hex 24; }

fill "$folder/../mlflow/kubernetes.yaml" "$folder/raycluster.yaml" >my-kuberay.yaml
fill "$folder/rayjob.yaml" >my-rayjob.yaml
case $registry in
    *.amazonaws.com*) # which wants to know its images' names before they come
        region=$(cut -d. -f4 <<<"$registry") path=${registry#*.amazonaws.com}
        for name in raymm raymm-mlflow; do
            name=${path:+${path#/}/}$name
            aws ecr describe-repositories --region "$region" --repository-names "$name" >/dev/null 2>&1 ||
                aws ecr create-repository --region "$region" --repository-name "$name" >/dev/null
        done
        ;;
esac
"$folder/../push.sh" my-kuberay.yaml
secret mlflow <<<"POSTGRES_PASSWORD=$(random)
MLFLOW_FLASK_SERVER_SECRET_KEY=$(random)"
secret raymm-mlflow <<<"MLFLOW_TRACKING_USERNAME=admin
MLFLOW_TRACKING_PASSWORD=$(random)"
if [ -f "$access" ]; then
    secret raymm-storage <"$access"
fi
echo 'Next: kubectl apply -f my-kuberay.yaml'
