# SPDX-License-Identifier: Apache-2.0
"""The checks of scripts/check-serve: each a file with run(options, text, state) -> (report, good)."""
