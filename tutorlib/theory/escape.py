"""How long noise takes to leave a well: Gaussian noise has to climb it, Lévy noise jumps over its rim.

The well is one half of V(x) = h ((x/w)² − 1)²: its bottom at −w, its rim at 0, ``height`` h above and ``width`` w away.
A walker follows dx = −V′(x) dt + noise and has left when it first is at 0 or beyond.
"""

import math

import numpy as np

from tutorlib.errors import Refused
from tutorlib.theory.tails import check_alpha


def check_well(**sizes: float) -> None:
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise Refused(f"{name} is {value!r}; allowed: a finite number above 0")


def force(x: np.ndarray, height: float, width: float) -> np.ndarray:
    """−V′(x) = −4 h/w · (x/w) ((x/w)² − 1)."""
    u = x / width
    return -4 * height / width * u * (u * u - 1)


def gaussian_time(height: float, width: float, temperature: float) -> float:
    """Mean time to the rim with noise √(2T) dW, exactly, as one double integral over the well.

    ∫ from −w to 0 of e^(V(y)/T) ∫ from −∞ to y of e^(−V(z)/T) dz dy, over T. Source: Gardiner 2009, *Stochastic
    Methods*, section 5.5. For h ≫ T it is half of Kramers' time, :func:`kramers_time`: who stands on the rim falls back
    every other time.
    """
    check_well(height=height, width=width, temperature=temperature)
    u = np.linspace(-3, 0, 6001)  # in units of w; further out e^(−V/T) is nothing
    energy = height / temperature * (u**2 - 1) ** 2
    grid, inside = u[1] - u[0], u >= -1
    inner = integral(np.exp(-energy), grid)[inside]
    return float(width**2 / temperature * integral(np.exp(energy[inside]) * inner, grid)[-1])


def integral(values: np.ndarray, grid: float) -> np.ndarray:
    """The integral up to every point, by trapezoids."""
    return np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2)]) * grid


def kramers_time(height: float, width: float, temperature: float) -> float:
    """2π/√(V″(−w)·|V″(0)|) · e^(h/T) = (π w² / (2√2 h)) e^(h/T): exponential in the height.

    Source: Kramers 1940, Physica 7, 284, for h ≫ T; V″ is 8h/w² at the bottom and −4h/w² at the rim.
    """
    check_well(height=height, width=width, temperature=temperature)
    return math.pi * width**2 / (2 * math.sqrt(2) * height) * math.exp(height / temperature)


def levy_time(width: float, alpha: float, scale: float) -> float:
    """Mean time to the rim with noise ε dL of a symmetric α-stable process, for small ε: α w^α / (C ε^α).

    Jumps of more than w to the right come at rate ε^α C/(α w^α), C = Γ(1 + α) sin(πα/2)/π, and one is enough: the
    height does not appear. L moves by t^(1/α) times :func:`~tutorlib.theory.tails.stable` in time t. Source: Imkeller
    and Pavlyukevich 2006, Stochastic Processes and their Applications 116, 611, theorem 1.
    """
    check_well(width=width, scale=scale)
    if check_alpha(alpha) == 2:
        raise Refused("alpha is 2; allowed: below 2, for a Gaussian does not jump. Use gaussian_time")
    jumps = math.gamma(1 + alpha) * math.sin(math.pi * alpha / 2) / math.pi
    return alpha * (width / scale) ** alpha / jumps
