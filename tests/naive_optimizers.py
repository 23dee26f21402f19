"""Optimizers from their definitions: a whole run of one tensor in numpy, number by number or by explicit sums."""

import numpy as np
from scipy.linalg import fractional_matrix_power


def running_mean(seen, beta):
    """Σ (1 − β) β^(t − s) x_s: the recursion written out."""
    return sum((1 - beta) * beta ** (len(seen) - 1 - s) * x for s, x in enumerate(seen))


def naive_sgd(start, gradients, rate, momentum=0.0):
    position = start.copy()
    for t in range(len(gradients)):
        position -= rate * sum(momentum ** (t - s) * gradients[s] for s in range(t + 1))
    return position


def adam_steps(seen, beta1, beta2, eps):
    t = len(seen)
    mean, square = running_mean(seen, beta1) / (1 - beta1**t), running_mean([g * g for g in seen], beta2)
    return mean / (np.sqrt(square / (1 - beta2**t)) + eps)


def naive_adamw(start, gradients, rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    position = start.copy()
    for t in range(1, len(gradients) + 1):
        position = position - rate * weight_decay * position - rate * adam_steps(gradients[:t], beta1, beta2, eps)
    return position


def naive_lion(start, gradients, rate, beta1=0.9, beta2=0.99, weight_decay=0.0):
    position = start.copy()
    for place in np.ndindex(start.shape):
        value, mean = float(start[place]), 0.0
        for gradient in gradients:
            g = float(gradient[place])
            mixed = beta1 * mean + (1 - beta1) * g
            value -= rate * ((1 if mixed > 0 else -1 if mixed < 0 else 0) + weight_decay * value)
            mean = beta2 * mean + (1 - beta2) * g
        position[place] = value
    return position


def naive_lars(start, gradients, rate, momentum=0.9, trust=0.001, weight_decay=0.0):
    position, velocity = start.copy(), np.zeros_like(start)
    for g in gradients:
        if start.ndim > 1:
            size, slope = np.sqrt((position**2).sum()), np.sqrt((g**2).sum())
            below = slope + weight_decay * size
            ratio = trust * size / below if size > 0 and below > 0 else 1.0
            g = ratio * (g + weight_decay * position)
        velocity = momentum * velocity + g
        position = position - rate * velocity
    return position


def naive_lamb(start, gradients, rate, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0):
    position = start.copy()
    for t in range(1, len(gradients) + 1):
        step = adam_steps(gradients[:t], beta1, beta2, eps)
        if start.ndim > 1:
            step = step + weight_decay * position
            size, moved = np.sqrt((position**2).sum()), np.sqrt((step**2).sum())
            step = step * (size / moved if size > 0 and moved > 0 else 1.0)
        position = position - rate * step
    return position


def naive_muon(start, gradients, rate, momentum=0.95, weight_decay=0.0):
    """The iteration on singular values alone: it leaves singular vectors as they are."""
    if start.ndim < 2:
        return naive_adamw(start, gradients, rate, weight_decay=weight_decay)
    position = start.copy()
    for t in range(1, len(gradients) + 1):
        ahead = momentum * running_mean(gradients[:t], momentum) + (1 - momentum) * gradients[t - 1]
        rows, columns = start.shape[0], int(np.prod(start.shape[1:]))
        u, s, v = np.linalg.svd(ahead.reshape(rows, columns), full_matrices=False)
        s = s / max(np.sqrt((s**2).sum()), 1e-7)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        step = 0.2 * np.sqrt(max(rows, columns)) * (u @ np.diag(s) @ v).reshape(start.shape)
        position = position - rate * weight_decay * position - rate * step
    return position


def naive_shampoo(start, gradients, rate, momentum=0.0, eps=1e-6, every=1):
    """Matrices and vectors only: explicit sums over all gradients so far, and a general matrix power."""
    position, velocity = start.copy(), np.zeros_like(start)
    for t, gradient in enumerate(gradients):
        seen = gradients[: (t if t < every else t // every * every) + 1]
        if start.ndim == 1:
            full = eps * np.eye(len(start)) + sum(np.outer(g, g) for g in seen)
            direction = fractional_matrix_power(full, -1 / 2).real @ gradient
        else:
            left = eps * np.eye(start.shape[0]) + sum(g @ g.T for g in seen)
            right = eps * np.eye(start.shape[1]) + sum(g.T @ g for g in seen)
            left, right = (fractional_matrix_power(each, -1 / 4).real for each in (left, right))
            direction = left @ gradient @ right
        velocity = momentum * velocity + direction
        position = position - rate * velocity
    return position
