"""Credentials in the environment where others would read them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from raymm.doctor.finding import Finding, fine, note, wrong
from raymm.storage.address import without_credentials

CHECK = "credentials"
SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_KEY", re.I
)
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What Ray hands a submitted job; the Jobs API and the dashboard show it to whoever asks."""
NOT_SECRET = {
    "RAY_AUTH_TOKEN_PATH",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
}
"""Names of files."""
STATIC_KEYS = ("AWS_SECRET_ACCESS_KEY",)


def check_credentials(environment: Mapping[str, str], *, on_cluster: bool) -> list[Finding]:
    """Find credentials that would be logged or shown. The findings name variables, never values.

    Args:
        on_cluster: whether this is a machine of a cluster, which has an instance profile to use.
    """
    found = [*_in_addresses(environment), *_in_job(environment)]
    if on_cluster:
        found += [
            note(
                CHECK,
                f"{name} is set: keys of a person, on a machine",
                "Give the machines a role instead (instance profile, service account): nothing to "
                "leak, and it ends with the machine.",
            )
            for name in STATIC_KEYS
            if environment.get(name)
        ]
    return found or [fine(CHECK, "nothing secret where others would read it")]


def is_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return bool(SECRET_NAME.search(name)) and name not in NOT_SECRET


def _in_addresses(environment: Mapping[str, str]) -> list[Finding]:
    """Addresses with a password in them: programs print their addresses."""
    return [
        wrong(
            CHECK,
            f"{name} is an address with a password in it",
            "Take it out of the address. MLflow takes MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, PostgreSQL a file ~/.pgpass.",
        )
        for name, value in sorted(environment.items())
        if name != JOB_CONFIG and without_credentials(value) != value and not _is_proxy(name)
    ]


def _in_job(environment: Mapping[str, str]) -> list[Finding]:
    """Secrets that were handed to a job by its runtime environment."""
    try:
        config = json.loads(environment.get(JOB_CONFIG, "{}"))
    except ValueError:
        return []
    handed = (config.get("runtime_env") or {}).get("env_vars") or {}
    names = sorted(name for name in handed if is_secret(name) or _has_password(handed[name]))
    if not names:
        return []
    return [
        wrong(
            CHECK,
            f"{', '.join(names)} came with the job's runtime environment, which the dashboard shows",
            "Set them on the machines, or mount them (cluster/kuberay does, from a secret); not with "
            "--runtime-env-json.",
        )
    ]


def _has_password(value: object) -> bool:
    return isinstance(value, str) and without_credentials(value) != value


def _is_proxy(name: str) -> bool:
    return name.lower().endswith("_proxy")
