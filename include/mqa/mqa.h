/* All of libmqa: attention over a shared KV cache.
 *
 * Three ways in, each usable without the others:
 *
 *   mqa_attention                     plain arrays of q, k, v; one call         mqa/attention.h
 *   mqa_plan_batch, mqa_plan_run      a batch over a paged cache, by layers     mqa/attention.h
 *   mqa_sequence_*                    the cache itself: extend, write, undo     mqa/cache.h
 *
 * All start from a context (mqa/context.h), and all return an mqa_status (mqa/status.h).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MQA_H
#define MQA_MQA_H

#include "mqa/attention.h"
#include "mqa/cache.h"
#include "mqa/context.h"
#include "mqa/status.h"

#endif
