/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* digits[.digits] as n / 10^decimals. */
static bool parse_number(const char **at, uint64_t *n, uint64_t *divisor)
{
    bool any = false, point = false;
    *n = 0;
    *divisor = 1;
    for (; isdigit((unsigned char)**at) || (**at == '.' && !point); (*at)++) {
        if (**at == '.') {
            point = true;
            continue;
        }
        any = true;
        if (__builtin_mul_overflow(*n, 10u, n) || __builtin_add_overflow(*n, (uint64_t)(**at - '0'), n))
            return false;
        if (point && __builtin_mul_overflow(*divisor, 10u, divisor)) return false;
    }
    return any;
}

static bool parse_unit(const char *text, uint64_t *out)
{
    static const char prefixes[] = "KMGTP";
    *out = 1;
    if (*text == 0 || strcasecmp(text, "B") == 0) return true;
    const char *prefix = strchr(prefixes, toupper((unsigned char)*text));
    if (!prefix) return false;
    const bool binary = text[1] == 0 || strcasecmp(text + 1, "iB") == 0;
    if (!binary && strcasecmp(text + 1, "B") != 0) return false;
    for (const char *p = prefixes; p <= prefix; p++) *out *= binary ? 1024 : 1000;
    return true;
}

bool mqa_bytes_parse(const char *text, size_t *out)
{
    uint64_t n, divisor, unit;
    if (!parse_number(&text, &n, &divisor)) return false;
    while (*text == ' ') text++;
    if (!parse_unit(text, &unit)) return false;
    const unsigned __int128 bytes = (unsigned __int128)n * unit / divisor;
    if (bytes > SIZE_MAX) return false;
    *out = (size_t)bytes;
    return true;
}
