#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits the polynomial of exp (docs/numerics.md section 6) and prints src/kernels/constants.h's lines.

exp(r) = 1 + r + r^2 (c2 + c3 r + c4 r^2 + c5 r^3 + c6 r^4) on |r| <= ln2 / 2, the relative error
minimised by Lawson's reweighting in double precision, then rounded to f32 one coefficient at a time.
Needs numpy.
"""
import numpy as np

LIMIT = np.log(2) / 2 * 1.0005
r = LIMIT * np.cos(np.linspace(0, np.pi, 4001))
r = r[np.abs(r) > 1e-4]
target = (np.exp(r) - 1 - r) / r**2
weight = r**2 / np.exp(r)  # makes the residual a relative error of exp

fixed = {}
for last in range(6):
    free = [k for k in range(5) if k not in fixed]
    rhs = target - sum(c * r**k for k, c in fixed.items())
    if not free:
        break
    lawson = np.ones_like(r)
    for _ in range(300):
        a = np.stack([r**k for k in free], 1) * (weight * np.sqrt(lawson))[:, None]
        c = np.linalg.lstsq(a, rhs * weight * np.sqrt(lawson), rcond=None)[0]
        error = np.abs((np.stack([r**k for k in free], 1) @ c - rhs) * weight)
        lawson *= error / error.max() + 1e-9
        lawson /= lawson.max()
    fixed[free[0]] = float(np.float32(c[0]))

poly = sum(c * r**k for k, c in fixed.items())
error = np.abs((1 + r + r**2 * poly) / np.exp(r) - 1).max()
for k in range(5):
    print(f"#define MQA_EXP_C{k + 2} {float.hex(fixed[k])}f /* {fixed[k]:.9g} */")
print(f"/* largest relative error of the polynomial itself: {error:.3g} (half an ulp is 6e-8) */")
