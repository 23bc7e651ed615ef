"""Linear regression with L1 loss and L2 penalty, solved to a known distance from the optimum.

Shapes: n samples, d features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from raymm.errors import TrainingError

Floats = NDArray[np.float64]

SMOOTHINGS = (1e-1, 1e-2, 1e-3)
"""The L1 loss |r| is replaced by sqrt(r^2 + s^2), with s shrinking; the last bounds the error."""
ITERATIONS = (2_000, 20_000)
"""Iterations tried, from where the last attempt stood, before giving up."""


def fit_least_absolute(x: Floats, y: Floats, penalty: float, start: Floats | None = None) -> Floats:
    """Minimise `mean |x w + b - y| + penalty / 2 |w|^2` over the weights w and the intercept b.

    The smoothed loss lies between |r| and |r| + s, so at its minimum the true objective is at most
    s = 0.001 above its own minimum (with `y` standardised, a thousandth of its standard deviation).
    Larger s first makes it quick. (scikit-learn's LinearSVR solves the same problem by dual
    coordinate descent, but has not converged after 10,000 passes where the penalty is weak.)

    Args:
        x: (n, d) features, standardised.
        y: (n,) targets, standardised.
        penalty: positive weight of the L2 penalty.
        start: (d + 1,) where to begin, for instance the solution for another penalty.

    Returns:
        (d + 1,): the weights, then the intercept.

    Raises:
        TrainingError: the optimiser did not converge.
    """
    solution = np.zeros(x.shape[1] + 1) if start is None else start
    for smoothing in SMOOTHINGS:
        solution = _fit_smoothed(x, y, penalty, smoothing, solution)
    return solution


def predict(x: Floats, solution: Floats) -> Floats:
    """Predictions (n,) of a solution (d + 1,) of `fit_least_absolute` for features (n, d)."""
    return np.asarray(x @ solution[:-1] + solution[-1])


def _fit_smoothed(x: Floats, y: Floats, penalty: float, smoothing: float, start: Floats) -> Floats:
    def objective(parameters: Floats) -> tuple[float, Floats]:
        weights = parameters[:-1]
        residuals = predict(x, parameters) - y
        smoothed = np.sqrt(residuals**2 + smoothing**2)
        slopes = residuals / smoothed / len(y)
        value = smoothed.mean() + penalty / 2 * weights @ weights
        return float(value), np.append(x.T @ slopes + penalty * weights, slopes.sum())

    solution, message = start, ""
    for iterations in ITERATIONS:
        options = {"maxiter": iterations, "maxfun": 2 * iterations, "gtol": 1e-5, "ftol": 1e-12}
        found = minimize(objective, solution, jac=True, method="L-BFGS-B", options=options)
        solution, message = found.x, found.message
        if found.success:
            return np.asarray(solution)
    raise TrainingError(
        f"The regression probe did not converge in {sum(ITERATIONS):,} iterations at L2 penalty "
        f"{penalty:g} ({message}). Look for extreme values in the label or the embeddings."
    )
