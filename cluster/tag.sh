#!/usr/bin/env bash
# Print a tag for images: the commit that is checked out, with the time if it has been changed.
set -euo pipefail
now=$(date -u +%Y%m%d%H%M%S)
git -C "$(dirname "$0")" describe --always --exclude='*' --abbrev=12 --dirty="-$now" 2>/dev/null || echo "$now"
