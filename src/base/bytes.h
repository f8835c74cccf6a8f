/* Sizes as people write them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_BYTES_H
#define MQA_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>

/* The one reading of sizes, on command lines and in files: "2GiB", "1.5 GiB", "512MiB", "64K". Digits, at
 * most one point, then nothing or B, or one of K M G T P with nothing, B or iB behind it. K, KiB are 1,024;
 * KB is 1,000; case doesn't matter. The product is rounded down. false for anything else ("1e9"), and for
 * what a size_t doesn't hold. */
bool mqa_bytes_parse(const char *text, size_t *out);

#endif
