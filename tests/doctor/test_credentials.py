"""Credentials in the environment are found, and named by the variable alone."""

from __future__ import annotations

import json

import pytest

from raymm.doctor.credentials import JOB_CONFIG, check_credentials, is_secret

CANARY = "canary-3f9a"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"MLFLOW_TRACKING_URI": f"http://me:{CANARY}@host:5000"}, "MLFLOW_TRACKING_URI"),
        ({"ANY_STORE": f"postgresql://me:{CANARY}@host/db"}, "ANY_STORE"),
        (
            {JOB_CONFIG: json.dumps({"runtime_env": {"env_vars": {"AWS_SECRET_ACCESS_KEY": CANARY}}})},
            "AWS_SECRET_ACCESS_KEY",
        ),
        (
            {JOB_CONFIG: json.dumps({"runtime_env": {"env_vars": {"STORE": f"s3://a:{CANARY}@b"}}})},
            "STORE",
        ),
    ],
)  # fmt: skip
def test_what_others_would_read_is_wrong(environment: dict[str, str], named: str) -> None:
    (found,) = check_credentials(environment, on_cluster=False)
    assert found.level == "wrong" and named in found.text and found.remedy
    assert CANARY not in found.text + found.remedy


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"MLFLOW_TRACKING_PASSWORD": CANARY, "MLFLOW_TRACKING_USERNAME": "me"},
        {"HTTPS_PROXY": f"http://me:{CANARY}@proxy:8080"},  # not ours to print, nor to change
        {JOB_CONFIG: json.dumps({"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1"}}})},
        {JOB_CONFIG: json.dumps({"runtime_env": None})},
        {JOB_CONFIG: "not json"},
    ],
)
def test_what_others_do_not_read_is_fine(environment: dict[str, str]) -> None:
    assert [each.level for each in check_credentials(environment, on_cluster=False)] == ["fine"]


def test_a_persons_keys_on_a_machine_are_worth_a_note() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": CANARY}
    assert [each.level for each in check_credentials(environment, on_cluster=True)] == ["note"]
    assert [each.level for each in check_credentials(environment, on_cluster=False)] == ["fine"]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", True), ("MLFLOW_TRACKING_PASSWORD", True), ("HF_TOKEN", True),
        ("WANDB_API_KEY", True), ("OMP_NUM_THREADS", False), ("PATH", False),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", False),
    ],
)  # fmt: skip
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) == secret
