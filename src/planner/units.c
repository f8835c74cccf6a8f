/* Numbers with units.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "planner/planner.h"

/* A decimal number at the beginning of text, then the rest without blanks before it. */
static bool take_number(const char *text, double *out, const char **rest)
{
    if (!((*text >= '0' && *text <= '9') || *text == '.')) return false;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) return false;
    char *end;
    *out = strtod(text, &end);
    if (end == text || !isfinite(*out) || *out <= 0) return false;
    while (*end == ' ') end++;
    *rest = end;
    return true;
}

/* One letter and perhaps an i; *rest moves behind them. 1 where there is none. */
static double take_prefix(const char **rest)
{
    static const char letters[] = "kMGTP";
    const char letter = **rest == 'K' ? 'k' : **rest;
    const char *at = letter ? strchr(letters, letter) : NULL;
    if (!at) return 1;
    const bool binary = (*rest)[1] == 'i';
    *rest += binary ? 2 : 1;
    return pow(binary ? 1024 : 1000, (double)(at - letters + 1));
}

bool mqa_parse_bytes(const char *text, size_t *out)
{
    return mqa_bytes_parse(text, out) && *out > 0 && *out <= INT64_MAX;
}

bool mqa_parse_rate(const char *text, double *out)
{
    static const char *const units[] = {"",      "/s",      "B/s",  "FLOP/s", "FLOPS",
                                        "FLOPs", "FLOPS/s", "OP/s", "OPS",    "OPS/s"};
    double n;
    const char *rest;
    if (!take_number(text, &n, &rest)) return false;
    n *= take_prefix(&rest);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(rest, units[i]) != 0) continue;
        *out = n;
        return isfinite(n);
    }
    return false;
}
