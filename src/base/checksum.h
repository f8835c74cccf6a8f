/* A checksum against accidents: bytes that a disk lost or changed. Not against who means to deceive.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_CHECKSUM_H
#define MQA_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Of n bytes, by 8 in the machine's order; seed: the sum of what comes before them, or any number. Whatever
 * happens to 8 aligned bytes and nothing else changes it; anything else does but once in 2^64. */
uint64_t mqa_checksum(uint64_t seed, const void *bytes, size_t n);

#endif
