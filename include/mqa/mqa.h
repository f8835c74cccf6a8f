/* All of libmqa: attention over a shared KV cache.
 *
 * Three ways in, each usable without the others:
 *
 *   plain arrays of q, k, v        mqa_attention, one call                          mqa/attention.h
 *   a batch over a paged cache     mqa_plan_batch, then mqa_plan_run by layers      mqa/attention.h
 *   the parts                      sequences of a cache                             mqa/cache.h
 *                                  partial states and their merge                   mqa/attention.h
 *                                  rotary embedding                                 mqa/rope.h
 *
 * All start from a context (mqa/context.h), and all return an mqa_status (mqa/status.h). How the interface
 * grows is in mqa/version.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MQA_H
#define MQA_MQA_H

#include "mqa/attention.h"
#include "mqa/cache.h"
#include "mqa/context.h"
#include "mqa/rope.h"
#include "mqa/status.h"
#include "mqa/version.h"

#endif
