from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.svm import LinearSVR

from raymm.errors import TrainingError
from raymm.metrics import least_absolute
from raymm.metrics.least_absolute import Floats, fit_least_absolute, predict


def data(n: int, d: int, noise: float = 0.5, seed: int = 0) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, d))
    y = x @ generator.normal(size=d) + noise * generator.standard_t(2, size=n) + 1
    return x, (y - y.mean()) / y.std()


def objective(x: Floats, y: Floats, penalty: float, solution: Floats) -> float:
    weights = solution[:-1]
    return float(np.abs(predict(x, solution) - y).mean() + penalty / 2 * weights @ weights)


@pytest.mark.parametrize("penalty", [1.0, 0.1, 0.01])
def test_no_worse_than_scikit_learns_solver(penalty: float) -> None:
    x, y = data(120, 4)
    svr = LinearSVR(
        epsilon=0,
        loss="epsilon_insensitive",
        dual=True,
        C=1 / (penalty * len(y)),
        tol=1e-4,
        max_iter=1_000_000,
        random_state=0,
        intercept_scaling=10,  # so that the intercept bears a hundredth of the penalty
    ).fit(x, y)
    reference = objective(x, y, penalty, np.append(svr.coef_, svr.intercept_))
    found = objective(x, y, penalty, fit_least_absolute(x, y, penalty))
    assert found == pytest.approx(reference, abs=1e-3)
    assert found <= reference + least_absolute.SMOOTHINGS[-1]


def test_without_penalty_it_is_the_linear_programme_of_median_regression() -> None:
    x, y = data(60, 3)
    design = np.hstack([x, np.ones((60, 1))])
    identity = np.eye(60)
    exact = linprog(
        np.append(np.zeros(4), np.full(60, 1 / 60)),
        A_ub=np.block([[design, -identity], [-design, -identity]]),
        b_ub=np.append(y, -y),
        bounds=[(None, None)] * 4 + [(0, None)] * 60,
    )
    found = objective(x, y, 0, fit_least_absolute(x, y, 1e-9))
    assert exact.fun <= found <= exact.fun + least_absolute.SMOOTHINGS[-1]


def test_the_intercept_alone_is_the_median() -> None:
    y = np.array([0.0, 0.1, 0.2, 5.0, 9.0])
    solution = fit_least_absolute(np.zeros((5, 2)), y, 1.0)
    assert solution == pytest.approx([0, 0, 0.2], abs=0.01)


def test_a_warm_start_leads_to_the_same_solution() -> None:
    x, y = data(100, 5)
    start = fit_least_absolute(x, y, 1.0)
    assert fit_least_absolute(x, y, 0.01, start) == pytest.approx(
        fit_least_absolute(x, y, 0.01), abs=2e-3
    )


def test_giving_up_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_absolute, "ITERATIONS", (1, 1))
    with pytest.raises(TrainingError, match=r"did not converge in 2 iterations.*0\.01"):
        fit_least_absolute(*data(100, 5), penalty=0.01)
